"""Feedback on MLflow traces, against real SQLite tracking stores and a real MLflow server."""

import dataclasses
import json
import os
import re
import socket
import time
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from inspect import getdoc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batches import next_batch

from thumbwheel.config import SourceConfig, VotePolicy
from thumbwheel.conformance import ConnectorContract
from thumbwheel.errors import SourceError, UnavailableError
from thumbwheel.events import IDENTIFIED, EventParser, MalformedRecordError
from thumbwheel.plugin import load_connector
from thumbwheel.registry import serve
from thumbwheel.registry.connection import SETTINGS
from thumbwheel.store import RATED_FILE, DeadLetter, Store
from thumbwheel_connectors.mlflow import client
from thumbwheel_connectors.mlflow.traces import MLflowConnector

# MLflow's own queries use what SQLAlchemy is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

QUESTION = {"messages": [{"role": "user", "content": "What is DPO?"}], "temperature": 0.7}
ANSWER = {"model": "m-7", "choices": [{"message": {"role": "assistant", "content": "A loss."}}]}


class Tracking:
    """An experiment as an application uses it."""

    def __init__(self, uri: str, experiment: str) -> None:
        import mlflow

        self.uri, self.experiment, self.mlflow = uri, experiment, mlflow

    def trace(self, inputs: Any = QUESTION, outputs: Any = ANSWER) -> str:
        self.mlflow.set_tracking_uri(self.uri)
        self.mlflow.set_experiment(self.experiment)
        span = self.mlflow.start_span_no_context("chat", inputs=inputs)
        if outputs is not None:
            span.set_outputs(outputs)
        span.end()
        return str(span.trace_id)

    def rate(
        self, trace_id: str, value: Any, rater: str | None = "ann", kind: str = "HUMAN", **more: Any
    ) -> str:
        from mlflow.entities import AssessmentSource

        self.mlflow.set_tracking_uri(self.uri)
        source = AssessmentSource(source_type=kind, source_id=rater or "default")
        more = {"name": "feedback", **more}
        made = self.mlflow.log_feedback(trace_id=trace_id, value=value, source=source, **more)
        return str(made.assessment_id)

    def connector(self, **options: Any) -> MLflowConnector:
        options = {"experiment": self.experiment, "poll_seconds": 0.05, **options}
        return MLflowConnector(tracking_uri=self.uri, **options)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database; each test has an experiment of its own in it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false"}.items():
            patch.setenv(name, value)
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
        with warnings.catch_warnings():
            # MLflow and its dependencies warn about each other while they are imported.
            warnings.simplefilter("ignore")
            Tracking(uri, "chat").trace()
        yield uri


@pytest.fixture
def tracking(database: str, request: pytest.FixtureRequest) -> Tracking:
    """The test's experiment, empty."""
    return Tracking(database, request.node.nodeid)


@pytest.fixture
def trace_id(tracking: Tracking) -> str:
    """A trace in the test's experiment."""
    return tracking.trace()


class Reader:
    """Reads a connector into a store, each time as a new process would."""

    def __init__(self, path: Path) -> None:
        self.path, self.reasons = path, list[str]()

    def __call__(self, connector: MLflowConnector) -> list[dict[str, Any]]:
        with Store(self.path) as store, closing(connector.open(store.cursor("mlflow"))) as log:
            return self.drain(log, store)

    def drain(self, log: Any, store: Store) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while (batch := log.poll(100)) is not None:
            events, letters = [], []
            for record in batch.records:
                try:
                    event = EventParser().parse(record.raw)
                except MalformedRecordError as error:
                    letters.append(DeadLetter(record.position, record.raw, str(error)))
                else:
                    assert event is not None
                    events.append(event)
            table = pa.Table.from_pylist(events, schema=IDENTIFIED)
            store.append(
                "mlflow",
                table,
                letters,
                cursor=batch.cursor,
                received=len(batch.records),
                now=datetime.now(UTC),
            )
            rows += events
            self.reasons += [letter.reason for letter in letters]
        return rows

    def rated(self) -> list[tuple[str, float, float]]:
        """Return (completion, ups, downs) of every rated completion."""
        import pyarrow.parquet as pq

        with Store(self.path) as store:
            snapshot = store.snapshot(self.path.with_suffix(".snapshot"), VotePolicy())
        rows = pq.read_table(snapshot.path / RATED_FILE).to_pylist()
        return [(row["completion"], row["n_up"], row["n_down"]) for row in rows]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Read a connector into the test's store, and tell what it holds."""
    return Reader(tmp_path / "store.duckdb")


