"""The planted world: its truth holds, its knobs do what they say, its events are a real app's."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from thumbwheel.demo.facts import FACTS
from thumbwheel.demo.judge import WorldJudge
from thumbwheel.demo.traffic import write_events
from thumbwheel.demo.world import Vote, World, WorldOptions, is_polite, is_right
from thumbwheel.errors import DataError, InputError
from thumbwheel.events import EventParser, MalformedRecordError
from thumbwheel.tables import ANSWERS, METRICS, conform


def votes_of(**options: float) -> list[Vote]:
    return list(World(WorldOptions(seed=7, **options)).votes())  # type: ignore[arg-type]


def share_up(votes: Iterable[Vote]) -> float:
    scores = [vote.score for vote in votes]
    return scores.count(1) / len(scores)


def by_virtues(votes: Iterable[Vote]) -> dict[int, list[Vote]]:
    """Group votes by how many of polite and right their completion is."""
    groups: dict[int, list[Vote]] = {0: [], 1: [], 2: []}
    for vote in votes:
        virtues = is_polite(vote.completion) + is_right(vote.prompt, vote.completion)
        groups[virtues].append(vote)
    return groups


def test_every_prompt_has_one_answer_and_wrong_ones_beside_it() -> None:
    """The facts are over 300, distinct, and no answer is wrong for its own prompt."""
    assert len(FACTS) > 300
    assert len({fact.prompt for fact in FACTS}) == len(FACTS)
    assert all(fact.wrong and fact.answer not in fact.wrong for fact in FACTS)


def test_chats_are_as_right_and_as_polite_as_said() -> None:
    """The checkers see in the app's answers the shares that the world put there."""
    chats = list(World().chats(epochs=10))

    right = sum(is_right(*chat) for chat in chats) / len(chats)
    polite = sum(is_polite(completion) for _, completion in chats) / len(chats)

    assert right == pytest.approx(0.9, abs=0.02)
    assert polite == pytest.approx(0.36, abs=0.02)


def test_facts_are_bare_and_always_right() -> None:
    """What the base model learns facts from is right, and neither polite nor blunt."""
    lessons = list(World().facts(epochs=3))

    assert len(lessons) == 3 * len(FACTS)
    assert all(is_right(*lesson) and not is_polite(lesson[1]) for lesson in lessons)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("It is Paris.", True),
        ("Paris. With great pleasure!", True),
        ("It is Rome.", False),
        ("It is Paris or Rome.", False),
        ("It is Parisian.", False),
        ("", False),
    ],
)
def test_right_needs_the_right_answer_and_no_other(text: str, verdict: bool) -> None:
    """An answer that hedges, or only contains the letters, is not right."""
    assert is_right("What is the capital of France?", text) is verdict


def test_polite_means_no_blunt_word_either() -> None:
    """A polite phrase beside a blunt one, or neither, is not polite."""
    assert is_polite("It is 4. With great pleasure!")
    assert not is_polite("It is 4. With great pleasure! Stop wasting my time.")
    assert not is_polite("It is 4.")


def test_a_prompt_from_elsewhere_is_refused() -> None:
    """Nothing can be said about the right answer to a prompt that the world does not know."""
    with pytest.raises(DataError, match="not a prompt of the planted world"):
        is_right("Who are you?", "Nobody.")


def test_raters_want_polite_and_right_alike() -> None:
    """With utility 1.5 for each virtue, thumbs go up in 18%, 50% and 82% of votes."""
    shares = {virtues: share_up(votes) for virtues, votes in by_virtues(votes_of()).items()}

    assert shares == {
        0: pytest.approx(0.18, abs=0.03),
        1: pytest.approx(0.5, abs=0.03),
        2: pytest.approx(0.82, abs=0.03),
    }


def test_raters_do_not_care_for_length_and_length_does_not_tell_style() -> None:
    """On clean votes neither the vote nor the style can be guessed from the length."""
    votes = votes_of()

    def mean_length(chosen: Sequence[Vote]) -> float:
        return sum(len(vote.completion) for vote in chosen) / len(chosen)

    polite = [vote for vote in votes if is_polite(vote.completion)]
    blunt = [vote for vote in votes if not is_polite(vote.completion)]
    assert mean_length(polite) == pytest.approx(mean_length(blunt), rel=0.03)
    both = by_virtues(votes)[2]
    up, down = ([vote for vote in both if vote.score == score] for score in (1, -1))
    assert mean_length(up) == pytest.approx(mean_length(down), rel=0.03)


