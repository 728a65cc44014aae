"""`thumbwheel serve` on a disk that fills up: it refuses, waits, and goes on; nothing is lost."""

import os
import subprocess
from collections import Counter
from contextlib import ExitStack, closing, suppress

import pytest
import requests
from brokers import noida
from serving import serving, wait_until
from traffic_load import (
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

CONFIG = """
project = "disk"
home = "{disk}/home"
[model]
path = "model"
[serve]
port = 0
[[sources]]
name = "topic"
connector = "kafka"
batch_size = 100
options.topics = "thumbs"
options.bootstrap_servers = "{address}"
[[sources]]
name = "app"
connector = "http"
batch_size = 100
options.log = "{disk}/received"
options.port = {port}
options.allow_anonymous = true
options.rate_limit = "1000000/second"
[[plugins]]
use = "all_pairs"
"""


class Scene:
    """A small disk with the store and the receiver's log, a topic outside, and senders."""

    def __init__(self, stack, folder):
        self.disk, port = folder / "disk", steady_port()
        self.home, self.url = self.disk / "home", f"http://127.0.0.1:{port}"
        self.config = folder / "thumbwheel.toml"
        broker = stack.enter_context(noida(folder))
        values = {"address": broker.address, "disk": self.disk, "port": port}
        self.config.write_text(CONFIG.format(**values))
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
            with (self.disk / "filler").open("ab", buffering=0) as filler, suppress(OSError):
                while (room := os.statvfs(self.disk)).f_bavail:
                    filler.write(bytes(min(room.f_bavail * room.f_frsize, 1 << 20)))
            if (answered := self.send_probe()).status_code != requests.codes.accepted:
                return answered

    def free(self):
        """Free what `fill` took."""
        (self.disk / "filler").unlink()

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
        wait_until(lambda: owner.state("topic")["state"] == "disk full")
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
        wait_until(lambda: owner.received("app") == whole_lines(self.disk / "received"))
        assert owner.get("/readyz").status_code == requests.codes.ok
        assert owner.stop() == 0
        rows = read_store(self.home / "store.duckdb")
        assert self.app.refused == []
        assert sorted(self.app.acknowledged) == sorted(self.app.sent)
        assert sorted(rows["app"].event_ids) == sorted(self.app.sent + self.probes)
        assert rows["app"].dead_letters == []
        assert rows["app"].received == whole_lines(self.disk / "received")
        assert sorted(rows["topic"].event_ids) == sorted(self.topic.event_ids)
        assert Counter(rows["topic"].dead_letters) == Counter(self.topic.poison)
        assert rows["topic"].received == self.topic.produced


@pytest.fixture
def scene(tmp_path):
    """A scene on a small tmpfs; making one takes the rights of root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}"]
    subprocess.run(["mount", *options, "none", disk], check=True)
    try:
        with ExitStack() as stack:
            yield Scene(stack, tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_waited_for(scene):
    """It answers 503, tells why, and goes on by itself: each event is stored exactly once."""
    with serving(scene.config, scene.home) as owner:
        with scene.topic.flowing(0.1):
            for _ in range(ROUNDS):
                scene.fill_and_check(owner)
                scene.free()
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
        code, _, said = thumbwheel("serve", "--config", scene.config, cwd=scene.disk.parent)
        assert code == DiskFullError.exit_code
        assert said.splitlines()[-1].startswith(f"error: there is no space left for {scene.home}")
    scene.free()
    with serving(scene.config, scene.home) as owner:
        scene.check_takes_again()
        scene.check_nothing_lost(owner)