class TestContract(ConnectorContract):
    """The contract of connectors: each event is a person's feedback on the one trace."""

    carries_malformed = False
    is_ordered = False  # feedback of the same millisecond comes in any order

    @pytest.fixture(autouse=True)
    def _experiment(self, tracking: Tracking, trace_id: str) -> None:
        self.tracking, self.trace_id = tracking, trace_id

    def connector(self, folder: Path) -> MLflowConnector:
        return self.tracking.connector()

    def produce(self, records: Any) -> None:
        for record in map(json.loads, records):
            self.tracking.rate(
                self.trace_id, record["score"], record["rater_id"], rationale=record["event_id"]
            )

    def identity(self, raw: bytes) -> str:
        event = json.loads(raw)
        return str(event.get("comment") or event["event_id"])


def test_feedback_becomes_rated_completions(
    tracking: Tracking, trace_id: str, read: Reader
) -> None:
    """The root span's chat and answer, the raters' votes and words, and the model are stored."""
    tracking.rate(trace_id, True, "ann", rationale="just right", metadata={"page": "faq"})
    tracking.rate(trace_id, "down", "bob")
    up, down = read(tracking.connector())
    assert up["prompt"] == [{"role": "user", "content": "What is DPO?"}]
    assert (up["completion"], up["model_version"]) == ("A loss.", "m-7")
    assert (up["rater_id"], up["score"], up["comment"]) == ("ann", 1.0, "just right")
    assert json.loads(up["metadata"])["page"] == "faq"
    assert (down["rater_id"], down["score"]) == ("bob", -1.0)
    assert up["generation_id"] == down["generation_id"] == trace_id
    assert read.rated() == [("A loss.", 1, 1)]


def test_only_the_named_feedback_of_people_counts(
    tracking: Tracking, trace_id: str, read: Reader
) -> None:
    """Judges, code, other names and feedback without a value are left out, unless asked for."""
    tracking.rate(trace_id, True, "gpt", kind="LLM_JUDGE")
    tracking.rate(trace_id, True, "check", kind="CODE")
    tracking.rate(trace_id, True, name="relevance")
    tracking.rate(trace_id, None, error=ValueError("no value"))
    assert read(tracking.connector()) == []
    judged = read(tracking.connector(source_types=["LLM_JUDGE"]))
    assert [event["rater_id"] for event in judged] == ["gpt"]
    named = read(tracking.connector(feedback_name="relevance"))
    assert [event["rater_id"] for event in named] == ["ann"]
    assert read.reasons == []


def test_an_expectation_is_a_correction(tracking: Tracking, trace_id: str, read: Reader) -> None:
    """The expected response of a person is their own better answer, and no vote."""
    from mlflow.entities import AssessmentSource

    tracking.mlflow.set_tracking_uri(tracking.uri)
    person = AssessmentSource("HUMAN", "ann")
    tracking.mlflow.log_expectation(
        trace_id=trace_id, name="expected_response", value="A preference loss.", source=person
    )
    (event,) = read(tracking.connector())
    assert (event["correction"], event["is_vote"]) == ("A preference loss.", False)
    assert (event["rater_id"], event["completion"]) == ("ann", "A loss.")


@pytest.mark.parametrize("rater", ["ann", None])
def test_a_changed_vote_replaces_the_first(
    tracking: Tracking, trace_id: str, read: Reader, rater: str | None
) -> None:
    """An updated assessment is a newer event of the same rater, also of an unknown one."""
    from mlflow.entities import Feedback

    assessment_id = tracking.rate(trace_id, True, rater)
    assert len(read(tracking.connector())) == 1
    assert read.rated() == [("A loss.", 1, 0)]
    tracking.mlflow.update_assessment(
        trace_id=trace_id, assessment_id=assessment_id, assessment=Feedback(value=False)
    )
    (event,) = read(tracking.connector())
    assert event["event_id"].startswith(assessment_id)
    assert read.rated() == [("A loss.", 0, 1)]
    assert read(tracking.connector()) == []


def test_unknown_raters_are_told_apart(tracking: Tracking, trace_id: str, read: Reader) -> None:
    """Two votes that name nobody are two raters' votes."""
    tracking.rate(trace_id, True, None)
    tracking.rate(trace_id, False, None)
    read(tracking.connector())
    assert read.rated() == [("A loss.", 1, 1)]


