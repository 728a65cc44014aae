"""What commands print: users' texts are shown, and steer nothing."""

from io import StringIO
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from thumbwheel.cli.reports import print_pairing
from thumbwheel.pairing import DROPPED, Pairing
from thumbwheel.store import Snapshot, VoteCounts
from thumbwheel.tables import PAIRS


def printed(prompt, chosen):
    pair = {
        "pair_id": "p",
        "prompt_id": "q",
        "chosen_id": "c",
        "rejected_id": "r",
        "confidence": 0.9,
        "plugin": "test",
        "prompt": prompt,
        "chosen": chosen,
        "rejected": "No.",
    }
    pairing = Pairing(pa.Table.from_pylist([pair], PAIRS), DROPPED.empty_table(), {})
    snapshot = Snapshot(Path("s"), "digest", 2, 1, 2, VoteCounts(2, 0, 0, 0, 2))
    output = StringIO()
    console = Console(file=output, width=120)
    print_pairing(console, snapshot, pairing, limit=1, show_dropped=False)
    return output.getvalue()


def test_a_pair_shows_its_tool_calls():
    """Each call is a line with its arguments; names stand beside roles."""
    extra = '{"tool_calls": [{"function": {"name": "sky", "arguments": {"at": "[red]Rome"}}}]}'
    text = printed(
        [
            {"role": "assistant", "content": "", "extra": extra},
            {"role": "tool", "content": "Sun", "extra": '{"name": "sky"}'},
        ],
        "Yes.",
    )
    assert 'assistant: → sky({"at":"[red]Rome"})' in text
    assert "tool sky: Sun" in text


def test_texts_cannot_steer_the_terminal():
    """Escape sequences in prompts and answers are shown as pictures of their signs."""
    hostile = "a\x1b]0;title\x07\x9b31mb\x7f"
    text = printed([{"role": hostile, "content": hostile}], hostile)
    assert text.count("a␛]0;title␇�31mb␡") == 3
    assert not {"\x1b", "\x07", "\x9b", "\x7f"} & set(text)
