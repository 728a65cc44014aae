"""Annotation: tasks for people who rank completions, and judgements from what they ranked.

- `production`: prompts and completions as the store holds them.
- `coverage`: a few texts that cover what many are about.
- `writers`, `generated`: who writes what a task lacks, and the log of what was written.
- `sample`: from production to tasks, and what they cost.
- `tasks`: a task, and the file that keeps them.
- `label_studio`, `argilla`, `spreadsheet`: the formats of the tools, both ways.
- `rankings`: from rankings to events.
- `files`: which format a file is in, and the file of events.
"""

from thumbwheel.labelling.people.files import Tool, read_rankings, write_events, write_for
from thumbwheel.labelling.people.generated import GeneratedLog
from thumbwheel.labelling.people.rankings import Imported, Pairs, Ranking, to_events
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
    "Drawn",
    "EndpointWriter",
    "Estimated",
    "GeneratedLog",
    "Imported",
    "Made",
    "ModelWriter",
    "Pairs",
    "Ranking",
    "Task",
    "Tool",
    "Writer",
    "draw_prompts",
    "estimate",
    "make_task",
    "make_tasks",
    "read_rankings",
    "read_tasks",
    "to_events",
    "write_events",
    "write_for",
    "write_tasks",
]
