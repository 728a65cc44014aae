"""The yield: every event is accounted for, and each one can be explained in a sentence."""

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from rich.console import Console

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.cli.show.pairs import print_yield
from thumbwheel.demo.traffic import write_events
from thumbwheel.demo.world import World, WorldOptions
from thumbwheel.pairs.yields import (
    Loss,
    Stage,
    YieldReport,
    describe_event,
    few_paired,
    yield_report,
)
from thumbwheel.store import Accounts, EventState, Quarantined, StateCount
from thumbwheel.types import SourceCounts
from thumbwheel.types.fates import IN_PAIRS, EventStatus, Fate, FateCount, NotStored, Quarantine

CONFIG = configuration(
    "[dataset]\nheld_out = 0.3\n", source="app", plugins=["all_pairs", "length_match"]
)

STATES = [
    EventStatus.VOTE,
    EventStatus.ANSWER,
    EventStatus.COMMENT,
    EventStatus.SUPERSEDED,
    EventStatus.WITHDRAWN,
    EventStatus.QUARANTINED,
    EventStatus.OVER_BUDGET,
]
FATES = [*IN_PAIRS, Fate.NOT_PAIRED, Fate.SCREENED]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command in the project's directory; return (code, out, err)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        captured = capfd.readouterr()
        return stop.value.code, captured.out, " ".join(captured.err.split())

    return call


def test_little_use_of_ratings_is_a_warning():
    """Where under a twentieth of the rated answers are in pairs, it names what mends it."""
    counts = [
        FateCount(Fate.IN_TRAINING, 4),
        FateCount(Fate.NOT_PAIRED, 90),
        FateCount(Fate.SCREENED, 6, "odd"),
    ]
    assert "(90). `min_confidence = 0.6`" in str(few_paired(counts))
    assert "odd (500)" in str(few_paired([*counts, FateCount(Fate.SCREENED, 500, "odd")]))
    assert few_paired([FateCount(Fate.IN_TRAINING, 5), FateCount(Fate.NOT_PAIRED, 95)]) is None
    assert few_paired([FateCount(Fate.NOT_PAIRED, 9)]) is None


def adds_up(report):
    """Tell whether each stage has what the one before it did not lose."""
    left = [stage.n_events - sum(loss.n_events for loss in stage.losses) for stage in report.stages]
    following = [stage.n_events for stage in report.stages[1:]]
    return left == [*following, sum(report.paired.values())]


def lost(stage):
    """Return why events of a stage got no further."""
    return {loss.fate for loss in stage.losses if loss.n_events > 0}


@pytest.mark.slow
def test_the_planted_traffic_adds_up(run, tmp_path):
    """Of the demo's events with all their mishaps, every one is counted exactly once."""
    n_lines = write_events(tmp_path / "events.jsonl", World(WorldOptions(seed=1)))
    assert run("ingest")[0] == 0
    code, out, _ = run("yield", "--json")
    assert code == 0
    report = TypeAdapter(YieldReport).validate_json(out)
    assert adds_up(report)
    received, stored, rated = report.stages
    assert received.n_events == n_lines
    assert {NotStored.PARKED, NotStored.DUPLICATES, NotStored.DEAD_LETTERS} <= lost(received)
    assert {EventStatus.SUPERSEDED, EventStatus.WITHDRAWN} <= lost(stored)
    assert rated.losses
    assert report.paired[Fate.IN_TRAINING] > report.paired[Fate.HELD_OUT] > 0


