"""Plugins in a process of their own: whatever one does, it is stopped and named."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pyarrow as pa
import pytest

from thumbwheel.config import PluginConfig
from thumbwheel.errors import PluginError
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host import IsolatedPlugins
from thumbwheel.tables import COMPARED, COMPARISONS, EVENTS, PAIRS, RATED

pytestmark = pytest.mark.slow  # the host is a process

HEAD = """\
import ctypes, os, re, subprocess, sys, time
import pyarrow as pa
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import EVENTS, PROPOSED, REASONS, hookimpl

"""
PROPOSAL = (
    "pa.Table.from_pylist([{'prompt_id': 'p', 'chosen_id': 'a', 'rejected_id': 'b',"
    " 'confidence': 0.9}], PROPOSED)"
)
RATED_ROWS = pa.Table.from_pylist(
    [{"prompt_id": "p", "completion_id": name, "completion": name} for name in "ab"], schema=RATED
)
PAIR_ROWS = pa.Table.from_pylist([{"pair_id": "x"}], schema=PAIRS)
EVENT_ROWS = pa.Table.from_pylist(
    [{"event_id": "e", "generation_id": "g", "is_vote": False, "completion": "secret"}],
    schema=EVENTS,
)
NONE = COMPARISONS.empty_table()


def plugin(name, hook, argument, body):
    return (
        f"@dataclass(frozen=True)\nclass {name}:\n    @hookimpl\n"
        f"    def {hook}(self, {argument}):\n{textwrap.indent(body, ' ' * 8)}\n\n"
    )


def pairing(name, body):
    return plugin(name, "make_pairs", "rated", body)


GOOD = pairing("Good", f"return {PROPOSAL}")
SCREEN = "return pa.table({'pair_id': ['x'], 'reason': ['no']})"
BROKEN_TABLE = """\
offsets = pa.py_buffer((0).to_bytes(4, "little") + (1 << 30).to_bytes(4, "little"))
ids = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"abc")])
return pa.table({"prompt_id": ids, "chosen_id": ids, "rejected_id": ids, "confidence": [0.9]})
"""
GROWS = "hoard = []\nwhile True:\n    hoard.append(bytearray(10**7))"


@pytest.fixture
def load(tmp_path):
    """Write a plugin file and load the named classes from it in a process of their own."""
    opened = []

    def make(body, *names, seconds=60.0, memory_mb=1024):
        (tmp_path / "mine.py").write_text(HEAD + body)
        configs = [PluginConfig(use=f"mine.py:{name}") for name in names]
        opened.append(IsolatedPlugins(configs, tmp_path, seconds=seconds, memory_mb=memory_mb))
        return opened[-1]

    yield make
    for plugins in opened:
        plugins.close()


def owners(plugins):
    return plugins.make_pairs(RATED_ROWS, NONE)["plugin"].to_pylist()


def worker_of(plugins):
    """Return the process that runs the plugins."""
    return psutil.Process(plugins._process._pid)


def has_ended(process, within):
    """Tell whether a process ends within so many seconds, collected by its parent or not."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_it_does_what_the_manager_does(tmp_path, load):
    """The same tables come out of every hook, and the same descriptions of the plugins."""
    screen = plugin("Screen", "screen_pairs", "pairs", SCREEN)
    mask = plugin("Mask", "process_events", "events", "return events.slice(1)")
    names = "Good", "Screen", "Mask"
    there = load(GOOD + screen + mask, *names)
    here = PluginManager([PluginConfig(use=f"mine.py:{name}") for name in names], tmp_path)
    assert there.infos == here.infos
    assert there.has("screen_pairs")
    assert not there.has("evaluate_model")
    assert owners(there) == owners(here) == ["Good"]
    assert there.screen_pairs(PAIR_ROWS).equals(here.screen_pairs(PAIR_ROWS))
    assert there.process_events(EVENT_ROWS).equals(here.process_events(EVENT_ROWS))


