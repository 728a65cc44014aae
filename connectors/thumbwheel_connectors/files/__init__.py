"""Files as a replayable log: where they lie, how far they are read, and one module per format."""
