"""The store: dead letters that are read again, and votes that wait too long."""

from datetime import UTC, datetime, timedelta

import pytest
from storing import NOW, append, balanced, event, table, vote

from thumbwheel.errors import DataError
from thumbwheel.store import DeadLetter, ReplayCounts, Store


def letters(n, first=0):
    return [DeadLetter(f"f:{i}", b"\x00" * i, f"reason {i}") for i in range(first, first + n)]


def test_dead_letters_are_listed_and_shown(tmp_path):
    """The newest come first, with their size; each is kept byte for byte."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, letters=letters(3))
        append(store, letters=letters(2, first=3), source="other")
        listed = store.dead_letters(limit=4)
        assert [letter.position for letter in listed] == ["f:4", "f:3", "f:2", "f:1"]
        assert listed[0].received_at == NOW
        assert (listed[0].source, listed[0].n_bytes) == ("other", 4)
        (only,) = store.dead_letters(source="s", limit=1)
        assert store.dead_letter(only.id) == (only, b"\x00\x00")
        with pytest.raises(DataError, match="no dead letter 99"):
            store.dead_letter(99)


def test_resolved_letters_become_events(tmp_path):
    """Letters that can be read move to stored, duplicates or dropped; the others keep a reason."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="old"), letters=letters(6))
        append(store, letters=letters(1), source="other")
        first, *rest = [letter_id for letter_id, _ in store.letters_to_replay("s", -1, 10)]
        assert [raw for _, raw in store.letters_to_replay("s", first, 2)] == [b"\x00", b"\x00" * 2]
        assert len(rest) == 5
        events = table([event(event_id="old"), event(event_id="new"), event(event_id="new")])
        resolved, reasons = [first, *rest[:3]], {rest[3]: "still bad"}
        replayed = store.resolve_dead_letters("s", events, resolved, reasons, now=NOW)
        assert replayed == ReplayCounts(stored=1, duplicates=2, dropped=1, still_dead=1)
        _, counts = store.source_counts()
        assert (counts.stored, counts.duplicates, counts.dropped) == (2, 2, 1)
        assert counts.dead_letters == 2
        assert balanced(counts)
        left = {letter.id: letter.reason for letter in store.dead_letters(source="s", limit=9)}
        assert left == {rest[3]: "still bad", rest[4]: "reason 5"}
        assert append(store, event(event_id="new"), cursor="2").stored == 0
        store.verify()


def test_a_letter_is_resolved_once(tmp_path):
    """Resolving a letter that is gone is an error, and changes nothing."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, letters=letters(2))
        (first, _), (second, _) = store.letters_to_replay("s", -1, 2)
        store.resolve_dead_letters("s", table([event(event_id="a")]), [first], {}, now=NOW)
        before = store.source_counts()
        events = table([event(event_id="b"), event(event_id="c")])
        with pytest.raises(DataError, match="replayed meanwhile"):
            store.resolve_dead_letters("s", events, [first, second], {}, now=NOW)
        assert store.source_counts() == before
        replayed = store.resolve_dead_letters("s", events[:1], [second], {}, now=NOW)
        assert replayed.stored == 1


def test_ids_of_letters_are_never_used_again(tmp_path):
    """A new letter has a higher id than all before it, those that were resolved included."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, letters=letters(2))
        _, (last, _) = store.letters_to_replay("s", -1, 2)
        store.resolve_dead_letters("s", table([]), [last], {}, now=NOW)
    with Store(tmp_path / "s.duckdb") as store:
        append(store, letters=letters(1), cursor="2")
        assert store.dead_letters(limit=1)[0].id > last


def test_votes_that_wait_too_long_expire(tmp_path):
    """They are deleted, counted, and known for good; those with an answer or young ones stay."""
    later = NOW + timedelta(days=3)
    old = [vote(event_id=f"old{i}", generation_id="lost", score=1) for i in range(3)]
    answered = [vote(event_id="v", generation_id="g", score=1)]
    answered.append(event(event_id="e", generation_id="g"))
    with Store(tmp_path / "s.duckdb") as store:
        append(store, *old, *answered)
        append(store, vote(event_id="young", generation_id="lost", score=1), now=later)
        assert store.expire_parked(NOW) == 0
        assert store.expire_parked(NOW + timedelta(days=1)) == 3
        (counts,) = store.source_counts()
        assert (counts.stored, counts.parked, counts.expired) == (2, 1, 3)
        assert balanced(counts)
        store.verify()
        assert append(store, *old, cursor="3").duplicates == 3
    with Store(tmp_path / "s.duckdb") as store:
        assert append(store, *old, cursor="4").duplicates == 3
        (counts,) = store.source_counts()
        assert (counts.expired, counts.duplicates) == (3, 6)
        assert balanced(counts)
        assert store.expire_parked(datetime.now(UTC) + timedelta(days=1)) == 1
