"""MLflow's review queue: tasks of two answers into it, and what reviewers chose out of it.

Each set of tasks has a queue of its own, whose name follows from the tasks.
"""

from collections.abc import Iterator, Mapping, Sequence

from thumbwheel.events import content_id
from thumbwheel.labelling.people.rankings import Ranking, chosen
from thumbwheel.labelling.people.tasks import Task, shown_prompt
from thumbwheel.registry import Reviews, ReviewTask

__all__ = ["queue_name", "read_reviews", "send_to_review"]


def queue_name(tasks: Mapping[str, Task] | Sequence[Task]) -> str:
    """Return the name of the queue of these tasks, in whatever order."""
    values = tasks.values() if isinstance(tasks, Mapping) else tasks
    return f"compare-{content_id(*sorted(task.task_id for task in values))[:12]}"


def send_to_review(
    reviews: Reviews, tasks: Sequence[Task], rubric: str, reviewers: Sequence[str]
) -> str:
    """Put the tasks into their queue; return its page, relative to the address of MLflow.

    Args:
        reviews: The project's queues.
        tasks: Of two answers each.
        rubric: What makes an answer better.
        reviewers: Users of MLflow whom the queue is assigned to.

    Raises:
        ThumbwheelError: MLflow refuses.
        UnavailableError: MLflow does not answer, or did not keep all of it.
    """
    return reviews.send(
        queue_name(tasks),
        [
            ReviewTask(
                task.task_id,
                rubric,
                shown_prompt(task.prompt),
                *(answer.completion for answer in task.answers),
            )
            for task in tasks
        ],
        reviewers,
    )


def read_reviews(reviews: Reviews, tasks: Mapping[str, Task]) -> Iterator[Ranking]:
    """Yield what reviewers chose in the queue of these tasks, as rankings.

    Raises:
        InputError: There is no such queue.
        UnavailableError: MLflow does not answer.
    """
    for review in reviews.read(queue_name(tasks)):
        yield chosen(review.task_id, review.reviewer, review.choice, review.reviewed_at)
