"""Identity is content: hashes that name prompts, completions and whatever is made of them."""

import hashlib
import re
import unicodedata

from thumbwheel.types import Prompt

__all__ = [
    "ascii_words",
    "cluster_id",
    "completion_id",
    "content_id",
    "normal_completion",
    "prompt_id",
    "text_identity",
]


def _absorb(digest: hashlib.blake2b, *parts: str) -> hashlib.blake2b:
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest


# Hashes are a third of what an event costs: those that begin alike are copied.
_EMPTY = hashlib.blake2b(digest_size=16)
_USER_PROMPT = _absorb(_EMPTY.copy(), "prompt", "user")
_COMPLETION = _absorb(_EMPTY.copy(), "completion")

_WORD = re.compile(r"\w+")
_ASCII = "".join(sign.lower() if _WORD.match(sign) else " " for sign in map(chr, range(128)))


def content_id(*parts: str) -> str:
    """Return a 128-bit BLAKE2b hash of the parts, as 32 hexadecimal digits.

    Parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    return _absorb(_EMPTY.copy(), *parts).hexdigest()


def prompt_id(prompt: Prompt | str) -> str:
    """Return the identity of a prompt: roles and contents, NFC, outer whitespace ignored.

    Where a message has `extra`, that of all messages counts too. A text is one user message.
    """
    if isinstance(prompt, str):
        return _absorb(_USER_PROMPT.copy(), _normal(prompt)).hexdigest()
    parts: list[str] = []
    for message in prompt:
        parts.append(message["role"])
        parts.append(_normal(message["content"]))
    extras = [message.get("extra") for message in prompt]
    if any(extras):
        return content_id("chat", *parts, *(extra or "" for extra in extras))
    return content_id("prompt", *parts)


def cluster_id(prompt: Prompt) -> str:
    """Return an identity that near-identical prompts share: case and punctuation ignored.

    Prompts of one cluster are held out together; they are never paired across. `extra` is ignored
    as well: ids of tool calls are drawn anew each time a conversation is repeated.
    """
    return content_id("cluster", *(" ".join(_words(message["content"])) for message in prompt))


def ascii_words(text: str) -> list[str]:
    """Return the words of a text that is ASCII, in lower case; much faster than a pattern."""
    return text.translate(_ASCII).split()


def _words(text: str) -> list[str]:
    if text.isascii():
        return ascii_words(text)
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def text_identity(prompt: Prompt | str, completion: str) -> tuple[str, str]:
    """Return (prompt_id, completion_id) of an answer: the same texts, the same identity."""
    identity = prompt_id(prompt)
    return identity, completion_id(identity, completion)


def completion_id(prompt_id: str, completion: str) -> str:
    """Return the identity of an answer to the prompt of this identity."""
    return _absorb(_COMPLETION.copy(), prompt_id, completion).hexdigest()


def normal_completion(completion: str) -> str:
    """Return a completion as people compare it with others: without case and spacing."""
    return " ".join(completion.split()).casefold()


def _normal(text: str) -> str:
    # ASCII is its own normal form; Python would look at every character to find that out.
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()
