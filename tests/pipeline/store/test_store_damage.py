"""The store: a file that was cut or changed is told from a whole one, and never counted wrongly."""

import random
import shutil

import duckdb
import pytest
from storing import append, balanced, event, numbered, take_snapshot

from thumbwheel.errors import DamagedStoreError
from thumbwheel.store import DeadLetter, Store

HEADERS = 3 * 4096
BATCHES_IN_LOG = 8


def fill(store, batches):
    for batch in batches:
        letters = [DeadLetter(f"f:{i}", b"\x00" * 50, "bad") for i in range(10)]
        append(store, *numbered(batch, 200), letters=letters, cursor=str(batch))


def state(store, folder):
    """Return everything that is told of a store."""
    snapshot = take_snapshot(store, folder / "snapshot")
    store.verify()
    (counts,) = store.source_counts()
    assert balanced(counts)
    return counts, store.cursor("s"), snapshot.digest, store.vote_counts()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store of which all is in the file, and what it holds."""
    folder = tmp_path_factory.mktemp("whole")
    with Store(folder / "s.duckdb") as store:
        fill(store, range(4))
        store.checkpoint()
        fill(store, range(4, 8))
        store.checkpoint()
        return folder / "s.duckdb", state(store, folder)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A copy of a store's file and write-ahead log, as a kill leaves them."""
    folder = tmp_path_factory.mktemp("logged")
    with Store(folder / "s.duckdb") as store:
        fill(store, [0])
        store.checkpoint()
        fill(store, range(1, 1 + BATCHES_IN_LOG))
        for suffix in ("", ".wal"):
            shutil.copy(folder / f"s.duckdb{suffix}", folder / f"killed.duckdb{suffix}")
    return folder / "killed.duckdb"


def outcome(path, folder):
    """Return what a store holds, or "damaged" when any part of it says so."""
    try:
        with Store(path) as store:
            return state(store, folder)
    except DamagedStoreError as error:
        return "damaged" if "thumbwheel rebuild" in str(error).partition("\n")[0] else str(error)


def changed(path, folder, change):
    data = bytearray(path.read_bytes())
    change(data)
    target = folder / "changed.duckdb"
    target.write_bytes(data)
    return target


def flip(offset):
    def change(data):
        data[offset] ^= 1 << (offset % 8)

    return change


def zero(offset, length=4096):
    def change(data):
        data[offset : offset + length] = bytes(len(data[offset : offset + length]))

    return change


def cut(length):
    def change(data):
        del data[length:]

    return change


def test_a_flipped_bit_in_the_headers_is_found_at_opening(whole, tmp_path):
    """Any of DuckDB's three headers may be hit."""
    for offset in [0, 8, 12, 4095, 4096, 4120, 8192, 8200, 12287, HEADERS]:
        with pytest.raises(DamagedStoreError):
            Store(changed(whole[0], tmp_path, flip(offset)))


def test_a_flipped_bit_is_found_or_in_no_use(whole, tmp_path):
    """Wherever a bit flips, the store says that it is damaged, or holds exactly what it held."""
    path, held = whole
    place = random.Random(1)
    offsets = [place.randrange(HEADERS, path.stat().st_size) for _ in range(40)]
    outcomes = [outcome(changed(path, tmp_path, flip(offset)), tmp_path) for offset in offsets]
    assert {str(found) for found in outcomes} <= {"damaged", str(held)}
    assert outcomes.count("damaged") > 10


def test_a_cut_or_zeroed_file_is_found(whole, tmp_path):
    """A file that ends early is damaged wherever it ends; zeros are, or were in no use."""
    path, held = whole
    size = path.stat().st_size
    for length in [0, 1, 4096, 8192, HEADERS, HEADERS + 100, size // 2, size - 300_000, size - 1]:
        assert outcome(changed(path, tmp_path, cut(length)), tmp_path) == "damaged"
    zeroed = [
        outcome(changed(path, tmp_path, zero(offset)), tmp_path)
        for offset in [0, 4096, 8192, HEADERS, *range(HEADERS, size, 262_144)]
    ]
    assert {str(found) for found in zeroed} <= {"damaged", str(held)}
    assert zeroed[:4] == ["damaged"] * 4
    assert outcome(changed(path, tmp_path, zero(0, size)), tmp_path) == "damaged"


def test_an_open_store_tells_of_the_block_it_meets(whole, tmp_path):
    """Damage that opening does not see is told by the operation that reads it."""
    path = shutil.copy(whole[0], tmp_path / "s.duckdb")
    size = path.stat().st_size
    told = 0
    for offset in range(HEADERS + 1000, size, 262_144):
        target = changed(path, tmp_path, flip(offset))
        try:
            store = Store(target)
        except DamagedStoreError:
            continue
        with store:
            try:
                store.verify()
            except DamagedStoreError:
                told += 1
                assert store.size() == size
    assert told > 0


def test_a_torn_log_is_no_damage(logged, tmp_path):
    """A log that ends anywhere, as after a kill, opens with whole batches up to there."""
    place = random.Random(2)
    log = logged.with_name("killed.duckdb.wal")
    lengths = [place.randrange(log.stat().st_size) for _ in range(12)]
    cursors = set()
    for length in sorted(lengths):
        shutil.copy(logged, tmp_path / "s.duckdb")
        (tmp_path / "s.duckdb.wal").write_bytes(log.read_bytes()[:length])
        (counts, cursor, *_) = outcome(tmp_path / "s.duckdb", tmp_path)
        batches = int(cursor) + 1
        assert (counts.stored, counts.dead_letters) == (200 * batches, 10 * batches)
        cursors.add(batches)
        with Store(tmp_path / "s.duckdb") as store:
            fill(store, range(batches, 2 + BATCHES_IN_LOG))
            (counts,) = store.source_counts()
            assert counts.stored == 200 * (2 + BATCHES_IN_LOG)
    assert len(cursors) > 3


def test_a_changed_log_is_found_or_cuts_whole_batches(logged, tmp_path):
    """A flipped bit in the log is damage, or the log counts as ending there."""
    place = random.Random(3)
    log = logged.with_name("killed.duckdb.wal")
    size = log.stat().st_size
    outcomes = []
    for offset in [0, 8, 20, *(place.randrange(size) for _ in range(25))]:
        shutil.copy(logged, tmp_path / "s.duckdb")
        data = bytearray(log.read_bytes())
        flip(offset)(data)
        (tmp_path / "s.duckdb.wal").write_bytes(data)
        found = outcome(tmp_path / "s.duckdb", tmp_path)
        outcomes.append(found)
        if found != "damaged":
            counts, cursor, *_ = found
            assert counts.stored == 200 * (int(cursor) + 1)
    assert outcomes.count("damaged") > 15


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sources SET stored = stored + 1",
        "UPDATE sources SET received = received + 1",
        "DELETE FROM events WHERE arrival = 3",
        "DELETE FROM dead_letters",
        "INSERT INTO expired_events VALUES ('x', 's', NULL)",
        "UPDATE events SET source = 'nobody' WHERE arrival = 3",
    ],
)
def test_rows_that_do_not_agree_with_the_counts_are_found(tmp_path, change):
    """A store whose counters and rows differ does not pass as whole."""
    with Store(tmp_path / "s.duckdb") as store:
        fill(store, [0])
        store.verify()
    with duckdb.connect(str(tmp_path / "s.duckdb")) as connection:
        connection.execute(change)
    with Store(tmp_path / "s.duckdb") as store:
        with pytest.raises(DamagedStoreError, match="do not agree"):
            store.verify()
        assert append(store, event(event_id="goes on"), cursor="2").stored == 1
