"""Everything that is no package address: the home page, logins, operations, the JSON API."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reliquary.settings import Settings
from reliquary.web.api import routes as api
from reliquary.web.ops import NO_STORE, Operations
from reliquary.web.state import State
from reliquary.web.tally import Tally
from reliquary.web.ui.home import Home
from reliquary.web.ui.login import LoginPage


def pages(state: State, settings: Settings, tally: Tally) -> Starlette:
    """The Starlette application behind `reliquary.app.App`."""
    ops = Operations(state, tally)
    app = Starlette(
        routes=[
            Route("/", Home(state).home, methods=["GET"]),
            Route("/login/{page}", LoginPage(state).answer, methods=["GET", "POST"]),
            Route("/healthz", ops.health, methods=["GET"]),
            Route("/readyz", ops.ready, methods=["GET"]),
            *([Route("/metrics", ops.metrics, methods=["GET"])] if settings.metrics else []),
            *api.routes(state, settings),
        ],
        exception_handlers={HTTPException: _refused},
    )
    # Starlette's redirects to addresses with another final slash are made of the Host header.
    app.router.redirect_slashes = False
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, with the headers that every error has."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    more = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    text = {
        404: "there is nothing at this address; GET / lists what there is",
        405: "this address takes no such method",
    }
    return PlainTextResponse(text.get(status, "the request cannot be answered") + "\n", status, {**NO_STORE, **more})