RAISES = {
    "raise KeyError('x')": r"raised KeyError: 'x' at mine.py:\d+ in make_pairs; mend it there",
    "raise ValueError('a\\nb' * 10**6)": r"raised ValueError: a ba b",
    "raise MemoryError": r"raised MemoryError at mine.py",
    "sys.exit(3)": r"called sys.exit\(3\) at mine.py:\d+ .*return an empty table",
}
RETURNS_GARBAGE = {
    "return {}": r"must return a pyarrow.Table, got dict",
    "return pa.table({'a': [1]})": r"without the columns prompt_id",
    f"return {PROPOSAL.replace('0.9', '0.2')}": r"confidence outside \(0.5, 1\]",
    f"return {PROPOSAL.replace(repr('b'), repr('c'))}": r"'c', which is no completion",
    BROKEN_TABLE: r"make_pairs",
}
DIES = {
    "os._exit(7)": r"ended its process with exit code 7; let it return",
    "os.abort()": r"crashed \(Aborted\) at mine.py:\d+ in make_pairs; look",
    "ctypes.string_at(1)": r"crashed \(Segmentation fault\) at mine.py:\d+",
    "os.kill(os.getpid(), 9)": r"lost its process, which was killed",
}
EATS_MEMORY = dict.fromkeys(
    [GROWS, "bytearray(4 * 10**9)"],
    r"held more than 400 MB of memory at mine.py:\d+ in make_pairs.*raise `plugin_memory_mb`",
)


@pytest.mark.parametrize(
    "kind",
    [RAISES, RETURNS_GARBAGE, DIES, EATS_MEMORY],
    ids=["raises", "returns garbage", "dies", "eats memory"],
)
def test_a_failing_plugin_is_named_and_the_others_go_on(load, kind):
    """Its message says plugin, hook, what happened and where; from then on it is left out."""
    names = [f"Bad{number}" for number in range(len(kind))]
    body = "".join(pairing(name, line) for name, line in zip(names, kind, strict=True))
    plugins = load(body + GOOD, *names, "Good", memory_mb=400)
    assert owners(plugins) == ["Good"]
    assert list(plugins.failed) == names
    for name, message in zip(names, kind.values(), strict=True):
        told = plugins.failed[name]
        assert told.startswith(f"{name}.make_pairs ")
        assert re.search(message, told), told
        assert "\n" not in told
        assert len(told) < 3000
    before = worker_of(plugins)
    assert owners(plugins) == ["Good"]
    assert worker_of(plugins) == before


def test_a_plugin_that_hangs_is_stopped(load, tmp_path):
    """Over its time the process ends with all that it started; the message has the line."""
    started = str(tmp_path / "started")
    waits = (
        "child = subprocess.Popen(['sleep', '1000'])\n"
        f"open({started!r}, 'w').write(str(child.pid))\n"
        "child.wait()"
    )
    spins = "re.match('(a+)+$', 'a' * 40 + 'b')  # never lets go of the interpreter"
    body = pairing("Waits", waits) + pairing("Spins", spins) + GOOD
    plugins = load(body, "Waits", "Spins", "Good", seconds=3.0)
    assert owners(plugins) == ["Good"]
    for name in ("Waits", "Spins"):
        assert re.search(
            rf"^{name}.make_pairs \(mine.py:{name}\) took longer than 3 s at mine.py:\d+ in "
            "make_pairs; make it faster, or raise `plugin_seconds`",
            plugins.failed[name],
        )
    child = int((tmp_path / "started").read_text())
    assert not psutil.pid_exists(child) or has_ended(psutil.Process(child), within=5.0)


