"""How much each vote counts: decay, budgets, quarantine; comparisons and corrections."""

import pyarrow.parquet as pq
import pytest
from storing import append, event, rated, read_rated, take_snapshot, vote

from thumbwheel.events import text_identity
from thumbwheel.store import COMPARISONS_FILE, VOTES_FILE, Store

DAY = "2026-01-{:02}T12:00:00Z"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.duckdb") as opened:
        yield opened


def answers(*texts, **values):
    return [event(event_id=f"a{t}", generation_id=t, completion=t, **values) for t in texts]


def judged(rater, comparison, **scores):
    """Return a rater's votes of one side-by-side choice."""
    return [
        vote(event_id=f"{rater}-{comparison}-{text}", generation_id=text, rater_id=rater,
             comparison_id=comparison, score=score)
        for text, score in scores.items()
    ]  # fmt: skip


def comparisons(snapshot):
    """Return {(chosen text, rejected text): (for, against, origin)}."""
    rows = read_rated(snapshot.path).to_pylist()
    texts = {row["completion_id"]: row["completion"] for row in rows}
    return {
        (texts[row["chosen_id"]], texts[row["rejected_id"]]): (
            row["n_for"], row["n_against"], row["origin"])
        for row in pq.read_table(snapshot.path / COMPARISONS_FILE).to_pylist()
    }  # fmt: skip


def test_votes_of_a_comparison_without_a_rater_are_of_one(store, tmp_path):
    """Who chose is not known, but it was somebody: the judgement counts, and each counts once."""
    append(
        store, *answers("x", "y"), *judged(None, "one", x=1, y=-1), *judged(None, "two", x=1, y=-1)
    )
    snapshot = take_snapshot(store, tmp_path / "s")
    assert comparisons(snapshot) == {("x", "y"): (2, 0, "comparison")}
    assert {vote["rater"] for vote in votes(snapshot)} == {"comparison:one", "comparison:two"}


def graded(rater, **scores):
    return [
        vote(event_id=f"{rater}-{text}", generation_id=text, rater_id=rater, score=score)
        for text, score in scores.items()
    ]


def test_who_graded_several_answers_has_compared_them(store, tmp_path):
    """Each rater's grades are compared with each other, whatever the level; equals are none."""
    append(
        store,
        *answers("x", "y", "z"),
        *graded("harsh", x=-0.5, y=-1, z=-1),
        *graded("kind", x=1, y=0.5),
        *graded("other", y=0.9),
        *graded(None, x=-1, y=0.2),
    )
    snapshot = take_snapshot(store, tmp_path / "s")
    assert comparisons(snapshot) == {("x", "y"): (2, 0, "grades"), ("x", "z"): (1, 0, "grades")}


def test_thumbs_are_no_grades(store, tmp_path):
    """A thumb up and one down are votes; only of what somebody graded are they a judgement too."""
    append(store, *answers("x", "y"), *graded("one", x=1, y=-1), *graded("two", x=1, y=-1))
    assert comparisons(take_snapshot(store, tmp_path / "s")) == {}
    append(store, *graded("three", x=0.2, y=0.6))
    assert comparisons(take_snapshot(store, tmp_path / "t")) == {("x", "y"): (2, 1, "grades")}


def test_many_grades_of_one_rater_stay_cheap(store, tmp_path):
    """Of three hundred answers, the best are compared with the worst."""
    texts = [f"t{i:03}" for i in range(300)]
    append(store, *answers(*texts), *graded("one", **{t: i / 300 for i, t in enumerate(texts)}))
    snapshot = take_snapshot(store, tmp_path / "s")
    assert len(comparisons(snapshot)) == 16 * 16
    assert ("t299", "t000") in comparisons(snapshot)


def votes(snapshot):
    return pq.read_table(snapshot.path / VOTES_FILE).to_pylist()