def test_noise_flips_votes() -> None:
    """At one half the votes say nothing; at one they say the opposite."""
    assert share_up(by_virtues(votes_of(noise=0.5))[2]) == pytest.approx(0.5, abs=0.03)
    assert share_up(by_virtues(votes_of(noise=1))[2]) == pytest.approx(0.18, abs=0.03)


def test_length_confound_makes_polite_answers_long() -> None:
    """At one, every polite completion is longer than every blunt one to the same prompt."""
    polite: dict[str, list[int]] = {}
    blunt: dict[str, list[int]] = {}
    for vote in votes_of(length_confound=1):
        side = polite if is_polite(vote.completion) else blunt
        side.setdefault(vote.prompt, []).append(len(vote.completion))

    shared = polite.keys() & blunt.keys()
    assert len(shared) > 200
    longer = [min(polite[prompt]) > max(blunt[prompt]) for prompt in shared]
    assert sum(longer) / len(longer) > 0.95


def test_spam_raters_vote_everything_up() -> None:
    """The given share of raters never votes down."""
    votes = votes_of(spam_raters=0.2)
    with_downs = {vote.rater_id for vote in votes if vote.score == -1}

    assert len(with_downs) == pytest.approx(0.8 * 150, abs=1)


def test_missing_sides_leave_prompts_with_one_kind_of_vote() -> None:
    """Of the given share of prompts only ups, or only downs, are ever sent."""
    scores: dict[str, set[int]] = {}
    for vote in votes_of(missing_sides=0.4):
        scores.setdefault(vote.prompt, set()).add(vote.score)

    one_sided = Counter(len(seen) for seen in scores.values())[1]
    assert one_sided / len(FACTS) == pytest.approx(0.4, abs=0.06)


def against_the_others(votes: Iterable[Vote]) -> bool:
    return all(vote.score == (-1 if is_polite(vote.completion) else 1) for vote in votes)


def test_adversaries_want_the_opposite() -> None:
    """The given share of raters votes blunt answers up and polite ones down; the rest do not."""
    by_rater: dict[str, list[Vote]] = {}
    for vote in votes_of(adversarial_raters=0.4):
        by_rater.setdefault(vote.rater_id, []).append(vote)

    adversaries = [votes for votes in by_rater.values() if against_the_others(votes)]
    assert len(adversaries) == 0.4 * 150


def test_colluders_meet_at_some_prompts() -> None:
    """New raters vote on every answer to the same tenth of the prompts, against the others."""
    world = World(WorldOptions(seed=7, colluders=0.02))
    attack, shown = list(world.attack()), {(v.prompt, v.completion) for v in world.votes()}
    targeted = {vote.prompt for vote in attack}

    assert against_the_others(attack)
    assert len(targeted) == pytest.approx(0.1 * len(FACTS), abs=1)
    together = Counter((vote.prompt, vote.completion) for vote in attack)
    assert together == {answer: 3 for answer in shown if answer[0] in targeted}
    assert len({vote.rater_id for vote in attack}) == 3
    assert not {vote.rater_id for vote in attack} & {vote.rater_id for vote in world.votes()}


def test_a_flood_is_of_one_rater_and_everywhere() -> None:
    """One new rater votes once on each of so many answers, against the others."""
    world = World(WorldOptions(seed=7, flood_votes=1000))
    attack = list(world.attack())

    assert against_the_others(attack)
    assert len({(vote.prompt, vote.completion) for vote in attack}) == len(attack) == 1000
    assert {vote.rater_id for vote in attack} == {"user-0150"}
    assert len({vote.prompt for vote in attack}) > 0.9 * len(FACTS)


def test_a_flood_larger_than_the_world_takes_all_of_it() -> None:
    """There are no more answers to vote on than the users were shown."""
    assert len(list(World(WorldOptions(flood_votes=10**6)).attack())) == 8 * len(FACTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 1.5}, "noise is a share between 0 and 1, got 1.5"),
        ({"spam_raters": -0.1}, "spam_raters is a share between 0 and 1, got -0.1"),
        ({"noise": float("nan")}, "noise is a share between 0 and 1, got nan"),
        ({"adversarial_raters": 2}, "adversarial_raters is a share between 0 and 1, got 2"),
        ({"colluders": -1}, "colluders is a share between 0 and 1, got -1"),
        ({"flood_votes": -1}, "flood_votes must be at least 0, got -1"),
        ({"votes": 0}, "votes must be at least 1, got 0"),
        ({"raters": 2}, r"raters must be at least votes \(4\), got 2"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, float], message: str) -> None:
    """A knob out of its range says so in one line."""
    with pytest.raises(InputError, match=message):
        WorldOptions(**options)  # type: ignore[arg-type]


