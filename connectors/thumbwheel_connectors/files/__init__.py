"""Files as a replayable log.

- `connector`: a file or a folder as a source.
- `log`, `marks`: all of its files in order, and how far each is read.
- `storage`: where they lie: a path, or any URL of fsspec.
- `formats`: which reader a file needs.
- `readers`: what every reader has.
- `gathered`: records that belong together, as one.
- `text`, `jsonl`, `json_array`, `csv_table`, `parquet`: the readers.
"""
