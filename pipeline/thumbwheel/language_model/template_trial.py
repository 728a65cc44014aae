"""What tries a chat template: a program of its own, which the system ends where it goes too far.

Its input is the template; it is started by `templates`, and needs nothing but Jinja.
"""

import resource
import sys
from typing import Any

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

TOO_LARGE = 3
MOST_SECONDS = 3
MOST_CHARACTERS = 1_000_000

_MOST_BYTES = 1 << 30

_TURNS = [
    {"role": "user", "content": "What is the capital of France? " * 20},
    {"role": "assistant", "content": "It is Paris.\n\n- Paris\n" * 20},
    {"role": "user", "content": "Thanks. And of Spain?"},
]

_GIVEN = {"tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>"}


class _Generation(Extension):
    """The tag that marks what a model wrote, which transformers adds to Jinja."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own way

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def main() -> int:
    """Return 0, also for a template that refuses, or `TOO_LARGE`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda form: "2026-01-01"}
    source = sys.stdin.buffer.read().decode()
    system = {"role": "system", "content": "Be brief."}
    for turns in (_TURNS[:1], _TURNS[:2], _TURNS, [system, *_TURNS]):
        for is_asked in (True, False):
            size = 0
            try:
                template = environment.from_string(source)
                given = dict(_GIVEN, messages=turns, add_generation_prompt=is_asked)
                for piece in template.generate(given):
                    size += len(piece)
                    if size > MOST_CHARACTERS:
                        return TOO_LARGE
            except (MemoryError, OverflowError):
                return TOO_LARGE
            except Exception:  # noqa: S112 - whoever renders it with the tokenizer's tokens says so
                continue
    return 0


if __name__ == "__main__":
    sys.exit(main())
