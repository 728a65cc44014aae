"""What the receiver says about itself: the OpenAPI document, and a page that needs no network.

What an event may hold is described by what validates it; the routes, which are Starlette's, by
hand.
"""

import html
import json
import re
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from thumbwheel.events.wire import WireEvent

__all__ = ["MAX_BATCH", "MAX_KEY", "describe", "docs_page"]

MAX_BATCH = 1000
"""The most events in a request."""

MAX_KEY = 256
"""The longest name of a request, in characters."""


_GENERATION_EXAMPLE = {
    "event_id": "gen-7f3a",
    "generation_id": "7f3a",
    "prompt": [{"role": "user", "content": "How do I undo a commit?"}],
    "completion": "Use git revert.",
    "model_version": "assistant-12",
    "occurred_at": "2026-03-01T12:00:00Z",
}
_FEEDBACK_EXAMPLE = {
    "event_id": "vote-1",
    "generation_id": "7f3a",
    "rater_id": "user-17",
    "score": -1,
    "comment": "That keeps the commit.",
    "occurred_at": "2026-03-01T12:00:40Z",
}

_ERRORS = {
    "400": "The body is not JSON.",
    "401": "No key or signature, or one that is not in force.",
    "408": "The body did not come in time.",
    "413": "The body is too large, or the batch has too many events.",
    "415": "The body is compressed, or its Content-Type is not application/json.",
    "422": "An event is not valid; nothing of the request was taken.",
    "429": "Too many events in a time; Retry-After says when to go on.",
    "503": "The events could not be written to disk; Retry-After says when to send them again.",
}
_WITH_RETRY_AFTER = frozenset({"429", "503"})


def describe(max_body_bytes: int, *, own_format: bool = True) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a receiver.

    Args:
        max_body_bytes: The largest body.
        own_format: Whether events are in Thumbwheel's format; else a mapping reads them.
    """
    document = _described(max_body_bytes)
    if not own_format:
        schemas = document["components"]["schemas"]
        schemas["Event"] = {
            "title": "Event",
            "type": "object",
            "description": "A record that the receiver's configuration maps to an event.",
        }
        for path in ("/v1/feedback", "/v1/generations"):
            del document["paths"][path]["post"]["requestBody"]["content"]["application/json"][
                "examples"
            ]
    return document


def _described(max_body_bytes: int) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Thumbwheel receiver",
            "version": "1",
            "description": (
                "Takes feedback events. 202 means that they are on disk. A request that was not "
                "answered, or with 429 or 503, should be sent again, the same as before: an event "
                f"is counted once. A body has at most {max_body_bytes} bytes and {MAX_BATCH} "
                "events."
            ),
        },
        "security": [{"bearer": []}, {"webhook": []}, {}],
        "paths": {
            "/v1/feedback": {
                "post": _operation(
                    "feedback", "Send votes, comments, corrections", _FEEDBACK_EXAMPLE
                )
            },
            "/v1/generations": {
                "post": _operation("generations", "Send answers of the model", _GENERATION_EXAMPLE)
            },
            "/livez": {
                "get": {
                    "operationId": "livez",
                    "summary": "Tell that the receiver runs",
                    "security": [],
                    "responses": {"200": {"description": "It does."}},
                }
            },
        },
        "components": {
            "schemas": _event_schemas()
            | {
                "Accepted": {
                    "type": "object",
                    "required": ["accepted"],
                    "properties": {"accepted": {"type": "integer", "minimum": 1}},
                },
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                },
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "webhook": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": (
                        "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature, "
                        "see https://www.standardwebhooks.com"
                    ),
                },
            },
        },
    }


class _Schemas(GenerateJsonSchema):
    """Schemas under plain names: `Event` for `WireEvent`."""

    def normalize_name(self, name: str) -> str:
        return re.sub("_?Wire", "", super().normalize_name(name))

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _event_schemas() -> dict[str, Any]:
    """Return the schemas of the event format, by name."""
    event = TypeAdapter(WireEvent).json_schema(
        ref_template="#/components/schemas/{model}", schema_generator=_Schemas
    )
    schemas: dict[str, Any] = {"Event": event, **event.pop("$defs")}
    return {name: schema | {"title": name} for name, schema in schemas.items()}


def _operation(name: str, summary: str, example: dict[str, Any]) -> dict[str, Any]:
    event = {"$ref": "#/components/schemas/Event"}
    batch = {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": event}
    second = example | {"event_id": f"{example['event_id']}b", "generation_id": "7f3b"}
    return {
        "operationId": name,
        "summary": summary,
        "description": "One event, or a JSON array of events: all of them are taken, or none.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "maxLength": MAX_KEY},
                "description": (
                    "Names the events without event_id, as webhook-id does; the same in a retry."
                ),
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [event, batch]},
                    "examples": {
                        "one": {"summary": "One event", "value": example},
                        "batch": {"summary": "A batch", "value": [example, second]},
                    },
                }
            },
        },
        "responses": {
            "202": {
                "description": "The events are on disk.",
                "content": _json("Accepted"),
            }
        }
        | {status: _error(status, text) for status, text in _ERRORS.items()},
    }


def _error(status: str, description: str) -> dict[str, Any]:
    response = {"description": description, "content": _json("Error")}
    if status in _WITH_RETRY_AFTER:
        seconds = {"schema": {"type": "integer"}, "description": "Seconds."}
        response["headers"] = {"Retry-After": seconds}
    return response


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def docs_page(document: dict[str, Any]) -> str:
    """Return the document as a page for people, without scripts."""
    parts = [f"<h1>{html.escape(document['info']['title'])}</h1>"]
    parts.append(f"<p>{html.escape(document['info']['description'])}</p>")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2>{method.upper()} {path}</h2><p>{operation['summary']}.</p>")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in body.get("examples", {}).values():
                text = html.escape(json.dumps(example["value"], indent=2))
                parts.append(f"<p>{example['summary']}:</p><pre>{text}</pre>")
            parts += ["<dl>", *map(_answer, operation["responses"].items()), "</dl>"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Thumbwheel receiver</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
        "pre{background:#eee;padding:1rem;overflow:auto}dt{float:left;width:3rem}</style>"
        f"{''.join(parts)}"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a></p></html>'
    )


def _answer(response: tuple[str, dict[str, Any]]) -> str:
    status, described = response
    return f"<dt>{status}</dt><dd>{html.escape(described['description'])}</dd>"
