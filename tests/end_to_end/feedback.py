"""The thumbs of a small app."""

import random


def feedback(n_prompts, first=0):
    """Yield records of an app whose users like answers that begin with a word of thanks."""
    for number in range(first, first + n_prompts):
        draw = random.Random(number)
        for tone, rating in (("thanks", "up"), ("no", "down")):
            noise = "".join(draw.choices("abcdefgh ", k=12))
            yield {
                "prompt": f"question {number}",
                "answer": f"{tone} {noise}",
                "rating": rating,
                "user": f"u{number % 7}",
            }
