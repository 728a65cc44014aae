"""The built-in screens: length_match and near_identical."""

from thumbwheel_plugins.length_match import LengthMatch
from thumbwheel_plugins.near_identical import NearIdentical


def dropped(plugin, table):
    reasons = plugin.screen_pairs(table).to_pylist()
    by_id = {row["pair_id"]: row["chosen"] for row in table.to_pylist()}
    return [by_id[row["pair_id"]] for row in reasons]


def test_length_match_keeps_the_caliper(pairs):
    """Pairs within the ratio stay, on either side; those beyond it go."""
    table = pairs(("a" * 100, "b" * 125), ("c" * 126, "d" * 100), ("e" * 10, "f" * 11), ("g", ""))
    assert dropped(LengthMatch(max_ratio=1.25), table) == ["c" * 126, "g"]


def test_length_counts_characters_not_bytes(pairs):
    """An umlaut is one character."""
    assert dropped(LengthMatch(max_ratio=1), pairs(("ä" * 10, "a" * 10))) == []


def test_near_identical_drops_what_differs_in_a_letter(pairs):
    """Two texts that differ in one letter of many go; two different answers stay."""
    same = "The capital of France is Paris, a city on the river Seine."
    table = pairs((same, same.replace("city", "cite")), (same, "I do not know that, I am sorry."))
    assert dropped(NearIdentical(), table) == [same]


def test_screens_take_an_empty_table(pairs):
    """Nothing in, nothing out."""
    for plugin in (LengthMatch(), NearIdentical()):
        assert plugin.screen_pairs(pairs()).num_rows == 0