def test_with_no_pairing_plugin_left_it_is_an_error(load):
    """Nothing to pair with is not "no pairs": every reason is told, now and at the next call."""
    plugins = load(pairing("A", "raise KeyError(1)") + pairing("B", "return 5"), "A", "B")
    for _ in range(2):
        with pytest.raises(
            PluginError, match=r"A\.make_pairs .*KeyError: 1.*; B\.make_pairs .*int"
        ):
            plugins.make_pairs(RATED_ROWS, NONE)
    assert not plugins.has("make_pairs")


def test_screens_and_processors_fail_closed(load):
    """What a screen or a redaction would have held back does not pass because it failed."""
    screen = plugin("Screen", "screen_pairs", "pairs", "os._exit(1)")
    mask = plugin("Mask", "process_events", "events", "raise OSError('no dictionary')")
    plugins = load(screen + mask, "Screen", "Mask")
    with pytest.raises(PluginError, match=r"Screen\.screen_pairs .*exit code 1"):
        plugins.screen_pairs(PAIR_ROWS)
    for _ in range(2):
        with pytest.raises(PluginError, match=r"Mask\.process_events .*no dictionary"):
            plugins.process_events(EVENT_ROWS)


def test_a_broken_table_goes_no_further(load):
    """What is no text inside a column of texts is found before anything reads it."""
    body = """\
offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 3)))
comment = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\\xff\\xfe\\xfd")])
where = events.schema.get_field_index("comment")
return events.set_column(where, "comment", comment)
"""
    plugins = load(plugin("Mangle", "process_events", "events", body), "Mangle")
    with pytest.raises(PluginError, match=r"Mangle\.process_events .* returned a broken table"):
        plugins.process_events(EVENT_ROWS)


def test_a_screen_stays_where_its_pairing_failed(load):
    """A plugin that is left out of pairing still screens."""
    both = pairing("Both", "raise KeyError(1)").rstrip() + (
        f"\n    @hookimpl\n    def screen_pairs(self, pairs):\n        {SCREEN}\n\n"
    )
    plugins = load(both + GOOD, "Both", "Good")
    assert owners(plugins) == ["Good"]
    assert plugins.screen_pairs(PAIR_ROWS)["plugin"].to_pylist() == ["Both"]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            "import time\ntime.sleep(1000)",
            r"'mine.py:P', while it was loaded, took .* mine.py:2 in",
        ),
        ("import os\nos._exit(3)", r"'mine.py:P', while it was loaded, ended .* exit code 3"),
        ("import nothing_like_it", r"cannot be imported: ModuleNotFoundError.* at mine.py:1 in"),
    ],
)
def test_a_plugin_that_cannot_be_loaded(tmp_path, head, message):
    """It is stopped and named before this process imports a line of it."""
    (tmp_path / "mine.py").write_text(head)
    with pytest.raises(PluginError, match=message) as caught:
        IsolatedPlugins([PluginConfig(use="mine.py:P")], tmp_path, seconds=3, memory_mb=1024)
    assert "\n" not in str(caught.value)


def test_pairing_imports_no_plugin_here(load, tmp_path):
    """A plugin's code is imported in this process only when a hook is called that runs in it."""
    imports = tmp_path / "imports"
    flag = f"with open({str(imports)!r}, 'a') as file:\n    file.write(f'{{os.getpid()}} ')\n"
    observer = plugin("Tell", "cycle_finished", "report", "raise OSError('unheard')")
    plugins = load(flag + GOOD + observer, "Good", "Tell")
    owners(plugins)
    assert str(os.getpid()) not in imports.read_text().split()
    (failure,) = plugins.cycle_finished(None)
    assert "Tell.cycle_finished" in failure
    assert str(os.getpid()) in imports.read_text().split()


def test_what_a_plugin_prints_stays_out_of_the_output(load, capfd):
    """Prints go to standard error: standard output is the command's own."""
    plugins = load(pairing("Noisy", f"print('noise', flush=True)\nreturn {PROPOSAL}"), "Noisy")
    assert owners(plugins) == ["Noisy"]
    assert capfd.readouterr() == ("", "noise\n")