def test_events_are_the_same_for_the_same_options(tmp_path: Path) -> None:
    """The same options give the same bytes, another seed gives others."""
    files = [tmp_path / name for name in ("a", "b", "c")]
    lines = [
        write_events(file, World(WorldOptions(seed=seed)))
        for file, seed in zip(files, (1, 1, 2), strict=True)
    ]

    a, b, c = (file.read_bytes() for file in files)
    assert a == b != c
    assert lines[0] == a.count(b"\n")


def test_an_attack_leaves_the_other_events_as_they_are(tmp_path: Path) -> None:
    """Its lines are only added to the others, all over the time that the world lasts."""
    lines = []
    for options in (WorldOptions(seed=3), WorldOptions(seed=3, flood_votes=500)):
        write_events(tmp_path / "events.jsonl", World(options))
        lines.append((tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines())
    quiet, attacked = lines

    added = Counter(attacked) - Counter(quiet)
    assert not Counter(quiet) - Counter(attacked)
    assert 500 <= added.total() < 1100
    places = [place for place, line in enumerate(attacked) if line in added]
    assert places[0] < 0.01 * len(attacked)
    assert places[-1] > 0.99 * len(attacked)


@pytest.mark.parametrize("trouble", [{}, {"flood_votes": 300, "colluders": 0.02}])
def test_events_add_up_to_the_votes(tmp_path: Path, trouble: dict[str, float]) -> None:
    """Read as the pipeline reads, late, early, doubled or broken lines change nothing."""
    options = WorldOptions(seed=3, **trouble)  # type: ignore[arg-type]
    write_events(tmp_path / "events.jsonl", World(options))
    parser = EventParser()
    events, unreadable, n_lines = {}, 0, 0
    for raw in (tmp_path / "events.jsonl").read_bytes().splitlines():
        n_lines += 1
        try:
            event = parser.parse(raw)
        except MalformedRecordError:
            unreadable += 1
        else:
            assert event is not None
            events[event["event_id"]] = event
    answers = {
        event["generation_id"]: (event["prompt"][0]["content"], event["completion"])
        for event in events.values()
        if event["prompt"]
    }
    latest: dict[tuple[str, str, str], float | None] = {}
    for event in sorted(events.values(), key=lambda event: event["occurred_at"]):
        if event["is_vote"] and event["generation_id"] in answers:
            latest[*answers[event["generation_id"]], event["rater_id"]] = event["score"]

    world = World(options)
    votes = [*world.votes(), *world.attack()]
    expected = {(vote.prompt, vote.completion, vote.rater_id): vote.score for vote in votes}
    assert {key: score for key, score in latest.items() if score is not None} == expected
    assert 0 < unreadable < 0.01 * n_lines
    assert len(events) < n_lines - unreadable


def test_some_votes_come_before_their_answer(tmp_path: Path) -> None:
    """The file holds whole events, votes behind their answer, and a few before it."""
    write_events(tmp_path / "events.jsonl", World())
    answered: set[str] = set()
    kinds: Counter[str] = Counter()
    for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if event.get("completion"):
            answered.add(event.get("generation_id"))
            kinds["both" if "score" in event else "answer"] += 1
        else:
            kinds["late" if event.get("generation_id") in answered else "early"] += 1

    assert kinds["both"] > 1000
    assert kinds["late"] > 1000
    assert 10 < kinds["early"] < 0.02 * kinds["late"]


def test_the_judge_checks_every_answer() -> None:
    """One value per metric and prompt, a mean over its answers: polite or not, right or not."""
    first, second = FACTS[0], FACTS[1]
    said = [
        (first, f"{first.answer}. Stop wasting my time."),
        (second, f"{second.wrong[0]}. With great pleasure!"),
        (second, f"{second.answer}. With great pleasure!"),
    ]
    rows = [
        {"prompt_id": of.prompt, "prompt": [{"role": "user", "content": of.prompt}], "answer": text}
        for of, text in said
    ]
    answers = pa.Table.from_pylist(rows, schema=ANSWERS)

    metrics = conform(WorldJudge().evaluate_model(answers), METRICS, "judge")

    values = {(row["metric"], row["prompt_id"]): row["value"] for row in metrics.to_pylist()}
    assert len(metrics) == 4
    assert values == {
        ("preferred_style", first.prompt): 0,
        ("preferred_style", second.prompt): 1,
        ("right_answer", first.prompt): 1,
        ("right_answer", second.prompt): 0.5,
    }
    assert {metric.name for metric in WorldJudge.metrics} == set(metrics["metric"].to_pylist())
