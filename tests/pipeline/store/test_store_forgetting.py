"""What the store holds of a rater goes for good, stays out, and leaves the others' alone."""

import re
import stat

import duckdb
import pytest
from storing import NOW, append, balanced, event, table, vote

from thumbwheel.errors import DataError
from thumbwheel.store import DeadLetter, Forgotten, Store, Subject

CANARY = "canary that sings a song"
RATER = Subject("rater", "u1")


def contents(path):
    """Return all that a store's tables hold, as one text."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = connection.execute("SHOW TABLES").fetchall()
        return "".join(
            str(connection.table(name).to_arrow_table().to_pylist()) for (name,) in tables
        )


def some_events():
    """Return events of `u1`, events of others, and those about which both spoke."""
    own = [
        event(
            event_id="own",
            generation_id="g-own",
            prompt=f"question {CANARY}",
            completion=f"answer {CANARY}",
            rater_id="u1",
            score=1,
            comment=f"comment {CANARY}",
            correction=f"correction {CANARY}",
            metadata={"note": CANARY},
        ),
        event(event_id="their answer", generation_id="g1", completion=f"separate {CANARY}"),
        vote(event_id="their vote", generation_id="g1", rater_id="u1", score=-1),
        vote(event_id="shared, theirs", generation_id="g2", rater_id="u1", score=1),
        vote(event_id="parked", generation_id="g9", rater_id="u1", comment=CANARY, score=1),
    ]
    others = [
        event(event_id="shared answer", generation_id="g2", completion="shared"),
        vote(event_id="shared, other's", generation_id="g2", rater_id="u10", score=-1),
        event(event_id="other", generation_id="g3", completion="other", rater_id="u2", score=1),
        event(event_id="unrated", generation_id="g4", completion="unrated"),
    ]
    return own, others


LETTERS = [
    DeadLetter("f:1", f'{{"rater_id": "u1", "text": "{CANARY}"'.encode(), "cut"),
    DeadLetter("f:2", b'{"rater_id": "u10"', "another's"),
    DeadLetter("f:3", b"no JSON", "nobody's"),
]


@pytest.fixture
def store(tmp_path):
    own, others = some_events()
    with Store(tmp_path / "store.duckdb") as store:
        append(store, *own, *others, letters=LETTERS)
        yield store


def forget(store, subject=RATER):
    found = store.find(subject)
    store.forgotten.remember(
        [subject, *(Subject("generation", name) for name in found.generations)]
    )
    store.remove(subject)
    return found


def test_a_rater_is_found_whole(store):
    """Events that bear the id, and the answers on which nobody else spoke, with what they say."""
    found = store.find(RATER)
    assert found.event_ids == {"own", "their answer", "their vote", "shared, theirs", "parked"}
    assert found.generations == {"g-own", "g1", "g9"}
    assert (found.n_votes, found.n_letters, found.sources) == (4, 1, {"s": 6})
    assert len(found.completion_ids) == 3  # two answers and a correction
    assert len(found.prompt_ids) == 1
    assert all(CANARY in text for text in found.texts)
    assert {text.split()[0] for text in found.texts} == {
        "question", "answer", "comment", "correction", "separate", "canary",
    }  # fmt: skip


def test_what_is_forgotten_is_gone_and_the_rest_is_not(store, tmp_path):
    """The file is another one without a trace of the rater; others' rows and the counts hold."""
    path = tmp_path / "store.duckdb"
    before = path.stat().st_ino
    forget(store)
    store.verify()
    (counts,) = store.source_counts()
    assert balanced(counts)
    assert (counts.received, counts.forgotten, counts.stored) == (12, 6, 4)
    assert (counts.dead_letters, counts.parked) == (2, 0)
    store.close()
    assert path.stat().st_ino != before
    assert {path.name for path in tmp_path.iterdir()} == {"store.duckdb", "forgotten"}
    held = contents(path)
    assert CANARY not in held
    assert not re.search(r"'u1'|their|own", held)
    for other in ("shared answer", "shared, other's", "other", "unrated", "u10"):
        assert other in held


def test_a_replay_brings_nothing_back(store, tmp_path):
    """The same events and letters, read again by this process or another, are left out."""
    forget(store)
    own, others = some_events()
    again = append(store, *own, *others, letters=LETTERS[:1])
    assert (again.stored, again.forgotten, again.duplicates) == (0, 6, 4)
    store.close()
    with Store(tmp_path / "store.duckdb") as store:
        again = append(store, *own, *others)
        assert (again.stored, again.forgotten, again.duplicates) == (0, 5, 4)
        assert balanced(store.source_counts()[0])
    (tmp_path / "store.duckdb").unlink()
    with Store(tmp_path / "store.duckdb") as store:
        assert append(store, *own, *others).stored == 4


