"""Annotation: tasks for people who rank completions, and judgements from what they ranked.

- `production`: prompts and completions as the store holds them.
- `coverage`: a few texts that cover what many are about.
- `writers`, `generated`: who writes what a task lacks, and the log of what was written.
- `sample`: from production to tasks, and what they cost.
- `pairwise`: from two models' answers to tasks.
- `tasks`: a task, and the file that keeps them.
- `label_studio`, `argilla`, `spreadsheet`: the formats of the tools, both ways.
- `review_queue`: MLflow's queue, both ways.
- `rankings`: from rankings to events.
- `files`: which format a file is in, and the file of events.
"""

from thumbwheel.labelling.people.files import (
    PairTool,
    Tool,
    read_rankings,
    write_events,
    write_for,
    write_pairs_for,
)
from thumbwheel.labelling.people.generated import GeneratedLog
from thumbwheel.labelling.people.pairwise import Compared, compare, read_answers
from thumbwheel.labelling.people.rankings import Imported, Pairs, Ranking, to_events
from thumbwheel.labelling.people.review_queue import queue_name, read_reviews, send_to_review
from thumbwheel.labelling.people.sample import (
    Drawn,
    Estimated,
    Made,
    draw_prompts,
    estimate,
    make_tasks,
)
from thumbwheel.labelling.people.tasks import Answer, Task, make_task, read_tasks, write_tasks
from thumbwheel.labelling.people.writers import EndpointWriter, ModelWriter, Writer

__all__ = [
    "Answer",
    "Compared",
    "Drawn",
    "EndpointWriter",
    "Estimated",
    "GeneratedLog",
    "Imported",
    "Made",
    "ModelWriter",
    "PairTool",
    "Pairs",
    "Ranking",
    "Task",
    "Tool",
    "Writer",
    "compare",
    "draw_prompts",
    "estimate",
    "make_task",
    "make_tasks",
    "queue_name",
    "read_answers",
    "read_rankings",
    "read_reviews",
    "read_tasks",
    "send_to_review",
    "to_events",
    "write_events",
    "write_for",
    "write_pairs_for",
    "write_tasks",
]
