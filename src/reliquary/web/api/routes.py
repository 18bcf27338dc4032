"""The JSON API under ``/api/v1/``."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from reliquary.settings import Settings
from reliquary.web.state import State


def routes(state: State, settings: Settings) -> Sequence[Route]:
    """Every route of the API."""
    return []
