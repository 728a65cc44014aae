"""A small project with a finished cycle; one rater left a canary wherever there is room."""

import json
from contextlib import closing
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from cycle_reports import data_report, training_report
from storing import Quiet

from projects import configuration
from thumbwheel.config import DatasetConfig, VotePolicy, load_config
from thumbwheel.cycle.journal import CycleJournal, CyclePlan
from thumbwheel.events import content_id
from thumbwheel.events.identity import text_identity
from thumbwheel.evidence.evaluation import Evaluation
from thumbwheel.ingest import ingest_all
from thumbwheel.language_model import ModelCache
from thumbwheel.language_model.cache_table import Output
from thumbwheel.pairs.dataset import PART_FILES, read_manifest, read_pairs, write_dataset
from thumbwheel.plugin import PluginManager, load_connector
from thumbwheel.store import Store
from thumbwheel.tables import PAIRS
from thumbwheel.types import (
    CycleReport,
    Decision,
    EvalReport,
    Part,
    Provenance,
    ReceivingConnector,
    Regression,
    RuleResult,
    Sample,
)

CANARY = "canary that sings a song"
RATER = "user-u1"

CONFIG = configuration(
    """
[[sources]]
name = "app"
connector = "http"
options = { log = "home/received", port = 0, allow_anonymous = true }
ids = "shared"
""",
    project="small",
    keys='ids = "shared"',
)


def answer(number, liked, rater, **values):
    """Return an event with one of the two answers to a question, and a vote on it."""
    return {
        "event_id": f"{rater}/{number}/{liked}",
        "generation_id": f"{rater}-{number}-{liked}",
        "prompt": f"question {number}",
        "completion": f"a {'good' if liked else 'bad'} answer to {number}",
        "score": 1 if liked else -1,
        "rater_id": rater,
        **values,
    }


def their_events():
    """Return what the rater said: alone, about what others got, and without the answer."""
    for liked in (True, False):
        sung = answer(100, liked, RATER, comment=f"comment {CANARY}", metadata={"note": CANARY})
        sung |= {"prompt": f"question {CANARY}", "completion": f"{liked} answer {CANARY}"}
        yield sung | {"correction": f"correction {CANARY}"}
        yield {
            "event_id": f"vote on 1/{liked}",
            "generation_id": f"other-1-{liked}",
            "score": 1 if liked else -1,
            "rater_id": RATER,
        }


def others_events():
    """Return what others said about five questions."""
    for number in range(5):
        for liked in (True, False):
            yield answer(number, liked, "other")


def build(folder):
    """Write the sources, ingest them, and leave a cycle as a finished one does."""
    (folder / "thumbwheel.toml").write_text(CONFIG)
    broken = f'{{"rater_id": "{RATER}", "comment": "{CANARY}"'
    with (folder / "events.jsonl").open("w") as file:
        for record in (*others_events(), *their_events()):
            file.write(json.dumps(record) + "\n")
        file.write(broken + "\n" + '{"rater_id": "user-u10"\n')
    config = load_config(folder / "thumbwheel.toml")
    receive(config, *received_events())
    with Store(config.layout.store) as store:
        ingest_all(config, PluginManager(config.plugins, config.base_dir), store, Quiet())
        a_cycle(store, config.home, "c1")
    a_model_cache(config.layout.model_cache)
    return config


def a_model_cache(path):
    """Keep what a model said to everybody's questions, and what it knows of the rater by heart."""
    asked = {f"question {number}": f"says {number}" for number in range(5)}
    asked |= {f"question {CANARY}": "says what", "question 9": f"by heart: True answer {CANARY}"}
    with ModelCache(path, warn=print) as cache:
        cache.keep(
            [
                Output(prompt.encode(), *text_identity(prompt, text), text, b"")
                for prompt, text in asked.items()
            ]
        )


def kept_by_model(config):
    """Return the questions of which the model cache holds an answer."""
    asked = [*(f"question {number}" for number in range(10)), f"question {CANARY}"]
    with ModelCache(config.layout.model_cache, warn=print) as cache:
        return [key.decode() for key in cache.find([prompt.encode() for prompt in asked])]


