"""What commands print: users' texts are shown, and steer nothing."""

from io import StringIO

import pytest
from rich.console import Console
from snapshots import run, snapshot

from thumbwheel.cli.show.pairs import print_pairing
from thumbwheel.store import Snapshot
from thumbwheel.types import VoteCounts


@pytest.fixture
def printed(tmp_path):
    """Print the one pair of a prompt and its chosen text."""

    def make(prompt, chosen):
        rows = ("q", chosen, 1, 0), ("q", "No.", 0, 1)
        pairing = run(snapshot(tmp_path / "s", *rows, prompts={"q": prompt}), "best_worst")
        told = Snapshot(tmp_path, "digest", 2, 1, 2, VoteCounts(2, 0, 0, 0, 2))
        output = StringIO()
        console = Console(file=output, width=120)
        print_pairing(console, told, pairing, limit=1, show_dropped=False)
        return output.getvalue()

    return make


def test_a_pair_shows_its_tool_calls(printed):
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


def test_texts_cannot_steer_the_terminal(printed):
    """Escape sequences in prompts and answers are shown as pictures of their signs."""
    hostile = "a\x1b]0;title\x07\x9b31mb\x7f"
    text = printed([{"role": hostile, "content": hostile}], hostile)
    assert text.count("a␛]0;title␇�31mb␡") == 3
    assert not {"\x1b", "\x07", "\x9b", "\x7f"} & set(text)
