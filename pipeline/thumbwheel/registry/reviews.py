"""MLflow's review queues: two answers to compare as a trace, and what reviewers said of them.

A queue belongs to the project's experiment and has the name that its caller gives it. What a
reviewer sees of a task is a trace whose inputs are the rubric and the prompt and whose outputs are
the two answers, and one question with three choices.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from thumbwheel.errors import InputError, UnavailableError
from thumbwheel.registry.connection import Connection
from thumbwheel.registry.recording import find_experiment

__all__ = ["Review", "ReviewTask", "Reviews", "erase_reviews"]

_QUESTION = "better_answer"
"""Unlike the votes on an application's traces, so that no connector takes it for one."""
_INSTRUCTION = "Which answer is better, by the rubric that stands with the prompt?"
_OPTIONS = {"Answer 1": "1", "Answer 2": "2", "Tie": "tie"}
_QUEUE_TAG, _TASK_TAG = "thumbwheel.queue", "thumbwheel.task"
_PAGE = 100
_NOBODY = ("", "default")
"""MLflow's words for nobody in particular."""


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """Two answers to a prompt, as a reviewer reads them."""

    task_id: str
    rubric: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Review:
    """What a reviewer said of a task.

    `choice` is the better answer, `1` or `2`, or `tie`, or other words that somebody else wrote.
    `reviewer` is None where MLflow does not know who it was.
    """

    task_id: str
    reviewer: str | None
    choice: str
    reviewed_at: datetime


class Reviews:
    """The review queues of a project's experiment.

    Nothing is opened before the first call. Every method raises `UnavailableError` when MLflow does
    not answer and `ConfigError` when the URI is wrong or the database cannot be opened.

    Args:
        connection: Where MLflow is.
        experiment: The experiment's name.
        artifact_location: Where the experiment's files go if it is made; None leaves it to MLflow.
    """

    def __init__(
        self, connection: Connection, experiment: str, artifact_location: str | None
    ) -> None:
        self._connection = connection
        self._experiment = experiment
        self._artifact_location = artifact_location

    def send(self, queue: str, tasks: Sequence[ReviewTask], reviewers: Sequence[str] = ()) -> str:
        """Put tasks into a queue, which is made where there is none; return the queue's page.

        Done again, after success or after a kill, it ends with each task in the queue once. The
        page is relative to the address of MLflow.

        Args:
            queue: Its name.
            tasks: What to review.
            reviewers: Users of MLflow whom the queue is assigned to, ten at most. On a server with
                accounts, others cannot review in it.

        Raises:
            ThumbwheelError: MLflow refuses, such as too many reviewers.
            UnavailableError: MLflow did not keep all of it.
        """
        with self._connection.client() as client:
            # Only now, since the connection sees to it that MLflow is imported quietly.
            import mlflow
            from mlflow.genai import review_queues

            experiment_id = find_experiment(client, self._experiment, self._artifact_location)
            known = {task_id for task_id, _ in self._traces(client, experiment_id, queue)}
            with warnings.catch_warnings():
                # What MLflow imports for its first trace warns; a warning that somebody made an
                # error would cost the trace, and MLflow would not say so.
                warnings.simplefilter("ignore")
                for task in tasks:
                    if task.task_id not in known:
                        _trace(client, experiment_id, queue, task)
                mlflow.flush_trace_async_logging()
            traces = dict(self._traces(client, experiment_id, queue))
            if missing := [task for task in tasks if task.task_id not in traces]:
                raise UnavailableError(
                    f"MLflow at {self._connection.shown} did not keep {len(missing):,} of "
                    f"{len(tasks):,} tasks; run this again"
                )
            queue_id = _queue(experiment_id, queue)
            if reviewers:
                review_queues.update_review_queue(queue_id, users=list(reviewers))
            ids = [traces[task.task_id].trace_id for task in tasks]
            for start in range(0, len(ids), _PAGE):
                review_queues.add_items_to_review_queue(
                    queue_id, item_ids=ids[start : start + _PAGE]
                )
        return f"#/experiments/{experiment_id}/review-queue"

    def read(self, queue: str) -> Iterator[Review]:
        """Yield what was said of a queue's tasks, whether or not they are marked as complete.

        Raises:
            InputError: There is no such queue.
        """
        if not self._connection.exists():
            raise InputError(f"there is no MLflow database {self._connection.database}")
        with self._connection.client() as client:
            found = client.get_experiment_by_name(self._experiment)
            traces = [] if found is None else list(self._traces(client, found.experiment_id, queue))
        if not traces:
            raise InputError(
                f"the experiment {self._experiment!r} has no review queue for these tasks; write "
                "them with `thumbwheel annotate compare --for mlflow`"
            )
        for task_id, info in traces:
            for said in info.assessments:
                if said.name == _QUESTION and said.feedback is not None and said.valid is not False:
                    who = said.source.source_id
                    yield Review(
                        task_id,
                        None if said.source.source_type != "HUMAN" or who in _NOBODY else who,
                        _OPTIONS.get(said.value, str(said.value)),
                        datetime.fromtimestamp(said.last_update_time_ms / 1000, UTC),
                    )

    def _traces(self, client: Any, experiment_id: str, queue: str) -> Iterator[tuple[str, Any]]:
        """Yield each task's id and its `TraceInfo`."""
        for trace in _search(client, experiment_id, queue, include_spans=False):
            yield trace.info.tags[_TASK_TAG], trace.info


