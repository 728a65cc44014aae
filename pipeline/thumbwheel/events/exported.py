"""What exporters do to texts."""

__all__ = ["is_cut", "without_apostrophe"]

_FORMULA = ("=", "+", "-", "@", "\t", "\n")


def is_cut(text: object, length: int) -> bool:
    """Tell whether an exporter cut a text at a length, and put three dots behind."""
    return isinstance(text, str) and len(text) == length + 3 and text.endswith("...")


def without_apostrophe(value: object) -> object:
    """Return a text without the apostrophe that keeps a spreadsheet from running it as a formula.

    It stands before what begins like a formula, or has such a sign behind a comma.
    """
    if not isinstance(value, str) or not value.startswith("'"):
        return value
    text = value[1:]
    is_guarded = text.startswith(_FORMULA) or any(f",{sign}" in text for sign in _FORMULA)
    return text if is_guarded else value
