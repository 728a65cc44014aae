"""Feedback that was given on MLflow's traces.

- `traces`: the traces of an experiment as a source.
- `client`: the requests to the tracking server.
- `events`: from a trace and its assessments to events.
"""
