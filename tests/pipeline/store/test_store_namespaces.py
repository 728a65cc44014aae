"""Ids are the source's own: what another source claims about them is kept, and never obeyed."""

from storing import NOW, append, event, known, rated, table, vote

from thumbwheel.config import VotePolicy
from thumbwheel.config.feedback import SourceConfig
from thumbwheel.store import Store
from thumbwheel.types.fates import IdConflict, Quarantine

APP = [
    event(event_id="a", generation_id="g", completion="true", occurred_at="2026-03-01"),
    vote(event_id="v", generation_id="g", score=1, rater_id="u", occurred_at="2026-03-02"),
]


def kinds(store):
    return [(c.kind, c.source, c.other) for c in store.conflicting_ids()]


def test_an_answer_of_another_source_takes_over_no_votes(tmp_path):
    """The same id told earlier elsewhere, with another text, is an answer of its own."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, *APP, source="app")
        stolen = event(event_id="x", generation_id="g", completion="evil", occurred_at="2026-01-01")
        append(store, stolen, source="hook")
        _, rows = rated(store, tmp_path)
        assert set(rows) == {"true"}
        assert kinds(store) == [(IdConflict.OTHER_ANSWERS, "app", "hook")]
        (note,) = known(store.event_state("v", VotePolicy())).notes
        assert note == "the answer g of hook is another one"


def test_an_event_of_another_source_squats_no_id(tmp_path):
    """An event id that another source used before is no duplicate, also after a restart."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="v", completion="squat"), source="hook")
    with Store(tmp_path / "s.duckdb") as store:
        counts = append(store, *APP, source="app")
        assert (counts.stored, counts.duplicates) == (2, 0)
        assert append(store, *APP, source="app", cursor="2").duplicates == 2
        assert kinds(store) == [(IdConflict.OTHER_EVENTS, "app", "hook")]
        store.verify()


def test_a_vote_of_another_source_is_no_change_of_mind(tmp_path):
    """A rater's name in another source is another rater: no vote is replaced, none withdrawn."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, *APP, source="app")
        claims = [
            event(event_id="1", generation_id="g", completion="true", score=-1, rater_id="u",
                  occurred_at="2026-03-05"),
            vote(event_id="2", generation_id="g", withdrawn=True, rater_id="u",
                 occurred_at="2026-03-06"),
        ]  # fmt: skip
        append(store, *claims, source="hook")
        _, rows = rated(store, tmp_path)
    assert (rows["true"]["n_up"], rows["true"]["n_down"]) == (1, 0)


def test_a_flood_under_a_raters_name_quarantines_the_flood_only(tmp_path):
    """Votes in another source under a rater's name do not make theirs suspicious."""
    flood = [
        event(event_id=f"f{n}", prompt=f"{n}", score=1, rater_id="u",
              occurred_at=f"2026-03-03T00:00:{n:02}Z")
        for n in range(30)
    ]  # fmt: skip
    with Store(tmp_path / "s.duckdb") as store:
        append(store, *APP, source="app")
        append(store, *flood, source="hook")
        policy = VotePolicy(votes={"max_rater_share": 1, "quarantine_constant": False})
        assert known(store.event_state("v", policy)).state == "vote"
        left_out = known(known(store.event_state("f3", policy)).quarantined)
        assert (left_out.namespace, left_out.why) == ("hook", Quarantine.BURST)


def test_sources_are_joined_by_configuration(tmp_path):
    """Where two sources share a namespace, votes of one are about answers of the other."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, APP[0], source="answers")
        append(store, APP[1], source="votes")
        assert store.vote_counts().parked == 1
        assert store.standing(VotePolicy()).counts.parked == 1
        assert kinds(store) == [(IdConflict.ELSEWHERE, "votes", "answers")]
        for name in ("answers", "votes"):
            store.adopt_namespace(name, SourceConfig(name=name, connector="x", ids="shared")
                                  .id_namespace)  # fmt: skip
        assert store.vote_counts().parked == 0
        assert store.standing(VotePolicy()).counts.parked == 0
        assert kinds(store) == []
        again = store.append(
            "votes", table(APP), [], cursor="2", received=2, now=NOW, namespace="*"
        )
        assert again.duplicates == 2
