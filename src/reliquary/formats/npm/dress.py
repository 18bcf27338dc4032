"""Errors as npm's clients read them: one JSON object, whose ``error`` is all that people see."""

from __future__ import annotations

import orjson

from reliquary.errors import ReliquaryError
from reliquary.formats.verbs import Reply


def dress(error: ReliquaryError, accept: str) -> Reply:
    """An error as JSON, whatever was asked for.

    npm prompts for a one-time password when it reads of one, so no message may speak of it.
    """
    body = {"error": error.message.encode("utf-8", "replace").decode(), "code": error.code}
    return Reply(error.status, orjson.dumps(body), "application/json")
