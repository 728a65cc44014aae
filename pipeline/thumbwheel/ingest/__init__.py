"""Ingestion: from a connector's records to stored events, exactly once.

- `pipeline`: one source, read, parsed and stored at the same time, in order.
- `run`: every source until it is caught up; the store built anew from the sources.
- `replay`: dead letters, tried again.
- `received`: records as a receiver keeps them, without what plugins redact.
- `preview`: what the first records of a source would become.
- `guess`, `guessed_values`: how a sample would be read, by its keys and values.
- `repeats`: answers that repeat the end of their prompt.
"""

from thumbwheel.ingest.pipeline import SourcePipeline, parser_for
from thumbwheel.ingest.replay import replay_dead_letters
from thumbwheel.ingest.run import Rebuilt, expire_parked, ingest_all, rebuild

__all__ = [
    "Rebuilt",
    "SourcePipeline",
    "expire_parked",
    "ingest_all",
    "parser_for",
    "rebuild",
    "replay_dead_letters",
]