def test_a_vote_fades_by_half_in_a_half_life(store, tmp_path):
    """Age is counted from the end of the newest vote's day; a vote without a time is new."""
    append(
        store,
        *answers("x", "y", "z"),
        vote(event_id="1", generation_id="x", score=1, occurred_at="2026-01-11T00:00:00Z"),
        vote(event_id="2", generation_id="y", score=1, occurred_at="2026-01-31T23:00:00Z"),
        vote(event_id="3", generation_id="z", score=1),
    )
    rows = read_rated(take_snapshot(store, tmp_path / "s", half_life_days=21).path).to_pylist()
    counted = {row["completion"]: row["n_up"] for row in rows}
    assert counted["x"] == pytest.approx(0.5, abs=1e-6)
    assert counted["y"] == pytest.approx(2 ** (-1 / 24 / 21), abs=1e-6)
    assert counted["z"] == 1
    _, whole = rated(store, tmp_path)
    assert {row["n_up"] for row in whole.values()} == {1}


def busy(n_busy, comparison):
    """Return 200 votes of 40 raters on 50 texts, and `n_busy` of one rater, and the texts."""
    texts = [f"t{n}" for n in range(50)]
    others = [
        vote(
            event_id=f"o{n}",
            generation_id=texts[n % 50],
            rater_id=f"r{n % 40}",
            score=1 - n % 2 * 2,
        )
        for n in range(200)
    ]
    own = [
        vote(
            event_id=f"f{n}",
            generation_id=texts[n % 50],
            comparison_id=comparison(n),
            rater_id="busy",
            score=1 - n % 2 * 2,
        )
        for n in range(n_busy)
    ]
    return [*answers(*texts), *others, *own]


@pytest.mark.parametrize(("comparison", "kept"), [(str, 9), (lambda n: "all in one", 0)])
def test_one_rater_with_many_votes_has_a_budget(store, tmp_path, comparison, kept):
    """Of 40 votes beside 200 of 40 others, 1.5 equal shares count; a comparison counts whole."""
    append(store, *busy(40, comparison))
    snapshot = take_snapshot(store, tmp_path / "s", max_rater_share=0.01)
    counted = [row["rater"] for row in votes(snapshot)]
    assert (counted.count("rater:busy"), len(counted)) == (kept, 200 + kept)
    assert snapshot.votes.over_budget == 40 - kept
    assert snapshot.votes.votes == 240
    again = take_snapshot(store, tmp_path / "again", max_rater_share=0.01)
    assert sorted(map(str, votes(again))) == sorted(map(str, votes(snapshot)))


def test_a_flood_is_left_out_whole(store, tmp_path):
    """A thousand votes of one rater are far beyond the budget: none of them counts."""
    append(store, *busy(1000, str))
    snapshot = take_snapshot(store, tmp_path / "s", max_rater_share=0.01)
    (who,) = snapshot.quarantined
    assert who.rater_id == "busy"
    assert who.reason == "1,000 votes, more than five times a rater's budget"
    assert len(votes(snapshot)) == 200


def test_few_raters_may_be_unequal(store, tmp_path):
    """Of five raters one may have cast nearly everything, and keeps half as much again."""
    events = busy(0, str)[:50] + [
        vote(event_id=f"{n}", generation_id=f"t{n % 50}", rater_id=f"r{max(0, n - 45)}",
             score=1 - n % 2 * 2)
        for n in range(50)
    ]  # fmt: skip
    append(store, *events)
    snapshot = take_snapshot(store, tmp_path / "s", max_rater_share=0.01)
    assert not snapshot.quarantined
    assert [row["rater"] for row in votes(snapshot)].count("rater:r0") == 15


def test_a_rater_who_always_votes_up_is_quarantined(store, tmp_path):
    """Thirty ups are no chance where half of all votes are down; three are, and stay."""
    texts = [f"t{n}" for n in range(30)]
    mixed = [
        vote(
            event_id=f"m{n}", generation_id=texts[n % 30], rater_id=f"r{n % 9}", score=1 - n % 2 * 2
        )
        for n in range(270)
    ]
    spam = [vote(event_id=f"s{t}", generation_id=t, rater_id="spam", score=1) for t in texts]
    few = [vote(event_id=f"f{t}", generation_id=t, rater_id="few", score=1) for t in texts[:3]]
    append(store, *answers(*texts), *mixed, *spam, *few)
    snapshot = take_snapshot(store, tmp_path / "s")
    (who,) = snapshot.quarantined
    assert (who.rater_id, who.n_votes, who.reason) == ("spam", 30, "all 30 votes are up")
    assert snapshot.votes.quarantined == 30
    assert "rater:spam" not in {row["rater"] for row in votes(snapshot)}
    assert "rater:few" in {row["rater"] for row in votes(snapshot)}
    lenient = take_snapshot(store, tmp_path / "l", quarantine_constant=False)
    assert not lenient.quarantined


