"""What is to be written: prompts that lack a side, and prompts that get both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from thumbwheel.errors import InputError
from thumbwheel.events import EventParser, MalformedRecordError, content_id
from thumbwheel.labelling.model.failure_modes import FailureMode
from thumbwheel.store import COMPARISONS_FILE, RATED_FILE
from thumbwheel.types import Prompt

__all__ = ["Job", "Kept", "one_sided_jobs", "prompts_of_file"]

_LONGEST = 20_000
"""Characters of a prompt or answer; with longer ones hardly any model keeps to the task."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The side that is there: an answer that users liked, or disliked."""

    completion_id: str
    completion: str
    model_version: str | None
    liked: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A pair to complete: what is wrong with its rejected side, and the side there is, if any.

    Where the answer that is there was disliked, nobody knows why, and `mode` is None.
    """

    key: str
    prompt: Prompt
    kept: Kept | None
    mode: FailureMode | None


def one_sided_jobs(snapshot: Path, modes: Sequence[FailureMode], *, both: bool) -> Iterator[Job]:
    """Yield a job for each prompt whose voted answers are all liked, or all disliked.

    Prompts for which a model wrote a pair before are left out. The order is that of the prompts'
    ids, which are hashes: any number of jobs from the beginning is a fair draw.

    Args:
        snapshot: The directory of a `store.Snapshot`.
        modes: Each prompt gets one, decided by its id.
        both: Write both sides anew, instead of the missing one.
    """
    comparisons = pq.read_table(snapshot / COMPARISONS_FILE, columns=["prompt_id", "origin"])
    done = {row["prompt_id"] for row in comparisons.to_pylist() if row["origin"] == "ai"}
    for prompt_id, answers in groupby(_rows(snapshot / RATED_FILE), key=lambda r: r["prompt_id"]):
        voted = [answer for answer in answers if answer["score"]]
        best = max(voted, key=lambda a: (abs(a["score"]), a["n_up"] + a["n_down"]), default=None)
        if best is None or prompt_id in done or len({a["score"] > 0 for a in voted}) > 1:
            continue
        kept = Kept(
            best["completion_id"], best["completion"], best["model_version"], best["score"] > 0
        )
        if kept.completion.strip() and _readable(best["prompt"], kept.completion):
            yield _job(prompt_id, best["prompt"], None if both else kept, modes)


def prompts_of_file(path: Path, modes: Sequence[FailureMode]) -> list[Job]:
    """Return a job for each prompt in a file: JSON lines whose `prompt` is a text or messages.

    Raises:
        InputError: The file cannot be read, or a line holds no prompt.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; name a file of JSON lines") from (
            error
        )
    parser = EventParser(lambda record: {"prompt": record.get("prompt"), "completion": "-"})
    jobs: dict[str, Job] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = parser.parse(line)
        except MalformedRecordError as error:
            raise InputError(
                f"{path}:{number} holds no prompt ({error}); write one object a line, such as "
                '{"prompt": "..."}'
            ) from error
        if event is not None and _readable(event["prompt"]):
            job = _job(event["prompt_id"], event["prompt"], None, modes)
            jobs.setdefault(job.key, job)
    return list(jobs.values())


def _job(prompt_id: str, prompt: Prompt, kept: Kept | None, modes: Sequence[FailureMode]) -> Job:
    mode = None
    if kept is None or kept.liked:
        mode = modes[int(prompt_id, 16) % len(modes)]
    what = (mode.name, mode.instruction) if mode else ("better",)
    key = content_id("ai pair", prompt_id, kept.completion_id if kept else "", *what)
    return Job(key, prompt, kept, mode)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        yield from chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(1024))


def _readable(prompt: Prompt, completion: str = "") -> bool:
    return sum(len(m["content"]) for m in prompt) <= _LONGEST and len(completion) <= _LONGEST
