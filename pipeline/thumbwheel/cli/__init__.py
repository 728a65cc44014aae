"""The command line.

- `app`: every command under one roof.
- `commands`: what they do, each in a few lines over the engine.
- `current`: the store as it is, and the pairs that the next cycle would make.
- `show`: what they print.
- `options`: what every command takes, and where it prints.
- `templates`: the files that they write.
"""

import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

from thumbwheel.cli.options import neutralise
from thumbwheel.errors import InputError, ThumbwheelError
from thumbwheel.process.extras import explain

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]

_DEBUG = "THUMBWHEEL_DEBUG"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every error is one line on stderr and an exit code.

    Args:
        arguments: What was typed after the program's name; None takes the process's.
    """
    from thumbwheel.cli.app import app

    # torch's threads otherwise spin while they wait for each other, and on a machine with anything
    # else to do a run takes many times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # So that a stopped command still ends what it started.
    signal.signal(signal.SIGTERM, _stop)
    for name in ("stdout", "stderr"):
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            setattr(sys, name, neutralise(stream))
    debug = os.environ.get(_DEBUG) == "1"
    if not debug:
        warnings.simplefilter("ignore")  # third parties' warnings are for developers
    command = typer.main.get_command(app)
    try:
        command.main(arguments, prog_name="thumbwheel")  # ends with SystemExit
    except KeyboardInterrupt:
        _say_interrupted("interrupted")
        sys.exit(130)
    except _StoppedError:
        _say_interrupted("stopped")
        sys.exit(128 + signal.SIGTERM)
    except Exception as error:
        if debug:
            raise
        meaning = _meaning_of(error)
        if meaning is not None:
            _print_error("error:", str(meaning))
            sys.exit(meaning.exit_code)
        _print_error("unexpected error:", f"{type(error).__name__}: {error}")
        _make_console().print(f"{_DEBUG}=1 shows where it came from; please report it", style="dim")
    sys.exit(1)


class _StoppedError(SystemExit):
    """SIGTERM came."""


def _stop(number: int, frame: object) -> NoReturn:
    raise _StoppedError(128 + number)


def _say_interrupted(how: str) -> None:
    _make_console().print(f"{how}; run the same command again and it goes on", style="yellow")


def _meaning_of(error: Exception) -> ThumbwheelError | None:
    """Return what an error means to a user, or None where it is a bug."""
    if isinstance(error, ThumbwheelError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return explain(error)
    if isinstance(error, OSError) and error.filename is not None:
        return InputError(
            f"{error.filename}: {error.strerror}; check the path and the rights on it"
        )
    return None


def _print_error(label: str, message: str) -> None:
    from thumbwheel.cli.show.tables import printable

    console = _make_console()
    console.print(label, style="bold red", end=" ")
    console.print(printable(" ".join(message.split())), markup=False)


def _make_console() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)
