"""Forgetting a rater: no byte of theirs is left under the project's home, none comes back."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forgettable import (
    CANARY,
    RATER,
    a_cycle,
    answer,
    build,
    holding,
    kept_by_model,
    receive,
)
from storing import Quiet, balanced
from typer.testing import CliRunner

from thumbwheel.cli.commands.privacy import privacy_commands
from thumbwheel.config import load_config
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.errors import BusyError, DataError, InputError
from thumbwheel.events.identity import prompt_id
from thumbwheel.evidence.evaluation import Evaluation
from thumbwheel.forgetting import Forgetting
from thumbwheel.ingest import ingest_all, rebuild
from thumbwheel.language_model import ModelCache
from thumbwheel.pairs.dataset import PART_FILES, read_manifest
from thumbwheel.pairs.split import ASSIGNED, SplitMemory
from thumbwheel.plugin import PluginManager
from thumbwheel.process.locks import only_one
from thumbwheel.store import Store, Subject
from thumbwheel.types import Part, Prompt

SUBJECT = Subject("rater", RATER)

ASKED = (f"question {CANARY}", f"Question: {CANARY}!", "question 1")
"""The rater's, one of somebody else who asked nearly the same, and another."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    build(folder)
    return folder


@pytest.fixture
def config(built, tmp_path):
    """A copy of the project, to be forgotten in."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return load_config(tmp_path / "thumbwheel.toml")


def plugins(config):
    return PluginManager(config.plugins, config.base_dir)


def forget(config, subject=SUBJECT):
    with Forgetting(config, plugins(config), subject, Quiet()) as forgetting:
        forgetting.plan()
        return forgetting.run()


def counts(config):
    with Store(config.layout.store) as store:
        store.verify()
        found = store.source_counts()
    assert all(map(balanced, found))
    return {source.source: source for source in found}


def test_no_byte_is_left(config):
    """Before, the canary is in store, log, snapshot, dataset and samples; after, nowhere."""
    before = holding(config.home, CANARY)
    for name in (
        "store.duckdb",
        "received/",
        "snapshot/rated.parquet",
        "dataset/",
        "evaluation.json",
        "model_cache.db",
    ):
        assert any(name in path for path in before), name
    outcome = forget(config)
    assert holding(config.home, CANARY, RATER + '"', RATER + "'") == []
    assert outcome.leftovers == []
    found = outcome.plan.found
    assert (len(found.event_ids), found.n_votes, found.n_letters) == (6, 6, 1)
    assert outcome.n_logged == 2
    assert [holder.partition(":")[0] for holder in outcome.holders] == [
        "export (file, path = events.jsonl)"
    ]


def test_others_are_unharmed(config):
    """What others said is stored, in the log, in the dataset and among the samples as before."""
    before = holding(config.home, "answer to 3")
    forget(config)
    assert holding(config.home, "answer to 3") == before
    held = counts(config)
    assert held["export"].forgotten == 5
    assert (held["export"].stored, held["export"].dead_letters) == (10, 1)
    assert (held["app"].stored, held["app"].forgotten) == (1, 2)
    journal = CycleJournal(config.home / "cycles" / "c1")
    for name in ("plan", "report"):
        told = json.loads((journal.path / f"{name}.json").read_text())
        assert told["data"]["quarantined"] == []
    evaluation = journal.read("evaluation", Evaluation)
    assert evaluation is not None
    assert [sample.candidate for sample in evaluation.samples] == ["by heart: [removed]"] * 5


def test_models_said_nothing_to_them(config):
    """Of what models said, the answers to their questions and their texts by heart are gone."""
    everything = kept_by_model(config)
    assert len(everything) == 7
    forget(config)
    assert sorted(kept_by_model(config)) == [f"question {number}" for number in range(5)]
    config.layout.model_cache.write_bytes(f"damaged {CANARY}".encode() * 1000)
    forget(config)
    assert holding(config.home, CANARY) == []


def test_who_uses_the_model_cache_is_waited_for(config, monkeypatch):
    """What is in use is not left as it is: forgetting fails, and is done again when it is free."""
    impatient = partial(ModelCache, patience_seconds=0.1)
    monkeypatch.setattr("thumbwheel.forgetting.run.ModelCache", impatient)
    with closing(sqlite3.connect(config.layout.model_cache, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match=r"another process uses .*model_cache\.db"):
            forget(config)
    forget(config)
    assert holding(config.home, CANARY) == []


def test_datasets_keep_their_name_and_say_what_is_gone(config):
    """Pairs that rest on the rater go, with their lineage; the digest stays, and is told."""
    dataset = config.home / "cycles" / "c1" / "dataset"
    digest = read_manifest(dataset).digest
    before = {path.name: path.read_bytes() for path in dataset.glob("*.parquet")}
    outcome = forget(config)
    (trained,) = outcome.plan.datasets
    # The rater's own question, and the one about whose answers they voted.
    assert (trained.cycle_id, trained.digest, trained.n_pairs) == ("c1", digest, 2)
    manifest = read_manifest(dataset)
    assert (manifest.digest, manifest.forgotten_rows) == (digest, 2)
    rows = {path.stem: pq.read_table(path) for path in dataset.glob("*.parquet")}
    left = [
        name
        for file in PART_FILES.values()
        for name in rows[Path(file).stem]["pair_id"].to_pylist()
    ]
    assert len(left) == 4
    assert f"rater:{RATER}" not in rows["lineage"]["rater"].to_pylist()
    assert set(rows["lineage"]["pair_id"].to_pylist()) == set(left)
    assert before.keys() == {f"{name}.parquet" for name in rows}


def test_the_split_forgets_what_only_they_asked(config):
    """Their prompt goes from its memory; what a model knows through it is held out no more."""
    asked: list[Prompt] = [[{"role": "user", "content": text}] for text in ASKED]
    memory = SplitMemory(config.layout.split)
    options: Any = {"held_out": 0.3, "judge": 0.2, "threshold": 0.8}
    ids = [prompt_id(prompt) for prompt in asked]
    theirs, near, other = assigned = memory.assign(ids, asked, **options).to_pylist()
    assert theirs["cluster_id"] == near["cluster_id"] != other["cluster_id"]
    theirs["part"] = theirs["cluster_part"] = Part.TRAIN
    near["part"] = near["cluster_part"] = Part.HELD_OUT
    memory.remember(pa.Table.from_pylist(assigned, ASSIGNED))
    forget(config)
    assert set(memory.prompt_ids().to_pylist()) == set(ids[1:])
    now = memory.assign(ids[1:], asked[1:], **options)["part"].to_pylist()
    assert now == [None, other["part"]]


def test_a_second_time_changes_nothing_and_tells_the_same(config):
    """Whoever asks again is told again what had been trained."""
    first = forget(config)
    held = counts(config)
    second = forget(config)
    assert not second.plan.found
    assert second.plan.datasets == first.plan.datasets
    assert counts(config) == held


def test_a_replay_brings_nothing_back(config):
    """A store built anew from the beginning of every source is without the rater."""
    forget(config)
    held = counts(config)
    rebuilt = rebuild(config, plugins(config), Quiet())
    assert rebuilt.old is not None
    rebuilt.old.unlink()
    assert holding(config.home, CANARY) == []
    again = counts(config)
    # The file is read whole, the log no longer has what was removed.
    assert again["export"] == held["export"]
    assert (again["app"].received, again["app"].stored, again["app"].forgotten) == (1, 1, 0)


def test_a_damaged_store_does_not_forget_whom_it_forgot(config):
    """The hashes outlive the store: one that is built anew leaves the rater out."""
    forget(config)
    config.layout.store.write_bytes(b"damaged" * 1000)
    rebuild(config, plugins(config), Quiet())
    assert CANARY not in str(query(config, "SELECT * FROM events"))
    assert counts(config)["export"].forgotten == 5


def query(config, sql):
    with Store(config.layout.store) as store:
        return store.query(sql, max_rows=1000, timeout_seconds=60).to_pylist()


def test_what_was_set_aside_is_cleared_too(config):
    """An old store keeps the others' events; one that is damaged goes whole, and is named."""
    rebuild(config, plugins(config), Quiet())
    old = next(config.home.glob("store.*.duckdb"))
    damaged = old.with_name("store.20200101T000000.duckdb")
    damaged.write_bytes(b"damaged" * 1000)
    half = config.home / "store.rebuilding.duckdb"
    half.write_bytes(CANARY.encode())
    outcome = forget(config)
    assert outcome.removed_stores == [damaged]
    assert not damaged.exists()
    assert not half.exists()
    assert holding(config.home, CANARY) == []
    with Store(old) as store:
        assert store.source_counts() == list(counts(config).values())


