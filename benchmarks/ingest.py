"""How fast events are ingested, beside what they are compared with.

    python benchmarks/ingest.py kafka    # Kafka to committed rows : a bare kafka-python poll loop
    python benchmarks/ingest.py flat     # cost per event with 10 M rows stored : with none
    python benchmarks/ingest.py http     # acknowledged events a second, sent by wrk

`kafka` starts a broker that the tests use (Tansu, in memory), or takes one that runs (`--servers`).
`http` needs wrk (Debian: `apt install wrk`).
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from thumbwheel.config import Config, load_config
from thumbwheel.events import EventParser
from thumbwheel.events.parallel import Parsing
from thumbwheel.ingest import SourcePipeline
from thumbwheel.ingest.pipeline import StoredBatch
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store

PARTITIONS = 3
ROOT = Path(__file__).parents[1]
ANSWER = "An answer of a length that answers have, about two hundred characters. " * 3

CONFIG = """
project = "benchmark"
home = "home"
[model]
path = "model"
[serve]
port = 0
[[sources]]
name = "events"
connector = "{connector}"
{options}
[[plugins]]
use = "all_pairs"
"""

BARE_LOOP = """
import sys, time
from kafka import KafkaConsumer, TopicPartition
servers, total, topic = sys.argv[1:]
consumer = KafkaConsumer(bootstrap_servers=servers)
partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
consumer.assign(partitions)
consumer.seek_to_beginning()
received, begun = 0, time.perf_counter()
while received < int(total):
    received += sum(map(len, consumer.poll(timeout_ms=500, max_records=10_000).values()))
print(time.perf_counter() - begun)
"""

WRK_SCRIPT = """
local thread = 0
function setup(t) t:set("id", thread); thread = thread + 1 end
function init() count = 0 end
function request()
  count = count + 1
  local name = id .. "-" .. count
  local body = '{"event_id": "' .. name .. '", "prompt": "question ' .. count % 1000 ..
    '", "completion": "answer ' .. name .. '", "score": 1, "rater_id": "r' .. count % 50 .. '"}'
  return wrk.format("POST", "/v1/feedback", {["Content-Type"] = "application/json"}, body)
end
"""


def event(number: int) -> bytes:
    """Return a typical event, of about 450 bytes."""
    return json.dumps(
        {
            "event_id": f"event-{number:012d}",
            "generation_id": f"generation-{number:012d}",
            "prompt": f"How does one do the thing with the number {number % 100_000}?",
            "completion": f"{number} {ANSWER}",
            "score": 1 if number % 3 else -1,
            "rater_id": f"rater-{number % 5000}",
            "model_version": "v1",
            "occurred_at": "2026-01-01T00:00:00Z",
        }
    ).encode()


@dataclass
class Project:
    """A project in a folder of its own, and its one source."""

    folder: Path

    def write(self, connector: str, options: str) -> Config:
        """Write its configuration and return it."""
        path = self.folder / "thumbwheel.toml"
        path.write_text(CONFIG.format(connector=connector, options=options))
        return load_config(path)


def read_all(config: Config, store: Store, parsing: Parsing) -> tuple[int, float]:
    """Ingest until caught up; return how many events were stored, and the wall-clock seconds."""
    plugins = PluginManager(config.plugins, config.base_dir)
    pipeline = SourcePipeline(config.sources[0], store, plugins, config.base_dir, parsing)
    stored = 0

    def count(batch: StoredBatch) -> None:
        nonlocal stored
        stored += batch.counts.stored

    with pipeline.open() as log:
        begun = time.perf_counter()
        pipeline.read_round(log, count)
        return stored, time.perf_counter() - begun


def run_kafka(console: Console, events: int, rounds: int, servers: str | None) -> None:
    """Compare Kafka to committed rows with a bare poll loop, in turns on the same topics."""
    sys.path.insert(0, str(ROOT / "tests" / "connectors"))
    from brokers import Broker, tansu
    from kafka import KafkaProducer

    topic = f"benchmark-{os.getpid()}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = nullcontext(Broker(servers, None)) if servers else tansu(folder)
        with broker as running:
            with console.status(f"producing {events:,} events"):
                producer = KafkaProducer(bootstrap_servers=running.address, linger_ms=50)
                running.create_topic(topic, PARTITIONS)
                for number in range(events):
                    producer.send(topic, event(number), partition=number % PARTITIONS)
                producer.flush()
                producer.close()
            options = f'options = {{ topics = "{topic}", bootstrap_servers = "{running.address}" }}'
            config = Project(folder).write("kafka", options)
            table = Table("round", "bare loop, events/s", "committed rows, events/s", "ratio")
            ratios = []
            for number in range(rounds):
                command = [sys.executable, "-c", BARE_LOOP, running.address, str(events), topic]
                bare = float(subprocess.run(command, capture_output=True, check=True).stdout)
                shutil.rmtree(config.home, ignore_errors=True)
                with Store(config.layout.store) as store, Parsing() as parsing:
                    # Neither the bare loop's time nor this one begins before Python has started.
                    some = [event(0)] * 1000
                    wait([parsing.submit(EventParser(), some) for _ in range(os.cpu_count() or 1)])
                    stored, seconds = read_all(config, store, parsing)
                assert stored == events, f"stored {stored:,} of {events:,}"
                ratios.append(bare / seconds)
                rates = (events / bare, events / seconds)
                table.add_row(str(number + 1), *(f"{r:,.0f}" for r in rates), f"{ratios[-1]:.2f}")
    console.print(table)
    console.print(f"Kafka to committed rows : bare poll loop = {statistics.median(ratios):.2f}")


def run_flat(console: Console, millions: int) -> None:
    """Stream millions of events from files, and compare the last million's cost with the first."""
    table = Table("rows before", "wall us/event", "CPU us/event", "memory, MiB", "store, MiB")
    costs = []
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        config = project.write("file", 'options.path = "events-*.jsonl"')
        with Store(config.layout.store) as store, Parsing() as parsing:
            for million in range(millions):
                path = project.folder / f"events-{million:03d}.jsonl"
                with (
                    console.status(f"million {million + 1} of {millions}"),
                    path.open("wb") as file,
                ):
                    for number in range(million * 1_000_000, (million + 1) * 1_000_000):
                        file.write(event(number) + b"\n")
                before = cpu_seconds()
                stored, seconds = read_all(config, store, parsing)
                assert stored == 1_000_000, f"stored {stored:,}"
                path.unlink()
                costs.append((cpu_seconds() - before, seconds))
                row = (seconds, costs[-1][0], memory() / 2**20, store.size() / 2**20)
                table.add_row(f"{million} M", *(f"{value:,.1f}" for value in row))
    console.print(table)
    for index, kind in enumerate(("CPU", "wall")):
        ratio = costs[-1][index] / costs[0][index]
        console.print(f"{kind} per event, last million : first million = {ratio:.2f}")


