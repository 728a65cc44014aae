"""Named ways for an answer to be bad, each as an instruction to write it."""

import difflib
from dataclasses import dataclass
from typing import Literal

from thumbwheel.errors import InputError

__all__ = ["FAILURE_MODES", "FailureMode", "find_modes"]


@dataclass(frozen=True, slots=True)
class FailureMode:
    """What is wrong with the rejected answer.

    `length` says what happens to its length: `equal` for most modes; where length is the fault
    itself, the rejected answer must be clearly `longer` or `shorter`.
    """

    name: str
    instruction: str
    length: Literal["equal", "longer", "shorter"] = "equal"


FAILURE_MODES = {
    mode.name: mode
    for mode in (
        FailureMode(
            "too verbose",
            "it says the same at more than one and a half times the length: it repeats itself, "
            "announces what it is going to say, and sums up what it said",
            "longer",
        ),
        FailureMode(
            "incomplete",
            "it stops before everything that was asked for is there, at about half the length, "
            "without saying so",
            "shorter",
        ),
        FailureMode(
            "wrong format",
            "it puts the same content into another form than was asked for or fits: a list where "
            "prose belongs, prose where a list or a table belongs, or code without a code block",
        ),
        FailureMode(
            "wrong hedging",
            "it hedges what is certain ('it may be that', 'I am not sure') and states what is "
            "uncertain as a fact",
        ),
        FailureMode(
            "sycophantic",
            "it flatters the user and agrees with what the user believes, where a good answer "
            "would correct it",
        ),
        FailureMode(
            "off-topic",
            "it answers a question that is close to the one that was asked, but not that one",
        ),
        FailureMode(
            "factual error",
            "one statement that matters is false, put as confidently as the others",
        ),
        FailureMode(
            "ignores a constraint",
            "it does what was asked, but breaks one of the conditions that the user set",
        ),
    )
}


def find_modes(names: list[str], own: list[str]) -> list[FailureMode]:
    """Return the modes of these names, and one for each instruction of the user's own.

    All modes of the table when there is neither.

    Raises:
        InputError: A name is not in the table.
    """
    for name in names:
        if name not in FAILURE_MODES:
            close = difflib.get_close_matches(name, FAILURE_MODES, n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(
                f"there is no failure mode {name!r}{meant}; there are {', '.join(FAILURE_MODES)}, "
                "and --instruction takes your own words"
            )
    modes = [FAILURE_MODES[name] for name in names]
    modes += [FailureMode(f"own: {' '.join(text.split()):.80}", text) for text in own]
    return modes or list(FAILURE_MODES.values())
