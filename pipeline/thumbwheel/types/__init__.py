"""What flows through the wheel: frozen values and protocols.

The terms are TRL's: a *prompt* is a list of chat messages, a *completion* is what the model
answered, a *rater* is who voted. Tables of many such values are described in `tables`.

- `fates`: what became of events, completions and pairs, and the words for it.
- `chat`: messages and prompts.
- `sources`: records, and what a connector is.
- `preferences`: rated completions, pairs, datasets.
- `models`: a language model, as those see it who measure one.
- `evidence`: what was measured, and the verdict.
- `ledger`: what is entered once and for all: looks at the held-out prompts, promotions.
- `reports`: what a cycle did.
- `watching`: who watches.
"""

from thumbwheel.types.chat import Message, Prompt
from thumbwheel.types.evidence import (
    Decision,
    Estimate,
    EvalReport,
    EvidencePlan,
    Licence,
    Metric,
    MetricReport,
    Regression,
    RuleResult,
    Sample,
    SealedTest,
    SealedValues,
    Verdict,
)
from thumbwheel.types.ledger import Look, Promotion
from thumbwheel.types.models import Answer, LanguageModel, LogProb
from thumbwheel.types.preferences import Part, PreferenceDataset, PreferencePair, RatedCompletion
from thumbwheel.types.reports import (
    CycleReport,
    DataReport,
    DatasetManifest,
    PluginInfo,
    Provenance,
    SourceCounts,
    TrainingReport,
    VoteCounts,
)
from thumbwheel.types.sources import (
    Batch,
    Connector,
    EventLog,
    ForgettingConnector,
    GatheringConnector,
    Lag,
    Receiver,
    ReceivingConnector,
    Record,
)
from thumbwheel.types.watching import Observer

__all__ = [
    "Answer",
    "Batch",
    "Connector",
    "CycleReport",
    "DataReport",
    "DatasetManifest",
    "Decision",
    "Estimate",
    "EvalReport",
    "EventLog",
    "EvidencePlan",
    "ForgettingConnector",
    "GatheringConnector",
    "Lag",
    "LanguageModel",
    "Licence",
    "LogProb",
    "Look",
    "Message",
    "Metric",
    "MetricReport",
    "Observer",
    "Part",
    "PluginInfo",
    "PreferenceDataset",
    "PreferencePair",
    "Promotion",
    "Prompt",
    "Provenance",
    "RatedCompletion",
    "Receiver",
    "ReceivingConnector",
    "Record",
    "Regression",
    "RuleResult",
    "Sample",
    "SealedTest",
    "SealedValues",
    "SourceCounts",
    "TrainingReport",
    "Verdict",
    "VoteCounts",
]
