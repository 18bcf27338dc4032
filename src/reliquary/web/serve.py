"""The endpoint of every package address: a plain ASGI callable, no routing table, no middleware.

Order of work (docs/architecture.md): raw path to segments; repository; the authorizer for the
repository; the key; the authorizer for the object; method; negotiation; validators; range; bytes.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, unquote_to_bytes

import structlog

from reliquary.errors import (
    Broken,
    CannotTell,
    Malformed,
    NotHere,
    Refused,
    ReliquaryError,
    Unauthenticated,
    WrongMethod,
)
from reliquary.formats.base import Call, FileKey, Format, Manner, Match, Moved, PageKey
from reliquary.formats.verbs import Reply
from reliquary.repositories.base import Known, Repository
from reliquary.types import Action, Actor, RepositorySpec
from reliquary.web import identity, negotiate, paths
from reliquary.web.accounts import WebAccounts
from reliquary.web.incoming import WebIncoming
from reliquary.web.request import Left, Request, headers_of
from reliquary.web.respond import Gone, Responder, error_headers, vary, with_headers
from reliquary.web.server import TARGET, cut
from reliquary.web.state import State

log = structlog.get_logger("reliquary.serve")
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
READS = ("GET", "HEAD")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")


class Serve:
    """Serves ``/{format}/{repository}/...``."""

    def __init__(self, state: State) -> None:
        self._state = state
        context = state.context
        self._responder = Responder(context.store, int(context.limits.page_life), context.downloaded)

    async def __call__(self, request: Request, format: Format, raw: bytes) -> None:
        """Answer a request.

        Args:
            format: the format its first segment names.
            raw: the raw path behind that segment and its slash.
        """
        try:
            await self._answer(request, format, raw)
        except ReliquaryError as error:
            await self._refuse(request, format, error, raw)
        except Left:
            self._state.context.count("clients_left")
        except Exception as error:
            log.exception("unexpected", method=request.method, kind=type(error).__name__)
            self._state.context.count("errors_unexpected")
            await self._refuse(request, format, CannotTell("something went wrong here; it was logged"), raw)

    async def _answer(self, request: Request, format: Format, raw: bytes) -> None:
        state = self._state
        if request.flooded:
            raise Malformed("the request has too many headers")
        identity.check_host(request.scope, request.headers, state.trust)
        name, slash, rest = raw.partition(b"/")
        repository = state.estate.get(format.name, paths.split(name)[0])
        refused: Unauthenticated | None = None
        try:
            actor = await state.identify(request.headers.get("authorization"))
        except Unauthenticated as error:
            if not _is_open(request, format, rest):
                raise
            actor, refused = Actor(), error
        if repository is None:
            raise NotHere(f"there is no repository of that name; GET / lists those of format {format.name}")
        state.context.count("requests")
        if request.method in READS:
            try:
                state.access.require(actor, Action.READ, repository.spec)
            except Refused:
                if not _is_open(request, format, rest):
                    raise
        segments = paths.split(rest) if rest else ()
        query = paths.query(request.scope.get("query_string", b""))
        match = format.match(request.method, segments, query)
        if not slash and request.method in READS and isinstance(match, PageKey | Call):
            match = Moved("")  # relative links resolve below the repository only with its slash
        if isinstance(match, Call):
            await self._call(request, repository, actor, match, segments, refused)
            return
        if request.method not in READS:
            state.access.require(actor, Action.READ, repository.spec)
        if match is None or (request.method not in READS):
            await self._preflight(request, format, segments)
            return
        await self._read(request, repository, actor, match)

    async def _preflight(self, request: Request, format: Format, segments: tuple[str, ...]) -> None:
        """OPTIONS of what carries CORS headers (the Fetch standard's preflight); raises for the rest."""
        error = _not_for(format, request.method, segments)
        match = format.match("GET", segments, {}) if request.method == "OPTIONS" else None
        headers = format.manner(match).headers if isinstance(match, PageKey | FileKey) else ()
        if not headers or not isinstance(error, WrongMethod):
            raise error
        await request.reply(Reply(204, headers=(("allow", ", ".join(error.allow)), *headers)))

    async def _read(self, request: Request, repository: Repository, actor: Actor, match: Match) -> None:
        if isinstance(match, Moved):
            await self._move(request, repository.spec, match)
        elif isinstance(match, PageKey):
            await self._page(request, repository, match, repository.format.manner(match))
        elif isinstance(match, FileKey):
            await self._file(request, repository, actor, match, repository.format.manner(match))

    async def _page(self, request: Request, repository: Repository, key: PageKey, manner: Manner) -> None:
        accept = request.headers.get("accept", "")
        if key.media is not None:
            offer = negotiate.forced(key.media, manner.offers)
        else:
            offer = negotiate.media(accept, manner.offers)
        codings: tuple[str, ...] = ("identity",)
        if manner.codings:
            codings = negotiate.codings(request.headers.get("accept-encoding", ""))
        if manner.absolute:
            origin = identity.origin(request.scope, request.headers, self._state.trust)
            key = replace(key, base=f"{origin}{repository.spec.title}/")
        hit = await repository.page(key, offer.media, codings)
        try:
            await self._responder.page(request, key, manner, hit, repository.spec, self._state.quick)
        except Gone:
            self._state.context.hot.discard(repository.spec.id, key.place)
            hit = await repository.page(key, offer.media, codings)
            await self._responder.page(request, key, manner, hit, repository.spec, self._state.quick)

    async def _file(self, request: Request, repository: Repository, actor: Actor, key: FileKey, manner: Manner) -> None:
        since, quick = self._state.context.hot.drops, self._state.quick
        # A copy that is still good is confirmed from the row: nothing is fetched for a 304.
        glance = request.method == "HEAD" or not CONDITIONS.isdisjoint(request.headers)
        hit = await repository.file(key, head=glance)
        if isinstance(hit, Known) and request.method != "HEAD" and not self._responder.unchanged(request, hit):
            hit = await repository.file(key)
        self._state.access.require(actor, Action.READ, hit.owner, key.name)
        try:
            await self._responder.file(request, key, manner, hit, repository.spec, quick, since)
        except Gone as gone:
            if not await repository.lost(key, gone.blob):
                raise CannotTell("the bytes of this file are missing here; run reliquary verify") from gone
            hit = await repository.file(key)
            await self._responder.file(request, key, manner, hit, repository.spec, quick, since)

    async def _move(self, request: Request, spec: RepositorySpec, match: Moved) -> None:
        prefix = identity.prefix(request.scope, request.headers, self._state.trust)
        query = request.scope.get("query_string", b"").decode("latin-1")
        place = f"{prefix}/{spec.title}/{paths.join(match.path)}" + (f"?{query}" if query else "")
        headers: list[tuple[str, str]] = [("location", place), ("cache-control", "no-store")]
        headers.append(("vary", "Accept, Accept-Encoding"))
        await request.reply(Reply(301 if match.permanent else 302, headers=tuple(headers)))

    async def _call(
        self,
        request: Request,
        repository: Repository,
        actor: Actor,
        call: Call,
        segments: tuple[str, ...],
        refused: Unauthenticated | None,
    ) -> None:
        state = self._state
        if not call.open:
            state.access.require(actor, call.action, repository.spec, call.name)

        async def permit(owner: RepositorySpec, action: Action, name: str) -> None:
            state.access.require(actor, action, repository.spec, name)
            if owner.id != repository.spec.id:
                state.access.require(actor, action, owner, name)

        shelf = await repository.shelf(actor.name, permit, call)
        if not call.open and (call.name is not None or call.action is Action.READ):
            # Of the owner too: a group's rights open nothing that its members keep closed.
            await shelf.permit(call.action, call.name or "")
        origin = identity.origin(request.scope, request.headers, state.trust)
        incoming = WebIncoming(
            request.receive,
            method=request.method,
            segments=segments,
            query=paths.query(request.scope.get("query_string", b"")),
            headers=request.headers,
            base_url=origin + repository.spec.title + "/",
            limit=int(repository.spec.options.get("upload_limit", state.context.limits.upload_limit)),
            accounts=WebAccounts(state, actor, origin, refused),
        )
        since = state.context.hot.drops
        reply = await call.run(incoming, shelf)
        if reply.steady and request.method == "GET" and repository.spec.anonymous_read:
            target = request.scope.get(TARGET, b"")
            state.quick.keep_reply(target, request.scope["headers"], since, headers_of(reply), reply.body)
        await request.reply(reply)

    async def _refuse(self, request: Request, format: Format, error: ReliquaryError, raw: bytes) -> None:
        """Dress the error, or cut the connection when the answer has begun."""
        if request.started or (isinstance(error, Broken) and request.method not in READS):
            cut(request.scope)
            return
        self._state.context.count(f"errors_{error.status}")
        reply = format.dress(error, request.headers.get("accept", ""))
        more = error_headers(error, self._challenges(request, format, raw) if error.status == 401 else ())
        more += self._page_headers(format, raw)
        if error.status == 413 or "expect" in request.headers:
            # The body was not read, and whether it still comes is not known.
            more.append(("connection", "close"))
        await request.reply(with_headers(reply, more))

    def _challenges(self, request: Request, format: Format, raw: bytes) -> list[str]:
        """The format's challenges, the repository's address put in (The Cargo Book, "Registry Web API": login_url)."""
        try:
            origin = identity.origin(request.scope, request.headers, self._state.trust)
        except ReliquaryError:
            origin = "/"
        place = f"{origin}{format.name}/{quote(unquote_to_bytes(raw.partition(b'/')[0]))}/"
        return [each.replace("{repository}", place) for each in format.challenges]

    def _page_headers(self, format: Format, raw: bytes) -> list[tuple[str, str]]:
        """Vary and CORS of a page go with its errors too (npm/cli#3656)."""
        try:
            match = format.match("GET", paths.split(raw.partition(b"/")[2]), {})
        except ReliquaryError:
            return []
        if not isinstance(match, PageKey):
            return []
        manner = format.manner(match)
        return [("vary", vary(manner)), *manner.headers]


def _is_open(request: Request, format: Format, rest: bytes) -> bool:
    """Whether the address is a call that asks for no right."""
    try:
        match = format.match(request.method, paths.split(rest), {})
    except ReliquaryError:
        return False
    return isinstance(match, Call) and match.open


def _not_for(format: Format, method: str, segments: tuple[str, ...]) -> ReliquaryError:
    """404 where no method finds anything, and to readers, who go on elsewhere at nothing else; else
    405 with the methods that find something."""
    allow = []
    for each in METHODS:
        try:
            match = format.match(each, segments, {})
        except ReliquaryError:
            continue
        if isinstance(match, Call) or (match is not None and each in READS):
            allow.append(each)
    if not allow or method in allow or method in READS:
        return NotHere("there is nothing at this address")
    return WrongMethod(f"this address does not take {method[:20]}", allow=tuple(allow))