def test_a_generation_is_forgotten_with_all_votes(store, tmp_path):
    """Everybody's word about it goes, and nothing else of theirs."""
    found = forget(store, Subject("generation", "g2"))
    assert found.event_ids == {"shared answer", "shared, theirs", "shared, other's"}
    again = append(store, vote(event_id="late", generation_id="g2", rater_id="new", score=1))
    assert again.forgotten == 1
    store.verify()
    store.close()
    held = contents(tmp_path / "store.duckdb")
    assert "'g2'" not in held
    assert CANARY in held


def test_an_answer_that_others_gave_too_stays(store):
    """Of the same text told by somebody else's generation nothing goes but the rater's word."""
    same = event(event_id="same", generation_id="g5", completion="other", rater_id="u1", score=1)
    append(store, same)
    assert same["completion_id"] not in store.find(RATER).completion_ids
    assert "same" in store.find(RATER).event_ids


def test_a_letter_that_can_be_read_now_is_left_out(store):
    """A dead letter of before, replayed after its rater was forgotten, becomes nothing."""
    forget(store)
    ((letter, _),) = store.letters_to_replay("s", -1, 1)
    late = vote(event_id="late", generation_id="g3", rater_id="u1", score=1)
    counts = store.resolve_dead_letters("s", table([late]), [letter], {}, now=NOW)
    assert (counts.stored, counts.forgotten) == (0, 1)
    assert balanced(store.source_counts()[0])


def test_numbers_of_letters_are_never_used_twice(store):
    """The next dead letter does not get the number of one that went."""
    newest = store.dead_letters(limit=1)[0].id
    forget(store, Subject("rater", "nobody"))
    append(store, letters=LETTERS[2:])
    assert store.dead_letters(limit=1)[0].id == newest + 1


def test_what_was_deleted_before_is_gone_too(store, tmp_path):
    """An expired vote is no row any more, but its id may name the rater, and its bytes linger."""
    append(store, vote(event_id="vote of u1", generation_id="g8", rater_id="r", score=1))
    assert store.expire_parked(NOW.replace(year=2027)) == 2
    found = forget(store)
    assert found.n_expired == 1
    store.verify()
    (counts,) = store.source_counts()
    assert (counts.expired, balanced(counts)) == (1, True)


@pytest.mark.parametrize(
    ("raw", "is_named"),
    [
        (b'{"rater": "u1"', True),
        (b"u1,2026,up", True),
        (b"rater=u1;", True),
        (b'{"rater": "\\u0075\\u0031"', True),
        (b"u10", False),
        (b"user-u1", False),
        (b"\xff\xfe\x00", False),
    ],
)
def test_letters_name_a_rater_by_a_whole_word(tmp_path, raw, is_named):
    """Now and when they come again: by the quoted id, however it is escaped, or as a word."""
    with Store(tmp_path / "store.duckdb") as store:
        append(store, letters=[DeadLetter("f:1", raw, "no")])
        assert forget(store).n_letters == is_named
        again = append(store, letters=[DeadLetter("f:1", raw, "no")])
        assert (again.forgotten, again.dead_letters) == (is_named, not is_named)


def test_only_keyed_hashes_are_kept(store, tmp_path):
    """No id is on disk, two projects have different hashes, and nobody else can read them."""
    forget(store)
    folder = tmp_path / "forgotten"
    assert "u1" not in (folder / "hashes").read_text()
    other = Forgotten(tmp_path / "elsewhere")
    other.remember([RATER])
    assert other.digest(RATER) != store.forgotten.digest(RATER)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("key", "hashes"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_nothing_is_made_while_nobody_is_forgotten(store, tmp_path):
    """A project that forgets nobody has neither key nor hashes."""
    assert not (tmp_path / "forgotten").exists()


def test_without_the_key_nothing_is_taken_in(store, tmp_path):
    """Those who were forgotten could not be told any more, so the store refuses to open."""
    forget(store)
    store.close()
    for damage in (lambda key: key.write_bytes(b"short"), lambda key: key.unlink()):
        damage(tmp_path / "forgotten" / "key")
        with pytest.raises(DataError, match="backup"):
            Store(tmp_path / "store.duckdb")


def test_a_torn_hash_is_passed_over(tmp_path):
    """A kill in the middle of writing leaves part of a line; what is added behind it counts."""
    forgotten = Forgotten(tmp_path / "forgotten")
    forgotten.remember([RATER])
    with (tmp_path / "forgotten" / "hashes").open("a") as file:
        file.write("rater 0123")
    again = Forgotten(tmp_path / "forgotten")
    again.remember([Subject("rater", "u2")])
    assert again.has("rater", "u1")
    known = Forgotten(tmp_path / "forgotten")
    assert [known.has("rater", name) for name in ("u1", "u2", "u3")] == [True, True, False]
    assert not known.has("generation", "u1")