@pytest.mark.parametrize("restarts", [True, False])
def test_overridden_and_deleted_votes_are_taken_back(
    tracking: Tracking, trace_id: str, read: Reader, *, restarts: bool
) -> None:
    """An override withdraws, deleting it restores, and deleting the vote withdraws it again."""
    from mlflow.entities import AssessmentSource

    connector = tracking.connector()
    first = tracking.rate(trace_id, True, "ann")
    store, log = Store(read.path), connector.open(None)
    told = read.drain(log, store)

    def read_on() -> list[tuple[str, float, float]]:
        if not restarts:
            time.sleep(0.1)
            told.extend(read.drain(log, store))
        store.close()
        if restarts:
            told.extend(read(connector))
        return read.rated()

    second = tracking.mlflow.override_feedback(
        trace_id=trace_id,
        assessment_id=first,
        value=False,
        source=AssessmentSource("HUMAN", "moderator"),
    )
    assert read_on() == [("A loss.", 0, 1)]
    store = Store(read.path)
    tracking.mlflow.delete_assessment(trace_id=trace_id, assessment_id=second.assessment_id)
    assert read_on() == [("A loss.", 1, 0)]
    store = Store(read.path)
    tracking.mlflow.delete_assessment(trace_id=trace_id, assessment_id=first)
    assert read_on() == []
    log.close()
    told_of_first = [event for event in told if event["event_id"].startswith(first)]
    assert [event["score"] for event in told_of_first] == [1, None, 1, None]
    times = [event["occurred_at"] for event in told_of_first]
    assert times == sorted(set(times)), "in any order of arrival the last word is the last"


def test_a_vote_on_an_older_trace_is_found(tracking: Tracking, trace_id: str, read: Reader) -> None:
    """Within `rescan_days` of the newest rated trace a late vote counts; beyond, it does not."""
    time.sleep(0.01)
    newer = tracking.trace({"question": "And KTO?"}, "Another.")
    tracking.rate(newer, True)
    assert len(read(tracking.connector())) == 1
    tracking.rate(trace_id, False)
    assert read(tracking.connector(rescan_days=0)) == []
    assert [event["completion"] for event in read(tracking.connector())] == ["A loss."]


def test_a_cursor_forgets_what_is_no_longer_looked_at(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes on traces older than the window are not carried along."""
    monkeypatch.setattr(client, "_PAGE", 1)
    for number in range(3):
        tracking.rate(tracking.trace(f"question {number}"), True)
        time.sleep(0.01)
    for days, carried in ((7, 3), (0, 1)):
        with closing(tracking.connector(rescan_days=days).open(None)) as log:
            assert log.poll(2) is not None
            cursor = next_batch(log, 2).cursor
        assert len(json.loads(cursor)["told"]) == carried


def test_a_trace_in_progress_waits(tracking: Tracking, read: Reader) -> None:
    """A vote that comes before the answer is complete is read when it is."""
    tracking.mlflow.set_tracking_uri(tracking.uri)
    tracking.mlflow.set_experiment(tracking.experiment)
    root = tracking.mlflow.start_span_no_context("agent", inputs="question")
    tracking.mlflow.start_span_no_context("step", parent_span=root).end()
    tracking.rate(root.trace_id, True)
    assert read(tracking.connector()) == []
    root.set_outputs("answer")
    root.end()
    assert [event["completion"] for event in read(tracking.connector())] == ["answer"]
    assert read.reasons == []


def test_a_vote_on_a_span_is_about_its_answer(
    tracking: Tracking, read: Reader, trace_id: str
) -> None:
    """An assessment that names a span takes prompt and answer from there, not from the root."""
    tracking.mlflow.set_tracking_uri(tracking.uri)
    tracking.mlflow.set_experiment(tracking.experiment)
    with tracking.mlflow.start_span("agent") as root:
        root.set_inputs({"question": "outer"})
        with tracking.mlflow.start_span("model") as inner:
            inner.set_inputs("inner")
            inner.set_outputs({"role": "assistant", "content": "reply"})
        root.set_outputs("done")
    tracking.rate(root.trace_id, True)
    tracking.rate(root.trace_id, False, span_id=inner.span_id)
    read(tracking.connector())
    assert sorted(read.rated()) == [("done", 1, 0), ("reply", 0, 1)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "value", "reason"),
    [
        ({"a": 1, "b": 2}, "fine", True, "no prompt in the inputs, an object with 'a', 'b'"),
        ("fine", {"documents": []}, True, "no answer in the outputs, an object with 'documents'"),
        ("fine", None, True, "no answer in the outputs, None"),
        ("fine", "fine", "so so", "rating a text is neither in `up`"),
        ("fine", "fine", 0.5, "rating 0.5 is neither in `up`"),
        ("fine", "fine", ["up"], "rating a list is neither in `up`"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter(
    tracking: Tracking, read: Reader, inputs: Any, outputs: Any, value: Any, reason: str
) -> None:
    """An answer or a rating that is not understood is kept, and the reason names it."""
    tracking.rate(tracking.trace(inputs, outputs), value)
    assert read(tracking.connector()) == []
    (found,) = read.reasons
    assert re.search(reason, found.replace("\\'", "'"))


def test_all_pages_are_read(
    tracking: Tracking, read: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rated traces beyond a page of MLflow's are read, each once, and stars are scaled."""
    monkeypatch.setattr(client, "_PAGE", 2)
    for stars in range(1, 6):
        tracking.rate(tracking.trace(f"question {stars}", f"answer {stars}"), stars)
    scale = {"down": 1, "up": 5}
    events = read(tracking.connector(scale=scale))
    assert [event["score"] for event in events] == [-1, -0.5, 0, 0.5, 1]
    assert read(tracking.connector(scale=scale)) == []


def test_a_followed_source_asks_once_in_a_while(tracking: Tracking, trace_id: str) -> None:
    """Between rounds MLflow is left alone: a new vote waits for the next round."""
    tracking.rate(trace_id, True)
    with closing(tracking.connector(poll_seconds=3600).open(None)) as log:
        assert len(next_batch(log, 10).records) == 1
        assert log.poll(10) is None
        tracking.rate(trace_id, False)
        assert log.poll(10) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "chet"}, "no experiment 'chet' .did you mean 'chat'"),
        ({"tracking_uri": "sqlite:////nowhere/mlflow.db"}, "no MLflow database /nowhere"),
        ({"tracking_uri": "ftp://host"}, "`tracking_uri` ftp://… is not supported"),
    ],
)
def test_mistakes_are_told(tracking: Tracking, options: dict[str, Any], message: str) -> None:
    """A wrong experiment or address is a SourceError that says what to mend."""
    connector = MLflowConnector(**{"tracking_uri": tracking.uri, "experiment": "chat", **options})
    with pytest.raises(SourceError, match=message):
        connector.open(None)


