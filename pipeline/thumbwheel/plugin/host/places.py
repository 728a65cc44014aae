"""Where in a plugin's file something happened, for a message that leads to the line."""

import re
import traceback
from pathlib import Path

__all__ = ["place_of_dump", "place_of_error"]

_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def place_of_error(error: BaseException, file: str | None) -> str:
    """Return ` at mine.py:12 in pair_prompt` for the innermost line of `file`, or nothing."""
    cause = error.__cause__ or error
    frames = reversed(traceback.extract_tb(cause.__traceback__))
    for frame in frames:
        if frame.filename == file:
            return _words(frame.filename, frame.lineno or 0, frame.name)
    return ""


def place_of_dump(report: str, file: str | None) -> str:
    """Return the same for what `faulthandler` wrote of a process that was about to end."""
    for name, line, function in _FRAME.findall(report):
        if name == file:
            return _words(name, int(line), function)
    return ""


def _words(file: str, line: int, function: str) -> str:
    return f" at {Path(file).name}:{line} in {function}"
