"""One source, read for as long as the process runs."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog

from thumbwheel.errors import DamagedStoreError, DiskFullError, ThumbwheelError, UnavailableError
from thumbwheel.ingest import SourcePipeline
from thumbwheel.ingest.pipeline import StoredBatch
from thumbwheel.store import SourceState
from thumbwheel.types import EventLog, Receiver, ReceivingConnector
from thumbwheel.types.fates import SourceStatus

__all__ = ["SourceThread"]

_IDLE_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_MAX_DOUBLINGS = 10

_log = structlog.get_logger("thumbwheel.serve")


class SourceThread:
    """Reads one source until it is told to stop; whatever fails is tried again, ever more slowly.

    Args:
        pipeline: The source.
        stored: Called after each commit, in the source's own thread.
        fatal: Called with what no new try can mend: a damaged store.
    """

    def __init__(
        self,
        pipeline: SourcePipeline,
        stored: Callable[[str, StoredBatch], None],
        fatal: Callable[[ThumbwheelError], None],
    ) -> None:
        self.name = pipeline.name
        self.state = SourceState(pipeline.name, SourceStatus.READING)
        self._pipeline, self._stored, self._fatal = pipeline, stored, fatal
        self._receiver: Receiver | None = None
        self._stop = threading.Event()
        self._give_up = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=f"source {self.name}", daemon=True)

    def check(self) -> None:
        """Open the source once, so that what only a person can mend is said at the start.

        Raises:
            SourceError: It cannot be read as configured.
        """
        # What does not answer now may do so later.
        with suppress(UnavailableError), self._pipeline.open():
            pass

    def start(self) -> None:
        """Begin to receive, where events are sent to the source, and to read.

        Raises:
            SourceError: It cannot listen as configured.
        """
        if isinstance(self._pipeline.connector, ReceivingConnector):
            self._receiver = self._pipeline.connector.listen(
                self._pipeline.parser, self._pipeline.keep
            )
            _log.info("receiving", source=self.name, url=self._receiver.url)
        self._thread.start()

    def stop_receiving(self) -> None:
        """Stop taking in events; all that were acknowledged are in the source's log."""
        if self._receiver is not None:
            self._receiver.close()

    def stop(self) -> None:
        """Stop reading; a source that receives is read to the end of its log first."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait until the source has stopped; return whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._give_up.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                with self._pipeline.open() as log:
                    self._follow(log)
                return
            except DamagedStoreError as error:
                self._fatal(error)
                return
            except DiskFullError as error:
                self._note(SourceStatus.DISK_FULL, error)
            except UnavailableError as error:
                self._note(SourceStatus.WAITING, error)
            except ThumbwheelError as error:
                self._note(SourceStatus.FAILED, error)
            except Exception as error:
                self._note(SourceStatus.FAILED, error)
                _log.exception("unexpected", source=self.name)
            self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
            longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._failures)
            if self._stop.wait(random.uniform(longest / 2, longest)):  # noqa: S311 - jitter
                return

    def _follow(self, log: EventLog) -> None:
        while True:
            is_last_round = self._stop.is_set()
            self._pipeline.read_round(log, self._note_batch, self._keep_on)
            self._caught_up()
            if is_last_round or (self._stop.wait(_IDLE_SECONDS) and self._receiver is None):
                return

    def _keep_on(self) -> bool:
        """A source that receives has acknowledged what is in its log: that is read to its end."""
        return not self._stop.is_set() or (
            self._receiver is not None and not self._give_up.is_set()
        )

    def _note_batch(self, batch: StoredBatch) -> None:
        self._failures = 0
        self._change(SourceStatus.READING)
        lag = batch.lag
        self.state = SourceState(self.name, SourceStatus.READING, None, lag.records, lag.seconds)
        self._stored(self.name, batch)

    def _caught_up(self) -> None:
        self._failures = 0
        self._change(SourceStatus.CAUGHT_UP)
        self.state = SourceState(self.name, SourceStatus.CAUGHT_UP, None, 0, 0.0)

    def _note(self, state: SourceStatus, error: Exception) -> None:
        message = " ".join(str(error).split())
        self._change(state, message)
        self.state = SourceState(
            self.name, state, message, self.state.lag_records, self.state.lag_seconds
        )

    def _change(self, state: SourceStatus, error: str | None = None) -> None:
        """Log a change between well and unwell; reading and caught up alternate all the time."""
        well = {SourceStatus.READING, SourceStatus.CAUGHT_UP}
        if error is not None and (self.state.state, self.state.error) != (state, error):
            _log.warning("source " + state.words, source=self.name, error=error)
        elif error is None and self.state.state not in well:
            _log.info("source recovered", source=self.name)
