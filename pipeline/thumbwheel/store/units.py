"""Votes as whole numbers, because sums of floats depend on their order."""

__all__ = ["SCORE_ONE", "WEIGHT_ONE"]

WEIGHT_ONE = 1_000_000
"""A whole vote: weights are in millionths."""

SCORE_ONE = 1_000_000_000
"""A thumb up: scores are in billionths."""
