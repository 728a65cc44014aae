"""What every command takes, and where it prints.

Commands import what they need when they run: `--help` does without the engine, pydantic and rich's
parts that it does not show.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from thumbwheel.config import Config

__all__ = ["DEFAULT_CONFIG", "ConfigOption", "load_config", "make_console"]

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("thumbwheel.toml")


def load_config(path: Path) -> "Config":
    """Read and check a configuration file; see `config.load_config`."""
    from thumbwheel.config import load_config as load

    return load(path)


def make_console(*, stderr: bool = False) -> "Console":
    """Return the console that commands print to."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
