"""Answers: what can be measured of the texts that a model answered with.

- `metrics`: every metric, declared once.
- `measure`: all of them for one model, one value for each prompt.
- `texts`, `diversity`, `likelihood`: of one answer, of many, under the base model.
- `words`: texts as words.
"""

from thumbwheel.evidence.answers.measure import PerDraw, Values, measure_answers, measure_draws
from thumbwheel.evidence.answers.metrics import METRICS

__all__ = ["METRICS", "PerDraw", "Values", "measure_answers", "measure_draws"]
