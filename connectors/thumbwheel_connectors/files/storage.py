"""Where files lie: a local path or any fsspec URL, listed and opened."""

import io
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import has_magic
from pathlib import Path
from typing import IO, Any, NamedTuple

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from typing_extensions import Buffer  # in collections.abc from Python 3.12 on

from thumbwheel.errors import SourceError, ThumbwheelError, UnavailableError

__all__ = ["File", "Storage"]

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_SETTLED_SECONDS = 60.0
_BUFFER_BYTES = 1 << 17
# What filesystems call these two; the first that is there counts.
_VERSION_KEYS = ("ETag", "etag", "md5Hash")
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


class File(NamedTuple):
    """One file as it was listed.

    Attributes:
        path: As its filesystem names it.
        name: What to call it in positions.
        size: Bytes; 0 when unknown.
        version: Changes when the content does: an etag, or the time of modification.
        modified_at: Seconds since 1970, or None when the filesystem does not tell.
    """

    path: str
    name: str
    size: int
    version: str
    modified_at: float | None

    @property
    def ending(self) -> str:
        """Its name's ending in lower case, such as `.csv`, also of `export.csv.gz`."""
        name = self.name.lower().removesuffix(".gz").removesuffix(".zst")
        return os.path.splitext(name)[1]


class Storage:
    """Lists and opens the files that a path, a glob, a directory or a URL of these names.

    Of a directory, the files directly in it whose ending is known. Hidden files are left out, and
    links to directories are not followed below a glob, so that a loop of links ends.

    Args:
        location: A local path, or a URL such as `s3://bucket/prefix/*.jsonl.gz`.

    Raises:
        SourceError: The URL's scheme is unknown, or the package for it is not installed.
        UnavailableError: The filesystem does not answer.
    """

    def __init__(self, location: Path | str) -> None:
        self._location = str(location)
        self._fs: AbstractFileSystem = LocalFileSystem()
        self._path = self._location
        if isinstance(location, str):
            with _answering(location):
                try:
                    self._fs, self._path = fsspec.url_to_fs(location)
                except (ImportError, ValueError) as error:
                    raise SourceError(f"cannot use {location}: {_one_line(error)}") from error
        self._is_local = isinstance(self._fs, LocalFileSystem)

    def files(self) -> list[File]:
        """Return the files in order of their paths; none when nothing is there.

        Raises:
            SourceError: They may not be listed.
            UnavailableError: The filesystem does not answer.
        """
        try:
            with _answering(self._location):
                self._fs.invalidate_cache()
                if has_magic(self._path) and not self._fs.exists(self._path):
                    return self._matching()
                info = self._fs.info(self._path)
                if info["type"] == "directory":
                    return self._known_in(self._path)
                return [_file(info, os.path.basename(self._path))]
        except FileNotFoundError:
            return []

    def _matching(self) -> list[File]:
        fixed = self._path
        while has_magic(fixed):
            fixed = fixed.rpartition("/")[0]
        found = self._fs.glob(self._path, detail=True)
        if not found and self._is_local:
            # fsspec passes over what it may not list.
            os.listdir(fixed or "/")
        return list(self._regular_files(found.values(), fixed))

    def _known_in(self, directory: str) -> list[File]:
        listed = self._fs.ls(directory, detail=True)
        return [
            file
            for file in self._regular_files(sorted(listed, key=lambda i: i["name"]), directory)
            if file.ending in _ENDINGS
        ]

    def _regular_files(self, infos: Iterable[Mapping[str, Any]], root: str) -> Iterator[File]:
        for info in infos:
            name = info["name"].removeprefix(root).lstrip("/")
            if name.startswith(".") or "/." in name:
                continue
            if info.get("islink"):
                try:
                    info = self._fs.info(info["name"])
                except OSError:
                    continue
            if info["type"] == "file":
                yield _file(info, name)

    def expect_files(self) -> None:
        """Check that the location is right. A directory may be empty: it waits for what will come.

        Raises:
            SourceError: Nothing is there, or it may not be listed.
            UnavailableError: The filesystem does not answer.
        """
        if self.files():
            return
        if has_magic(self._path):
            raise SourceError(f"no file matches {self._location}; check `path`")
        with _answering(self._location):
            if not self._fs.isdir(self._path):
                raise SourceError(f"there is no file {self._location}; check `path`")

    def open(self, file: File) -> io.BufferedReader:
        """Open a file for reading bytes; it can seek.

        Raises:
            FileNotFoundError: It is gone.
            SourceError: It may not be read.
            UnavailableError: The filesystem does not answer.
        """
        with _answering(file.path):
            if self._is_local:
                return io.BufferedReader(io.FileIO(file.path), _BUFFER_BYTES)
            remote = _RemoteFile(self._fs.open(file.path, "rb"), file.path)
            return io.BufferedReader(remote, _BUFFER_BYTES)

    def is_settled(self, file: File) -> bool:
        """Tell whether nobody has written to the file for a minute, looking anew."""
        with _answering(file.path):
            modified_at = _modified_at(self._fs.info(file.path))
        return modified_at is None or time.time() - modified_at > _SETTLED_SECONDS


class _RemoteFile(io.RawIOBase):
    """A file of any fsspec filesystem, whose failures are this project's errors."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        with _answering(self._path), memoryview(buffer) as view:
            content = self._file.read(len(view))
            view[: len(content)] = content
            return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _answering(self._path):
            return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _answering(what: str) -> Iterator[None]:
    """Turn what a filesystem raises into errors that say what to mend; a missing file stays one."""
    try:
        yield
    except (ThumbwheelError, FileNotFoundError):
        raise
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise SourceError(f"cannot read {what}: {error.strerror or _one_line(error)}") from error
    except Exception as error:
        # Every filesystem has its own errors, not all of them OSError.
        raise UnavailableError(
            f"cannot read {what}: {_one_line(error)}; check the address and the credentials, or "
            "run again later"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _file(info: Mapping[str, Any], name: str) -> File:
    modified_at = _modified_at(info)
    version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), str(modified_at))
    # A local name may be bytes that are no text.
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return File(info["name"], name, info.get("size") or 0, version, modified_at)


def _modified_at(info: Mapping[str, Any]) -> float | None:
    value = next((info[key] for key in _TIME_KEYS if info.get(key)), None)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) else None
