"""A user's SQL, run in a process of its own that can be stopped whatever it does.

- `select`: one SELECT that reads the store and nothing else.
- `worker`: what runs in the process.
- `process`: the process as the one that holds the store sees it.
- `spilled`: what does not fit into its memory.
"""
