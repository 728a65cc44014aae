"""E-mail addresses and phone numbers, in linear time.

Presidio recognizes both, but needs minutes for a megabyte without spaces or full of numbers, and
most order numbers, timestamps and dates are phone numbers to it. Here a phone number has to be
written as one, and to be one of phonenumbers' numbering plans.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from thumbwheel_plugins.redact.scanner import Span, as_plain

if TYPE_CHECKING:
    from tldextract import TLDExtract

__all__ = ["find_emails", "find_phones"]

# Latin, Greek and Cyrillic: scripts with spaces between words, so that an address ends there.
_WORD = r"0-9A-Za-z\u00c0-\u04ff"

# In JSON or code an escaped line break may stand before a word: its letter is no part of it.
_EMAIL = re.compile(
    rf"(?:(?<=\\[nrt])|(?<![{_WORD}_.+%-])(?!(?<=\\)[nrt]))"
    rf"[{_WORD}_.+%-]++(?:'[{_WORD}_.+%-]{{1,64}}+)?"
    rf"@(?P<domain>[{_WORD}][{_WORD}_-]{{0,62}}(?:\.[{_WORD}][{_WORD}_-]{{0,62}}){{1,8}})"
)
# As people write an address that no program shall find: `bob (at) mail.org`, `bob at mail dot org`.
_LOCAL = rf"(?<![{_WORD}_.+%-])[{_WORD}][{_WORD}_.+-]{{0,63}}?"
_LABEL = rf"[{_WORD}](?:[{_WORD}-]{{0,62}}?[{_WORD}])?"
_SAID_DOT = r"(?:dot|punkt|punto|point|d0t|\.)"
_DOT = rf"(?:\.|[ \t]{{0,3}}[\[({{<][ \t]?{_SAID_DOT}[ \t]?[\])}}>][ \t]{{0,3}}|[ \t]+dot[ \t]+)"
_SPELT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_LOCAL}(?:[ \t]{{0,3}}[\[({{<|][ \t]?(?:at|ät|a t|arroba|@)[ \t]?[\])}}>|][ \t]{{0,3}}"
        rf"|[ \t]@[ \t]?|@[ \t])(?P<domain>{_LABEL}(?:{_DOT}{_LABEL}){{1,6}})(?![{_WORD}])",
        rf"{_LOCAL}[ \t_-]+at[ \t_-]+"
        rf"(?P<domain>{_LABEL}(?:[ \t_-]+dot[ \t_-]+{_LABEL}){{1,6}})(?![{_WORD}])",
        rf"{_LOCAL}@(?P<domain>{_LABEL}(?:{_DOT}{_LABEL}){{1,6}})(?![{_WORD}])",
    )
]
_SPELT_HINT = re.compile(
    r"[\[({<|][ \t]?(?:at|ät|a t|arroba|@)[ \t]?[\])}>|]|[ \t]@|@[ \t]"
    rf"|[ \t_-]dot[ \t_-]|[\[({{<][ \t]?{_SAID_DOT}[ \t]?[\])}}>]",
    re.IGNORECASE,
)
_ANY_DOT = re.compile(rf"{_DOT}|[ \t_-]+dot[ \t_-]+", re.IGNORECASE)
_WORD_END = re.compile(rf"(?<=[{_WORD}])(?=[._-]|$)")

_PHONE = re.compile(
    # +49 30 1234567
    r"(?P<any>(?<![0-9+])\+[1-9](?:[ ./()-]{0,2}[0-9]){6,14})(?![0-9])"
    r"|(?<![0-9A-Za-z+])(?<![0-9][.,/:-])(?:"
    # (212) 555-0123, 1-212-555-0123
    r"(?P<us>(?:1[ .-])?(?:\([0-9]{3}\)[ ]?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4})"
    # (11) 91234-5678
    r"|(?P<br>\([0-9]{2}\)[ ]?[0-9]{4,5}[ -][0-9]{4})"
    # 030 / 1234567, (0171) 123 45 67, 06.12.34.56.78; not 01.02.2024 or 01-02-24
    r"|(?P<zero>(?![0-9]{1,2}[./-][0-9]{1,2}[./-](?:(?:19|20)[0-9]{2}|[0-9]{2}(?![./-]?[0-9])))"
    r"(?:\(0[1-9][0-9]{0,4}\)|0[1-9][0-9]{0,4})[ ]?[/.-]?[ ]?[0-9]{2,12}+"
    r"(?:(?P<gap>[ .-])[0-9]{2,12}+(?:(?P=gap)[0-9]{2,12}+){0,3})?)"
    r")(?![0-9])"
)
_PLANS: dict[str, tuple[str | None, ...]] = {
    "any": (None,),
    "us": ("US",),
    "br": ("BR",),
    "zero": ("GB", "DE", "FR", "IN", "IL", "BR"),
}
"""The numbering plans that a number of each form may belong to."""

# Fewer are a price or a time to anybody, but a number to some plan.
_LEAST_DIGITS = 9
_MANY_DIGITS = re.compile(r"\d(?:\D{0,4}\d){8}")


def find_emails(text: str) -> Iterator[Span]:
    """Yield the addresses whose domain ends in one that can be registered."""
    if _SPELT_HINT.search(text):
        yield from _find_spelt(text)
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        domain = match["domain"]
        # A sentence may begin right behind the address: `a@example.com.Then`.
        ends = [end.start() for end in _WORD_END.finditer(domain)]
        for end in reversed(ends):
            if _is_registrable(domain[:end]):
                yield Span(match.start(), match.start("domain") + end, "EMAIL_ADDRESS", 1.0)
                break


def _find_spelt(text: str) -> Iterator[Span]:
    """Yield addresses with `(at)`, `[dot]` and the like."""
    for pattern in _SPELT:
        for match in pattern.finditer(text):
            domain, at = match["domain"], match.start("domain")
            ends = [dot.start() for dot in _ANY_DOT.finditer(domain)] + [len(domain)]
            for end in reversed(ends[1:]):
                if _is_registrable(_ANY_DOT.sub(".", domain[:end])):
                    yield Span(match.start(), at + end, "EMAIL_ADDRESS", 0.9)
                    break


def find_phones(text: str) -> Iterator[Span]:
    """Yield the phone numbers: international ones, and those of a few countries."""
    if not _MANY_DIGITS.search(text):
        return
    plain = as_plain(text)
    for match in _PHONE.finditer(plain):
        form = next(form for form in _PLANS if match[form])
        length = _number_length(match[form], _PLANS[form])
        if length:
            yield Span(match.start(), match.start() + length, "PHONE_NUMBER", 0.8)


def _number_length(candidate: str, regions: Sequence[str | None]) -> int:
    """Return how much of a candidate is a number: it may have run into the next number."""
    from phonenumbers import NumberParseException, is_valid_number, parse

    for group in reversed(list(re.finditer(r"[0-9]+", candidate))):
        number = candidate[: group.end()]
        if sum(map(str.isdigit, number)) < _LEAST_DIGITS:
            break
        for region in regions:
            try:
                if is_valid_number(parse(number, region)):
                    return len(number)
            except NumberParseException:
                pass
    return 0


@functools.lru_cache(maxsize=4096)
def _is_registrable(domain: str) -> bool:
    return bool(_suffixes().extract_str(domain.lower()).top_domain_under_public_suffix)


@functools.cache
def _suffixes() -> "TLDExtract":
    from tldextract import TLDExtract

    # The list that comes with the library: it would fetch a newer one, and write it to disk.
    return TLDExtract(suffix_list_urls=(), cache_dir=None)
