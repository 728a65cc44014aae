"""The process that holds the store: what it starts, what it keeps in order, and how it ends."""

import errno
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pydantic_core
import structlog

from thumbwheel.config import Config, ServeConfig
from thumbwheel.errors import BusyError, DamagedStoreError, DiskFullError, ThumbwheelError
from thumbwheel.events.parallel import Parsing
from thumbwheel.ingest import SourcePipeline, expire_parked, replay_dead_letters
from thumbwheel.plugin.host import Plugins
from thumbwheel.process.durable import write_bytes
from thumbwheel.process.locks import only_one
from thumbwheel.process.web import LOOPBACK_NAMES, BackgroundServer, is_loopback, raise_file_limit
from thumbwheel.serve.api import Owner, make_api
from thumbwheel.serve.metrics import Metrics
from thumbwheel.serve.sources import SourceThread
from thumbwheel.store import SourceState, Store
from thumbwheel.store.remote import OwnerNote
from thumbwheel.types.fates import SourceStatus

__all__ = ["serve"]

_HOUSEKEEPING_SECONDS = 60.0
_PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.2
# Together less than the 30 seconds that supervisors commonly wait before they kill.
_DRAIN_SECONDS = 10.0
_GIVE_UP_SECONDS = 5.0
_ANSWER_SECONDS = 3
_BODY_SECONDS = 60.0
_LAST_SECONDS = 28.0

_log = structlog.get_logger("thumbwheel.serve")


def serve(config: Config, plugins: Plugins) -> None:
    """Hold the store and read every source until SIGTERM or SIGINT.

    Raises:
        BusyError: Another process holds the store.
        SourceError: A source cannot be read as configured, or an address not listened on.
        DamagedStoreError: The store's file is damaged.
        DiskFullError: There is no space for the few small files that a start needs.
    """
    try:
        _Service(config, plugins).run()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFullError(
            f"there is no space left for {config.home}; free some, then start again"
        ) from error


class _Service:
    def __init__(self, config: Config, plugins: Plugins) -> None:
        self._config, self._plugins = config, plugins
        self._ending = threading.Event()
        self._failure: ThumbwheelError | None = None
        self._sources: list[SourceThread] = []

    def run(self) -> None:
        layout = self._config.layout
        scratch = layout.scratch
        raise_file_limit()
        with ExitStack() as stack:
            stack.enter_context(
                only_one(
                    layout.serve_lock,
                    f"`thumbwheel serve` runs on {layout.home} already, or `thumbwheel rebuild` "
                    "does; one at a time",
                )
            )
            stack.enter_context(self._ended_by_signals())
            store = stack.enter_context(self._opened(layout.store))
            parsing = stack.enter_context(Parsing())
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(mode=0o700)
            names = [source.name for source in self._config.sources]
            metrics = Metrics(store, names, self._states)
            self._sources = [
                SourceThread(
                    SourcePipeline(source, store, self._plugins, self._config.base_dir, parsing),
                    metrics.note_batch,
                    self._fail,
                )
                for source in self._config.sources
            ]
            with ThreadPoolExecutor() as checks:
                # One that does not answer must not keep the others waiting.
                list(checks.map(SourceThread.check, self._sources))
            token = os.environ.get(self._config.serve.token_env) or secrets.token_urlsafe(32)
            owner = Owner(
                store=store,
                scratch=scratch,
                token=token,
                states=self._states,
                unready=self._unready,
                replay=lambda source: replay_dead_letters(
                    self._config, self._plugins, store, source
                ),
                metrics_page=metrics.page,
            )
            listening = self._config.serve
            api = make_api(owner, _names(listening))
            server = BackgroundServer(
                api, listening.host, listening.port, _ANSWER_SECONDS, _BODY_SECONDS
            )
            stack.callback(_close, server, store)
            stack.callback(self._stop_sources)
            for source in self._sources:
                source.start()
            stack.enter_context(_note(self._config, OwnerNote(server.url, token, os.getpid())))
            _log.info("serving", url=server.url, sources=[source.name for source in self._sources])
            while not self._ending.wait(_HOUSEKEEPING_SECONDS):
                self._keep_house(store, metrics)
            _log.info("stopping")
        if self._failure is not None:
            raise self._failure
        _log.info("stopped")

    def _opened(self, path: Path) -> Store:
        """Open the store; commands have it for a moment, a cycle for longer."""
        deadline, is_logged = time.monotonic() + _PATIENCE_SECONDS, False
        while True:
            try:
                return Store(path)
            except BusyError:
                if time.monotonic() > deadline or self._ending.is_set():
                    raise
            if not is_logged:
                _log.info("waiting for a command that has the store open", store=str(path))
                is_logged = True
            self._ending.wait(_LOOK_SECONDS)

    def _keep_house(self, store: Store, metrics: Metrics) -> None:
        try:
            if expired := expire_parked(self._config, store):
                _log.info("votes expired", count=expired)
            metrics.refresh()
            store.standing(self._config.vote_policy)  # so that `status` has it at hand
        except DamagedStoreError as error:
            self._fail(error)
        except ThumbwheelError as error:
            _log.warning("housekeeping failed", error=str(error))

    @contextmanager
    def _ended_by_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, *_: object) -> None:
        if not self._ending.is_set():
            self._ending.set()
            # What was committed is on disk, and nothing else is worth waiting for. The system's own
            # alarm ends the process even where nothing in it can do anything any more.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, _LAST_SECONDS)

    def _fail(self, error: ThumbwheelError) -> None:
        self._failure = error
        self._ending.set()

    def _stop_sources(self) -> None:
        """End in order: take in nothing new, then store what was acknowledged."""
        for source in self._sources:
            source.stop_receiving()
        for source in self._sources:
            source.stop()
        deadline = time.monotonic() + _DRAIN_SECONDS
        for source in self._sources:
            if not source.join(max(0.0, deadline - time.monotonic())):
                _log.warning(
                    "what is left in its log is read at the next start", source=source.name
                )
        deadline += _GIVE_UP_SECONDS
        for source in self._sources:
            source.join(max(0.0, deadline - time.monotonic()))

    def _states(self) -> list[SourceState]:
        return [source.state for source in self._sources]

    def _unready(self) -> str | None:
        """A source that is down is no reason to send nothing to the others."""
        full = (state.error for state in self._states() if state.state is SourceStatus.DISK_FULL)
        return next(full, None)


def _close(server: BackgroundServer, store: Store) -> None:
    """Answer what can be answered soon, and stop the rest."""
    if not server.stop(_ANSWER_SECONDS + 1):
        store.interrupt(_ANSWER_SECONDS)
    server.close()


def _names(listening: ServeConfig) -> list[str]:
    """Return the names under which the process is asked; `*` stands for all.

    A web page whose own name was made to point to this machine must not reach it by its visitor.
    """
    if not is_loopback(listening.host):
        return ["*"]
    url = urlsplit(listening.url or "").hostname
    own = f"[{listening.host}]" if ":" in listening.host else listening.host
    return [*LOOPBACK_NAMES, own, *listening.names, *([url] if url else [])]


@contextmanager
def _note(config: Config, note: OwnerNote) -> Iterator[None]:
    """Leave a note for processes of the same user on this machine."""
    path = config.layout.serve_note
    write_bytes(path, pydantic_core.to_json(asdict(note)), private=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
