"""The commands around plugins: list them, begin one, check one."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import InputError, PluginError

__all__ = ["plugin_commands"]

plugin_commands = typer.Typer()


@plugin_commands.callback(invoke_without_command=True)
def _plugins(context: typer.Context, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the plugins the configuration loads and those it could; begin or check one."""
    if context.invoked_subcommand is None:
        list_plugins(config)


@plugin_commands.command("list")
def list_plugins(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the plugins the configuration loads, and those it could."""
    from thumbwheel.cli.show.plugins import print_plugins
    from thumbwheel.plugin.host import isolated_plugins

    loaded = []
    if config.exists() or config != DEFAULT_CONFIG:
        with isolated_plugins(load_config(config)) as plugins:
            loaded = plugins.infos
    print_plugins(make_console(), loaded)


@plugin_commands.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower-case words joined by _: concise_wins.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where to write it.")] = Path(),
) -> None:
    """Write a pairing plugin that works, and its test, to start from."""
    from thumbwheel.cli.templates.plugin_files import write_plugin

    written = write_plugin(name, folder)
    make_console().print(
        f"Wrote {written.plugin}, a pairing rule that works as it is, and {written.test}.\n"
        f"Change `pair_prompt` to what you know about your users, then\n"
        f"  thumbwheel plugins check {written.use}    to see that it keeps what plugins promise\n"
        f"  thumbwheel pairs --plugin {written.use}   to see the pairs it makes of your feedback\n"
        f"  python -m pytest {written.test}    to run its test\n"
        f'and put it into the configuration: \\[\\[plugins]] use = "{written.use}"',
        soft_wrap=True,
    )


@plugin_commands.command()
def check(
    plugin: Annotated[
        str, typer.Argument(help="A plugin's name, path/to/file.py, or path/to/file.py:Class.")
    ],
    option: Annotated[
        list[str] | None,
        typer.Option(help="One of its options, as in TOML: min_ratio=1.5. May be repeated."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long a call may take.")] = 60.0,
    memory_mb: Annotated[int, typer.Option(min=256, help="How much memory it may hold.")] = 1024,
) -> None:
    """Check that a plugin keeps what every plugin promises, and say how to mend what it does not.

    It runs in a process of its own, on made-up feedback.
    """
    from thumbwheel.cli.show.plugins import print_outcomes
    from thumbwheel.cli.templates.plugin_files import plugin_use
    from thumbwheel.config import PluginConfig
    from thumbwheel.conformance.plugins import run_checks

    config = PluginConfig(use=plugin_use(plugin), options=_options(option or ()))
    console = make_console()
    outcomes = []
    with console.status("loading it") as status:
        for outcome in run_checks(config, Path.cwd(), seconds=seconds, memory_mb=memory_mb):
            outcomes.append(outcome)
            status.update(f"{len(outcomes)} checks done")
    print_outcomes(console, outcomes)
    broken = [outcome.check.name for outcome in outcomes if outcome.problem]
    if broken:
        raise PluginError(
            f"{plugin} breaks {len(broken)} of {len(outcomes)} promises: {', '.join(broken)}; the "
            "table above says how to mend them"
        )
    use = f"{plugin}:{config.use.rpartition(':')[2]}" if plugin.endswith(".py") else plugin
    console.print(
        f"It keeps every promise. See its pairs: thumbwheel pairs --plugin {use} --limit 20",
        soft_wrap=True,
    )


def _options(texts: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, _ = text.partition("=")
        try:
            options |= tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            given = repr(text) if equals else f"{text!r}, without a value"
            raise InputError(
                f"--option is written as in TOML, {name}=1.5 or {name}='a text'; got {given}"
            ) from error
    return options
