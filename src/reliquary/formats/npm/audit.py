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
    asked = members.value(await _question(incoming), dict)
    if asked is None or not all(isinstance(versions, list) for versions in asked.values()):
        raise Malformed('send names with lists of versions, such as {"express": ["4.18.2"]}')
    open_names = await shelf.offered(set(asked))
    # The names of a team's own packages are nobody else's business.
    body = orjson.dumps({name: versions for name, versions in asked.items() if name in open_names})
    found: dict[str, Any] = {}
    if not open_names:
        return views.reply(found)
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
    listed = tree.get("dependencies")
    count = len(listed) if isinstance(listed, dict) else 0
    metadata = {**EMPTY["metadata"], "dependencies": count, "totalDependencies": count}
    return views.reply({**EMPTY, "metadata": metadata})


async def _question(incoming: Incoming) -> bytes:
    body = await incoming.body(BODY)
    try:
        orjson.loads(body)
    except ValueError as error:
        raise Malformed("the audit's body is no JSON; send the tree of packages") from error
    return body
