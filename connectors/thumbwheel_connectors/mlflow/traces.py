"""Events from MLflow: the feedback that people leave on traces."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.errors import SourceError, ThumbwheelError
from thumbwheel.events.mapping import Rating, RatingOptions
from thumbwheel.types import Batch, EventLog, Record
from thumbwheel_connectors.mlflow.client import TraceClient
from thumbwheel_connectors.mlflow.events import Told, news_of, record_of, withdrawal_of

__all__ = ["MLflowConnector"]

_DAY_MS = 24 * 60 * 60 * 1000
_CURSOR_CHARACTERS = 12_000

Name = Annotated[str, Field(pattern=r"^[^`]+$")]


@dataclass(frozen=True, kw_only=True, config={"extra": "forbid"})
class MLflowConnector(RatingOptions):
    """Read the assessments of an experiment's traces: feedback as votes, expectations too.

    Credentials are taken from MLflow's own environment variables.

    Args:
        tracking_uri: `http(s)://HOST[:PORT]` or `sqlite:///PATH`.
        experiment: The experiment's name.
        feedback_name: The feedback that is the vote. MLflow's own default is `feedback`.
        correction_name: The expectation that is the rater's own better answer.
        source_types: Whose feedback counts.
        rescan_days: How long after the newest trace an older one is still looked at for new,
            changed and deleted assessments.
        poll_seconds: How often MLflow is asked while the source is followed.
        up: See `RatingOptions`.
        down: See `RatingOptions`.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`.
        rank: See `RatingOptions`.
        null_is: See `RatingOptions`.
    """

    needs_extra: ClassVar[str] = "mlflow"

    tracking_uri: str
    experiment: str
    feedback_name: Name = "feedback"
    correction_name: Name = "expected_response"
    source_types: tuple[Literal["HUMAN", "LLM_JUDGE", "CODE"], ...] = ("HUMAN",)
    rescan_days: Annotated[float, Field(ge=0)] = 7
    poll_seconds: Annotated[float, Field(gt=0)] = 60
    up: tuple[Rating, ...] = ("up", "thumbs_up", "like", "positive", "yes", True, 1)
    down: tuple[Rating, ...] = ("down", "thumbs_down", "dislike", "negative", "no", False, 0, -1)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Which traces are looked at, in MLflow's search syntax."""
        return (
            f"expectation.`{self.correction_name}` IS NOT NULL",
            f"feedback.`{self.feedback_name}` IS NOT NULL",
        )

    def counts(self, assessment: Any) -> bool:
        """Tell whether an assessment is a vote or a correction by the options."""
        if assessment.source.source_type not in self.source_types:
            return False
        if assessment.feedback is not None:
            return assessment.name == self.feedback_name and assessment.value is not None
        return assessment.expectation is not None and assessment.name == self.correction_name

    def open(self, cursor: str | None) -> EventLog:
        """Find the experiment and go on behind `cursor`.

        Raises:
            SourceError: There is no such experiment or database, or the cursor was written by
                another connector.
            UnavailableError: The server does not answer.
        """
        return _TraceLog(self, _Cursor.parse(cursor))


class _TraceLog:
    """An experiment's assessments, read in rounds over the traces, the oldest first.

    A round looks at all rated traces from `rescan_days` before the newest one known, and tells
    what is new about their assessments. It ends with None; the next one begins `poll_seconds`
    after it began.
    """

    def __init__(self, options: MLflowConnector, cursor: "_Cursor") -> None:
        self._options = options
        self._client = TraceClient(options.tracking_uri, options.experiment)
        self._watermark_ms = cursor.watermark_ms
        self._told = dict(cursor.told)
        self._round: Iterator[Record] | None = None
        self._next_round = 0.0
        self._progress = 0.0

    def poll(self, max_records: int) -> Batch | None:
        """Return the next events; None ends a round.

        Raises:
            SourceError: MLflow refuses.
            UnavailableError: The server does not answer.
        """
        if self._round is None:
            if time.monotonic() < self._next_round:
                return None
            self._next_round = time.monotonic() + self._options.poll_seconds
            self._round = self._read_round()
        records: list[Record] = []
        try:
            for record in self._round:
                records.append(record)
                if len(records) == max_records:
                    break
        except ThumbwheelError:
            self._round, self._next_round = None, 0.0
            # What was read before it is stored first; the next call asks MLflow again.
            if not records:
                raise
        if not records:
            self._round = None
            return None
        return Batch(records, _Cursor(self._watermark_ms, self._told).text(), self._progress)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: MLflow keeps its traces."""

    def close(self) -> None:
        """Nothing is held open."""

    def _read_round(self) -> Iterator[Record]:
        """Yield what is new about the assessments of the window."""
        window_ms = int(self._options.rescan_days * _DAY_MS)
        start_ms = max(0, self._watermark_ms - window_ms)
        met: set[str] = set()
        conditions = self._options.conditions
        begun_ms, first_ms, newest_ms = time.time() * 1000, None, self._watermark_ms
        for index, condition in enumerate(conditions):
            for page in self._client.pages(start_ms, condition):
                first_ms = first_ms or page[0].request_time
                share = (page[0].request_time - first_ms) / max(1, begun_ms - first_ms)
                self._progress = (index + min(1.0, max(0.0, share))) / len(conditions)
                yield from self._read_page(page, met)
                newest_ms = max(newest_ms, page[-1].request_time)
                if condition == conditions[-1]:
                    # Before, newer traces that meet it may still be unread.
                    self._watermark_ms = max(self._watermark_ms, page[-1].request_time)
                self._forget(page[0].request_time - window_ms)
        self._watermark_ms = newest_ms
        yield from self._find_deleted(start_ms, met)
        self._progress = 1.0

    def _read_page(self, page: Sequence[Any], met: set[str]) -> Iterator[Record]:
        news: list[tuple[Any, Any, Told]] = []
        for info in page:
            if info.state == "IN_PROGRESS":
                continue
            for assessment in filter(self._options.counts, info.assessments):
                met.add(assessment.assessment_id)
                before = self._told.get(assessment.assessment_id)
                now = news_of(info, assessment, before)
                if now != before:
                    news.append((info, assessment, now))
        spans = self._client.spans(list({info.trace_id: None for info, _, _ in news}))
        for info, assessment, now in sorted(news, key=lambda item: item[2].updated_ms):
            self._told[assessment.assessment_id] = now
            record = record_of(info, spans.get(info.trace_id, ()), assessment, now, self._options)
            if record is not None:
                yield record

    def _find_deleted(self, start_ms: int, met: set[str]) -> Iterator[Record]:
        """Yield the withdrawals of votes that are no longer there."""
        missing = {
            key: told
            for key, told in self._told.items()
            if key not in met and told.is_vote and told.stands and told.trace_ms >= start_ms
        }
        # A trace that came in late can shift another out of the pages, and other options can pass
        # over a vote: look at each one again.
        infos = self._client.infos(list({told.trace_id: None for told in missing.values()}))
        present = {assessment.assessment_id for info in infos for assessment in info.assessments}
        for key, told in missing.items():
            if key not in present:
                self._told[key] = now = replace(told, revision=told.revision + 1)
                yield withdrawal_of(key, now)

    def _forget(self, before_ms: int) -> None:
        """Drop what was told about traces that are no longer looked at."""
        while self._told:
            key, told = next(iter(self._told.items()))
            if told.trace_ms >= before_ms:
                return
            del self._told[key]


@plain_dataclass(frozen=True, slots=True)
class _Cursor:
    """Up to where traces were read, and what was told about the newest assessments.

    Others of the window come again after a restart, and the store knows them.
    """

    watermark_ms: int
    told: dict[str, Told]

    def text(self) -> str:
        """Return it as JSON of bounded length."""
        kept, room = {}, _CURSOR_CHARACTERS
        for key, told in reversed(self.told.items()):
            values = astuple(told)
            room -= len(json.dumps({key: values}))
            if room < 0:
                break
            kept[key] = values
        oldest_first = dict(reversed(kept.items()))
        return json.dumps({"watermark_ms": self.watermark_ms, "told": oldest_first})

    @classmethod
    def parse(cls, text: str | None) -> "_Cursor":
        """Read what `text` wrote.

        Raises:
            SourceError: Another connector wrote it.
        """
        if text is None:
            return cls(0, {})
        try:
            held = json.loads(text)
            told = {key: Told(*values) for key, values in held["told"].items()}
            return cls(int(held["watermark_ms"]), told)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SourceError(
                "this source was read by another connector before; "
                "give it a new `name` to read MLflow"
            ) from error
