"""Answers: what can be measured of the texts that a model answered with.

- `metrics`: every metric, declared once.
- `measure`: all of them for one model, one value for each prompt.
- `out_of_distribution`: some of them on prompts unlike the app's, and plain text.
- `guards`: how much worse a candidate may be, and how many answers it takes to tell.
- `topics`: groups of prompts, and which of them collapsed.
- `texts`, `diversity`, `likelihood`: of one answer, of many, under the base model.
- `words`: texts as words.
"""

from thumbwheel.evidence.answers.guards import COUNTS, NeededAnswers, needed_answers
from thumbwheel.evidence.answers.measure import PerDraw, Values, measure_answers, measure_draws
from thumbwheel.evidence.answers.metrics import METRICS
from thumbwheel.evidence.answers.out_of_distribution import (
    measure_out_of_distribution,
    out_of_distribution_prompts,
)
from thumbwheel.evidence.answers.topics import Collapse, collapsed_topics, topics

__all__ = [
    "COUNTS",
    "METRICS",
    "Collapse",
    "NeededAnswers",
    "PerDraw",
    "Values",
    "collapsed_topics",
    "measure_answers",
    "measure_draws",
    "measure_out_of_distribution",
    "needed_answers",
    "out_of_distribution_prompts",
    "topics",
]
