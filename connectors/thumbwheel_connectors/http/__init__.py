"""Events that are sent over HTTP.

- `connector`: the receiver's log as a source.
- `server`, `app`, `openapi`: the receiver, its routes, its description.
- `auth`: who may send.
- `events`: the events in a body.
- `writer`, `log`: what was received, on disk before it is acknowledged, and read back.
- `erasure`: a user, removed from the log.
"""
