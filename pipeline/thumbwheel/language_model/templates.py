"""Chat templates: programs that come with a model, tried before they are run among other things."""

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

__all__ = ["find_excess"]

_WALL_SECONDS = 120


@lru_cache(maxsize=16)
def find_excess(template: str) -> str | None:
    """Return what is excessive about a template on a short conversation, or None.

    It is rendered in a process of its own, as the system's limits hold for whatever it does.
    """
    from thumbwheel.language_model.template_trial import MOST_CHARACTERS, MOST_SECONDS, TOO_LARGE

    trial = Path(__file__).with_name("template_trial.py")
    try:
        code = subprocess.run(  # noqa: S603 - this interpreter, a file of this package
            [sys.executable, "-P", str(trial)],
            input=template.encode("utf-8", "replace"),
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"took longer than {_WALL_SECONDS} s"
    if code == TOO_LARGE:
        return f"made more than {MOST_CHARACTERS:,} characters"
    return f"took more than {MOST_SECONDS} s or 1 GB" if code < 0 else None
