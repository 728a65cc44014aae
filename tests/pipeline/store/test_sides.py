"""A scale that was misread shows: `ingest` and `status` say so, with the line that mends it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from projects import configuration
from thumbwheel.cli.commands.store import store_commands
from thumbwheel.config import SourceConfig
from thumbwheel.store import VoteSides
from thumbwheel.store.sides import side_warnings


def ingested(folder: Path, records: list[dict[str, Any]], keys: str = "") -> str:
    """Ingest the records; return what the command says."""
    lines = (json.dumps({"prompt": "q", **record}) + "\n" for record in records)
    (folder / "events.jsonl").write_text("".join(lines))
    config = folder / "thumbwheel.toml"
    config.write_text(configuration(keys=keys))
    result = CliRunner().invoke(store_commands, ["ingest", "--config", str(config)])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def rated(scores: list[Any], key: str = "score") -> list[dict[str, Any]]:
    return [
        {"completion": f"answer {n}", key: score, "rater_id": f"r{n}"}
        for n, score in enumerate(scores)
    ]


def test_zero_and_one(tmp_path: Path) -> None:
    """A vote of 0 is neutral in the event format; what is said names what reads it as down."""
    mend = 'mapping = { use = "events", up = [1], down = [0] }'
    output = ingested(tmp_path, rated([1, 0, 0]))
    assert "all 3 votes are 0 or 1, so none is down" in output
    assert f"If 0 is a thumbs down, set {mend}" in output
    (tmp_path / "mended").mkdir()
    assert "are 0 or 1" not in ingested(tmp_path / "mended", rated([1, 0, 0]), mend)


def test_votes_beyond_the_scale_are_counted(tmp_path: Path) -> None:
    """They are taken as its ends, and it is said how many."""
    mapping = 'mapping = { rating = "stars", scale = { down = 1, up = 5 } }'
    output = ingested(tmp_path, rated([1, 5, 9, 0, "7"], "stars"), mapping)
    assert "export: 3 × a rating beyond the `scale`, taken as its end by mapping" in output


@pytest.mark.parametrize(
    ("sides", "mapping", "expected"),
    [
        (VoteSides("s", 20, 20, 0, False), {"use": "keys"}, "are up.*list them in `down`"),
        (VoteSides("s", 20, 0, 20, False), None, "are down.*list them in `up`"),
        (VoteSides("s", 20, 20, 0, False), {"scale": {}}, "mend the ends of `scale`"),
        (VoteSides("s", 5, 5, 0, True), None, None),
        (VoteSides("s", 20, 19, 1, False), None, None),
        (VoteSides("s", 2, 1, 0, True), {"scale": {}}, r"set scale = \{ down = 0, up = 1 \}"),
        (VoteSides("gone", 20, 20, 0, False), None, None),
    ],
)
def test_what_is_told(sides: VoteSides, mapping: Any, expected: str | None) -> None:
    """One side only from 20 votes on, and nothing of sources that are not configured any more."""
    warnings = side_warnings([SourceConfig(name="s", connector="file", mapping=mapping)], [sides])
    assert len(warnings) == (expected is not None)
    assert expected is None or re.search(expected, warnings[0])