def test_the_table_shows_every_number():
    """Stages, losses and pairs are lines with their counts and shares of all events."""
    losses = [Loss(Fate.SCREENED, 1500, "lost [red]")]
    stages = [Stage("received", 4000, losses), Stage("rated", 2500, [])]
    output = StringIO()
    console = Console(file=output, width=80)
    print_yield(console, YieldReport(stages, {Fate.IN_TRAINING: 2500}))
    lines = [line.split() for line in output.getvalue().splitlines()]
    for line in (
        "received 4,000 100.0%",
        "− its pairs were dropped: lost [red] 1,500 37.5%",
        "rated 2,500 62.5%",
        "in a training pair 2,500 62.5%",
    ):
        assert line.split() in lines


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), max_size=3),
    st.lists(st.tuples(st.sampled_from(STATES), st.none() | st.sampled_from(FATES))),
)
def test_any_accounts_add_up(counted, states):
    """Whatever was counted, no event is lost on the way and none is there twice."""
    sources = []
    events = [StateCount(state, fate, "too alike", 1) for state, fate in states]
    for number, (duplicates, letters, dropped, expired, parked, forgotten, _, _) in enumerate(
        counted
    ):
        stored = len(events) if number == 0 else 0
        lost = duplicates + letters + dropped + expired + parked + forgotten
        source = SourceCounts(
            "s", stored + lost, stored, duplicates, letters, dropped, parked, expired, forgotten
        )
        sources.append(source)
        events.append(StateCount(EventStatus.PARKED, None, None, parked))
    if not counted:
        events = []
    report = yield_report(Accounts(sources, events))
    assert adds_up(report)
    assert report.stages[0].n_events == sum(source.received for source in sources)


@pytest.mark.parametrize(
    ("state", "fate", "told"),
    [
        ("parked", None, "waits for the answer g"),
        ("expired", None, "was deleted"),
        ("dead_letter", None, "is a dead letter (why)"),
        ("superseded", None, "r said something else later, in e2"),
        ("withdrawn", None, "takes back what r had said about the answer g"),
        ("quarantined", None, "the votes of r are left out: all 30 votes are up"),
        ("over_budget", None, "r has more votes than count"),
        ("retold", None, "a later version of its record replaced it"),
        ("comment", None, "no vote"),
        ("answer", None, "nobody has rated"),
        ("answer", "in_training", "was rated and is in a training pair"),
        ("correction", "held_out", "of the rater's own, which is in a held-out pair"),
        ("vote", "in_training", "counts; the answer that it is about is in a training pair"),
        ("vote", "not_paired", "is in no pair: no plugin paired it"),
        ("vote", "screened", "is in no pair: its pairs were dropped: too alike"),
        ("vote", None, "not among those that pairs were made of"),
    ],
)
def test_one_sentence(state, fate, told):
    """Each state is told in one sentence that names the event, its source and the reason."""
    event = EventState(
        "e",
        EventStatus(state),
        "app",
        received_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        generation_id="g",
        rater_id="r",
        superseded_by="e2" if state == "superseded" else None,
        quarantined=Quarantined("r", 30, Quarantine.ALL_UP),
        reason="why",
    )
    sentence = describe_event(event, fate and Fate(fate), "too alike")
    assert sentence.startswith("e came from app on 2026-03-01 at 12:30 UTC ")
    assert told in sentence
    assert (sentence.count("."), "None" in sentence) == (1, False)


@pytest.mark.slow
def test_explain(run, tmp_path):
    """Events, unreadable records and pairs are explained from the store as it is."""
    events = [
        {
            "event_id": f"{side}/{number}",
            "prompt": f"question {number} of a few, and no other",
            "completion": f"{side} words to answer it",
            "score": score,
            "rater_id": f"r{number}",
        }
        for number in range(6)
        for side, score in (("good", 1), ("bad", -1))
    ]
    events.append({"event_id": "early", "generation_id": "g", "score": 1, "rater_id": "r"})
    lines = [json.dumps(event) for event in events]
    lines.append('{"event_id": "torn", "score": "up"}')
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert run("explain", "good/1")[0] == 2
    assert run("ingest")[0] == 0
    code, out, _ = run("explain", "good/1")
    assert code == 0
    assert out.startswith("good/1 came from app on 20")
    assert "counts; the answer that it is about is in " in out
    assert "waits for the answer g" in run("explain", "early")[1]
    assert "is a dead letter" in run("explain", "torn")[1]
    code, out, err = run("explain", "nobody")
    assert (code, out) == (2, "")
    assert "nothing is known of 'nobody'" in err
    code, _, err = run("yield", "--config", "nowhere.toml")
    assert code == 2