def test_what_was_received_and_not_yet_read_goes_too(config):
    """Of what nothing has read since, an answer is known as the rater's by the vote behind it."""
    said = answer(300, True, RATER)
    told = {key: said[key] for key in ("generation_id", "prompt")} | {"completion": CANARY}
    voted = {key: said[key] for key in ("generation_id", "score", "rater_id")}
    receive(config, told, route="generations")
    receive(config, voted)
    assert forget(config).n_logged == 4
    assert holding(config.home, CANARY) == []


def test_an_unfinished_cycle_goes_whole(config):
    """It would go on to train on what was forgotten; one without the rater is left to finish."""
    with Store(config.layout.store) as store:
        touched = a_cycle(store, config.home, "c2", finished=False)
        checkpoint = touched.path / "training" / "checkpoints-1" / "weights"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"weights")
    with Forgetting(config, plugins(config), SUBJECT, Quiet()) as forgetting:
        assert forgetting.plan().unfinished == ["c2"]
        forgetting.run()
    assert [path.name for path in (config.home / "cycles").iterdir()] == ["c1"]
    with Store(config.layout.store) as store:
        a_cycle(store, config.home, "c3", finished=False)
    forget(config, Subject("rater", "somebody else"))
    assert (config.home / "cycles" / "c3" / "plan.json").exists()


