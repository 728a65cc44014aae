"""The world's votes as a real app would send them: late, early, twice, broken.

About one line in fifty is such a mishap. None of them changes what the votes add up to.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from thumbwheel.demo.users import PlantedWorld, Vote

__all__ = ["write_events"]

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
GENERATION_EVERY = timedelta(minutes=4)

P_VOTE_WITH_ANSWER = 0.4
P_VOTE_BEFORE_ANSWER = 0.01
P_CHAT_MESSAGES = 0.1
P_COMMENT = 0.02
P_MISHAP = 0.003
"""Of each kind of mishap, per vote."""

_COMMENTS = {1: ("nice", "just what I needed"), -1: ("no", "is that so?")}

Event = dict[str, object]
Arrival = tuple[datetime, str]
"""When a line reaches the log, and the line."""


def write_events(path: Path, world: PlantedWorld) -> int:
    """Write the feedback events of a world to a JSONL file, in the order of their arrival.

    Args:
        path: The file to write; one that is there already is replaced.
        world: The same options of the same kind of world give the same bytes.

    Returns:
        The number of lines.
    """
    rng = Random(f"{world.options.seed} traffic")  # noqa: S311 -- seeded on purpose
    votes, attack = list(world.votes()), list(world.attack())
    arrivals = list(_traffic(rng, "", votes, GENERATION_EVERY))
    # Drawn last, so that an attack leaves the other lines as they are. It takes its time.
    attack_every = len(votes) * GENERATION_EVERY / max(len(attack), 1)
    arrivals += _traffic(rng, "attack-", attack, attack_every)
    arrivals.sort(key=lambda arrival: arrival[0])
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for _, line in arrivals)
    return len(arrivals)


def _traffic(rng: Random, prefix: str, votes: list[Vote], every: timedelta) -> Iterator[Arrival]:
    """Yield the lines of all answers, which are asked for in a random order at even distances."""
    rng.shuffle(votes)
    for number, vote in enumerate(votes):
        yield from _arrivals(rng, f"{prefix}{number}", vote, BEGIN + number * every)


def _arrivals(rng: Random, name: str, vote: Vote, asked: datetime) -> Iterator[Arrival]:
    """Yield the lines of one answer: itself, its vote, and what goes wrong around them."""
    voted = asked + timedelta(seconds=rng.randint(5, 3000))
    generation = _generation(rng, name, vote, asked)
    thumb = _thumb(rng, name, vote, voted)
    if rng.random() < P_VOTE_WITH_ANSWER:
        lines = [(voted, _line(generation | thumb))]
    else:
        early = rng.random() < P_VOTE_BEFORE_ANSWER
        answered = voted + timedelta(minutes=1) if early else asked
        lines = [(answered, _line(generation)), (voted, _line(thumb))]
    yield from lines
    for mishap in _mishaps(generation, thumb, asked, voted):
        if rng.random() < P_MISHAP:
            yield from mishap
    if rng.random() < P_MISHAP:
        yield voted + timedelta(hours=rng.randint(1, 48)), rng.choice(lines)[1]
    if rng.random() < P_MISHAP:
        yield voted, rng.choice(_broken(generation, thumb))


def _generation(rng: Random, name: str, vote: Vote, asked: datetime) -> Event:
    as_messages = rng.random() < P_CHAT_MESSAGES
    return {
        "event_id": f"answer-{name}",
        "generation_id": f"generation-{name}",
        "prompt": [{"role": "user", "content": vote.prompt}] if as_messages else vote.prompt,
        "completion": vote.completion,
        "model_version": "base",
        "occurred_at": asked.isoformat(),
    }


def _thumb(rng: Random, name: str, vote: Vote, voted: datetime) -> Event:
    thumb: Event = {
        "event_id": f"vote-{name}",
        "generation_id": f"generation-{name}",
        "rater_id": vote.rater_id,
        "score": vote.score,
        "occurred_at": voted.isoformat(),
    }
    if rng.random() < P_COMMENT:
        thumb["comment"] = rng.choice(_COMMENTS[vote.score])
    return thumb


def _mishaps(
    generation: Event, thumb: Event, asked: datetime, voted: datetime
) -> Iterator[list[Arrival]]:
    """Yield an unrated answer, a changed mind, a vote taken back, a vote whose answer is lost."""
    name = thumb["event_id"]
    unrated = {"event_id": f"{name}-unrated", "generation_id": f"{name}-unrated", "score": None}
    yield [(asked, _line(generation | unrated))]
    hasty = {"event_id": f"{name}-hasty", "score": -float(str(thumb["score"]))}
    yield [(voted, _line(thumb | hasty | {"occurred_at": asked.isoformat()}))]
    guest = thumb | {"event_id": f"{name}-guest", "rater_id": f"guest of {name}"}
    regret = {"event_id": f"{name}-regret", "score": None, "withdrawn": True}
    later = voted + timedelta(hours=1)
    yield [
        (voted, _line(guest)),
        (later, _line(guest | regret | {"occurred_at": later.isoformat()})),
    ]
    lost = {"event_id": f"{name}-lost", "generation_id": f"{name}-lost"}
    yield [(voted, _line(thumb | lost))]


def _broken(generation: Event, thumb: Event) -> list[str]:
    """Return lines that cannot be read, each for another reason."""
    return [
        _line(generation)[:-20],
        "Internal Server Error",
        _line(generation | {"completion": True}),
        _line(generation | {"completion": None}),
        _line(thumb | {"score": "up"}),
        _line(thumb | {"score": 5}),
        _line(thumb | {"generation_id": None}),
    ]


def _line(event: Event) -> str:
    return json.dumps(event)
