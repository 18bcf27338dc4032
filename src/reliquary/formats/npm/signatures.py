"""The keys that registry signatures are checked with: our own, and those of the upstreams."""

from __future__ import annotations

from typing import Any

from reliquary.formats.npm import members, views
from reliquary.formats.npm.tags import stamp
from reliquary.formats.verbs import Incoming, Reply, Shelf

SCHEME = "ecdsa-sha2-nistp256"


async def keys(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/npm/v1/keys``; what ``npm audit signatures`` asks first."""
    found: dict[str, dict[str, Any]] = {}
    for key in await shelf.keys():
        expires = stamp(key.expires) if key.expires else None
        found[key.id] = {"expires": expires, "keyid": key.id, "keytype": SCHEME, "scheme": SCHEME, "key": key.der}
    for reply in await shelf.ask("-/npm/v1/keys", {"accept": views.JSON}):
        answer = members.value(reply.body, dict) or {}
        told = answer.get("keys")
        for each in told if isinstance(told, list) else ():
            if isinstance(each, dict) and isinstance(each.get("keyid"), str):
                found.setdefault(each["keyid"], each)
    return views.reply({"keys": list(found.values())})
