"""Lineage: which votes speak about which pairs, and where a pair went."""

import io
import json
from contextlib import redirect_stdout
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from cycle_reports import data_report
from hypothesis import given
from hypothesis import strategies as st

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.config import DatasetConfig
from thumbwheel.cycle.journal import CycleJournal, CyclePlan
from thumbwheel.cycle.trace import Use, find_traces
from thumbwheel.events import text_identity
from thumbwheel.home import Layout
from thumbwheel.pairs.dataset import write_dataset
from thumbwheel.pairs.lineage import LINEAGE, lineage_table
from thumbwheel.pairs.pairing import DRAWN
from thumbwheel.tables import PAIRS, VOTES
from thumbwheel.types import Part, PluginInfo, Provenance

IDS = st.sampled_from("abcdef")


def pairs_of(*sides):
    rows = [
        {"pair_id": f"{chosen}>{rejected}", "chosen_id": chosen, "rejected_id": rejected}
        for chosen, rejected in sides
    ]
    return pa.Table.from_pylist(rows, schema=PAIRS)


def votes_of(*votes):
    rows = [
        {"completion_id": completion, "event_id": event_id, "rater": f"rater:{rater}"}
        for completion, event_id, rater in votes
    ]
    return pa.Table.from_pylist(rows, schema=VOTES)


def test_a_vote_belongs_to_every_pair_with_its_completion():
    """One row per pair and vote on either side; votes on other texts are left out."""
    votes = votes_of(("a", "e1", "r"), ("b", "e2", "r"), ("c", "e3", "s"), ("z", "e4", "s"))
    table = lineage_table(pairs_of(("a", "b"), ("a", "c")), votes)
    assert table.schema == LINEAGE
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("a>b", "e1", "rater:r", "chosen"),
        ("a>b", "e2", "rater:r", "rejected"),
        ("a>c", "e1", "rater:r", "chosen"),
        ("a>c", "e3", "rater:s", "rejected"),
    ]


def test_nothing_comes_of_nothing():
    """Without pairs or without votes, the table is there and empty."""
    assert lineage_table(pairs_of(), votes_of(("a", "e", "r"))).equals(LINEAGE.empty_table())
    assert lineage_table(pairs_of(("a", "b")), votes_of()).equals(LINEAGE.empty_table())


@given(
    st.sets(st.tuples(IDS, IDS), max_size=8),
    st.lists(st.tuples(IDS, IDS), max_size=12, unique=True),
    st.randoms(use_true_random=False),
)
def test_the_order_of_rows_does_not_matter(sides, spoken, rng):
    """Pairs and votes in any order give the same table, with each vote once per side it is on."""
    pairs = list(sides)
    votes = [(completion, f"e{number}", rater) for number, (completion, rater) in enumerate(spoken)]
    table = lineage_table(pairs_of(*pairs), votes_of(*votes))
    rng.shuffle(pairs)
    rng.shuffle(votes)
    assert lineage_table(pairs_of(*pairs), votes_of(*votes)).equals(table)
    expected = sum(completion in pair for pair in pairs for completion, *_ in votes)
    doubled = sum((c, c) == pair for pair in pairs for c, *_ in votes)
    assert len(table) == expected + doubled


PAIR = "0123456789abcdef"
CONFIG = configuration(source="app")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project in the current directory: two votes, and a cycle whose dataset holds their pair."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)
    votes = [
        {"event_id": name, "prompt": "p", "completion": name, "score": score, "rater_id": "r"}
        for name, score in (("up", 1), ("down", -1))
    ]
    votes.append({"event_id": "aside", "prompt": "q", "completion": "c", "score": 1})
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    assert run("ingest")[0] == 0
    journal = CycleJournal(tmp_path / "home" / "cycles" / "c0ffee")
    made = tmp_path / "made"
    made.mkdir()
    journal.begin(CyclePlan("c0ffee", datetime.now(UTC), "s", "d", None, data_report("d")), made)
    chosen, rejected = (text_identity("p", name)[1] for name in ("up", "down"))
    row = {
        "pair_id": PAIR,
        "prompt_id": text_identity("p", "")[0],
        "chosen_id": chosen,
        "rejected_id": rejected,
        "confidence": 0.9,
        "plugin": "all_pairs",
        "origin": "votes",
        "prompt": [{"role": "user", "content": "p"}],
        "chosen": "up",
        "rejected": "down",
        "cluster_id": "c",
        "part": Part.TRAIN,
    }
    pairs = pa.Table.from_pylist([row], DRAWN)
    votes = votes_of((chosen, "up", "r"), (rejected, "down", "r"))
    plugin = PluginInfo("all_pairs", "thumbwheel", "1.2", ["make_pairs"], {"n": 3})
    provenance = Provenance(snapshot="5na9", config={"pairs": "c0nf"}, plugins=[plugin])
    write_dataset(pairs, votes, journal.path / "dataset", DatasetConfig(), provenance)
    journal.write("registered", "7")
    return tmp_path / "home"


def run(*arguments):
    """Run a command; return (code, what it wrote)."""
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code, out.getvalue()


@pytest.mark.slow
def test_traces(home):
    """A pair leads to its events, an event to its pairs, and a digest to its dataset."""
    (of_pair,) = find_traces(Layout(home), PAIR)
    assert (of_pair.cycle_id, of_pair.model_version) == ("c0ffee", "7")
    assert of_pair.pairs == {PAIR: Part.TRAIN}
    assert {(use.event_id, use.role) for use in of_pair.uses} == {
        ("up", "chosen"),
        ("down", "rejected"),
    }
    (of_event,) = find_traces(Layout(home), "up")
    assert of_event.uses == [Use(PAIR, Part.TRAIN, "up", "rater:r", "chosen")]
    digest = of_pair.manifest.digest
    (of_dataset,) = find_traces(Layout(home), digest[:8])
    assert of_dataset.manifest == of_pair.manifest
    assert not of_dataset.pairs
    for unknown in ("aside", "nothing", digest[:5]):
        assert find_traces(Layout(home), unknown) == []


@pytest.mark.slow
def test_explain_names_datasets(home, monkeypatch):
    """`explain` tells the dataset, the cycle and the model version that a pair or event went to."""
    monkeypatch.setenv("COLUMNS", "120")
    (trace,) = find_traces(Layout(home), PAIR)
    digest = trace.manifest.digest
    code, out = run("explain", PAIR)
    assert code == 0
    assert f"{PAIR} is a training pair of dataset {digest} of cycle c0ffee (model version 7)" in out
    assert "the chosen answer" in out
    assert "the rejected answer" in out
    code, out = run("explain", "down")
    assert code == 0
    assert f"pairs of dataset {digest} of cycle c0ffee (model version 7)" in out
    assert PAIR in out
    code, out = run("explain", digest)
    assert code == 0
    for told in ("c0ffee", "model version 7", "5na9", "c0nf", 'all_pairs 1.2 {"n":3}'):
        assert told in out
