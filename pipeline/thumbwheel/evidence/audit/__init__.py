"""The confound audit: what tells chosen from rejected, but should not.

- `report`: what an audit says, as frozen values.
- `confounds`, `language`: how well style alone tells the sides apart.
- `composition`: lengths, raters, model versions, near-duplicates.
- `agreement`: how far raters agree, and the noise that follows.
- `verdict`: limits, and what stands out.
- `run`: all of it for two sets of pairs.
- `page`: the report as HTML.
"""

from thumbwheel.evidence.audit.page import audit_page
from thumbwheel.evidence.audit.report import AuditReport
from thumbwheel.evidence.audit.run import audit_pairs

__all__ = ["AuditReport", "audit_page", "audit_pairs"]
