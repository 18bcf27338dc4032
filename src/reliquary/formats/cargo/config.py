"""``config.json``: where a client finds archives and the web API (The Cargo Book, "Index configuration")."""

from __future__ import annotations

from html import escape

import orjson

from reliquary.formats.cargo import keys
from reliquary.formats.verbs import Incoming, Reply, Shelf

JSON = "application/json"


async def config(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``config.json``: computed from the address alone; nothing is looked up."""
    told = {
        "dl": f"{incoming.base_url}{keys.API}",
        "api": incoming.base_url.rstrip("/"),
        "auth-required": not shelf.public,
    }
    return Reply(200, orjson.dumps(told), JSON, (("cache-control", "no-cache"),), steady=True)


async def root(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/``: words for a person who looks at an index in a browser."""
    index = escape(f"sparse+{incoming.base_url}")
    login = escape(f"{incoming.base_url}me")
    body = (
        f"<!DOCTYPE html>\n<title>{escape(shelf.repository)}</title>\n<h1>{escape(shelf.repository)}</h1>\n"
        "<p>The sparse index of a cargo registry. Point cargo at it in <code>.cargo/config.toml</code>:</p>\n"
        f'<pre>[registries.reliquary]\nindex = "{index}"</pre>\n'
        f'<p><a href="{login}">Make a token</a> to publish.</p>\n'
    )
    return Reply(200, body.encode("ascii", "xmlcharrefreplace"), "text/html; charset=utf-8")
