"""Answers come by Kafka and votes by HTTP, in any order: votes wait for their answer."""

import json
import random
from contextlib import contextmanager

import pytest
from brokers import noida
from serving import configuration, serving, source, wait_until
from traffic_load import answer, post, steady_port, vote

from thumbwheel.config import VotePolicy
from thumbwheel.store import COMPARISONS_FILE, RATED_FILE
from thumbwheel.store.remote import RemoteStore

ANSWERS = 400
CHANGED = 100
UNANSWERED = 30
VOTES = 2 * ANSWERS + CHANGED + UNANSWERED
REQUEST = 50
NOON = 1_800_000_000


def all_votes():
    """Two raters vote on every answer, one changes some votes, and some wait for no answer."""
    votes = [
        vote(f"{rater}-{number}", number, rater_id=rater, score=1, occurred_at=NOON)
        for number in range(ANSWERS)
        for rater in ("first", "second")
    ]
    votes += [
        vote(f"changed-{number}", number, rater_id="first", score=-1, occurred_at=NOON + 60)
        for number in range(CHANGED)
    ]
    return votes + [vote(f"waiting-{number}", ANSWERS + number) for number in range(UNANSWERED)]


class Project:
    """One run of `serve` with a topic of answers and a receiver of votes."""

    def __init__(self, owner, broker, topic, port, folder):
        self.owner, self.broker, self.topic, self.port = owner, broker, topic, port
        self.folder = folder
        self.votes, self.answers = all_votes(), [answer(number) for number in range(ANSWERS)]

    def shuffle(self):
        for events in (self.votes, self.answers):
            random.Random(self.topic).shuffle(events)

    def vote(self, start=0, stop=VOTES):
        for at in range(start, stop, REQUEST):
            assert post(self.port, self.votes[at : min(stop, at + REQUEST)]) == 202

    def answer(self, start=0, stop=ANSWERS):
        values = [json.dumps(event).encode() for event in self.answers[start:stop]]
        self.broker.produce(self.topic, values[::2], partition=0)
        self.broker.produce(self.topic, values[1::2], partition=1)

    def counts(self, source):
        """Return (received, stored, parked) of a source."""
        balance = self.owner.sources().get(source, {})
        return tuple(balance.get(name, 0) for name in ("received", "stored", "parked"))

    def wait_for(self, source, received):
        wait_until(lambda: self.counts(source)[0] == received)

    def finish(self):
        """Check the counts when all has come; return the snapshot's bytes."""
        self.wait_for("votes", VOTES)
        self.wait_for("answers", ANSWERS)
        assert self.counts("votes") == (VOTES, VOTES - UNANSWERED, UNANSWERED)
        assert self.counts("answers") == (ANSWERS, ANSWERS, 0)
        assert self.owner.get("/v1/votes").json() == {
            "votes": VOTES,
            "superseded": CHANGED,
            "withdrawn": 0,
            "parked": UNANSWERED,
            "counted": 2 * ANSWERS,
            "quarantined": 0,
            "over_budget": 0,
        }
        with RemoteStore(self.owner.url, self.owner.token) as store:
            snapshot = store.snapshot(self.folder / "asked", VotePolicy())
        assert self.owner.stop() == 0
        return [(snapshot.path / name).read_bytes() for name in (RATED_FILE, COMPARISONS_FILE)]


@pytest.fixture
def project(tmp_path):
    """Start a project under a name; all use one broker."""

    @contextmanager
    def begin(name):
        folder, port = tmp_path / name, steady_port()
        folder.mkdir()
        broker.create_topic(name, 2)
        config = folder / "thumbwheel.toml"
        answers = source("answers", "kafka", 70, topics=name, bootstrap_servers=broker.address)
        votes = source("votes", "http", 30, log="received", port=port, allow_anonymous=True)
        config.write_text(configuration(answers, votes))
        with serving(config, folder / "home") as owner:
            yield Project(owner, broker, name, port, folder)

    with noida(tmp_path) as broker:
        yield begin


def test_any_order_of_votes_and_answers_gives_the_same(project):
    """Votes first, answers first, or mixed: exact counts at each step, and the same snapshot."""
    with project("votes-first") as run:
        run.vote()
        run.wait_for("votes", VOTES)
        assert run.counts("votes") == (VOTES, 0, VOTES)
        run.answer()
        votes_first = run.finish()
    with project("answers-first") as run:
        run.answer()
        run.wait_for("answers", ANSWERS)
        run.vote(0, ANSWERS)
        run.wait_for("votes", ANSWERS)
        assert run.counts("votes") == (ANSWERS, ANSWERS, 0)
        run.vote(ANSWERS)
        answers_first = run.finish()
    with project("mixed") as run:
        run.shuffle()
        for part in range(5):
            run.vote(part * VOTES // 5, (part + 1) * VOTES // 5)
            run.answer(part * ANSWERS // 5, (part + 1) * ANSWERS // 5)
        mixed = run.finish()
    assert votes_first == answers_first == mixed
