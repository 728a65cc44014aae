"""The commands around the store: fill it, hold it, ask it, mend it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from thumbwheel.cli.current import stored
from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import ConfigError, InputError, UnavailableError

if TYPE_CHECKING:
    from thumbwheel.config import Config

__all__ = ["store_commands"]

PANEL = "Events"

store_commands = typer.Typer()
dead_letter_commands = typer.Typer(no_args_is_help=True)

_MANY_EVENTS = 50_000

# A table of more rows takes longer to lay out than anybody waits, and is longer than anybody reads.
_LONGEST_TABLE = 1000

SourceOption = Annotated[str | None, typer.Option("--source", help="Only of this source.")]


@store_commands.command(rich_help_panel=PANEL)
def ingest(
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show how each source's first records would be read."),
    ] = False,
) -> None:
    """Read every source until it is caught up."""
    if dry_run:
        _show_sources(load_config(config))
        return
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cli.show.store import print_counted, print_warnings
    from thumbwheel.ingest import ingest_all
    from thumbwheel.plugin.host import isolated_plugins
    from thumbwheel.store import Store
    from thumbwheel.store.remote import open_store
    from thumbwheel.store.sides import side_warnings

    settings = load_config(config)

    def read(store: Store) -> int:
        with isolated_plugins(settings) as plugins:
            received = ingest_all(settings, plugins, store, display)
        return sum(counts.stored for counts in received)

    console = make_console()
    with open_store(settings) as store:
        with StageDisplay(console) as display:
            n_new = store.ingest(read)
        notes = store.plugin_counts()
        warnings = side_warnings(settings.sources, store.vote_sides())
        if isinstance(store, Store) and n_new >= _MANY_EVENTS:
            store.standing(settings.vote_policy)  # so that `status` has it at hand
    print_counted(console, notes)
    print_warnings(console, warnings)


def _show_sources(settings: "Config") -> None:
    """Print what the first records of every source would become; nothing is stored."""
    from thumbwheel.cli.show.preview import print_preview
    from thumbwheel.errors import ThumbwheelError
    from thumbwheel.ingest.preview import preview

    failures: list[ThumbwheelError] = []
    for source in settings.sources:
        try:
            print_preview(make_console(), preview(source, settings.base_dir))
        except ThumbwheelError as error:
            failures.append(error)
    if failures:
        raise failures[0]


@store_commands.command(rich_help_panel=PANEL)
def serve(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Hold the store and read every source continuously, until SIGTERM or Ctrl-C.

    Meanwhile every other command asks this process, by itself.
    """
    from thumbwheel.plugin.host import isolated_plugins
    from thumbwheel.process.extras import require

    require("serve", by="`thumbwheel serve`")
    from thumbwheel.serve import serve as run
    from thumbwheel.serve.logs import configure_logs

    settings = load_config(config)
    errors = make_console(stderr=True)
    if errors.is_terminal:
        errors.print(
            "Starting. `thumbwheel status` in another terminal shows what comes in; Ctrl-C stops."
        )
    configure_logs()
    with isolated_plugins(settings) as plugins:
        run(settings, plugins)


