"""Judges: who says which of two answers to a prompt is better, and whether that may decide.

- `judge`: what a judge is, and the one place where judges are asked.
- `vote_model`: learns from votes on what the frozen base model sees.
- `licence`: how well a judge agrees with people, and whether it may decide.
- `win_shares`: how often a judge prefers the candidate's answers, prompt by prompt.
"""

from thumbwheel.evidence.judges.judge import Judge, Meeting, preferences
from thumbwheel.evidence.judges.licence import grant
from thumbwheel.evidence.judges.vote_model import VoteModel, fit_vote_model
from thumbwheel.evidence.judges.win_shares import Wins, length_controlled, win_shares

__all__ = [
    "Judge",
    "Meeting",
    "VoteModel",
    "Wins",
    "fit_vote_model",
    "grant",
    "length_controlled",
    "preferences",
    "win_shares",
]
