"""Who was forgotten: remembered by keyed hashes alone, so that what is replayed stays out.

The hashes lie in a file beside the store rather than in it, so that they outlive a store that is
damaged, deleted or built anew. Without the key, which is a file of its own, nobody can find out by
trying names whose hashes these are.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pydantic_core

from thumbwheel.errors import DataError
from thumbwheel.process.durable import sync, write_bytes

__all__ = ["Forgotten", "Subject", "names_in"]

_KEY_BYTES = 32
_HASH_BYTES = 16
_LINE = re.compile(r"(rater|generation) ([0-9a-f]{32})")

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_WORDS = (re.compile(r"[\w-]+"), re.compile(r"[^\s\"',;=<>()\[\]{}]+"))


@dataclass(frozen=True, slots=True)
class Subject:
    """Who or what is to be forgotten: a rater, or one generation, by its id."""

    kind: Literal["rater", "generation"]
    name: str


class Forgotten:
    """The raters and generations that were forgotten.

    Args:
        folder: Where the key and the hashes lie; it is made with the first of them.

    Raises:
        DataError: The hashes are there, but the key is not, or either cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hashes: set[str] = set()
        self._key = b""
        try:
            lines = self._list.read_text(encoding="ascii", errors="replace").splitlines()
            # The last line may be torn.
            self._hashes = {line for line in lines if _LINE.fullmatch(line)}
            if self._hashes:
                self._key = self._read_key()
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(
                f"{error.filename} cannot be read: {error.strerror}; mend the rights on it"
            ) from error

    @property
    def _list(self) -> Path:
        return self.folder / "hashes"

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, kind: str, name: str | None) -> bool:
        """Tell whether a rater or generation of this id was forgotten."""
        return bool(self._hashes) and name is not None and self._line(kind, name) in self._hashes

    def is_named_in(self, raw: bytes) -> bool:
        """Tell whether a record, readable or not, names somebody or something forgotten."""
        return bool(self._hashes) and any(
            self.has("rater", name) or self.has("generation", name) for name in names_in(raw)
        )

    def screen(self, events: pa.Table) -> pa.Table:
        """Leave out the events that bear the id of somebody or something forgotten.

        Args:
            events: A table with `rater_id` and `generation_id`.
        """
        keep = [
            not (self.has("rater", rater) or self.has("generation", generation))
            for rater, generation in zip(
                events["rater_id"].to_pylist(), events["generation_id"].to_pylist(), strict=True
            )
        ]
        return events if all(keep) else events.filter(pa.array(keep, pa.bool_()))

    def remember(self, subjects: Collection[Subject]) -> None:
        """Add hashes; they are on disk when this returns.

        Raises:
            OSError: They could not be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._key:
            self._key = self._read_key(make=True)
        new = {self._line(subject.kind, subject.name) for subject in subjects} - self._hashes
        if not new:
            return
        # Behind a line that a kill tore, a new one begins.
        _append(self._list, "\n".join(["", *sorted(new), ""]).encode())
        sync(self.folder.parent)
        self._hashes |= new

    def digest(self, subject: Subject) -> str:
        """Return the hash by which a subject is remembered; `remember` has been called."""
        return self._line(subject.kind, subject.name).partition(" ")[2]

    def _line(self, kind: str, name: str) -> str:
        text = name.encode("utf-8", "surrogatepass")
        person = kind.encode()
        digest = hashlib.blake2b(text, digest_size=_HASH_BYTES, key=self._key, person=person)
        return f"{kind} {digest.hexdigest()}"

    def _read_key(self, *, make: bool = False) -> bytes:
        path = self.folder / "key"
        if path.exists():
            key = path.read_bytes()
        elif make:
            key = secrets.token_bytes(_KEY_BYTES)
            write_bytes(path, key, private=True)
        else:
            key = b""
        if len(key) != _KEY_BYTES:
            raise DataError(
                f"the key {path} is missing or damaged, so that those who were forgotten cannot be "
                f"recognised; bring it back from a backup, or remove {self.folder} and forget "
                "each of them again"
            )
        return key


def names_in(raw: bytes) -> Iterator[str]:
    """Yield every part of a record that may be an id: its quoted texts, and its words."""
    text = raw.decode("utf-8", "replace")
    for quoted in _QUOTED.findall(text):
        yield quoted
        if "\\" in quoted:
            try:
                yield str(pydantic_core.from_json(f'"{quoted}"'))
            except ValueError:
                continue
    for words in _WORDS:
        yield from words.findall(text)


def _append(path: Path, content: bytes) -> None:
    """Add to a file that only its owner can read, down to the disk."""
    with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    sync(path)
    sync(path.parent)
