"""The ledger, in real MLflow databases."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from candidates import PROJECT, a_look, a_registry, open_client

from thumbwheel.errors import DataError, ThumbwheelError
from thumbwheel.registry import Ledger, Registry
from thumbwheel.types import Promotion


def a_ledger(home: Path, said: list[str] | None = None) -> Ledger:
    said = [] if said is None else said
    uri = f"sqlite:///{home / 'mlflow.db'}"
    registry = Registry(uri, PROJECT, None, home / "artifacts", home / "ledger.jsonl")
    return registry.ledger(said.append)


def test_what_is_entered_comes_back(home: Path) -> None:
    """Looks and promotions keep all their values; each has the next number, and only once."""
    ledger = a_ledger(home)
    assert ledger.entries() == []
    assert not (home / "ledger.jsonl").exists()
    promotion = Promotion("c1", datetime(2026, 11, 28, tzinfo=UTC), "7", None)
    assert [ledger.enter(a_look("c1")), ledger.enter(promotion)] == [1, 2]
    assert ledger.enter(a_look("c2", p_value=float("nan"))) == 3
    assert ledger.enter(replace(a_look("c1"), level=0.04)) == 1
    again = a_ledger(home)
    assert again.looks() == [
        replace(a_look("c1"), number=1),
        replace(a_look("c2"), p_value=None, number=3),
    ]
    assert again.promotions() == [replace(promotion, number=2)]
    lines = (home / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["look", "promotion", "look"]


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    """To read the ledger of a project that has none yet makes no database."""
    assert a_ledger(tmp_path).looks() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", ["new database", "older backup", "deleted by hand"])
def test_what_mlflow_lost_is_entered_again(home: Path, fresh_database: Path, loss: str) -> None:
    """No lost database gives back what was spent: the file beside it has it, and that is said."""
    a_ledger(home).enter(a_look("c1"))
    shutil.copy(home / "mlflow.db", home / "backup.db")
    a_ledger(home).enter(a_look("c2"))
    if loss == "deleted by hand":
        client = open_client(a_registry(home))
        (run,) = client.search_runs([client.get_experiment_by_name(PROJECT).experiment_id])
        client.delete_run(run.info.run_id)
    else:
        source = fresh_database if loss == "new database" else home / "backup.db"
        shutil.copy(source, home / "mlflow.db")
    said: list[str] = []
    found = a_ledger(home, said).looks()
    assert [(look.number, look.candidate) for look in found] == [(1, "c1"), (2, "c2")]
    lost = {"new database": ["lacked 2"], "older backup": ["lacked 1"], "deleted by hand": []}
    assert len(said) == len(lost[loss])
    assert all(words in text for words, text in zip(lost[loss], said, strict=True))
    assert a_ledger(home).enter(a_look("c3")) == 3


def test_what_mlflow_has_wins_over_the_file(home: Path) -> None:
    """A file that was removed or went back to a backup is written anew with the next entry."""
    a_ledger(home).enter(a_look("c1"))
    (home / "ledger.jsonl").unlink()
    said: list[str] = []
    assert [look.candidate for look in a_ledger(home, said).looks()] == ["c1"]
    a_ledger(home, said).enter(a_look("c2"))
    assert len((home / "ledger.jsonl").read_text().splitlines()) == 2
    assert said == []


def test_a_damaged_file_is_named(home: Path) -> None:
    """A line that is no JSON object ends the command before anything is spent."""
    a_ledger(home).enter(a_look("c1"))
    (home / "ledger.jsonl").write_text("17\n")
    with pytest.raises(DataError, match=r"ledger\.jsonl cannot be read; put a copy"):
        a_ledger(home).looks()


def test_entries_of_later_versions_are_kept(home: Path) -> None:
    """A kind that is unknown here keeps its number; a look that cannot be read is no free look."""
    ledger = a_ledger(home)
    ledger.enter(a_look("c1"))
    client = open_client(a_registry(home))
    (run,) = client.search_runs([client.get_experiment_by_name(PROJECT).experiment_id])
    later = '{"kind": "rollback", "candidate": "c1", "why": "a bad day"}'
    client.log_param(run.info.run_id, "00002", later)
    assert ledger.enter(a_look("c2")) == 3
    assert [look.number for look in ledger.looks()] == [1, 3]
    assert ledger.entries()[1].text == later
    client.log_param(run.info.run_id, "00004", '{"kind": "look", "candidate": "c3"}')
    with pytest.raises(DataError, match="entry 4 of the ledger of kitchen-helper"):
        ledger.looks()


def test_two_ledgers_become_one(home: Path) -> None:
    """What two who began at once entered into two runs ends in the older one, on any machine."""
    ledger = a_ledger(home)
    ledger.enter(a_look("c1"))
    client = open_client(a_registry(home))
    experiment = client.get_experiment_by_name(PROJECT).experiment_id
    (run,) = client.search_runs([experiment])
    older = client.create_run(
        experiment, start_time=run.info.start_time - 5, tags={"thumbwheel.ledger": PROJECT}
    )
    client.log_param(older.info.run_id, "00001", '{"kind": "look", "candidate": "c2"}')
    (home / "ledger.jsonl").unlink()
    assert [(entry.number, entry.candidate) for entry in ledger.entries()] == [(1, "c2"), (2, "c1")]
    assert ledger.enter(a_look("c3")) == 3
    assert len(client.get_run(older.info.run_id).data.params) == 3


def test_projects_of_one_experiment_have_their_own(home: Path) -> None:
    """The ledger is the project's, not the experiment's."""
    uri = f"sqlite:///{home / 'mlflow.db'}"
    one, other = (Registry(uri, name, "shared", home / "artifacts") for name in ("one", "other"))
    assert one.ledger(print).enter(a_look("c1")) == 1
    assert other.ledger(print).enter(a_look("c2")) == 1
    assert [look.candidate for look in one.ledger(print).looks()] == ["c1"]


def test_what_mlflow_would_cut_is_refused(home: Path) -> None:
    """An entry that is longer than a param can be is an error, not half an entry."""
    with pytest.raises(ThumbwheelError, match="too long for MLflow, which keeps 6,000"):
        a_ledger(home).enter(a_look("c" * 6000))
    assert a_ledger(home).entries() == []


AT_ONCE = """
import os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from candidates import a_look, a_registry, open_client
from killing import die_at_write