def test_a_unanimous_world_quarantines_nobody(store, tmp_path):
    """Where nearly everybody votes up, a rater who does is no wonder."""
    texts = [f"t{n}" for n in range(30)]
    events = [
        vote(event_id=f"{n}-{t}", generation_id=t, rater_id=f"r{n}", score=1)
        for n in range(5)
        for t in texts
    ]
    append(store, *answers(*texts), *events)
    assert not take_snapshot(store, tmp_path / "s").quarantined


def test_a_burst_is_quarantined_and_an_import_is_not(store, tmp_path):
    """Twenty moments within a minute are a machine's; one moment for all is an import's."""
    texts = [f"t{n}" for n in range(24)]
    burst, imported, slow = (
        [
            vote(event_id=f"{rater}{n}", generation_id=texts[n], rater_id=rater,
                 score=1 - n % 2 * 2, occurred_at=when(n))
            for n in range(24)
        ]
        for rater, when in (
            ("burst", lambda n: f"2026-01-01T00:00:{2 * n:02}Z"),
            ("imported", lambda n: "2026-01-01T00:00:00Z"),
            ("slow", lambda n: f"2026-01-01T00:{2 * n:02}:00Z"),
        )
    )  # fmt: skip
    append(store, *answers(*texts), *burst, *imported, *slow)
    snapshot = take_snapshot(store, tmp_path / "s")
    assert [(who.rater_id, who.reason) for who in snapshot.quarantined] == [
        ("burst", "20 votes within 60 seconds")
    ]
    assert not take_snapshot(store, tmp_path / "t", burst_votes=None).quarantined


def test_a_side_by_side_choice_is_kept_as_judged(store, tmp_path):
    """Each rater has one voice about two texts; the better one is chosen; a tie says nothing."""
    append(
        store,
        *answers("x", "y", "z"),
        *judged("ann", "1", x=1, y=-1),
        *judged("ann", "2", x=1, y=-1),
        *judged("bob", "3", x=-1, y=1),
        *judged("cyd", "4", x=1, y=-1),
        *judged("cyd", "5", y=1, z=1),
    )
    snapshot = take_snapshot(store, tmp_path / "s")
    assert comparisons(snapshot) == {("x", "y"): (2, 1, "comparison")}


def test_texts_of_different_prompts_are_never_compared(store, tmp_path):
    """One comparison id over two prompts makes no pair of them."""
    append(store, *answers("x"), *answers("y", prompt="other"), *judged("ann", "1", x=1, y=-1))
    assert comparisons(take_snapshot(store, tmp_path / "s")) == {}


