"""Judges: who says which of two answers to a prompt is better, and whether that may decide.

- `judge`: what a judge is, and the one place where judges are asked.
- `vote_model`: learns from votes on what the frozen base model sees.
- `endpoint`: asks a model behind an OpenAI-compatible endpoint.
- `plugin_judge`: asks a plugin.
- `people`: what people said when they compared the answers themselves.
- `configured`: the judge that a configuration names.
- `licence`: how well a judge agrees with people, and whether it may decide.
- `win_shares`: how often a judge prefers the candidate's answers, prompt by prompt.
"""

from thumbwheel.evidence.judges.configured import make_judge
from thumbwheel.evidence.judges.endpoint import EndpointJudge, estimate_comparison
from thumbwheel.evidence.judges.judge import Judge, Meeting, preferences
from thumbwheel.evidence.judges.licence import grant
from thumbwheel.evidence.judges.people import PeopleJudge, people_licence, read_people
from thumbwheel.evidence.judges.plugin_judge import PluginJudge
from thumbwheel.evidence.judges.vote_model import VoteModel, fit_vote_model
from thumbwheel.evidence.judges.win_shares import Wins, length_controlled, win_shares

__all__ = [
    "EndpointJudge",
    "Judge",
    "Meeting",
    "PeopleJudge",
    "PluginJudge",
    "VoteModel",
    "Wins",
    "estimate_comparison",
    "fit_vote_model",
    "grant",
    "length_controlled",
    "make_judge",
    "people_licence",
    "preferences",
    "read_people",
    "win_shares",
]