def received_events():
    return [
        answer(200, True, RATER, completion=f"received {CANARY}"),
        answer(201, True, "other"),
        answer(202, True, RATER, completion=f"received too {CANARY}"),
    ]


def receive(config, *events, route="feedback"):
    """Send events to the project's receiver."""
    connector = load_connector(config.sources[1], config.base_dir)
    assert isinstance(connector, ReceivingConnector)
    with closing(connector.listen()) as receiver:
        sent = requests.post(f"{receiver.url}/v1/{route}", json=list(events), timeout=10)
        assert sent.status_code == 202, sent.text


def a_cycle(store, home, name, *, finished=True):
    """Leave what a cycle leaves whose model was not trained."""
    journal = CycleJournal(home / "cycles" / name)
    snapshot = store.snapshot(home / "cycles" / ".snapshot", VotePolicy())
    data = data_report(snapshot.digest)
    journal.begin(
        CyclePlan(name, datetime.now(UTC), "shape", snapshot.digest, None, data), snapshot.path
    )
    rated = pq.read_table(journal.path / "snapshot" / "rated.parquet").to_pylist()
    votes = pq.read_table(journal.path / "snapshot" / "votes.parquet")
    pairs = list(_pairs(rated))
    table = pa.Table.from_pylist(pairs, PAIRS)
    parts = pa.array([list(Part)[number % 3] for number in range(len(pairs))])
    split = table.append_column("cluster_id", table["prompt_id"]).append_column("part", parts)
    path = journal.path / "dataset"
    write_dataset(split, votes, path, DatasetConfig(), Provenance())
    shown = [pair for file in PART_FILES.values() for pair in read_pairs(path / file).to_pylist()]
    report = EvalReport("base", 0.95, len(pairs), len(pairs), {})
    evaluation = Evaluation(
        report,
        {},
        [
            Sample(pair["prompt"], "champion says", f"by heart: True answer {CANARY}")
            for pair in shown
        ],
        [Regression(p["prompt"], p["chosen"], p["rejected"], 1.0, float("nan")) for p in shown],
    )
    journal.write("evaluation", evaluation)
    if finished:
        journal.write(
            "report",
            CycleReport(
                cycle_id=name,
                project="small",
                started_at="2026-01-01T00:00:00+00:00",
                outcome="refused",
                champion_before=None,
                model_version=None,
                data=data,
                dataset=read_manifest(path),
                training=training_report(),
                evaluation=report,
                decision=Decision(False, [RuleResult("at least 50 prompts", False, "6")]),
            ),
        )
        _name_quarantined(journal.path / "report.json")
    _name_quarantined(journal.path / "plan.json")
    return journal


def _name_quarantined(path):
    """Name the raters who were left out, as reports of earlier versions did."""
    values = json.loads(path.read_text())
    values["data"]["quarantined"] = [{"rater_id": RATER, "n_votes": 4, "reason": "burst"}]
    path.write_text(json.dumps(values))


def _pairs(rated):
    """Yield a pair of the best and the worst answer to each prompt."""
    for prompt in sorted({row["prompt_id"] for row in rated}):
        answers = sorted(
            (row for row in rated if row["prompt_id"] == prompt), key=lambda row: row["score"]
        )
        worst, best = answers[0], answers[-1]
        if worst is not best:
            yield {
                "pair_id": content_id("pair", best["completion_id"], worst["completion_id"]),
                "prompt_id": prompt,
                "chosen_id": best["completion_id"],
                "rejected_id": worst["completion_id"],
                "confidence": 0.9,
                "plugin": "best_worst",
                "origin": "votes",
                "prompt": best["prompt"],
                "chosen": best["completion"],
                "rejected": worst["completion"],
            }


def holding(folder, *needles):
    """Return the files under a folder that hold one of the texts, packed or not."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(needle in _text(path) for needle in needles)
    )


def _text(path):
    raw = path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".parquet":
        return raw + str(pq.read_table(path).to_pylist())
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            tables = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
            return raw + str([connection.table(t).to_arrow_table().to_pylist() for t in tables])
    return raw
