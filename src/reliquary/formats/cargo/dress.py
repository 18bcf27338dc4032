"""Errors as cargo reads them (The Cargo Book, "Registry Web API"): it prints each detail."""

from __future__ import annotations

import orjson

from reliquary.errors import ReliquaryError
from reliquary.formats.verbs import Reply


def dress(error: ReliquaryError, accept: str) -> Reply:
    """An error as JSON, whatever was asked for."""
    detail = error.message.encode("utf-8", "replace").decode()
    return Reply(error.status, orjson.dumps({"errors": [{"detail": detail}]}), "application/json")
