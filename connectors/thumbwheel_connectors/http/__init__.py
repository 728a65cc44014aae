"""Events that are sent over HTTP.

- `connector`: the receiver's log as a source.
- `server`, `app`, `protocol`, `openapi`: the receiver, its routes, how it talks, its description.
- `auth`: who may send.
- `events`: the events in a body.
- `writer`, `log`: what was received, on disk before it is acknowledged, and read back.
- `erasure`: a user, removed from the log.
"""