def test_a_generation_is_forgotten_alone(config):
    """One answer goes with the votes on it; the rater's other words stay."""
    outcome = forget(config, Subject("generation", f"{RATER}-100-True"))
    assert outcome.plan.found.event_ids == {f"{RATER}/100/True"}
    assert holding(config.home, f"True answer {CANARY}") == []
    assert "store.duckdb" in holding(config.home, f"False answer {CANARY}")
    assert outcome.plan.datasets[0].n_pairs == 1


def test_somebody_unknown_is_remembered(config):
    """Nothing of theirs is there, and what comes later stays out."""
    outcome = forget(config, Subject("rater", "late"))
    assert not outcome.plan.found
    assert (outcome.plan.datasets, outcome.holders) == ([], [])
    with (config.base_dir / "events.jsonl").open("a") as file:
        file.write(json.dumps(answer(9, True, "late")) + "\n")
    with Store(config.layout.store) as store:
        ingest_all(config, plugins(config), store, Quiet())
    assert counts(config)["export"].forgotten == 1


def test_other_files_that_hold_it_are_named(config):
    """An export that somebody put beside the project's files is theirs to delete."""
    text, rows = config.home / "export.jsonl", config.home / "export.parquet"
    text.write_text(json.dumps({"completion": f"True answer {CANARY}"}))
    shutil.copy(config.home / "cycles/c1/snapshot/rated.parquet", rows)
    (config.home / "notes.txt").write_text("nothing of theirs")
    assert forget(config).leftovers == [text, rows]
    assert text.exists()


def test_nothing_is_begun_while_others_are_at_work(config):
    """A running owner, cycle or receiver is named, and nothing was changed."""
    for lock in ("serve.lock", "cycle.lock"):
        with (
            only_one(config.home / lock, "busy"),
            pytest.raises(BusyError, match="then forget"),
        ):
            forget(config)
    with (
        only_one(config.home / "received" / "receiver.lock", "busy"),
        pytest.raises(BusyError, match="stop it"),
    ):
        forget(config)
    assert "store.duckdb" in holding(config.home, CANARY)


def test_a_file_that_cannot_be_read_is_named_before_anything_is_removed(config):
    """Nobody can tell what is in it; the person removes it, and forgets again."""
    broken = config.home / "cycles" / "c1" / "snapshot" / "votes.parquet"
    broken.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"votes\.parquet cannot be read"):
        forget(config)
    assert not (config.home / "forgotten").exists()


def test_it_is_asked_before_anything_is_removed(config):
    """The plan is shown; without a yes, and where nobody can be asked, nothing is removed."""
    path = str(config.base_dir / "thumbwheel.toml")
    shown = CliRunner().invoke(privacy_commands, [RATER, "-c", path])
    assert isinstance(shown.exception, InputError)
    assert "--yes" in str(shown.exception)
    assert re.search(r"6 events \(6 votes\), 1 dead letters", shown.output)
    assert re.search(r"c1 +[0-9a-f]{32} +2 *\n", shown.output)
    assert "store.duckdb" in holding(config.home, CANARY)
    done = CliRunner().invoke(privacy_commands, [RATER, "-c", path, "--yes"])
    assert done.exit_code == 0, done.output
    assert "export (file, path = events.jsonl): 5 records" in done.output
    assert holding(config.home, CANARY) == []


@pytest.mark.parametrize("arguments", [[], ["u1", "--generation", "g"], [""]])
def test_one_thing_is_forgotten_at_a_time(arguments):
    """No id, two, or an empty one is one clear error."""
    refused = CliRunner().invoke(privacy_commands, arguments)
    assert isinstance(refused.exception, InputError)


def forget_and_be_killed(path, left):
    """Forget the rater, and kill this process when a file is about to take its place.

    Between two of these moments nothing changes for good. `left` of them are let pass.
    """

    def killed(real):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*arguments, **options)

        return call

    os.replace, os.rename = killed(os.replace), killed(os.rename)
    forget(load_config(path))


def test_a_kill_at_any_moment_is_mended_by_doing_it_again(config, monkeypatch):
    """Killed ever later: no hash is missing once something is gone; in the end everything is."""
    everything = holding(config.home, CANARY)
    # One process imports everything, and each that is killed is a fork of it.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["test_forgetting"])
    kills = 0
    while True:
        # What an earlier one has done is not done again, so each gets further.
        arguments = (config.base_dir / "thumbwheel.toml", 3 if kills else 0)
        process = processes.Process(target=forget_and_be_killed, args=arguments)
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        if holding(config.home, CANARY) != everything:
            assert (config.home / "forgotten" / "hashes").exists()
    assert kills >= 5
    assert holding(config.home, CANARY, f'"{RATER}"') == []
    (trained,) = forget(config).plan.datasets
    assert (trained.cycle_id, trained.n_pairs) == ("c1", 2)
    assert read_manifest(config.home / "cycles" / "c1" / "dataset").forgotten_rows == 2
    counts(config)
