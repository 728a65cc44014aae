"""From a snapshot to pairs, and what became of the rest."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbwheel import pairing as pairing_module
from thumbwheel.config import PluginConfig
from thumbwheel.manager import PluginManager
from thumbwheel.pairing import pair_snapshot
from thumbwheel.tables import RATED


def snapshot(tmp_path, *rows):
    table = pa.Table.from_pylist(
        [
            {
                "prompt_id": prompt,
                "completion_id": f"{prompt}{index:03}",
                "prompt": [{"role": "user", "content": prompt}],
                "completion": text,
                "n_up": up,
                "n_down": down,
                "score": (up - down) / (up + down),
            }
            for index, (prompt, text, up, down) in enumerate(rows)
        ],
        schema=RATED,
    )
    pq.write_table(table, tmp_path / "snapshot.parquet")
    return tmp_path / "snapshot.parquet"


def run(path, *uses):
    plugins = PluginManager([PluginConfig(use=use) for use in uses], None)
    return pair_snapshot(path, plugins, lambda share: None)


def test_every_rated_answer_is_accounted_for(tmp_path):
    """Each answer is in a pair, or has one reason why not."""
    path = snapshot(
        tmp_path,
        ("p", "good answer", 1, 0),
        ("p", "weak answer", 0, 1),
        ("q", "alone", 1, 0),
        ("r", "  ", 0, 1),
        ("r", "with an empty one only", 1, 0),
        ("s", "tied", 1, 0),
        ("s", "tied too", 1, 0),
        ("t", "short", 1, 0),
        ("t", "a very much longer answer than the other", 0, 1),
    )
    result = run(path, "best_worst", "length_match")
    assert result.completions == {
        "the answer is empty": 1,
        "the only rated answer to its prompt": 2,
        "no plugin paired it": 2,
        "its pairs were all screened out": 2,
        "in a pair": 2,
    }
    assert [(row["chosen"], row["rejected"]) for row in result.pairs.to_pylist()] == [
        ("good answer", "weak answer")
    ]
    (reason,) = result.drop_reasons()
    assert "1.25 times as long" in reason


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7])
def test_chunks_hold_whole_prompts(tmp_path, monkeypatch, chunk_rows):
    """However small the chunks, the pairs are the same: no prompt is split."""
    rows = [(f"p{i // 5}", f"answer {i}", i % 3 + 1, (i * 7) % 4) for i in range(50)]
    path = snapshot(tmp_path, *rows)
    whole = run(path, "all_pairs")
    monkeypatch.setattr(pairing_module, "_CHUNK_ROWS", chunk_rows)
    chunked = run(path, "all_pairs")
    assert len(whole.pairs) > 3
    assert chunked.pairs.equals(whole.pairs)
    assert chunked.completions == whole.completions


def test_an_empty_snapshot_gives_no_pairs(tmp_path):
    """Nothing rated yet is not an error here."""
    result = run(snapshot(tmp_path), "all_pairs")
    assert len(result.pairs) == 0
