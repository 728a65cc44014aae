"""`thumbwheel serve`: one process that holds the store, reads every source, and answers questions.

- `service`: the process: what it starts, and how it ends.
- `sources`: one source, read for as long as the process runs.
- `api`: what others ask it over HTTP.
- `metrics`: what Prometheus collects.
- `logs`: JSON lines, never a message's body.
"""

from thumbwheel.serve.service import serve

__all__ = ["serve"]