def test_a_cursor_of_another_connector_is_refused(tracking: Tracking) -> None:
    """The cursor of another kind of source is not taken for MLflow's."""
    for cursor in ('{"files": {}}', "17", '{"told": {"a": [1]}, "watermark_ms": 1}'):
        with pytest.raises(SourceError, match="give it a new `name`"):
            tracking.connector().open(cursor)


def test_a_real_server_and_one_that_is_gone(
    tracking: Tracking, trace_id: str, read: Reader, tmp_path: Path, monkeypatch: Any
) -> None:
    """Over HTTP the same events come; when the server ends, that is an outage, and no loss."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serve(tracking.uri, tmp_path / "artifacts", port) as server:
        remote = Tracking(server.url, tracking.experiment)
        deleted = remote.rate(trace_id, True, "ann")
        remote.rate(trace_id, False, "bob")
        log, store = remote.connector().open(None), Store(read.path)
        assert [event["score"] for event in read.drain(log, store)] == [1, -1]
        tracking.mlflow.delete_assessment(trace_id=trace_id, assessment_id=deleted)
        time.sleep(0.1)
        (withdrawn,) = read.drain(log, store)
        assert (withdrawn["rater_id"], withdrawn["score"]) == ("ann", None)
    time.sleep(0.1)
    with pytest.raises(UnavailableError, match="does not answer"):
        log.poll(10)
    with pytest.raises(UnavailableError, match="mend `tracking_uri`"):
        remote.connector().open(None)
    store.close()
    assert read.rated() == [("A loss.", 0, 1)]
    assert os.listdir() == [], "nothing is written into the working directory"


def test_the_page_says_what_is_so() -> None:
    """The configuration in docs/mlflow-traces.md loads, and its table has every option."""
    page = (Path(__file__).parents[3] / "docs" / "mlflow-traces.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    source = SourceConfig.model_validate(tomllib.loads(block)["sources"][0])
    assert isinstance(load_connector(source, Path()), MLflowConnector)
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert told == {field.name for field in dataclasses.fields(MLflowConnector)}
    for option in told:
        assert f"    {option}: " in (getdoc(MLflowConnector) or "")
