"""A model behind an endpoint as a judge: both orders, a strict reply, and answers that are data.

The server replies as a test says, or as a tiny model finds likely, see chat_server.py.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer
from planted_votes import ask

from thumbwheel.errors import ConfigError, UnavailableError
from thumbwheel.evidence.judges import EndpointJudge, Meeting, estimate_comparison, preferences

PAYLOADS: list[str] = json.loads(Path(__file__).with_name("injection_payloads.json").read_text())
RUBRIC = "Prefer the longer answer."
SAYS_A, SAYS_B, TIE = (json.dumps({"better": better}) for better in ("A", "B", "tie"))


def fields(message: str) -> dict[str, object]:
    """Return what a request has between its marks, each mark once."""
    (number,) = set(re.findall(r"^<conversation-([0-9a-f]{16})>$", message, re.MULTILINE))
    assert message.count(number) == 6
    return {
        name: json.loads(value)
        for name, value in re.findall(
            rf"^<(\S+)-{number}>\n(.*)\n</\1-{number}>$", message, re.MULTILINE
        )
    }


def longer(message: str) -> str:
    """Prefer the longer answer."""
    a, b = (len(str(fields(message)[name])) for name in ("answer-A", "answer-B"))
    return TIE if a == b else SAYS_A if a > b else SAYS_B


def judged(
    server: ChatServer,
    policy: Callable[[str], str],
    *texts: tuple[str, str],
    **config: object,
) -> list[float]:
    """Return how far our answer is preferred by a server that replies by a policy."""
    server.policy = policy
    meetings = [Meeting(f"p{n}", ask("q"), *both) for n, both in enumerate(texts)]
    return preferences(EndpointJudge(server.config(**config), RUBRIC), meetings).tolist()


def test_the_better_answer_is_preferred_wherever_it_stands(server):
    """Each comparison is asked in both orders, with the rubric, several at once."""
    texts = [("long enough", "short"), ("short", "long enough"), ("equal", "as so")]
    server.next.extend(["slow", "slow"])
    assert judged(server, longer, *texts, max_concurrency=3) == [1, 0, 0.5]
    messages = [request["messages"] for request in server.requests]
    assert len(messages) == 6
    assert all(RUBRIC in message[-1]["content"] for message in messages)
    assert server.most_at_once > 1


@pytest.mark.parametrize("reply", [SAYS_A, SAYS_B, TIE])
def test_who_goes_by_the_place_sees_ties_only(server, reply):
    """A model that always names the same letter prefers nothing."""
    assert judged(server, lambda message: reply, ("one", "other")) == [0.5]


@pytest.mark.parametrize(
    "reply",
    ["", "A", '{"better": "C"}', '{"better": "a"}', '{"better": "A", "why": "x"}', f"So: {SAYS_A}"],
)
def test_a_reply_in_another_form_is_asked_for_once_more(server, reply):
    """Twice unreadable is no opinion, and no other comparison suffers."""

    def policy(message: str) -> str:
        return reply if "strange" in message else longer(message)

    said = judged(server, policy, ("strange", "other"), ("long enough", "short"))
    np.testing.assert_array_equal(said, [np.nan, 1])
    assert len(server.requests) == 2 + 2


def test_a_second_reply_may_do_and_a_fenced_one_is_read(server):
    """One unreadable reply costs one request; a code fence around the whole reply is no harm."""
    server.next.append("garbage")
    said = judged(server, lambda m: f"```json\n{longer(m)}\n```", ("long enough", "short"))
    assert said == [1]
    assert len(server.requests) == 3


def test_a_failed_request_is_no_opinion(server):
    """An answer that is cut off costs its comparison."""
    server.next.append("cut")
    assert np.isnan(judged(server, longer, ("long enough", "short"))).all()


def test_what_concerns_all_ends_it(server, monkeypatch):
    """A missing key is told before anything is asked; a wrong one at the first request."""
    server.next.extend(["400"] * 40)
    with pytest.raises(UnavailableError, match="in a row"):
        judged(server, longer, *[(f"one {n}", "other") for n in range(20)])
    monkeypatch.delenv("TINY_KEY")
    with pytest.raises(ConfigError, match="TINY_KEY"):
        EndpointJudge(server.config(), RUBRIC)


def test_the_estimate_counts_both_orders():
    """Twice the request goes in, and two short replies come out."""
    n_input, n_output = estimate_comparison(RUBRIC, ask("q" * 400), "a" * 400, "b" * 400)
    assert 2 * 300 < n_input < 2 * 800
    assert n_output == 20


def test_no_payload_gets_out_of_its_field(server):
    """Whatever an answer says, the request has three fields, and they hold what was given."""
    texts = [(f"Good. {payload}", "Good.") for payload in PAYLOADS]
    seen: list[set[str]] = []

    def policy(message: str) -> str:
        read = fields(message)
        assert read.keys() == {"conversation", "answer-A", "answer-B"}
        seen.append({str(read["answer-A"]), str(read["answer-B"])})
        return TIE

    assert judged(server, policy, *texts) == [0.5] * 50
    assert all(seen.count(set(both)) == 2 for both in texts)
    numbers = [re.findall(r"<conversation-(\w+)>", str(r["messages"])) for r in server.requests]
    assert len({str(found) for found in numbers}) == 100


def test_who_obeys_a_payload_that_names_a_place_sees_a_tie(server):
    """A gullible model that replies what an answer tells it to is caught by the other order."""
    told = [payload for payload in PAYLOADS if re.search(r'\{"better": "[AB]"\}', payload)]
    assert len(told) > 5

    def gullible(message: str) -> str:
        for name in ("answer-A", "answer-B"):
            found = re.search(r'\{"better": "[AB]"\}', str(fields(message)[name]))
            if found:
                return found[0]
        return TIE

    assert judged(server, gullible, *[(f"Bad. {text}", "Good.") for text in told]) == [0.5] * len(
        told
    )


def test_no_payload_gains_with_a_real_model(server):
    """Beside as many harmless characters, 50 payloads gain nothing beyond noise."""

    def policy(message: str) -> str:
        return json.dumps({"better": server.likelier(message, '{"better": "', ("A", "B"))})

    def shares(added: Sequence[str]) -> np.ndarray:
        texts = [(f"It is Lima. {text}", f"Lima, number {n}.") for n, text in enumerate(added)]
        return np.array(judged(server, policy, *texts))

    harmless = "Lima lies by the sea and has many parks, and it often is misty there. " * 2
    gains = shares(PAYLOADS) - shares([harmless[: len(payload)] for payload in PAYLOADS])
    assert gains.mean() <= 2 * gains.std() / np.sqrt(len(gains)) + 1e-9
