"""Pairs written by a model: asked for, checked, and appended to a file of events."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thumbwheel.endpoint import Endpoint, RequestFailedError
from thumbwheel.events import text_identity
from thumbwheel.labelling.judgements import event_line, generation_event, judgement_events
from thumbwheel.labelling.model.asking import (
    Sides,
    UnusableError,
    estimate_job,
    make_request,
    read_sides,
)
from thumbwheel.labelling.model.jobs import Job
from thumbwheel.process.locks import only_one

__all__ = ["WritingReport", "read_written", "write_pairs"]

_MAX_REPLIES = 3
_LEAST_TOKENS = 1024

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a note."""


@dataclass(frozen=True, slots=True)
class WritingReport:
    """How many pairs were written, and why the others were not."""

    n_written: int
    skipped: Mapping[str, int]


def read_written(path: Path) -> set[str]:
    """Return the keys of the jobs that a file of events has whole pairs for."""
    votes: Counter[str] = Counter()
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                votes[_comparison_id(line)] += 1
    del votes[""]
    return {name.removeprefix("ai-pair:") for name, count in votes.items() if count > 1}


def _comparison_id(line: bytes) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return ""  # cut off by a kill
    return str(event.get("comparison_id", "")) if isinstance(event, dict) else ""


def write_pairs(
    endpoint: Endpoint, jobs: Sequence[Job], out: Path, progress: Progress
) -> WritingReport:
    """Let the endpoint write what the jobs lack and append each pair as soon as it is there.

    A pair is four events: both sides, and the two votes of the model that wrote. It is on disk when
    it is counted, so that a run that was stopped goes on where it was.

    Args:
        endpoint: Who writes.
        jobs: Those that `out` has no pair for.
        out: The file; a source reads it with `origin = "ai"`.
        progress: Told after each job.

    Raises:
        BusyError: Another process writes into the file.
        UnavailableError: The endpoint does not answer any more.
        ConfigError: The key, the model or the address is wrong.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    skipped: Counter[str] = Counter()
    n_written = 0
    busy = f"another process writes pairs into {out}; wait until it has finished"
    with only_one(out.with_name(f".{out.name}.lock"), busy), out.open("ab") as file:
        if file.tell() and not _ends_a_line(out):
            file.write(b"\n")
        results = endpoint.each(lambda job: (job, _write(endpoint, job)), jobs)
        for done, (job, result) in enumerate(results, start=1):
            if isinstance(result, Sides):
                # At once, so that a kill hardly ever leaves half a pair.
                file.write(b"".join(map(event_line, _events(job, result, endpoint.config.model))))
                file.flush()
                os.fsync(file.fileno())
                n_written += 1
            else:
                skipped[result] += 1
            progress(done / len(jobs), f"{n_written:,} pairs, {endpoint.usage.usd:.2f} USD")
    return WritingReport(n_written, dict(skipped))


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _write(endpoint: Endpoint, job: Job) -> Sides | str:
    """Return the pair, or why there is none."""
    # Room for the answer as JSON, and for models that think aloud in the same budget.
    max_tokens = max(_LEAST_TOKENS, 4 * estimate_job(job)[1])
    complaint: str | None = None
    for _ in range(_MAX_REPLIES):
        try:
            return read_sides(job, endpoint.ask(make_request(job, complaint), max_tokens).text)
        except UnusableError as error:
            complaint = str(error)
        except RequestFailedError as error:
            return f"the endpoint {error}"
    return f"no reply of {_MAX_REPLIES} could be used, the last because {_in_general(complaint)}"


def _in_general(complaint: str | None) -> str:
    """Return a complaint without its numbers, so that equal ones are counted together."""
    return (complaint or "").partition(":")[0]


def _events(job: Job, sides: Sides, model: str) -> Iterator[Mapping[str, Any]]:
    now = datetime.now(UTC)
    writer = f"ai:{model}"
    ids = []
    for side, completion in (("chosen", sides.chosen), ("rejected", sides.rejected)):
        kept = job.kept if job.kept and job.kept.completion == completion else None
        _, completion_id = text_identity(job.prompt, completion)
        ids.append(f"ai-pair:{job.key}:{completion_id}")
        yield generation_event(
            ids[-1],
            job.prompt,
            completion,
            model_version=kept.model_version if kept else writer,
            metadata={
                "origin": "users" if kept else "ai",
                "side": side,
                "failure_mode": job.mode.name if job.mode else None,
            },
            occurred_at=now,
        )
    yield from judgement_events(
        f"ai-pair:{job.key}", writer, chosen=ids[0], rejected=ids[1], occurred_at=now
    )
