"""What others ask the store's owner over HTTP. Everything but the probes needs the bearer token."""

import hmac
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from fastapi import Body, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field, Json, TypeAdapter
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as StarletteHTTPException

from thumbwheel.config import VotePolicy
from thumbwheel.errors import DataError, InputError, ThumbwheelError
from thumbwheel.store import (
    FATES,
    Accounts,
    EventState,
    PluginCount,
    ReplayCounts,
    Snapshot,
    Store,
    StoredDeadLetter,
)
from thumbwheel.store.remote import SourceState
from thumbwheel.types import SourceCounts, VoteCounts

__all__ = ["Owner", "make_api"]

ARROW_STREAM = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Owner:
    """What the process that holds the store can do for others."""

    store: Store
    scratch: Path
    token: str
    states: Callable[[], Sequence[SourceState]]
    unready: Callable[[], str | None]
    replay: Callable[[str | None], dict[str, ReplayCounts]]
    metrics_page: Callable[[], bytes]


class QueryRequest(BaseModel):
    """One SELECT over the store's tables."""

    sql: str
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 60.0


class ReplayRequest(BaseModel):
    """Which source's dead letters to read again; null is all."""

    source: str | None = None


class StateRequest(VotePolicy):
    """Which event to look at."""

    event_id: str


class Probe(BaseModel):
    """The answer to a probe."""

    status: Literal["ok", "unready"]
    reason: str | None = None


def make_api(owner: Owner) -> FastAPI:
    """Return the application; its schema is at `/openapi.json`."""
    bearer = HTTPBearer(auto_error=False)

    def authorized(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        given = credentials.credentials if credentials is not None else ""
        if not hmac.compare_digest(given.encode(), owner.token.encode()):
            raise HTTPException(
                401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"}
            )

    # The pages that FastAPI makes of the schema load scripts from elsewhere.
    api = FastAPI(title="Thumbwheel", docs_url=None, redoc_url=None)
    secured = [Depends(authorized)]

    @api.exception_handler(StarletteHTTPException)
    def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @api.exception_handler(RequestValidationError)
    def misunderstood(request: Request, error: RequestValidationError) -> JSONResponse:
        item = error.errors()[0]
        where = ".".join(str(part) for part in item["loc"])
        return JSONResponse({"error": f"`{where}`: {item['msg']}"}, 422)

    @api.exception_handler(ThumbwheelError)
    def failed(request: Request, error: ThumbwheelError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400 if isinstance(error, InputError) else 503)

    @api.get("/livez")
    def livez() -> Probe:
        """Tell that the process is alive."""
        return Probe(status="ok")

    @api.get("/readyz")
    def readyz(response: Response) -> Probe:
        """Tell whether events are being stored; 503 and the reason when not."""
        reason = owner.unready()
        if reason is None:
            return Probe(status="ok")
        response.status_code = 503
        return Probe(status="unready", reason=reason)

    @api.get("/metrics", dependencies=secured, response_class=Response)
    def metrics() -> Response:
        """Return Prometheus' metrics."""
        return Response(owner.metrics_page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @api.get("/v1/sources", dependencies=secured)
    def sources() -> list[SourceCounts]:
        """Return the balance of every source."""
        return owner.store.source_counts()

    @api.get("/v1/sources/states", dependencies=secured)
    def states() -> list[SourceState]:
        """Return how every source fares."""
        return list(owner.states())

    @api.get("/v1/plugin-counts", dependencies=secured)
    def plugin_counts() -> list[PluginCount]:
        """Return what plugins did to the events before they were stored."""
        return owner.store.plugin_counts()

    @api.get("/v1/votes", dependencies=secured)
    def votes() -> VoteCounts:
        """Return what became of the votes."""
        return owner.store.vote_counts()

    @api.get("/v1/dead-letters", dependencies=secured)
    def dead_letters(
        source: str | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
    ) -> list[StoredDeadLetter]:
        """Return the newest dead letters."""
        return owner.store.dead_letters(source=source, limit=limit)

    @api.get("/v1/dead-letters/reasons", dependencies=secured)
    def reasons(
        limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    ) -> list[tuple[str, int, str]]:
        """Return (reason, count, an example's position), the most frequent first."""
        return owner.store.dead_letter_reasons(limit)

    @api.get("/v1/dead-letters/{letter_id}", dependencies=secured)
    def dead_letter(letter_id: int) -> StoredDeadLetter:
        """Return one dead letter."""
        return owner.store.dead_letter(letter_id)[0]

    @api.get("/v1/dead-letters/{letter_id}/raw", dependencies=secured, response_class=Response)
    def raw(letter_id: int) -> Response:
        """Return a dead letter's bytes."""
        content = owner.store.dead_letter(letter_id)[1]
        return Response(content, media_type="application/octet-stream")

    @api.post("/v1/dead-letters/replay", dependencies=secured)
    def replay(request: ReplayRequest) -> dict[str, ReplayCounts]:
        """Read dead letters again."""
        return owner.replay(request.source)

    @api.post("/v1/query", dependencies=secured, response_class=Response)
    def query(request: QueryRequest) -> Response:
        """Run one SELECT, read-only; the rows come as an Arrow stream."""
        rows = owner.store.query(
            request.sql, max_rows=request.max_rows, timeout_seconds=request.timeout_seconds
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return Response(sink.getvalue().to_pybytes(), media_type=ARROW_STREAM)

    @api.post("/v1/events/state", dependencies=secured)
    def event_state(request: StateRequest) -> EventState | None:
        """Return where an event stands; null when nothing is known of it."""
        return owner.store.event_state(request.event_id, request)

    @api.post("/v1/accounts", dependencies=secured)
    def accounts(
        fates: Annotated[bytes, Body(media_type=ARROW_STREAM)],
        policy: Annotated[Json[VotePolicy], Query()],
    ) -> Accounts:
        """Count everything that was received; the fates of rated completions come as Arrow."""
        try:
            table = pa.ipc.open_stream(fates).read_all().select(FATES.names).cast(FATES)
        except (pa.ArrowException, KeyError) as error:
            raise DataError(
                f"the body must be an Arrow stream of completion_id, fate and detail: {error}"
            ) from error
        return owner.store.accounts(table, policy)

    @api.post("/v1/snapshot", dependencies=secured, response_class=FileResponse)
    def snapshot(policy: VotePolicy) -> FileResponse:
        """Return what raters hold at this moment: Parquet files in a tar archive.

        The header `Thumbwheel-Snapshot` says as JSON what they hold.
        """
        folder = tempfile.TemporaryDirectory(dir=owner.scratch, prefix="snapshot-")
        try:
            made = owner.store.snapshot(Path(folder.name) / "snapshot", policy)
            archive = Path(folder.name) / "snapshot.tar"
            with tarfile.open(archive, "w") as tar:
                for path in sorted(made.path.iterdir()):
                    tar.add(path, path.name)
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(
            archive,
            media_type="application/x-tar",
            headers={"Thumbwheel-Snapshot": TypeAdapter(Snapshot).dump_json(made).decode()},
            background=BackgroundTask(folder.cleanup),
        )

    return api
