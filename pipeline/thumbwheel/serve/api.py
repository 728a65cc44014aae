"""What others ask the store's owner over HTTP. Everything but the probes needs the bearer token."""

import tarfile
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal

import fastapi
import pyarrow as pa
from annotated_types import Ge, Lt
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from thumbwheel.config import VotePolicy
from thumbwheel.errors import InputError, ThumbwheelError
from thumbwheel.serve.door import Door
from thumbwheel.store import (
    Accounts,
    ReplayCounts,
    Snapshot,
    SourceState,
    Store,
    StoredDeadLetter,
)
from thumbwheel.store.fate_groups import ungroup_fates
from thumbwheel.store.operations import OPERATIONS, Operation
from thumbwheel.store.remote import ARROW_STREAM, AccountsRequest, arrow_bytes

__all__ = ["Owner", "make_api"]

# Of an account, 32 characters for each rated completion: some seven million of them.
_LARGEST = {"/v1/accounts": 256 * 1024 * 1024, "/v1/production/prompts": 16 * 1024 * 1024}


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


LetterId = Annotated[int, Ge(0), Lt(1 << 63)]


class ReplayRequest(BaseModel):
    """Which source's dead letters to read again; null is all."""

    source: str | None = None


class Probe(BaseModel):
    """The answer to a probe."""

    status: Literal["ok", "unready"]
    reason: str | None = None


def make_api(owner: Owner, hosts: Sequence[str] = ("*",)) -> FastAPI:
    """Return the application; its schema is at `/openapi.json`.

    Args:
        owner: Who answers.
        hosts: The names under which it is asked; others are refused. `*` stands for all.
    """
    # The pages that FastAPI makes of the schema load scripts from elsewhere.
    api = FastAPI(title="Thumbwheel", docs_url=None, redoc_url=None)
    api.router.route_class = _StrictRoute
    api.add_middleware(Door, token=owner.token, largest=_LARGEST)
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    secured = [Depends(HTTPBearer(auto_error=False))]  # for the schema; the door has looked

    @api.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @api.exception_handler(RequestValidationError)
    def misunderstood(request: Request, error: RequestValidationError) -> JSONResponse:
        item = error.errors()[0]
        where = ".".join(str(part) for part in item["loc"])
        return JSONResponse({"error": f"`{where}`: {item['msg']}"}, 422)

    @api.exception_handler(ThumbwheelError)
    def failed(request: Request, error: ThumbwheelError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400 if isinstance(error, InputError) else 503)

    # They need no thread: those may all be at work.
    @api.get("/livez")
    async def livez() -> Probe:
        """Tell that the process is alive."""
        return Probe(status="ok")

    @api.get("/readyz")
    async def readyz(response: Response) -> Probe:
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

    for operation in OPERATIONS:
        do = (
            owner.states
            if operation.name == "source_states"
            else getattr(owner.store, operation.name)
        )
        api.add_api_route(
            operation.path,
            _endpoint(operation, do),
            methods=[operation.method],
            name=operation.name,
            description=operation.description,
            dependencies=secured,
        )

    @api.get("/v1/dead-letters/{letter_id}", dependencies=secured)
    def dead_letter(letter_id: LetterId) -> StoredDeadLetter:
        """Return one dead letter."""
        return owner.store.dead_letter(letter_id)[0]

    @api.get("/v1/dead-letters/{letter_id}/raw", dependencies=secured, response_class=Response)
    def raw(letter_id: LetterId) -> Response:
        """Return a dead letter's bytes."""
        content = owner.store.dead_letter(letter_id)[1]
        return Response(content, media_type="application/octet-stream")

    @api.post("/v1/dead-letters/replay", dependencies=secured)
    def replay(request: ReplayRequest) -> dict[str, ReplayCounts]:
        """Read dead letters again."""
        return owner.replay(request.source)

    @api.post(
        "/v1/accounts", dependencies=secured, openapi_extra={"requestBody": _schema_of_accounts()}
    )
    async def accounts(request: Request) -> Accounts:
        """Count everything that was received, by the fates of rated completions."""
        # Read straight into values: as objects of any kind the same bytes may be ten times as much.
        body = await request.body()
        try:
            asked = await run_in_threadpool(_ACCOUNTS.validate_json, body)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error
        fates = await run_in_threadpool(ungroup_fates, asked.fates)
        return await run_in_threadpool(owner.store.accounts, fates, asked.policy)

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


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Return the body's value; what is no text, no number or nested without end is refused."""
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise fastapi.HTTPException(400, f"the body is not JSON: {error}") from error


class _StrictRoute(APIRoute):
    """Reads bodies as `_StrictRequest` does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


_ACCOUNTS = TypeAdapter(AccountsRequest)


def _schema_of_accounts() -> dict[str, Any]:
    schema = _ACCOUNTS.json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _endpoint(operation: Operation, do: Callable[..., Any]) -> Callable[..., Any]:
    """Return what FastAPI calls: its signature tells where the arguments are, and their types."""
    signature = operation.signature
    is_table = signature.return_annotation is pa.Table

    def answered(arguments: Mapping[str, Any]) -> Any:
        answer = do(**arguments)
        return Response(arrow_bytes(answer), media_type=ARROW_STREAM) if is_table else answer

    if operation.method == "GET":

        def endpoint(**arguments: Any) -> Any:
            return answered(arguments)

        parameters = list(signature.parameters.values())
    else:
        body = _body(operation)

        def endpoint(**arguments: Any) -> Any:
            asked = arguments["request"]
            values = {
                name: asked if parameter.annotation is VotePolicy else getattr(asked, name)
                for name, parameter in signature.parameters.items()
            }
            return answered(values)

        parameters = [Parameter("request", Parameter.KEYWORD_ONLY, annotation=body)]
    answer = Response if is_table else signature.return_annotation
    endpoint.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=answer
    )
    return endpoint


def _body(operation: Operation) -> type[BaseModel]:
    """Return the JSON object of an operation's arguments; a policy's fields are among them."""
    parameters = operation.signature.parameters.values()
    has_policy = any(parameter.annotation is VotePolicy for parameter in parameters)
    fields: dict[str, Any] = {
        parameter.name: (
            parameter.annotation,
            ... if parameter.default is Parameter.empty else parameter.default,
        )
        for parameter in parameters
        if parameter.annotation is not VotePolicy
    }
    title = f"{operation.name.title().replace('_', '')}Request"
    return create_model(title, __base__=VotePolicy if has_policy else BaseModel, **fields)
