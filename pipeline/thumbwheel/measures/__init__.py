"""Measures: what is computed of texts, votes and numbers, and nothing else: pure functions.

- `confidence`: how sure it is that one answer is better than another.
- `attribution`: whose votes a pair rests on.
- `style`: length, lists, emoji and the like, of a text.
- `language`: the language of a text, and its mood.
- `statistics`: intervals and tests of what was measured.
- `near_duplicates`: prompts that say the same thing in almost the same words.
"""