def test_a_correction_is_better_than_what_it_corrects(store, tmp_path):
    """The rater's own text becomes a completion that nobody voted on; their latest word counts."""
    append(
        store,
        *answers("wrong"),
        vote(event_id="1", generation_id="wrong", rater_id="r", score=-1, correction="rihgt",
             occurred_at=DAY.format(1)),
        vote(event_id="2", generation_id="wrong", rater_id="r", correction="right",
             occurred_at=DAY.format(2)),
        vote(event_id="3", generation_id="wrong", rater_id="q", correction="wrong"),
    )  # fmt: skip
    snapshot, rows = rated(store, tmp_path)
    assert comparisons(snapshot) == {("right", "wrong"): (1, 0, "correction")}
    assert (rows["right"]["n_up"], rows["right"]["n_down"]) == (0, 0)
    assert (rows["wrong"]["n_up"], rows["wrong"]["n_down"]) == (0, 1)
    prompt_id, completion_id = text_identity("p", "right")
    assert (rows["right"]["prompt_id"], rows["right"]["completion_id"]) == (
        prompt_id,
        completion_id,
    )
    assert rows["right"]["prompt"][0]["content"] == "p"
    spoken = {(row["event_id"], row["score"]) for row in votes(snapshot)}
    assert spoken == {("1", -1), ("2", 1)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_correction_of_two_answers_has_the_prompt_of_one(store, tmp_path, order):
    """Prompts that differ in outer whitespace are one; which of them it has is not up to chance."""
    told = [
        event(prompt=prompt, completion=answer, generation_id=answer, event_id=answer)
        for prompt, answer in (("p", "x"), (" p", "y"))
    ]
    append(store, *(told[index] for index in order))
    append(store, *(
        vote(event_id=f"of {answer}", generation_id=answer, rater_id="r", correction="right")
        for answer in "xy"
    ))  # fmt: skip
    _, rows = rated(store, tmp_path)
    first = min(told, key=lambda row: row["completion_id"])
    assert rows["right"]["prompt"][0]["content"] == first["prompt"][0]["content"]


def test_what_a_model_wrote_counts_in_its_comparison_only(store, tmp_path):
    """Votes of an `ai` source never count for or against a text; annotators' do."""
    append(
        store, *answers("x", "y"), *judged("model", "1", x=1, y=-1), source="written", namespace="*"
    )
    append(store, *judged("ann", "2", y=1, x=-1), source="labels", namespace="*")
    origins = {"written": "ai", "labels": "annotators"}
    snapshot = take_snapshot(store, tmp_path / "s", origins)
    rows = {row["completion"]: row for row in read_rated(snapshot.path).to_pylist()}
    assert (rows["x"]["n_up"], rows["x"]["n_down"]) == (0, 1)
    assert (rows["y"]["n_up"], rows["y"]["n_down"]) == (1, 0)
    ((_, how),) = comparisons(snapshot).items()
    assert how[:2] == (1, 1)


def test_votes_name_the_events_behind_every_contrast(store, tmp_path):
    """A vote that was changed is not among them, nor one on the only answer to its prompt."""
    append(
        store,
        *answers("x", "y"),
        *answers("alone", prompt="q"),
        vote(event_id="1", generation_id="x", rater_id="r", score=1, occurred_at=DAY.format(1)),
        vote(event_id="2", generation_id="x", rater_id="r", score=-1, occurred_at=DAY.format(2)),
        vote(event_id="3", generation_id="y", score=0.5),
        vote(event_id="4", generation_id="alone", score=1),
    )
    snapshot = take_snapshot(store, tmp_path / "s")
    told = {(row["event_id"], row["rater"], row["score"], row["weight"]) for row in votes(snapshot)}
    assert told == {("2", "rater:r", -1, 1), ("3", "event:3", 0.5, 1)}


def test_a_text_is_of_the_greatest_version_that_gave_it(store, tmp_path):
    """Whichever of its answers was voted on."""
    append(
        store,
        event(event_id="1", generation_id="a", completion="x", model_version="v1", score=1),
        event(event_id="2", generation_id="b", completion="x", model_version="v2"),
    )
    (row,) = read_rated(take_snapshot(store, tmp_path / "s").path).to_pylist()
    assert row["model_version"] == "v2"


def test_the_budget_is_of_users_votes(store, tmp_path):
    """What a busy rater says as an annotator counts, once each."""
    append(store, *busy(40, str))
    labels = [vote for n in range(10) for vote in judged("busy", f"label {n}", t1=1, t2=-1)]
    append(store, *labels, source="labels", namespace="s")
    snapshot = take_snapshot(store, tmp_path / "s", {"labels": "annotators"}, max_rater_share=0.01)
    own = [row["comparison_id"] for row in votes(snapshot) if row["rater"] == "rater:busy"]
    assert sum(name.startswith("label") for name in own) == 20
    assert len(own) == 9 + 20


def test_votes_without_a_rater_share_no_budget(store, tmp_path):
    """Each is a rater of its own, however many there are."""
    append(store, *busy(0, str))
    append(store, *(vote(event_id=f"n{n}", generation_id=f"t{n}", score=1) for n in range(40)))
    snapshot = take_snapshot(store, tmp_path / "s", max_rater_share=0.01)
    assert (snapshot.votes.counted, snapshot.votes.over_budget) == (240, 0)


def test_a_quarantined_rater_corrects_nothing(store, tmp_path):
    """Neither the votes nor the corrections of a rater who floods are used."""
    append(
        store,
        *busy(1000, str),
        vote(event_id="fix", generation_id="t1", rater_id="busy", correction="better"),
        vote(event_id="honest", generation_id="t2", rater_id="r1", correction="well"),
    )
    snapshot = take_snapshot(store, tmp_path / "s", max_rater_share=0.01)
    assert set(comparisons(snapshot)) == {("well", "t2")}
