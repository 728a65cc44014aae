"""The ledger: what happened to a project's candidates, once and for all.

It lies in MLflow, so that everybody who works on the project has the same: one run, whose params
`00001`, `00002`, ... hold an entry each, as JSON. MLflow refuses another value for a param that is
there, which makes an entry a compare-and-set: of two that are entered at once, one gets the number
and the other the next. What was ever entered stays: entries are the union of what MLflow has and of
`ledger.jsonl` in `home`, so that a database that was lost or went back to a backup loses none.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import DataError, ThumbwheelError
from thumbwheel.process.durable import write_text
from thumbwheel.registry.connection import Connection, is_outage
from thumbwheel.registry.recording import find_experiment
from thumbwheel.types import Look, Promotion

__all__ = ["Entry", "Ledger"]

Kind = TypeVar("Kind", Look, Promotion)

_TAG = "thumbwheel.ledger"
_KINDS: Mapping[type, str] = {Look: "look", Promotion: "promotion"}
_LONGEST = 6000  # characters; MLflow would cut what is longer
_NOTE = "The ledger of looks at held-out prompts and of promotions. Thumbwheel needs it."


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of any kind, those of later versions included.

    Attributes:
        number: From 1, without gaps.
        kind: Such as `look`.
        candidate: Whom it is about; there is one entry for each kind and candidate.
        text: All of it, a JSON object.
    """

    number: int
    kind: str
    candidate: str
    text: str

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it the same entry, whatever its number."""
        return self.kind, self.candidate


class Ledger:
    """A project's ledger. Methods raise what the registry's do when MLflow does not answer.

    Args:
        connection: To MLflow.
        project: Whose ledger it is.
        experiment: The experiment that holds it.
        location: Where a new experiment keeps its files; None leaves that to a server.
        mirror: The file that has the entries too, or None for none.
        say: Called with a sentence when entries that MLflow had lost were entered again.
    """

    def __init__(
        self,
        connection: Connection,
        project: str,
        experiment: str,
        location: str | None,
        mirror: Path | None,
        say: Callable[[str], object],
    ) -> None:
        self._connection = connection
        self._project = project
        self._experiment = experiment
        self._location = location
        self._mirror = mirror
        self._say = say

    def looks(self) -> list[Look]:
        """Return every look that was entered.

        Raises:
            DataError: A later version entered one that this version cannot read.
        """
        return self._read("look", Look)

    def promotions(self) -> list[Promotion]:
        """Return every promotion that was entered.

        Raises:
            DataError: A later version entered one that this version cannot read.
        """
        return self._read("promotion", Promotion)

    def entries(self) -> list[Entry]:
        """Return all entries by number.

        Raises:
            DataError: The file that mirrors them is damaged.
        """
        mirrored = self._mirrored()
        if not self._connection.exists():
            return mirrored
        with self._connection.client() as client:
            if not mirrored and not self._runs(client):
                return []
            return self._make_whole(client, mirrored)

    def enter(self, entry: Look | Promotion) -> int:
        """Enter a look or a promotion; return its number.

        What was entered already, by kind and candidate, is left as it is and its number returned.

        Raises:
            DataError: The file that mirrors the entries is damaged.
            ThumbwheelError: The entry is too long for MLflow.
        """
        new = _to_entry(entry)
        with self._connection.client() as client:
            self._make_whole(client, self._mirrored())
            number = self._add(client, new)
            self._write_mirror(_entries(self._runs(client)[0]))
        return number

    def _read(self, kind: str, shape: type[Kind]) -> list[Kind]:
        found: list[Kind] = []
        for entry in self.entries():
            if entry.kind != kind:
                continue
            try:
                values = json.loads(entry.text) | {"number": entry.number}
                found.append(TypeAdapter(shape).validate_python(values))
            except ValidationError as error:
                raise DataError(
                    f"entry {entry.number} of the ledger of {self._project}, a {kind}, cannot be "
                    "read; a later version of thumbwheel has made it: upgrade this one"
                ) from error
        return found

    def _make_whole(self, client: Any, mirrored: Sequence[Entry]) -> list[Entry]:
        """Return the ledger's entries, after what it lacks was entered again."""
        if not self._runs(client):
            self._create(client)
        run, *spares = self._runs(client)
        if run.info.lifecycle_stage == "deleted":
            client.restore_run(run.info.run_id)
        held = {entry.identity for entry in _entries(run)}
        elsewhere = [entry for spare in spares for entry in _entries(spare)]
        lost = [entry for entry in (*mirrored, *elsewhere) if entry.identity not in held]
        if not lost:
            return _entries(run)
        for entry in lost:
            self._add(client, entry)
        whole = _entries(self._runs(client)[0])
        self._write_mirror(whole)
        n = sum(entry.identity not in held for entry in mirrored)
        if n:
            self._say(
                f"the ledger in MLflow lacked {n:,} of the entries in {self._mirror}, as it does "
                "after its database was replaced; they were entered again"
            )
        return whole

    def _add(self, client: Any, entry: Entry) -> int:
        """Give the entry the next number, unless it has one."""
        from mlflow.exceptions import MlflowException

        while True:
            run = self._runs(client)[0]
            held = _entries(run)
            for same in held:
                if same.identity == entry.identity:
                    return same.number
            number = max((each.number for each in held), default=0) + 1
            try:
                client.log_param(run.info.run_id, f"{number:05}", entry.text)
            except MlflowException as error:
                taken = {each.number for each in _entries(self._runs(client)[0])}
                if is_outage(error) or number not in taken:
                    raise
            else:
                return number

    def _create(self, client: Any) -> None:
        experiment_id = find_experiment(client, self._experiment, self._location)
        tags = {
            _TAG: self._project,
            "mlflow.note.content": _NOTE,
            "mlflow.source.name": "thumbwheel",
        }
        run = client.create_run(experiment_id, run_name="ledger", tags=tags)
        client.set_terminated(run.info.run_id)

    def _runs(self, client: Any) -> list[Any]:
        """Return the ledger, and behind it what others made in the same moment."""
        from mlflow.entities import ViewType

        experiment = client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return []
        # One that was deleted in MLflow's page is still the ledger.
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{_TAG}` = '{self._project}'", ViewType.ALL
        )
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def _mirrored(self) -> list[Entry]:
        if self._mirror is None or not self._mirror.exists():
            return []
        lines = self._mirror.read_text(encoding="utf-8").splitlines()
        try:
            return [_from_text(number, text) for number, text in enumerate(lines, 1)]
        except ValueError as error:
            raise DataError(
                f"{self._mirror} cannot be read; put a copy from a backup in its place, or remove "
                "it if the ledger in MLflow is whole"
            ) from error

    def _write_mirror(self, entries: Sequence[Entry]) -> None:
        if self._mirror is not None:
            write_text(self._mirror, "".join(f"{entry.text}\n" for entry in entries))


def _entries(run: Any) -> list[Entry]:
    numbered = {int(key): text for key, text in run.data.params.items() if key.isdigit()}
    return [_from_text(number, numbered[number]) for number in sorted(numbered)]


def _from_text(number: int, text: str) -> Entry:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"not an object: {text}")
    return Entry(number, str(values.get("kind", "")), str(values.get("candidate", "")), text)


def _to_entry(entry: Look | Promotion) -> Entry:
    kind = _KINDS[type(entry)]
    values = TypeAdapter(type(entry)).dump_python(entry, mode="json", exclude={"number"})
    # JSON knows no NaN.
    known = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
    text = json.dumps({"kind": kind, **known}, ensure_ascii=False)
    if len(text) > _LONGEST:
        raise ThumbwheelError(
            f"a {kind} of {len(text):,} characters is too long for MLflow, which keeps {_LONGEST:,}"
        )
    return Entry(0, kind, entry.candidate, text)
