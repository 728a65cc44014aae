"""A broker that is gone, or hangs, while `thumbwheel serve` runs: nothing is lost, others go on."""

import signal
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from brokers import noida
from serving import configuration, serving, source, wait_until
from traffic_load import HttpTraffic, KafkaTraffic, read_store, steady_port

OUTAGE_SECONDS = 30.0
PAUSE_SECONDS = 12.0
BACKLOG = 4000
PARTITIONS = 2


class Scene:
    """A broker with a backlog, `serve` in the middle of reading it, and votes coming in by HTTP."""

    def __init__(self, stack, folder):
        self.folder, self.port = folder, steady_port()
        self.broker = stack.enter_context(noida(folder, self.port))
        self.topic = KafkaTraffic(self.broker, "thumbs", PARTITIONS, seed=1)
        self.topic.produce(BACKLOG)
        app_port = steady_port()
        config = folder / "thumbwheel.toml"
        config.write_text(
            configuration(
                source(
                    "topic",
                    "kafka",
                    100,
                    topics="thumbs",
                    bootstrap_servers=self.broker.address,
                    timeout_seconds=2,
                ),
                source("app", "http", log="received", port=app_port, allow_anonymous=True),
            )
        )
        self.owner = stack.enter_context(serving(config, folder / "home"))
        self.app = HttpTraffic(app_port, n_senders=2, n_generations=BACKLOG, pause=0.02)
        stack.callback(self.app.close)
        wait_until(lambda: self.owner.received("topic") > 0)

    def check_lives(self):
        """The process lives, is ready, and stores what comes by HTTP, now."""
        for probe in ("/livez", "/readyz"):
            assert self.owner.get(probe).json() == {"status": "ok", "reason": None}
        before = self.owner.received("app")
        wait_until(lambda: self.owner.received("app") > before)

    def check_all_stored_once(self):
        """At the end: every event by either way once, and the process ends well."""
        self.app.finish()
        wait_until(
            lambda: (
                self.owner.received("topic") == self.topic.produced
                and self.owner.stored() == len(self.topic.event_ids) + len(self.app.acknowledged)
            )
        )
        assert self.owner.stop() == 0
        rows = read_store(self.folder / "home" / "store.duckdb")
        assert sorted(rows["topic"].event_ids) == sorted(self.topic.event_ids)
        assert Counter(rows["topic"].dead_letters) == Counter(self.topic.poison)
        assert sorted(rows["app"].event_ids) == sorted(self.app.acknowledged)
        assert (sorted(self.app.sent), self.app.refused) == (sorted(self.app.acknowledged), [])


@pytest.fixture
def scene(tmp_path):
    with ExitStack() as stack:
        yield Scene(stack, tmp_path)


def test_a_broker_gone_for_half_a_minute(scene, tmp_path):
    """The source waits and says why, the other one is stored meanwhile; then all is there once."""
    scene.owner.process.send_signal(signal.SIGSTOP)
    scene.topic.produce(1000)  # which therefore nobody reads before the broker is gone
    scene.topic.close()
    scene.broker.stop()
    scene.owner.process.send_signal(signal.SIGCONT)
    back_at = time.monotonic() + OUTAGE_SECONDS
    wait_until(lambda: scene.owner.state("topic")["state"] == "waiting")
    assert scene.owner.received("topic") < scene.topic.produced
    while time.monotonic() < back_at:
        assert scene.owner.state("topic")["state"] == "waiting"
        assert scene.broker.address in scene.owner.state("topic")["error"]
        scene.check_lives()
        time.sleep(0.5)
    with noida(tmp_path, scene.port):
        scene.topic.reconnect()
        scene.topic.produce(1000)
        scene.topic.close()
        scene.check_all_stored_once()


def test_a_broker_that_hangs(scene):
    """It is stopped while events flow: the source waits, and goes on when the broker does."""
    with scene.topic.flowing(0.05):
        time.sleep(0.5)
        scene.broker.process.send_signal(signal.SIGSTOP)
        awake_at = time.monotonic() + PAUSE_SECONDS
        try:
            wait_until(lambda: scene.owner.state("topic")["state"] == "waiting")
            assert "does not answer" in scene.owner.state("topic")["error"]
            while time.monotonic() < awake_at:
                scene.check_lives()
                time.sleep(0.5)
        finally:
            scene.broker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: scene.owner.state("topic")["error"] is None)
    scene.topic.close()
    scene.check_all_stored_once()
