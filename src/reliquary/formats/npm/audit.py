"""Security audits: asked of an upstream that has them, else answered at once: nothing is known."""

from __future__ import annotations

from typing import Any

import orjson

from reliquary.errors import Malformed
from reliquary.formats.npm import members, views
from reliquary.formats.verbs import Incoming, Reply, Shelf

BODY = 33_554_432
"""Bytes of a question, unpacked: the whole tree of a large project."""
EMPTY: dict[str, Any] = {
    "actions": [],
    "advisories": {},
    "muted": [],
    "metadata": {"vulnerabilities": dict.fromkeys(("info", "low", "moderate", "high", "critical"), 0)},
}


async def bulk(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``/-/npm/v1/security/advisories/bulk``: names with versions, to advisories by name.

    Raises:
        Malformed, TooLarge: the question cannot be read.
    """
    body = await _question(incoming)
    found: dict[str, Any] = {}
    for reply in await shelf.ask("-/npm/v1/security/advisories/bulk", {"accept": views.JSON}, body=body):
        for name, advisories in (members.value(reply.body, dict) or {}).items():
            if isinstance(advisories, list):
                found.setdefault(name, []).extend(advisories)
    return views.reply(found)


async def quick(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``/-/npm/v1/security/audits`` and ``.../quick``, as Yarn 1 asks; the first upstream that
    knows answers. Raises Malformed, TooLarge."""
    body = await _question(incoming)
    path = "/".join(incoming.segments)
    for reply in await shelf.ask(path, {"accept": views.JSON}, body=body):
        if members.value(reply.body, dict) is not None:
            return Reply(200, reply.body, views.JSON)
    tree = members.value(body, dict) or {}
    count = len(tree.get("dependencies") or ())
    metadata = {**EMPTY["metadata"], "dependencies": count, "totalDependencies": count}
    return views.reply({**EMPTY, "metadata": metadata})


async def _question(incoming: Incoming) -> bytes:
    body = await incoming.body(BODY)
    try:
        orjson.loads(body)
    except ValueError as error:
        raise Malformed("the audit's body is no JSON; send the tree of packages") from error
    return body
