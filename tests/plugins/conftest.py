"""Tables for the built-in plugins."""

import pyarrow as pa
import pytest

from thumbwheel.events import content_id
from thumbwheel.tables import PAIRS, RATED


@pytest.fixture
def rated():
    """Make `tables.RATED` from (prompt, completion, n_up, n_down) rows."""

    def make(*rows):
        return pa.Table.from_pylist(
            [
                {
                    "prompt_id": prompt,
                    "completion_id": f"{prompt}-{completion}",
                    "prompt": [{"role": "user", "content": prompt}],
                    "completion": completion,
                    "n_up": up,
                    "n_down": down,
                    "score": (up - down) / max(up + down, 1),
                }
                for prompt, completion, up, down in rows
            ],
            schema=RATED,
        )

    return make


@pytest.fixture
def pairs():
    """Make `tables.PAIRS` from (chosen, rejected) texts."""

    def make(*rows):
        return pa.Table.from_pylist(
            [
                {
                    "pair_id": content_id(chosen, rejected),
                    "prompt_id": "p",
                    "chosen_id": content_id(chosen),
                    "rejected_id": content_id(rejected),
                    "confidence": 0.9,
                    "plugin": "test",
                    "prompt": [{"role": "user", "content": "p"}],
                    "chosen": chosen,
                    "rejected": rejected,
                }
                for chosen, rejected in rows
            ],
            schema=PAIRS,
        )

    return make
