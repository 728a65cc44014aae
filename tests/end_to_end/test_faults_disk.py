"""`thumbwheel serve` on a disk that fills up: it refuses, waits, and goes on; nothing is lost."""

from collections import Counter
from contextlib import ExitStack, closing

import pytest
import requests
from brokers import noida
from serving import configuration, serving, source, wait_until
from small_disk import small_disk
from traffic_load import (
    NO_LIMIT,
    HttpTraffic,
    KafkaTraffic,
    read_store,
    steady_port,
    vote,
    wait_for_load,
    whole_lines,
)

from thumbwheel.errors import DiskFullError

DISK_BYTES = 32 << 20
ROUNDS = 2
BACKLOG = 1000
PARTITIONS = 2
# More than what may be left of the last page of a file.
LARGE_BATCH = 500


class Scene:
    """A small disk with the store and the receiver's log, a topic outside, and senders."""

    def __init__(self, stack, folder):
        self.disk = stack.enter_context(small_disk(folder / "disk", DISK_BYTES))
        self.home, port = self.disk.path / "home", steady_port()
        self.url, self.log = f"http://127.0.0.1:{port}", self.disk.path / "received"
        self.config = folder / "thumbwheel.toml"
        broker = stack.enter_context(noida(folder))
        topic = source("topic", "kafka", 100, topics="thumbs", bootstrap_servers=broker.address)
        app = source(
            "app",
            "http",
            100,
            log=str(self.log),
            port=port,
            allow_anonymous=True,
            rate_limit=NO_LIMIT,
        )
        self.config.write_text(configuration(topic, app, home=self.home))
        self.topic = stack.enter_context(
            closing(KafkaTraffic(broker, "thumbs", PARTITIONS, seed=1))
        )
        self.topic.produce(BACKLOG)
        self.app = HttpTraffic(port, n_senders=2, n_generations=BACKLOG, pause=0.02)
        stack.callback(self.app.close)
        self.probes = []

    def fill(self):
        """Leave no space on the disk; return the answer to a large batch that is sent then.

        A write that fails half-way gives back what it had taken, so once may not be enough.
        """
        while True:
            self.disk.fill()
            if (answered := self.send_probe()).status_code != requests.codes.accepted:
                return answered

    def send_probe(self):
        """Send a large batch of votes, always the same until it is taken; return the answer."""
        prefix = f"probe{len(self.probes)}"
        votes = [vote(f"{prefix}-{number}", number) for number in range(LARGE_BATCH)]
        response = requests.post(f"{self.url}/v1/feedback", json=votes, timeout=60)
        if response.status_code == requests.codes.accepted:
            self.probes += [event["event_id"] for event in votes]
        return response

    def fill_and_check(self, owner):
        """Fill the disk, and check that the process lives and says what is wrong."""
        wait_for_load(owner, self.app, "topic", owner.received("topic"))
        refused = self.fill()
        assert refused.status_code == requests.codes.service_unavailable
        assert int(refused.headers["Retry-After"]) > 0
        assert "could not be written to disk" in refused.json()["error"]
        wait_until(lambda: owner.state("topic")["state"] == "disk_full")
        ready = owner.get("/readyz")
        assert ready.status_code == requests.codes.service_unavailable
        assert "no space left" in ready.json()["reason"]
        assert owner.get("/livez").status_code == requests.codes.ok
        assert owner.received() > 0
        assert owner.process.poll() is None

    def check_takes_again(self):
        """The receiver goes on by itself."""
        wait_until(lambda: self.send_probe().status_code == requests.codes.accepted)

    def check_nothing_lost(self, owner):
        """End; every event that was sent, by HTTP or Kafka, is there once, and nothing else."""
        self.app.finish()
        wait_until(lambda: owner.received("topic") == self.topic.produced)
        wait_until(lambda: owner.received("app") == whole_lines(self.log))
        assert owner.get("/readyz").status_code == requests.codes.ok
        assert owner.stop() == 0
        rows = read_store(self.home / "store.duckdb")
        assert self.app.refused == []
        assert sorted(self.app.acknowledged) == sorted(self.app.sent)
        assert sorted(rows["app"].event_ids) == sorted(self.app.sent + self.probes)
        assert rows["app"].dead_letters == []
        assert rows["app"].received == whole_lines(self.log)
        assert sorted(rows["topic"].event_ids) == sorted(self.topic.event_ids)
        assert Counter(rows["topic"].dead_letters) == Counter(self.topic.poison)
        assert rows["topic"].received == self.topic.produced


@pytest.fixture
def scene(tmp_path):
    """A scene on a small tmpfs; making one takes the rights of root."""
    with ExitStack() as stack:
        yield Scene(stack, tmp_path)


def test_a_full_disk_is_waited_for(scene):
    """It answers 503, tells why, and goes on by itself: each event is stored exactly once."""
    with serving(scene.config, scene.home) as owner:
        with scene.topic.flowing(0.1):
            for _ in range(ROUNDS):
                scene.fill_and_check(owner)
                scene.disk.free()
                scene.check_takes_again()
                wait_until(lambda: owner.get("/readyz").status_code == requests.codes.ok)
        scene.check_nothing_lost(owner)


def test_it_ends_and_does_not_start_on_a_full_disk(scene, thumbwheel):
    """SIGTERM ends it with 0, all in the log that no checkpoint fits behind; a start says why not.

    With space again, the next start goes on from there.
    """
    store = scene.home / "store.duckdb"
    with scene.topic.flowing(0.1):
        with serving(scene.config, scene.home) as owner:
            scene.fill_and_check(owner)
            received = owner.sources()
            assert owner.stop() == 0
        assert store.with_name("store.duckdb.wal").stat().st_size > 0
        left = read_store(store)
        assert left.keys() == received.keys()
        assert all(left[name].received >= received[name]["received"] > 0 for name in left)
        code, _, said = thumbwheel("serve", "--config", scene.config, cwd=scene.config.parent)
        assert code == DiskFullError.exit_code
        assert said.splitlines()[-1].startswith(f"error: there is no space left for {scene.home}")
    scene.disk.free()
    with serving(scene.config, scene.home) as owner:
        scene.check_takes_again()
        scene.check_nothing_lost(owner)