def erase_reviews(client: Any, experiment: str, is_in_text: Callable[[str], bool]) -> None:
    """Delete the tasks that show what is to go, with what was said of them.

    Args:
        client: An `MlflowClient`.
        experiment: The experiment's name.
        is_in_text: Tells whether a text shows it.
    """
    from mlflow.genai import review_queues

    found = client.get_experiment_by_name(experiment)
    if found is None:
        return
    doomed = [
        trace.info.trace_id
        for trace in _search(client, found.experiment_id, None, include_spans=True)
        if is_in_text(_shown(trace))
    ]
    if not doomed:
        return
    token = None
    while True:
        page = review_queues.list_review_queues(experiment_id=found.experiment_id, page_token=token)
        for queue in page:
            review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=doomed)
        token = page.token
        if not token:
            break
    for start in range(0, len(doomed), _PAGE):
        client.delete_traces(found.experiment_id, trace_ids=doomed[start : start + _PAGE])


def _search(
    client: Any, experiment_id: str, queue: str | None, *, include_spans: bool
) -> Iterator[Any]:
    """Yield the traces of a queue's tasks, of any queue's where none is named."""
    where = f"tag.`{_QUEUE_TAG}` " + ("!= ''" if queue is None else f"= '{queue}'")
    token = None
    while True:
        page = client.search_traces(
            locations=[experiment_id],
            filter_string=where,
            max_results=_PAGE,
            page_token=token,
            include_spans=include_spans,
        )
        yield from page
        token = page.token
        if not token:
            return


def _trace(client: Any, experiment_id: str, queue: str, task: ReviewTask) -> None:
    span = client.start_trace(
        "comparison",
        inputs={"rubric": task.rubric, "prompt": task.prompt},
        tags={_QUEUE_TAG: queue, _TASK_TAG: task.task_id},
        experiment_id=experiment_id,
    )
    client.end_trace(span.trace_id, outputs={"answer_1": task.first, "answer_2": task.second})


def _shown(trace: Any) -> str:
    texts = [
        text
        for span in trace.data.spans
        for part in (span.inputs, span.outputs)
        for text in (part or {}).values()
    ]
    return "\n".join(map(str, texts))


def _queue(experiment_id: str, name: str) -> str:
    """Return the id of a queue, made with its question when there is none."""
    from mlflow import MlflowException
    from mlflow.genai import label_schemas, review_queues

    def made(make: Callable[[], Any], find: Callable[[], Any]) -> Any:
        try:
            return make()
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return find()

    question = made(
        lambda: label_schemas.create_label_schema(
            _QUESTION,
            type="feedback",
            input=label_schemas.InputCategorical(options=list(_OPTIONS)),
            instruction=_INSTRUCTION,
            experiment_id=experiment_id,
        ),
        lambda: label_schemas.get_label_schema(_QUESTION, experiment_id=experiment_id),
    )
    queue = made(
        lambda: review_queues.create_review_queue(
            name,
            queue_type="custom",
            schema_ids=[question.schema_id],
            experiment_id=experiment_id,
        ),
        lambda: review_queues.get_review_queue(name=name, experiment_id=experiment_id),
    )
    return str(queue.queue_id)
