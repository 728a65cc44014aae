"""Completions on disk as soon as they are written: a run that goes on does not pay twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from thumbwheel.labelling.people.writers import Draw, Writer, Written

__all__ = ["GeneratedLog"]


@dataclass(frozen=True, slots=True)
class _Line:
    model_version: str
    prompt_id: str
    number: int
    completion: str


_LINE = TypeAdapter(_Line)


class GeneratedLog:
    """A file of what a writer has written, asked before the writer is.

    Args:
        path: The file; it need not be there.
        writer: Who writes what is not in it.
    """

    def __init__(self, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._known = dict(_read(path, writer.model_version))

    @property
    def model_version(self) -> str:
        """What the completions are attributed to."""
        return self._writer.model_version

    def write(self, draws: Sequence[Draw]) -> Iterator[Written]:
        """Yield what was written for each draw: known ones first, then the others in order."""
        missing = [draw for draw in draws if (draw.prompt_id, draw.number) not in self._known]
        for draw in draws:
            key = draw.prompt_id, draw.number
            if key in self._known:
                yield Written(draw, self._known[key])
        if not missing:
            return
        with self._path.open("ab") as file:
            if file.tell():
                file.write(b"\n")  # what was cut off in the middle of a line stays alone
            for written in self._writer.write(missing):
                draw = written.draw
                if written.completion is not None:
                    self._known[draw.prompt_id, draw.number] = written.completion
                    line = _Line(
                        self.model_version, draw.prompt_id, draw.number, written.completion
                    )
                    file.write(_LINE.dump_json(line) + b"\n")
                    file.flush()
                yield written


def _read(path: Path, model_version: str) -> Iterator[tuple[tuple[str, int], str]]:
    if not path.exists():
        return
    for raw in path.read_bytes().splitlines():
        try:
            line = _LINE.validate_json(raw)
        except ValidationError:
            continue  # cut off by a kill, or an empty line
        if line.model_version == model_version:
            yield (line.prompt_id, line.number), line.completion
