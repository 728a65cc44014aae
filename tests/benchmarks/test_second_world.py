"""The second planted world: its truth holds, and a model's true worth is read from its answers."""

import math

import numpy as np
import pytest
from fake_models import FakeModel

from planted_truth import agreement, ask, measure_truth
from second_tasks import TASKS
from second_world import CONCISE, SecondWorld
from thumbwheel.demo.users import WorldOptions
from thumbwheel.errors import DataError
from thumbwheel.evidence.judges.judge import Pairings

PROMPT, ANSWER = TASKS[0].prompt, TASKS[0].answer
POLITE, RUDE = "Thank you kindly!", "Ugh, you again."


def test_every_task_has_one_answer_and_wrong_ones_beside_it():
    """The tasks are over 300, distinct, and no answer is wrong for its own task."""
    assert len(TASKS) > 300
    assert len({task.prompt for task in TASKS}) == len(TASKS)
    assert all(task.wrong and task.answer not in task.wrong for task in TASKS)


def test_chats_have_the_traits_that_the_world_put_there():
    """No phrase names an answer or looks like another, so the checker sees what was drawn."""
    world = SecondWorld()
    seen = [world.traits(*answer) for answer in world.chats(epochs=20)]

    shares = {trait: np.mean([traits[trait] for traits in seen]) for trait in world.taste}

    assert shares == {
        "polite": pytest.approx(0.27, abs=0.02),
        "rude": pytest.approx(0.36, abs=0.02),
        "right": pytest.approx(0.93, abs=0.01),
        "concise": pytest.approx(0.5, abs=0.02),
        "list": pytest.approx(0.3, abs=0.02),
    }


@pytest.mark.parametrize(
    ("text", "utility"),
    [
        (f"{POLITE} {ANSWER}.", 1.6 + 1.5 + 0.6),
        (f"- {POLITE}\n- {ANSWER}.", 1.6 + 1.5 + 0.6 + 0.2),
        (f"{RUDE} {ANSWER}.", -1.4 + 1.5 + 0.6),
        (f"{POLITE} {RUDE} {ANSWER}.", -1.4 + 1.5 + 0.6),
        (f"{ANSWER} or {TASKS[1].answer}.", 0.6),
        (f"{ANSWER}. ".ljust(CONCISE + 1, "x"), 1.5),
        (f"- {ANSWER}.\nx", 1.5 + 0.6),
        ("", 0.6),
    ],
)
def test_utility_is_what_the_traits_are_worth(text, utility):
    """Polite, right, concise and a list are worth something, rude costs."""
    assert SecondWorld().utility(PROMPT, text) == pytest.approx(utility)


def test_a_prompt_from_elsewhere_is_refused():
    """Nothing can be said about the right answer to a prompt that the world does not know."""
    with pytest.raises(DataError, match="no task of the second world"):
        SecondWorld().utility("Who are you?", "Nobody.")


def test_thumbs_go_up_as_utility_says():
    """At each utility the share of thumbs up is logistic in it."""
    world = SecondWorld(WorldOptions(seed=7))
    scores: dict[float, list[int]] = {}
    for vote in world.votes():
        utility = round(world.utility(vote.prompt, vote.completion), 6)
        scores.setdefault(utility, []).append(vote.score)

    common = {utility: votes for utility, votes in scores.items() if len(votes) > 300}
    assert len(common) > 8
    for utility, votes in common.items():
        p_up = 1 / (1 + math.exp(world.even - utility))
        assert votes.count(1) / len(votes) == pytest.approx(p_up, abs=4 * 0.5 / len(votes) ** 0.5)


class Saying(FakeModel):
    """A model that puts the same remark before every right answer."""

    def __init__(self, remark):
        super().__init__()
        self.remark = remark

    def generate(self, prompts):
        answers = {task.prompt: task.answer for task in TASKS}
        return [f"{self.remark} {answers[prompt[0]['content']]}." for prompt in prompts]


class Oracle:
    """A judge that knows the world's taste, or wants the opposite."""

    name = "oracle"
    pairings: Pairings = "all"

    def __init__(self, sign):
        self.sign = sign

    def prefer(self, compared):
        utility = SecondWorld().utility
        lead = [
            utility(row["prompt"][0]["content"], row["first"])
            - utility(row["prompt"][0]["content"], row["second"])
            for row in compared.to_pylist()
        ]
        return (np.sign(np.array(lead) * self.sign) + 1) / 2


def asked(champion, candidate):
    prompts = [task.prompt for task in TASKS[:20]]
    return ask(Saying(champion), Saying(candidate), prompts, n_answers=2)


@pytest.mark.parametrize(
    ("champion", "candidate", "gain", "win_rate", "kind"),
    [
        (RUDE, POLITE, 3, 1, "better"),
        (POLITE, RUDE, -3, 0, "not better"),
        (POLITE, POLITE, 0, 0.5, "not better"),
    ],
)
def test_a_candidate_is_worth_what_its_answers_are(champion, candidate, gain, win_rate, kind):
    """The gain is the mean difference in utility; who wins always wins at a rate of 1."""
    truth = measure_truth(SecondWorld(), asked(champion, candidate))

    assert truth.gain.value == pytest.approx(gain)
    assert truth.win_rate == win_rate
    assert truth.kind == kind
    assert truth.traits["right"] == (1, 1)


@pytest.mark.parametrize(("sign", "share"), [(1, 1), (0, 0.5), (-1, 0)])
def test_a_judge_agrees_with_the_truth_as_far_as_it_knows(sign, share):
    """Who knows the taste agrees always, who says nothing in half, who wants the opposite never."""
    assert agreement(Oracle(sign), SecondWorld(), asked(RUDE, POLITE)) == share
