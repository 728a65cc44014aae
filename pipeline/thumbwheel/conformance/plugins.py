"""The contract of plugins that make or screen pairs, for pytest and for the command line.

```python
from thumbwheel.conformance import PluginContract


class TestConciseWins(PluginContract):
    use = "concise_wins.py:ConciseWins"  # as in the configuration; a path is relative to this file
    options = {"min_ratio": 1.5}
```
"""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from thumbwheel.config import PluginConfig
from thumbwheel.conformance.checks import BrokenPromiseError, Check, Subject, checks_of
from thumbwheel.errors import PluginError
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host import IsolatedPlugins

__all__ = ["MEMORY_MB", "SECONDS", "Outcome", "PluginContract", "run_checks"]

SECONDS = 60.0
MEMORY_MB = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check: `problem` says what was wrong, and is empty when it passed.

    `seen` says, for a check that passed, what it passed on.
    """

    check: Check
    problem: str = ""
    seen: str = ""


class PluginContract:
    """What a plugin keeps that makes or screens pairs. pytest runs a test for every promise.

    Attributes:
        use: The plugin as a configuration names it; a path is relative to the test's file.
        options: Its options.
        seconds: How long it may take over 10,000 prompts.
        memory_mb: How much memory its process may hold over them, in MiB.
    """

    use: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    seconds: ClassVar[float] = SECONDS
    memory_mb: ClassVar[int] = MEMORY_MB

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make a test of every promise that the plugin's hooks give."""
        if "check" in metafunc.fixturenames:
            (info,) = self._subject().plugins.infos
            checks = checks_of(info.hooks)
            metafunc.parametrize("check", checks, ids=[check.name for check in checks])

    def test_contract(self, check: Check) -> None:
        """It keeps what every plugin promises."""
        try:
            check.run(self._subject())
        except BrokenPromiseError as broken:
            raise BrokenPromiseError(f"{check.promise}; but {broken}; {check.mend}") from broken

    def _subject(self) -> Subject:
        folder = Path(inspect.getfile(type(self))).parent
        config = PluginConfig(use=self.use, options=dict(self.options))
        plugins = PluginManager([config], folder)
        return Subject(config, folder, plugins, self.seconds, self.memory_mb)


def run_checks(
    config: PluginConfig, base_dir: Path, *, seconds: float, memory_mb: int
) -> Iterator[Outcome]:
    """Check a plugin in a process of its own, and yield what came of each promise.

    Args:
        config: The plugin and its options.
        base_dir: What its path is relative to.
        seconds: How long it may take over one call.
        memory_mb: How much memory its process may hold, in MiB.

    Raises:
        PluginError: It cannot be loaded, or neither makes nor screens pairs.
    """

    def load() -> IsolatedPlugins:
        return IsolatedPlugins([config], base_dir, seconds=seconds, memory_mb=memory_mb)

    plugins = load()
    try:
        (info,) = plugins.infos
        if not {"make_pairs", "screen_pairs"} & set(info.hooks):
            raise PluginError(
                f"{info.name} ({info.origin}) neither makes nor screens pairs, and nothing else is "
                f"checked: its hooks are {', '.join(info.hooks)}"
            )
        for check in checks_of(info.hooks):
            try:
                subject = Subject(config, base_dir, plugins, seconds, memory_mb)
                yield Outcome(check, seen=check.run(subject))
            except (BrokenPromiseError, PluginError) as error:
                yield Outcome(check, problem=" ".join(str(error).split()))
                if plugins.failed:  # it would be left out of what follows
                    plugins.close()
                    plugins = load()
    finally:
        plugins.close()
