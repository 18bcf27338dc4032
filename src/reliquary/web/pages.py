"""Everything that is no package address: the home page, operations, the JSON API."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from reliquary.settings import Settings
from reliquary.web.api import routes as api
from reliquary.web.ops import Operations
from reliquary.web.state import State
from reliquary.web.ui.home import Home


def pages(state: State, settings: Settings) -> Starlette:
    """The Starlette application behind `reliquary.app.App`."""
    ops = Operations(state, settings)
    return Starlette(
        routes=[
            Route("/", Home(state).home, methods=["GET"]),
            Route("/healthz", ops.health, methods=["GET"]),
            Route("/readyz", ops.ready, methods=["GET"]),
            *([Route("/metrics", ops.metrics, methods=["GET"])] if settings.metrics else []),
            *api.routes(state, settings),
        ]
    )
