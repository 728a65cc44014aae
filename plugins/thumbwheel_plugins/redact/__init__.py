"""`redact`: personal data and secrets leave an event before it is stored.

- `plugin`: the hook; which columns hold texts, and how they are put back.
- `scanner`: from a text to the text with placeholders, whatever is looked for.
- `secrets`: the table of well-known keys.
- `contacts`: e-mail addresses and phone numbers.
- `identifiers`: card numbers, IBANs, IP addresses and the like, by Presidio's recognizers.
- `names`: persons and places, by a spaCy model.
"""

from thumbwheel_plugins.redact.plugin import Redact

__all__ = ["Redact"]
