"""How far each file is read: what the cursor of the file connector holds."""

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.storage import File

__all__ = ["Mark", "Marks", "digest"]

_OLD_SECONDS = 2 * 86400.0
_FINGERPRINT_BYTES = 8


class Mark(NamedTuple):
    """Where reading of a file goes on, and how to know that it is still the same file.

    Attributes:
        position: In bytes of (decompressed) text, or in rows for Parquet.
        number: Lines, rows or elements before it.
        check_at: The position of the last record read.
        check: The hash of its beginning. Another file does not have the same bytes there.
        size: Bytes on disk when the end had been read, -1 before.
        version: The file's version then.
    """

    position: int = 0
    number: int = 0
    check_at: int = 0
    check: str = ""
    size: int = -1
    version: str = ""


class Marks:
    """The marks of all files, and their text form.

    A file that has been read to its end and was not modified for two days is kept as a fingerprint
    of 8 bytes over path, size and version, so that the cursor of a folder of many files stays
    small. Should such a file change after all, it is read from its beginning.

    Raises:
        SourceError: The cursor is another connector's.
    """

    def __init__(self, cursor: str | None) -> None:
        self._marks: dict[str, Mark] = {}
        self._old: set[bytes] = set()
        if cursor is not None:
            self._parse(cursor)

    def _parse(self, cursor: str) -> None:
        try:
            content = json.loads(cursor)
            self._marks = {path: Mark(*mark) for path, mark in content["files"].items()}
            joined = base64.b64decode(content["old"])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SourceError(
                "this source was read by another connector before; give it a new `name` to read "
                "files"
            ) from error
        self._old = {
            joined[start : start + _FINGERPRINT_BYTES]
            for start in range(0, len(joined), _FINGERPRINT_BYTES)
        }

    def __getitem__(self, file: File) -> Mark:
        return self._marks.get(file.path, Mark())

    def __setitem__(self, file: File, mark: Mark) -> None:
        self._marks[file.path] = mark

    def finish(self, file: File) -> None:
        """Note that the file, as it was listed, has been read to its end."""
        if _is_old(file):
            self._old.add(_fingerprint(file))
            self._marks.pop(file.path, None)
        else:
            self[file] = self[file]._replace(size=file.size, version=file.version)

    def is_finished(self, file: File) -> bool:
        """Tell whether the file had been read to its end and was not touched since."""
        mark = self._marks.get(file.path)
        if mark is None:
            return bool(self._old) and _fingerprint(file) in self._old
        return (mark.size, mark.version) == (file.size, file.version)

    def sweep(self, files: Sequence[File]) -> None:
        """Forget files that are gone and shrink the marks of old ones; `files` are all there are.

        When there are none at all, a mount may be gone for a while: then nothing is forgotten.
        """
        if not files:
            return
        paths = {file.path for file in files}
        self._marks = {path: mark for path, mark in self._marks.items() if path in paths}
        if self._old:
            self._old &= {_fingerprint(file) for file in files}
        for file in files:
            if file.path in self._marks and _is_old(file) and self.is_finished(file):
                self.finish(file)

    def cursor(self) -> str:
        """Return the text that `Marks` is made from again."""
        old = base64.b64encode(b"".join(self._old)).decode()
        return json.dumps({"files": self._marks, "old": old}, separators=(",", ":"))


def digest(content: bytes) -> str:
    """Return a 64-bit BLAKE2b hash, as 16 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _is_old(file: File) -> bool:
    return file.modified_at is not None and file.modified_at < time.time() - _OLD_SECONDS


def _fingerprint(file: File) -> bytes:
    text = f"{file.path}\0{file.size}\0{file.version}"
    return hashlib.blake2b(
        text.encode("utf-8", "surrogateescape"), digest_size=_FINGERPRINT_BYTES
    ).digest()
