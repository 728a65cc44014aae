"""What models wrote, scored and embedded, on disk: the same is never computed twice.

A SQLite file beside the store. It only saves time: without it everything is computed anew, so
nothing that happens to it stops the work.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from thumbwheel.errors import BusyError, DiskFullError, UnavailableError
from thumbwheel.language_model.cache_table import Output, find, insert, prune, remove, set_up

__all__ = ["MAX_BYTES", "ModelCache"]

MAX_BYTES = 2 * 1000**3
"""When the cache holds more, what was asked for the longest ago is removed."""

# Whatever else SQLite complains about, the file is at fault.
_NOT_DAMAGE = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

Result = TypeVar("Result")


class ModelCache:
    """Outputs of models by their key, in a file that several processes may share.

    Each output has a checksum. A file that is damaged is removed and begun anew. When it cannot be
    used otherwise (it is locked for long, the disk is full or read-only), nothing is found in it
    and nothing more is kept. Either is told once, and no error is raised.

    Args:
        path: The file; made when first needed.
        warn: Told what is wrong with the file.
        max_bytes: Above this, it is pruned by last use to four fifths of it.
        patience_seconds: How long to wait for another process that is writing.
    """

    def __init__(
        self,
        path: Path,
        *,
        warn: Callable[[str], None],
        max_bytes: int = MAX_BYTES,
        patience_seconds: float = 20,
    ) -> None:
        self._path, self._warn = path, warn
        self._max_bytes, self._patience = max_bytes, patience_seconds
        self._connection: sqlite3.Connection | None = None
        self._is_off = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._close()

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, tuple[str | None, bytes]]:
        """Return the text and the value of each output that is kept, by its key."""
        return self._attempt(lambda connection: find(connection, keys), otherwise={})

    def keep(self, outputs: Sequence[Output]) -> None:
        """Keep outputs, all or none of them; of one that is kept already, the earlier stays."""

        def write(connection: sqlite3.Connection) -> None:
            insert(connection, outputs)
            prune(connection, self._max_bytes)

        self._attempt(write, otherwise=None)

    def forget(
        self,
        prompts: Collection[str],
        completions: Collection[str] = (),
        tells: Callable[[str], bool] = lambda text: False,
    ) -> int:
        """Remove outputs for good, and write the file anew so that no byte of them is left.

        Killed, it can be called again. A damaged file is removed whole.

        Args:
            prompts: Identities of prompts.
            completions: Identities of completions.
            tells: Whether a text that a model wrote is to go for what it says.

        Returns:
            How many outputs were removed.

        Raises:
            BusyError: Another process is using the file.
            DiskFullError: There is no space for a second copy.
            UnavailableError: The file cannot be written otherwise.
        """
        with self._lock:
            try:
                if not self._path.exists():
                    self._unlink()
                    return 0
                return self._forget(prompts, completions, tells)
            except (sqlite3.Error, OSError) as error:
                self._close()
                raise _refusal(self._path, error) from error

    def _forget(
        self, prompts: Collection[str], completions: Collection[str], tells: Callable[[str], bool]
    ) -> int:
        try:
            connection = self._connected()
            with connection:
                n_removed = remove(connection, prompts, completions, tells)
            connection.execute("VACUUM")
            is_held, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
            self._begin_anew(error)
            return 0
        if is_held:
            raise BusyError(_held(self._path))
        return n_removed

    def _attempt(
        self, work: Callable[[sqlite3.Connection], Result], *, otherwise: Result
    ) -> Result:
        with self._lock:
            if self._is_off:
                return otherwise
            try:
                try:
                    return work(self._connected())
                except sqlite3.Error as error:
                    if not _is_damage(error):
                        raise
                    self._begin_anew(error)
                    return work(self._connected())
            except (sqlite3.Error, OSError) as error:
                self._close()
                self._is_off = True
                self._warn(
                    f"{self._path} cannot be used ({error}); what models say is computed anew, "
                    "and is not kept"
                )
                return otherwise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            try:
                set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unlink(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def _begin_anew(self, error: sqlite3.Error) -> None:
        self._close()
        self._unlink()
        self._warn(
            f"{self._path} was damaged ({error}) and is begun anew; what models said is computed "
            "again"
        )


def _is_damage(error: sqlite3.Error) -> bool:
    if isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError):
        return False
    return _code(error) not in _NOT_DAMAGE


def _code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    # The lower byte is the kind, the rest says more.
    return None if code is None else int(code) & 0xFF


def _refusal(path: Path, error: Exception) -> UnavailableError | BusyError:
    code = _code(error)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return BusyError(_held(path))
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(
            f"there is no space left to write {path} anew; free some, or remove the file, which "
            "only saves time, and run this again"
        )
    return UnavailableError(
        f"{path} cannot be written ({error}); remove it, it only saves time, and run this again"
    )


def _held(path: Path) -> str:
    return f"another process uses {path}; wait until it has finished, and run this again"
