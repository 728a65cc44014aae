"""What every command takes, and where it prints.

Commands import what they need when they run: `--help` does without the engine, pydantic and rich's
parts that it does not show.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from thumbwheel.config import Config

__all__ = [
    "DEFAULT_CONFIG",
    "STEERING",
    "ConfigOption",
    "load_config",
    "make_console",
    "neutralise",
]

STEERING = frozenset(
    {
        *range(0x80, 0xA0),  # control characters of eight bits
        0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),  # direction of text
        0x2028, 0x2029,  # ends of lines and paragraphs
    }
)  # fmt: skip
"""What in a text turns its order round, or steers a terminal, besides the 32 of ASCII."""

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("thumbwheel.toml")


def load_config(path: Path) -> "Config":
    """Read and check a configuration file; see `config.load_config`."""
    from thumbwheel.config import load_config as load

    return load(path)


class _Neutral(io.TextIOWrapper):
    """Writes text without what may steer a terminal; what this program itself needs stays."""

    _AS = dict.fromkeys(STEERING, 0xFFFD)

    def write(self, text: str) -> int:
        """Write the text."""
        return super().write(text if text.isascii() else text.translate(self._AS))

    def close(self) -> None:
        """Write what is left; the bytes' stream is somebody else's."""
        self.flush()


def neutralise(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream to write to in the place of `stream`."""
    return _Neutral(
        stream.buffer,
        encoding=stream.encoding,
        errors="replace",  # what a terminal cannot show is shown as a question mark
        line_buffering=stream.line_buffering,
        write_through=True,
    )


def make_console(*, stderr: bool = False) -> "Console":
    """Return the console that commands print to."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