def test_a_process_that_was_killed_while_idle_is_started_again(load):
    """The next call is answered as if nothing had happened."""
    plugins = load(GOOD, "Good")
    worker = worker_of(plugins)
    worker.kill()
    while worker.status() != psutil.STATUS_ZOMBIE:
        pass
    assert owners(plugins) == ["Good"]
    assert plugins.failed == {}


def test_threads_take_turns(load):
    """Two threads at once each get the answer to their own question."""
    body = "time.sleep(0.1)\nreturn events"
    plugins = load(GOOD + plugin("Mask", "process_events", "events", body), "Good", "Mask")
    answers = {}

    def ask(key, call, *tables):
        answers[key] = call(*tables)

    threads = [
        threading.Thread(target=ask, args=("events", plugins.process_events, EVENT_ROWS)),
        threading.Thread(target=ask, args=("pairs", plugins.make_pairs, RATED_ROWS, NONE)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers["events"].equals(EVENT_ROWS)
    assert answers["pairs"]["plugin"].to_pylist() == ["Good"]


def test_ctrl_c_passes_a_process_by_that_is_just_starting(load):
    """A terminal sends it to all processes of a command; this one stays, however young it is."""
    me, over, interrupted = psutil.Process(), threading.Event(), set()
    others = {child.pid for child in me.children()}

    def interrupt():
        while not over.wait(0.001):
            for child in me.children():
                if child.pid not in others and any(
                    "spawn_main" in word for word in child.cmdline()
                ):
                    child.send_signal(signal.SIGINT)
                    interrupted.add(child.pid)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        plugins = load(GOOD, "Good")
    finally:
        over.set()
        thread.join()
    assert interrupted == {worker_of(plugins).pid}
    assert owners(plugins) == ["Good"]


PARENT = """
import sys
from pathlib import Path
import pyarrow as pa
from thumbwheel.config import PluginConfig
from thumbwheel.plugin.host import IsolatedPlugins
from thumbwheel.tables import COMPARISONS, RATED

if __name__ == "__main__":
    plugins = IsolatedPlugins(
        [PluginConfig(use="mine.py:Waits")], Path(sys.argv[1]), seconds=600, memory_mb=1024
    )
    print(plugins._process._pid, flush=True)
    try:
        plugins.make_pairs(RATED.empty_table(), COMPARISONS.empty_table())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_the_process_ends_with_the_one_that_started_it(tmp_path, how):
    """In the middle of a call that would take minutes, nothing is left behind."""
    body = f"open({str(tmp_path / 'begun')!r}, 'w').close()\ntime.sleep(600)"
    (tmp_path / "mine.py").write_text(HEAD + pairing("Waits", body))
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, tmp_path / "parent.py", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        while not (tmp_path / "begun").exists():
            assert parent.poll() is None
        parent.send_signal(how)
        ended = has_ended(worker, within=30.0)
        if not ended:
            worker.kill()
        assert parent.stdout.read() == ("interrupted\n" if how == signal.SIGINT else "")
    assert ended


def test_a_judge_is_asked_without_the_others(load):
    """The named plugin judges; another that would fail is not called, and named when it is."""
    judged = "return pa.table({'comparison_id': compared['comparison_id'], 'preference': [1.0]})"
    body = plugin("Fair", "judge_answers", "compared", judged)
    body += plugin("Broken", "judge_answers", "compared", "os._exit(3)")
    plugins = load(body, "Broken", "Fair")
    row = {"comparison_id": "c", "first": "a", "second": "b"}
    compared = pa.Table.from_pylist([row], schema=COMPARED)
    assert plugins.judge_answers(compared, "Fair")["preference"].to_pylist() == [1.0]
    with pytest.raises(PluginError, match=r"Broken.judge_answers .* ended its process"):
        plugins.judge_answers(compared, "Broken")
    assert plugins.judge_answers(compared, "Fair")["preference"].to_pylist() == [1.0]
