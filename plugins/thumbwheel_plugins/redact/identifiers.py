"""Card numbers, IBANs, IP addresses and the like, by Presidio's recognizers.

Presidio takes seconds to import, so nothing is until a text has something like what is looked for.
"""

import functools
import ipaddress
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbwheel.errors import PluginError
from thumbwheel_plugins.redact.scanner import Finder, Span, as_plain, in_windows

if TYPE_CHECKING:
    from presidio_analyzer import PatternRecognizer

__all__ = ["IDENTIFIERS", "identifier_finder"]


def _is_public(address: str) -> bool:
    """Tell addresses that lead to somebody from 127.0.0.1 and 192.168.0.1 in an example."""
    return ipaddress.ip_interface(address).is_global


@dataclass(frozen=True, slots=True)
class _Identifier:
    """A recognizer by its class, what a text must contain for it, and what of its finds counts."""

    recognizer: str
    hint: re.Pattern[str]
    counts: Callable[[str], bool] = bool


IDENTIFIERS = {
    "CREDIT_CARD": _Identifier("CreditCardRecognizer", re.compile(r"[0-9](?:[- ]?[0-9]){11}")),
    "CRYPTO": _Identifier("CryptoRecognizer", re.compile(r"(?:bc1|[13])[A-Za-z0-9]{25}")),
    "IBAN_CODE": _Identifier("IbanRecognizer", re.compile(r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}")),
    "IP_ADDRESS": _Identifier(
        "IpRecognizer", re.compile(r"\.[0-9]{1,3}\.|::|:[0-9A-Fa-f]{1,4}:"), _is_public
    ),
    "MAC_ADDRESS": _Identifier(
        "MacAddressRecognizer",
        re.compile(r"[:-][0-9A-Fa-f]{2}[:-]|\.[0-9A-Fa-f]{4}\."),
    ),
    "US_SSN": _Identifier("UsSsnRecognizer", re.compile(r"[0-9]{3}[- .]?[0-9]{2}[- .]?[0-9]{4}")),
}


def identifier_finder(kinds: Sequence[str]) -> Finder:
    """Return a finder of the kinds, which are keys of `IDENTIFIERS`."""
    return functools.partial(_find, tuple(kinds))


def _find(kinds: tuple[str, ...], text: str) -> Iterator[Span]:
    return in_windows(as_plain(text), functools.partial(_recognize, kinds))


def _recognize(kinds: tuple[str, ...], text: str) -> Iterator[Span]:
    for kind in kinds:
        identifier = IDENTIFIERS[kind]
        if identifier.hint.search(text):
            for found in _recognizer(identifier.recognizer).analyze(text, [kind]):
                if identifier.counts(text[found.start : found.end]):
                    yield Span(found.start, found.end, kind, found.score)


@functools.cache
def _recognizer(name: str) -> "PatternRecognizer":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from presidio_analyzer import predefined_recognizers
    logger = logging.getLogger("presidio-analyzer")
    if not any(isinstance(handler, _Unsearched) for handler in logger.handlers):
        logger.addHandler(_Unsearched(logging.WARNING))
        logger.propagate = False
    recognizer: PatternRecognizer = getattr(predefined_recognizers, name)()
    return recognizer


class _Unsearched(logging.Handler):
    """Where Presidio gives up, it says so in its log and goes on: here that is an error."""

    def emit(self, record: logging.LogRecord) -> None:
        raise PluginError(f"redact: Presidio could not search a text: {record.msg}")