def run_http(console: Console, seconds: int) -> None:
    """Send single events from wrk to a running `thumbwheel serve`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = 'options = { log = "log", port = 0, allow_anonymous = true, '
        options += 'rate_limit = "1000000/second" }'
        options = options.replace("port = 0", f"port = {free_port()}")
        config = Project(folder).write("http", options)
        (folder / "events.lua").write_text(WRK_SCRIPT)
        port = config.sources[0].options["port"]
        with serving(config, folder):
            command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", str(folder / "events.lua")]
            told = subprocess.run(
                [*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True
            ).stdout
        found = re.search(r"(\d+) requests in ([\d.]+)s", told)
        assert found is not None, told
        (requests, taken) = found.groups()
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
        acknowledged = int(requests) - int(refused[1] if refused else 0)
        with Store(config.layout.store) as store:
            stored = sum(counts.stored for counts in store.source_counts())
    console.print(told)
    console.print(
        f"{acknowledged / float(taken):,.0f} acknowledged events/s; {acknowledged:,} acknowledged, "
        f"{stored:,} stored when it had been stopped (2,000 events/s are asked for: "
        f"{acknowledged / float(taken) / 2000:.2f})"
    )


@contextmanager
def serving(config: Config, folder: Path) -> Iterator[None]:
    """Run `thumbwheel serve` until SIGTERM has ended it."""
    path = str(folder / "thumbwheel.toml")
    process = subprocess.Popen([sys.executable, "-m", "thumbwheel", "serve", "--config", path])
    try:
        while not (config.home / "serve.json").exists():
            assert process.poll() is None, "serve did not start"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def processes() -> list[psutil.Process]:
    """Return this process and its workers."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def cpu_seconds() -> float:
    """Return the CPU seconds that this process and its workers have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes())


def memory() -> int:
    """Return the bytes that this process and its workers hold now."""
    return sum(process.memory_info().rss for process in processes())


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["kafka", "flat", "http"])
    parser.add_argument("--events", type=int, default=600_000, help="for kafka")
    parser.add_argument("--rounds", type=int, default=3, help="for kafka")
    parser.add_argument("--servers", help="for kafka: brokers that run already")
    parser.add_argument("--millions", type=int, default=10, help="for flat")
    parser.add_argument("--seconds", type=int, default=15, help="for http")
    options = parser.parse_args()
    console = Console()
    if options.what == "kafka":
        run_kafka(console, options.events, options.rounds, options.servers)
    elif options.what == "flat":
        run_flat(console, options.millions)
    else:
        run_http(console, options.seconds)


if __name__ == "__main__":
    main()
