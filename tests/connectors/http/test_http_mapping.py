"""A source's mapping at the door: what is answered with 202 can be read, and counts once."""

from contextlib import closing

import pytest
import requests

from thumbwheel.config import SourceConfig
from thumbwheel.ingest import parser_for
from thumbwheel_connectors.http.connector import HttpConnector

MAPPING = {
    "prompt": "question",
    "completion": "answer",
    "rating": "thumb",
    "rater": "user",
    "generation_id": "message",
}
RECORD = {"question": "Is it open?", "answer": "Yes.", "thumb": "up", "user": "u1"}


@pytest.fixture
def receive(tmp_path):
    """Listen for a source with a mapping: (what reads its log, a function that sends)."""
    receivers = []

    def make(**mapping):
        source = SourceConfig(name="app", connector="http", mapping=MAPPING | mapping)
        parser = parser_for(source, tmp_path)
        connector = HttpConnector(tmp_path / "log", port=0, allow_anonymous=True)
        receivers.append(connector.listen(parser))

        def send(body, path="/v1/feedback", **headers):
            return requests.post(receivers[-1].url + path, json=body, headers=headers, timeout=10)

        def read():
            with closing(connector.open(None)) as log:
                batch = log.poll(1000)
            return parser.parse_batch([record.raw for record in batch.records] if batch else [])

        return send, read

    yield make
    for receiver in receivers:
        receiver.close()


def test_what_the_mapping_reads_is_taken(receive):
    """A payload in another tool's keys is one vote, at either route, and its texts are there."""
    send, read = receive()
    assert send(RECORD).status_code == 202
    assert send([RECORD | {"user": "u2"}], "/v1/generations").json() == {"accepted": 1}
    parsed = read()
    assert parsed.malformed == []
    assert parsed.events["completion"].to_pylist() == ["Yes.", "Yes."]
    assert parsed.events["rater_id"].to_pylist() == ["u1", "u2"]
    assert parsed.events["score"].to_pylist() == [1, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "p", "completion": "c", "score": 1},
        RECORD | {"thumb": "sideways"},
        RECORD | {"answer": None},
        {"thumb": "up"},
        [RECORD, {"thumb": "up"}],
        "text",
    ],
)
def test_what_it_cannot_read_is_refused(receive, body):
    """What would be a dead letter is 422 and not in the log, own format included."""
    send, read = receive()
    answer = send(body)
    assert (answer.status_code, "is not valid" in answer.json()["error"]) == (422, True)
    assert len(read().events) == 0


def test_a_request_that_is_sent_again_counts_once(receive):
    """Its events have one id: the record's, else of the request's key, else of the content."""
    send, read = receive(event_id="id")
    vote = {"message": "m", "thumb": "up", "user": "u"}
    for _ in range(2):
        send(vote | {"id": "v1"})
        send([vote, vote], **{"Idempotency-Key": "k"})
        send(vote)
    ids = read().events["event_id"].to_pylist()
    assert len(ids) == 8
    assert len(set(ids)) == 4
    assert {"v1", "feedback/k/0", "feedback/k/1"} < set(ids)


def test_a_sender_names_no_event_but_by_the_mapping(receive):
    """The receiver's own key in a record is the receiver's."""
    send, read = receive()
    send(RECORD | {"thumbwheel_event_id": "mine"})
    assert read().events["event_id"].to_pylist() != ["mine"]


def test_what_where_leaves_out_is_taken(receive):
    """A record that the configuration leaves out is no fault of its sender."""
    send, read = receive(where={"kind": "thumb"})
    assert send(RECORD | {"kind": "thumb"}).status_code == 202
    assert send(RECORD | {"kind": "page view"}).status_code == 202
    parsed = read()
    assert (len(parsed.events), parsed.ignored, parsed.malformed) == (1, 1, [])


def test_the_receiver_describes_what_it_takes(receive, tmp_path):
    """Its documents do not ask for Thumbwheel's own keys where a mapping reads others."""
    send, _ = receive()
    url = send(RECORD).url.removesuffix("/v1/feedback")
    described = requests.get(url + "/openapi.json", timeout=10).json()
    assert "score" not in str(described["components"]["schemas"]["Event"])
    assert requests.get(url + "/docs", timeout=10).status_code == 200
