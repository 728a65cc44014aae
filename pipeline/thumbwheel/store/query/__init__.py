"""A user's SQL, run in a process of its own that can be stopped whatever it does.

- `select`: one SELECT that reads the store and nothing else.
- `worker`: what runs in the process.
- `process`: the process as the one that holds the store sees it.
"""

from thumbwheel.store.query.process import QueryProcess, borrowed_process, remove_spilled

__all__ = ["QueryProcess", "borrowed_process", "remove_spilled"]
