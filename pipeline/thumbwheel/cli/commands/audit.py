"""The command that asks what the pairs teach besides what people judged."""

from pathlib import Path
from typing import Annotated

import typer

from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import LimitError

__all__ = ["audit_commands"]

audit_commands = typer.Typer()


@audit_commands.command()
def audit(
    config: ConfigOption = DEFAULT_CONFIG,
    html: Annotated[
        Path, typer.Option("--html", help="Where the page goes.", show_default=True)
    ] = Path("audit.html"),
) -> None:
    """Tell what sets chosen apart from rejected that should not: length, format, rater, model.

    Looks at all proposed pairs and at the final ones. Ends with exit code 7 when a limit of [audit]
    in the configuration does not hold.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from thumbwheel.cli.current import current_pairs
    from thumbwheel.cli.show.audit import print_audit
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cli.show.store import print_quarantined
    from thumbwheel.evidence.audit import SEED, audit_page, audit_pairs, rated_answers
    from thumbwheel.process.extras import require
    from thumbwheel.store import RATED_FILE, VOTES_FILE
    from thumbwheel.tables import PAIRS

    require("audit", by="the audit")
    settings = load_config(config)
    console = make_console()
    with (
        StageDisplay(console) as display,
        current_pairs(settings, display) as (snapshot, pairing),
    ):
        display.stage("audit")
        final = pairing.pairs
        proposed = [final.select(PAIRS.names), pairing.dropped.select(PAIRS.names)]
        report = audit_pairs(
            before=pa.concat_tables(proposed),
            after=final,
            rated=pq.read_table(
                snapshot.path / RATED_FILE, columns=["completion_id", "model_version"]
            ),
            answers=rated_answers(snapshot.path, final, SEED),
            votes=pq.read_table(snapshot.path / VOTES_FILE),
            config=settings.audit,
            seed=SEED,
            balanced=settings.pairs.balance,
        )
        display.done(f"{report.before.n_pairs:,} proposed and {report.after.n_pairs:,} final pairs")
    html.parent.mkdir(parents=True, exist_ok=True)
    html.write_text(audit_page(report, settings.project), encoding="utf-8")
    print_audit(console, report)
    print_quarantined(console, snapshot.quarantined)
    console.print(f"\nThe page with plots: {html}", soft_wrap=True)
    broken = [limit for limit in report.limits if not limit.passed]
    if broken:
        raise LimitError(
            "; ".join(
                f"{limit.name} is {limit.limit:g}, and "
                + ("cannot be measured" if limit.value is None else f"{limit.value:.3f} was found")
                for limit in broken
            )
            + f"; {html} says what to do about it"
        )
