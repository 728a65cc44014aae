"""The prompts drawn for annotation cover what users ask."""

import random
import string

from thumbwheel.labelling.people.coverage import cover

DRAW = random.Random(0)
TOPICS = [
    ["".join(DRAW.choices(string.ascii_lowercase, k=6)) for _ in range(20)] for _ in range(60)
]
COMMON = ["".join(DRAW.choices(string.ascii_lowercase, k=5)) for _ in range(40)]


def traffic(n, seed=0, junk=0.0):
    """Return prompts and their topics, of which few are asked about often, and many rarely."""
    draw = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(TOPICS))]
    texts = []
    topics: list[int | None] = []
    for _ in range(n):
        if draw.random() < junk:
            texts.append("".join(draw.choices(string.ascii_uppercase, k=50)))
            topics.append(None)
            continue
        (topic,) = draw.choices(range(len(TOPICS)), weights)
        words = draw.choices(TOPICS[topic], k=6) + draw.choices(COMMON, k=8)
        draw.shuffle(words)
        texts.append(" ".join(words))
        topics.append(topic)
    return texts, topics


def test_rare_topics_are_covered():
    """Sixty prompts reach far more of sixty topics than the first sixty do."""
    texts, topics = traffic(1500)
    drawn = {topics[index] for index in cover(texts, 60)}
    first = set(topics[:60])
    assert len(first) < 36
    assert len(drawn) > 44


def test_meaningless_prompts_come_last():
    """Three in a hundred prompts are noise, farthest from everything; none of them is drawn."""
    texts, topics = traffic(1500, junk=0.03)
    assert None in topics
    assert None not in {topics[index] for index in cover(texts, 60)}


def test_the_draw_is_the_same_every_time_and_grows():
    """The same texts give the same draw, and a larger draw begins with the smaller one."""
    texts, _ = traffic(400)
    drawn = cover(texts, 40)
    assert drawn == cover(texts, 40)
    assert drawn[:15] == cover(texts, 15)
    assert len(set(drawn)) == 40


def test_texts_of_the_same_words_are_taken_once():
    """Copies that differ in case and punctuation are one text, however many are asked for."""
    texts = ["How do I log in?", "how do i LOG in", "Refund my order!", "refund my order"] * 5
    assert sorted(texts[index].casefold()[:3] for index in cover(texts, 20)) == ["how", "ref"]


def test_few_texts_are_all_taken():
    """One text, none, and texts without a word are no trouble."""
    assert cover([], 5) == []
    assert cover(["only one"], 5) == [0]
    assert set(cover(["one", "!!!", "two"], 5)) == {0, 1, 2}


def test_signs_without_spaces_are_words():
    """In Chinese, prompts about the same thing are alike though no space divides their words."""
    texts = ["怎么退款我的订单", "我的订单可以退款吗", "登录密码忘记了怎么办", "忘记登录密码"]
    first, second = cover(texts, 2)
    assert {first // 2, second // 2} == {0, 1}
