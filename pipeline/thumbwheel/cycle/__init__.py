"""One turn of the wheel: ingest, snapshot, pair, train, evaluate, decide, register.

- `journal`: what a cycle has done so far, on disk, so that a killed one goes on.
- `run`: which cycle to turn.
- `stages`: the turn itself, stage by stage.
- `refusals`: pairs that nothing is trained on.
- `trace`: which cycles used an event, a pair or a dataset.
"""
