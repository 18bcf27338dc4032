"""The JSON API under ``/api/v1/``: one table of operations, one endpoint per path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.routing import Route

from reliquary.access.accounts import Accounts
from reliquary.access.passwords import Passwords
from reliquary.errors import NotHere, ReliquaryError, TooLarge, Unauthenticated, UnknownCoding, WrongMethod
from reliquary.formats.verbs import Reply
from reliquary.settings import Settings
from reliquary.web import identity, paths
from reliquary.web.api import accounts, jobs, openapi, packages, repositories
from reliquary.web.api.operations import Ask, Invalid, Made, Operation
from reliquary.web.incoming import WebIncoming
from reliquary.web.request import Request, Scope
from reliquary.web.respond import error_headers
from reliquary.web.state import State

BASE = "/api/v1"
LARGEST = 1_048_576
"""Bytes of a request body."""
CHALLENGES = ('Basic realm="Reliquary", charset="UTF-8"', 'Bearer realm="Reliquary"')


async def _document(ask: Ask) -> dict[str, Any]:
    return openapi.document(OPERATIONS, ask.origin.rstrip("/") + BASE)


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/openapi.json", "This description", _document, dict[str, Any]),
    *accounts.OPERATIONS,
    *repositories.OPERATIONS,
    *packages.OPERATIONS,
    *jobs.OPERATIONS,
)
"""Every operation. Of two paths that fit a request the first one answers."""


def routes(state: State, settings: Settings) -> Sequence[Route]:
    """Every route of the API."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    changes = Accounts(state.context.catalog, Passwords())
    found = [Route(BASE + path, Endpoint(state, settings, changes, methods)) for path, methods in by_path.items()]
    nothing = Endpoint(state, settings, changes, {})
    return [*found, Route("/api", nothing), Route("/api/{rest:path}", nothing)]


class Endpoint:
    """One path with its methods, as an ASGI application."""

    def __init__(
        self, state: State, settings: Settings, changes: Accounts, operations: Mapping[str, Operation]
    ) -> None:
        self._state = state
        self._settings = settings
        self._accounts = changes
        self._operations = operations
        self._answers = {
            method: TypeAdapter[Any](each.answer) for method, each in operations.items() if each.answer is not None
        }

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        request = Request(scope, receive, send, self._state.context.now)
        try:
            reply = await self._answer(request)
        except ReliquaryError as error:
            reply = refusal(error)
        await request.reply(reply)

    async def _answer(self, request: Request) -> Reply:
        operation = self._operation(request.method)
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        paths.split(raw[1:])
        origin = identity.origin(request.scope, request.headers, self._state.trust)
        query = paths.query(request.scope.get("query_string", b""))
        actor = await self._state.identify(request.headers.get("authorization"))
        if operation.method != "GET" and actor.name is None:
            raise Unauthenticated("credentials are needed here")
        body, sent = await self._body(request, operation)
        path = {name: str(value) for name, value in request.scope.get("path_params", {}).items()}
        ask = Ask(self._state, self._settings, self._accounts, actor, origin, path, query, body, sent)
        result = await operation.run(ask)
        headers: list[tuple[str, str]] = []
        if isinstance(result, Made):
            prefix = identity.prefix(request.scope, request.headers, self._state.trust)
            headers.append(("location", f"{prefix}{BASE}{paths.join(result.location)}"))
            result = result.value
        if operation.answer is None:
            return Reply(operation.status, headers=tuple(headers))
        content = self._answers[operation.method].dump_json(result)
        return Reply(operation.status, content, "application/json", tuple(headers))

    def _operation(self, method: str) -> Operation:
        if not self._operations:
            raise NotHere(f"there is nothing at this address; {BASE}/openapi.json lists what there is")
        operation = self._operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allow = [*self._operations, *(["HEAD"] if "GET" in self._operations else [])]
            raise WrongMethod(f"this address takes {', '.join(allow)}", allow=tuple(allow))
        return operation

    async def _body(self, request: Request, operation: Operation) -> tuple[BaseModel | None, Mapping[str, Any]]:
        if operation.body is None:
            return None, {}
        # A form of a foreign page cannot send this type, so a browser's credentials are of no use to it.
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise UnknownCoding("send the body as application/json", code="unsupported-media-type")
        length = request.headers.get("content-length", "")
        if length.isdigit() and (len(length) > 18 or int(length) > LARGEST):
            raise TooLarge(f"the body is larger than {LARGEST} bytes")
        incoming = WebIncoming(
            request.receive,
            method=request.method,
            segments=(),
            query={},
            headers=request.headers,
            base_url="",
            limit=LARGEST,
        )
        content = await incoming.body(LARGEST)
        try:
            return operation.body.model_validate_json(content), json.loads(content)
        except ValidationError as error:
            raise Invalid(explain(error)) from None


def explain(error: ValidationError) -> str:
    """What does not fit, by field; the values stay out of it, they may be secrets."""
    lines = []
    for each in error.errors(include_input=False, include_url=False, include_context=False)[:20]:
        where = ".".join(str(part) for part in each["loc"])
        lines.append(f"{where}: {each['msg']}" if where else each["msg"])
    return "; ".join(lines)


def refusal(error: ReliquaryError) -> Reply:
    """An error as the API says it: ``{"error": {"code", "message"}}``."""
    content = json.dumps({"error": {"code": error.code, "message": error.message}}).encode()
    headers = error_headers(error, CHALLENGES)
    if error.status in (413, 415):
        headers.append(("connection", "close"))
    return Reply(error.status, content, "application/json", tuple(headers))