@store_commands.command(rich_help_panel=PANEL)
def status(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show what has been received, what became of it, the champion and the latest cycles."""
    from thumbwheel.cli.show.store import print_status, print_warnings
    from thumbwheel.cli.show.tables import champion_name
    from thumbwheel.cycle.journal import list_cycles
    from thumbwheel.registry import open_registry
    from thumbwheel.store.sides import side_warnings

    settings = load_config(config)
    console = make_console()
    with stored(settings) as store, console.status("counting"):
        sources, standing = store.source_counts(), store.standing(settings.vote_policy)
        reasons, plugin_counts = store.dead_letter_reasons(5), store.plugin_counts()
        states, sides = store.source_states(), store.vote_sides()
    try:
        champion = champion_name(open_registry(settings).champion_at_a_glance())
    except (ConfigError, UnavailableError) as error:
        champion = f"not known: {error}"
    cycles = list_cycles(settings.layout)
    print_status(console, sources, states, plugin_counts, standing, reasons, champion, cycles)
    print_warnings(console, side_warnings(settings.sources, sides))


@store_commands.command(rich_help_panel=PANEL)
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT, in DuckDB's SQL.")],
    config: ConfigOption = DEFAULT_CONFIG,
    max_rows: Annotated[int, typer.Option(min=1, max=100_000, help="Rows at most.")] = 100,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write each row whole, as a line of JSON.")
    ] = False,
) -> None:
    """Ask the store in SQL, read-only. Its tables are events, dead_letters and sources."""
    from thumbwheel.cli.show.store import json_lines, print_rows

    if max_rows > _LONGEST_TABLE and not as_json:
        raise InputError(f"a table shows at most {_LONGEST_TABLE:,} rows; --json writes more")
    settings = load_config(config)
    console = make_console()
    with stored(settings) as store, console.status("asking the store"):
        # One more tells whether there are more.
        rows = store.query(sql, max_rows=max_rows + 1, timeout_seconds=60.0)
    if not as_json:
        print_rows(console, rows, max_rows)
        return
    for line in json_lines(rows.slice(0, max_rows)):
        sys.stdout.buffer.write(line)
    if len(rows) > max_rows:
        typer.echo(f"the first {max_rows:,} rows; --max-rows writes more", err=True)


@store_commands.command(rich_help_panel=PANEL)
def rebuild(
    config: ConfigOption = DEFAULT_CONFIG,
    force: Annotated[
        bool, typer.Option(help="Even if the sources no longer hold all that is stored.")
    ] = False,
) -> None:
    """Build the store anew from the beginning of every source; the old file is kept.

    For a damaged store, or after a change of a mapping or plugin that should apply to everything.
    """
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.ingest import rebuild as run
    from thumbwheel.plugin.host import isolated_plugins

    settings = load_config(config)
    console = make_console()
    with StageDisplay(console) as display, isolated_plugins(settings) as plugins:
        rebuilt = run(settings, plugins, display, force=force)
    events = sum(counts.stored + counts.parked for counts in rebuilt.sources)
    console.print(f"Built anew with {events:,} events.")
    if rebuilt.old is not None:
        console.print(
            f"The old store is {rebuilt.old}; delete it when you do not need it any more.",
            soft_wrap=True,
        )


@dead_letter_commands.command("list")
def list_dead_letters(
    config: ConfigOption = DEFAULT_CONFIG,
    source: SourceOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 20,
) -> None:
    """Show the newest records that could not be read, and why."""
    from thumbwheel.cli.show.store import print_dead_letters

    settings = load_config(config)
    with stored(settings) as store:
        letters = store.dead_letters(source=source, limit=limit)
        if source is not None and not letters:
            known = {configured.name for configured in settings.sources}
            known |= {counts.source for counts in store.source_counts()}
            if source not in known:
                raise InputError(
                    f"there is no source {source!r}; the sources are {', '.join(sorted(known))}"
                )
    print_dead_letters(make_console(), letters, source)


@dead_letter_commands.command("show")
def show_dead_letter(
    letter: Annotated[int, typer.Argument(help="Its number in the list.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_raw: Annotated[
        bool, typer.Option("--raw", help="Write its bytes as they came, for another program.")
    ] = False,
) -> None:
    """Write one dead letter; the reason goes to standard error.

    Control characters, and such as turn the order of a text round, are shown as signs.
    """
    from thumbwheel.cli.show.tables import printable

    settings = load_config(config)
    with stored(settings) as store:
        described, raw = store.dead_letter(letter)
    why = f"{described.source}, {described.position}: {described.reason}"
    typer.echo(printable(why), err=True)
    if as_raw:
        sys.stdout.buffer.write(raw)
    else:
        typer.echo(printable(raw.decode(errors="replace")), nl=sys.stdout.isatty())


@dead_letter_commands.command("replay")
def replay(config: ConfigOption = DEFAULT_CONFIG, source: SourceOption = None) -> None:
    """Read dead letters again, after their mapping or a plugin was mended."""
    from thumbwheel.cli.show.store import print_replay
    from thumbwheel.ingest import replay_dead_letters
    from thumbwheel.plugin.host import isolated_plugins
    from thumbwheel.store import ReplayCounts, Store

    settings = load_config(config)
    console = make_console()

    def read(store: Store) -> dict[str, ReplayCounts]:
        with isolated_plugins(settings) as plugins:
            return replay_dead_letters(settings, plugins, store, source)

    with stored(settings) as store, console.status("reading dead letters again"):
        replayed = store.replay(source, read)
    print_replay(console, replayed)


store_commands.add_typer(
    dead_letter_commands,
    name="dead-letters",
    help="Records that could not be read: list, show, replay.",
    rich_help_panel=PANEL,
)
