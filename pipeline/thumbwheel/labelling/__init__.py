"""Labelling: preferences that are asked for, and become events like any other.

- `people`: people rank answers in tools of their own.
- `model`: a model writes the side that a prompt lacks.
- `judgements`: the events that both become.
"""
