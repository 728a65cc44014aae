"""The confound audit: what tells chosen from rejected, but should not.

- `report`: what an audit says, as frozen values.
- `confounds`, `language`: how well style alone tells the sides apart.
- `composition`: lengths, raters, model versions, near-duplicates.
- `agreement`: how far raters agree.
- `wrong_pairs`: how many pairs are the wrong way round, by what follows from that.
- `verdict`: limits, and what stands out.
- `run`: all of it for two sets of pairs.
- `page`: the report as HTML.
"""

from thumbwheel.evidence.audit.page import audit_page
from thumbwheel.evidence.audit.report import AuditReport
from thumbwheel.evidence.audit.run import SEED, audit_pairs, audit_wrong_pairs
from thumbwheel.evidence.audit.wrong_pairs import RatedAnswers, estimate_wrong_pairs, rated_answers

__all__ = [
    "SEED",
    "AuditReport",
    "RatedAnswers",
    "audit_page",
    "audit_pairs",
    "audit_wrong_pairs",
    "estimate_wrong_pairs",
    "rated_answers",
]
