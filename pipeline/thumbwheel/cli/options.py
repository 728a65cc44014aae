"""What every command takes, and where it prints."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["DEFAULT_CONFIG", "ConfigOption", "make_console"]

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("thumbwheel.toml")


def make_console() -> Console:
    """Return the console that commands print to."""
    return Console(highlight=False)