home = Path(sys.argv[1])


def fork(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def enter(*names):
    for name in names:
        a_registry(home).ledger(print).enter(a_look(name))


def killed(name, fatal_write):
    die_at_write(fatal_write)
    enter(name)


def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


open_client(a_registry(home.parent / "other"))  # imports MLflow once, for all children
both = [[f"{who}{n}" for n in range(4)] + ["shared"] for who in "ab"]
children = [fork(lambda names=names: enter(*names)) for names in both]
assert [wait(child) for child in children] == [0, 0]
for write in range(1, 100):
    name = f"killed{write}"
    if wait(fork(lambda: killed(name, write))) == 0:
        break
    assert wait(fork(lambda: enter(name))) == 0
"""


def test_entered_at_once_and_killed(home: Path) -> None:
    """Two processes lose and double no number; nor does a kill -9 at a write, and again."""
    (home.parent / "other").mkdir()
    shutil.copy(home / "mlflow.db", home.parent / "other")
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, home, Path(__file__).parents[1]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = a_registry(home).ledger(print).looks()
    assert [look.number for look in found] == list(range(1, len(found) + 1))
    names = [look.candidate for look in found]
    assert len(set(names)) == len(names)
    entered = {f"{who}{n}" for who in "ab" for n in range(4)} | {"shared"}
    assert entered < set(names)
    assert set(names) - entered == {f"killed{n + 1}" for n in range(len(names) - 9)}
