"""The home page: every repository one may read, and how to point each client at it."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from reliquary import __version__
from reliquary.errors import ReliquaryError
from reliquary.types import RepositorySpec
from reliquary.web import identity
from reliquary.web.state import State

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Home:
    """``GET /``."""

    def __init__(self, state: State) -> None:
        self._state = state
        templates = Environment(loader=PackageLoader("reliquary.web.ui", "templates"), autoescape=True)
        self._template = templates.get_template("home.html")

    async def home(self, request: Request) -> Response:
        """Answer with the page."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            origin = identity.origin(request.scope, headers, self._state.trust)
            actor = await self._state.identify(headers.get("authorization"))
        except ReliquaryError as error:
            more = {"www-authenticate": 'Basic realm="Reliquary"'} if error.status == 401 else {}
            return PlainTextResponse(error.message + "\n", error.status, headers={**HEADERS, **more})
        readable = {spec.id for spec in self._state.access.readable(actor)}
        shelves = [spec for spec in self._state.specs() if spec.id in readable]
        body = self._template.render(
            version=__version__, formats=[self._format(name, shelves, origin) for name in self._state.formats]
        )
        return HTMLResponse(body, headers=HEADERS)

    def _format(self, name: str, shelves: list[RepositorySpec], origin: str) -> dict[str, object]:
        format = self._state.formats[name]
        own = [spec for spec in shelves if spec.format == name]
        first = next((spec for spec in own if spec.name == "main"), own[0] if own else None)
        clients = format.clients(f"{origin}{first.title}/") if first else ()
        rows = [{"spec": spec, "url": f"{origin}{spec.title}/"} for spec in own]
        return {"title": format.title, "rows": rows, "clients": clients}
