"""What a log holds next, for tests that know that it holds something."""

from thumbwheel.types import Batch, EventLog

__all__ = ["next_batch"]


def next_batch(log: EventLog, max_records: int) -> Batch:
    batch = log.poll(max_records)
    assert batch is not None
    return batch
