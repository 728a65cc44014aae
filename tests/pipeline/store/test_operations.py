"""Whoever holds the store, it can be asked the same, and tells the same."""

import inspect
from typing import Any

import pyarrow as pa
import pytest
from storing import append, event, vote

from thumbwheel.config import VotePolicy
from thumbwheel.errors import BusyError, DataError
from thumbwheel.process.web import BackgroundServer
from thumbwheel.serve.api import Owner, make_api
from thumbwheel.store import DeadLetter, OpenedStore, ReplayCounts, Store
from thumbwheel.store.operations import OPERATIONS
from thumbwheel.store.remote import RemoteStore

POLICY = VotePolicy(votes={"burst_votes": None}, origins={"labels": "annotators", "made": "ai"})


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.duckdb") as store:
        answer = {"prompt": [{"role": "tool", "content": "q", "tool_call_id": "1"}]}
        append(store, event(event_id="a/b ?", generation_id="g", rater_id="r", score=1, **answer))
        append(store, vote(event_id="v", generation_id="g", score=-1), letters=LETTERS, cursor="2")
        append(store, event(event_id="of a model", prompt="other"), source="made")
        append(store, vote(event_id="v", generation_id="g", score=1), source="other")
        yield store


LETTERS = [DeadLetter(f"f:{n}", b"{", "not valid JSON") for n in range(3)]


@pytest.fixture
def remote(store, tmp_path):
    replayed = {"s": ReplayCounts(stored=2)}
    owner = Owner(store, tmp_path, "secret", list, lambda: None, lambda source: replayed, bytes)
    server = BackgroundServer(make_api(owner), "127.0.0.1", 0, 1)
    try:
        with RemoteStore(server.url, "secret") as remote:
            yield remote
    finally:
        server.close()


def test_every_served_operation_tells_the_same(store, remote):
    """Over HTTP each operation takes the same arguments and gives the same answer as the file."""
    (prompt_id,) = store.prompt_pool(POLICY, 10)
    asked: dict[str, list[dict[str, Any]]] = {
        "source_counts": [{}],
        "source_states": [{}],
        "plugin_counts": [{}],
        "vote_counts": [{}],
        "standing": [{"policy": POLICY}, {"policy": VotePolicy()}],
        "vote_sides": [{}],
        "conflicting_ids": [{}],
        "dead_letters": [{}, {"limit": 2}, {"source": "s"}, {"source": "unknown", "limit": 1}],
        "dead_letter_reasons": [{}, {"limit": 1}],
        "query": [
            {"sql": "SELECT event_id, prompt FROM events"},
            {"sql": "FROM events", "max_rows": 1},
        ],
        "event_state": [{"event_id": name, "policy": POLICY} for name in ("a/b ?", "v", "unknown")],
        "prompt_pool": [{"policy": POLICY, "size": 10}, {"policy": VotePolicy(), "size": 1}],
        "production_prompts": [{"policy": POLICY, "prompt_ids": [prompt_id, "unknown"]}],
    }
    assert asked.keys() == {operation.name for operation in OPERATIONS}
    for name, calls in asked.items():
        for arguments in calls:
            told = getattr(remote, name)(**arguments)
            expected = getattr(store, name)(**arguments)
            assert told.equals(expected) if isinstance(told, pa.Table) else told == expected
    (prompt,) = remote.production_prompts(POLICY, [prompt_id])
    assert prompt.prompt[0]["extra"] == '{"tool_call_id":"1"}'


def test_both_kinds_of_store_do_all_of_it(remote):
    """What the remote store is made of at run time is all that is declared, as it is declared."""
    for name, declared in inspect.getmembers(OpenedStore, inspect.isfunction):
        if name.startswith("_"):
            continue
        assert callable(getattr(remote, name))
        parameters = inspect.signature(declared).parameters.values()
        implemented = inspect.signature(getattr(Store, name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in parameters] == [
            (p.name, p.kind, p.default) for p in implemented
        ]


def test_arguments_are_bounded(remote):
    """What the declaration forbids is refused with the argument's name."""
    with pytest.raises(DataError, match="limit"):
        remote.dead_letters(limit=0)
    with pytest.raises(DataError, match="timeout_seconds"):
        remote.query("SELECT 1", timeout_seconds=1000)
    with pytest.raises(DataError, match="size"):
        remote.prompt_pool(POLICY, 0)


def test_who_reads_the_sources(store, remote):
    """The file's holder reads itself; an owner does, and says so to whoever wants to."""
    assert store.ingest(lambda held: held is store)
    with pytest.raises(BusyError, match="reads the sources all the time"):
        remote.ingest(pytest.fail)
    seen: list[Store] = []
    store.refresh(seen.append)
    remote.refresh(pytest.fail)
    assert seen == [store]
    assert store.replay("s", lambda held: {"s": ReplayCounts(stored=1)})["s"].stored == 1
    assert remote.replay("s", pytest.fail)["s"].stored == 2
