"""The store's file is damaged: it is told in one line, and `thumbwheel rebuild` makes it anew."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from brokers import noida
from serving import configuration, launched, serving, source, started, wait_until
from traffic_load import (
    HttpTraffic,
    KafkaTraffic,
    answer,
    post,
    read_store,
    steady_port,
    vote,
    whole_lines,
)

from thumbwheel.errors import DamagedStoreError

ANSWERS = 3000
HTTP_VOTES = 300
# DuckDB writes blocks of 256 KiB behind three headers, and checks each block it reads.
HEADERS = 3 * 4096
STRIDE = 3 * 262_144 // 2


@dataclass(frozen=True)
class Project:
    """A project with a store that was filled from Kafka, a file and HTTP.

    `rows` is what the store held, by source, and `balance` what `thumbwheel serve` told of it.
    """

    folder: Path
    port: int
    rows: dict[str, Any]
    balance: dict[str, Any]

    @property
    def config(self):
        return self.folder / "thumbwheel.toml"

    @property
    def home(self):
        return self.folder / "home"

    @property
    def store(self):
        return self.home / "store.duckdb"

    def copy(self, folder):
        """Copy it whole; the topic and the port are the same."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("*.log"))
        return Project(folder, self.port, self.rows, self.balance)

    def check_holds(self, extra_votes=()):
        """Check that the store has every row it had, and these votes by HTTP, and no others."""
        rows = read_store(self.store)
        assert rows.keys() == self.rows.keys()
        for name, before in self.rows.items():
            extra = list(extra_votes) if name == "app" else []
            assert sorted(rows[name].event_ids) == sorted([*before.event_ids, *extra])
            assert Counter(rows[name].dead_letters) == Counter(before.dead_letters)
            assert rows[name].duplicates == before.duplicates
            assert rows[name].received == before.received + len(extra)


def write_export(path):
    """Write answers, a few of them twice, and poison; return how many lines."""
    lines = []
    for number in range(ANSWERS):
        event = answer(number, event_id=f"f{number}", generation_id=f"fg{number}", score=1)
        lines += [json.dumps(event)] * (2 if number % 100 == 0 else 1)
        lines += [f"poison {number}"] if number % 150 == 0 else []
    path.write_text("\n".join(lines) + "\n")
    return len(lines)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project that nothing is wrong with, and a broker that runs for all its copies."""
    folder, port = tmp_path_factory.mktemp("whole"), steady_port()
    with noida(tmp_path_factory.mktemp("broker")) as broker:
        topic = KafkaTraffic(broker, "thumbs", 2, seed=1)
        topic.produce(ANSWERS)
        topic.close()
        n_lines = write_export(folder / "export.jsonl")
        config = folder / "thumbwheel.toml"
        config.write_text(
            configuration(
                source("topic", "kafka", topics="thumbs", bootstrap_servers=broker.address),
                source("export", "file", path="export.jsonl"),
                source("app", "http", log="received", port=port, allow_anonymous=True),
            )
        )
        with serving(config, folder / "home") as owner:
            # Half of the votes are parked: there are only so many answers.
            app = HttpTraffic(port, n_senders=2, n_generations=2 * ANSWERS)
            wait_until(lambda: len(app.acknowledged) > HTTP_VOTES)
            app.finish()
            wait_until(lambda: owner.received("topic") == topic.produced)
            wait_until(lambda: owner.received("export") == n_lines)
            wait_until(lambda: owner.received("app") == whole_lines(folder / "received"))
            balance = owner.sources()
            assert owner.stop() == 0
        rows = read_store(folder / "home" / "store.duckdb")
        assert sorted(rows["app"].event_ids) == sorted(app.acknowledged)
        assert all(
            rows[name].duplicates and rows[name].dead_letters for name in ("topic", "export")
        )
        assert balance["app"]["parked"] > 0
        yield Project(folder, port, rows, balance)


def check_damage_told(code, said):
    """Check that a command ended as it should, and its last line names the remedy."""
    assert code == DamagedStoreError.exit_code
    line = said.splitlines()[-1]
    assert line.startswith("error: the store ")
    assert "is damaged" in line
    assert "run `thumbwheel rebuild`" in line
    assert "Traceback" not in said


def check_rebuilt(project, thumbwheel, acknowledged):
    """Rebuild; what was there is there again, the damaged file is kept, and serving goes on.

    `acknowledged` are votes that were taken while the damage was not yet known.
    """
    damaged = project.store.read_bytes()
    code, said, errors = thumbwheel("rebuild", cwd=project.folder)
    assert code == 0, errors
    (aside,) = project.home.glob("store.*T*.duckdb")
    assert aside.read_bytes() == damaged
    assert str(aside) in said
    project.check_holds(acknowledged)
    with serving(project.config, project.home) as owner:
        balance = owner.sources()
        for name in ("topic", "export"):
            assert balance[name] == project.balance[name]
        stored = balance["app"]["stored"] + balance["app"]["parked"]
        assert stored == len(project.rows["app"].event_ids) + len(acknowledged)
        assert post(project.port, vote("after", 1)) == 202
        wait_until(lambda: owner.sources()["app"]["received"] > balance["app"]["received"])
        assert owner.stop() == 0
    project.check_holds([*acknowledged, "after"])


def test_a_cut_file_is_rebuilt(whole, tmp_path, thumbwheel):
    """A file that ends in the middle is refused by every command until it has been rebuilt."""
    project = whole.copy(tmp_path / "copy")
    with project.store.open("r+b") as file:
        file.truncate(project.store.stat().st_size // 2)
    for command in ("serve", "status"):
        code, _, said = thumbwheel(command, cwd=project.folder)
        check_damage_told(code, said)
        assert said.count("\n") == 1
    check_rebuilt(project, thumbwheel, [])


def flip(path, offset):
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def outcome_of_flip(project, thumbwheel):
    """Serve a store with a flipped bit; return how it went, and the votes that were taken.

    It is "refused" by `serve`, or "told" by a command that met what `serve` did not need, or
    "harmless": the bit was in no use.
    """
    with launched(project.config, project.home) as process:
        wait_until(lambda: process.poll() is not None or (project.home / "serve.json").exists())
        if process.poll() is not None:
            check_damage_told(process.returncode, project.folder.joinpath("serve.log").read_text())
            return "refused", []
        owner = started(process, project.config, project.home)
        assert owner.sources() == project.balance
        total = owner.received()
        code, _, said = thumbwheel("status", cwd=project.folder)
        if code != 0:
            check_damage_told(code, said)
        assert post(project.port, vote("new", 1)) == 202
        wait_until(lambda: owner.received() > total)
        assert owner.stop() == 0
        return ("harmless" if code == 0 else "told"), ["new"]


def test_a_flipped_bit_is_told_or_harmless(whole, tmp_path, thumbwheel):
    """Wherever a bit flips, nothing wrong is told; what is told to be damaged can be rebuilt."""
    outcomes = []
    for offset in [100, *range(HEADERS + 1000, whole.store.stat().st_size, STRIDE)]:
        project = whole.copy(tmp_path / str(offset))
        flip(project.store, offset)
        outcome, acknowledged = outcome_of_flip(project, thumbwheel)
        if outcome == "harmless":
            project.check_holds(acknowledged)
        elif outcome not in outcomes:
            check_rebuilt(project, thumbwheel, acknowledged)
        outcomes.append(outcome)
    assert {"refused", "told"} <= set(outcomes)
