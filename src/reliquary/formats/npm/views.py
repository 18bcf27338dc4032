"""Reads that are computed: a package as its owner edits it, one version, the root, and small questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from reliquary.errors import Forbidden, NotHere
from reliquary.formats import semver
from reliquary.formats.base import Listed, Listing
from reliquary.formats.npm import assembling, keys, members, names, summary
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Entry, Headers

JSON = "application/json"
PAGE = 1000
"""Names on one page of the root's list, at most 10 times as many are given when asked for."""


def reply(value: object, status: int = 200) -> Reply:
    """A small JSON answer."""
    return Reply(status, orjson.dumps(value), JSON)


def named(incoming: Incoming, after: int = 0) -> str:
    """The package's name in the address, in whatever escaping it came.

    Args:
        after: segments that stand before it.
    """
    parts = "/".join(incoming.segments).removesuffix("/").split("/")[after:]
    return "/".join(parts[:2]) if parts[0].startswith("@") else parts[0]


def behind(incoming: Incoming, after: int = 0) -> str:
    """What follows the package's name in the address, slashes in it kept."""
    path = "/".join("/".join(incoming.segments).removesuffix("/").split("/")[after:])
    return path[len(named(incoming, after)) + 1 :]


async def fresh(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/{package}?write=true``: the full packument, made now, for a client that sends it back changed."""
    name = named(incoming)
    entries = [entry for entry in await shelf.entries(name) if entry.listed]
    facts = await shelf.properties(name)
    if not entries and not facts:
        raise NotHere(f"{shelf.repository} has no {names.shown(name)}")
    serial = await shelf.serial(name)

    def made() -> bytes:
        media = assembling.FULL.media
        files = [Listed(entry.filename, entry.version, assembling.fragment(entry, media)) for entry in entries]
        listing = Listing(files, (), facts, serial, incoming.base_url)
        return next(assembling.assemble(keys.page(name), listing, media)).body

    return Reply(200, await shelf.inspect(made), JSON)


async def version(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/{package}/{version or tag}``: one manifest (CommonJS Packages/Registry, "package version")."""
    name, wanted = named(incoming), behind(incoming)
    entry = await find(shelf, name, wanted)
    if entry is None:
        raise NotHere(f"{shelf.repository} has no version or tag {names.shown(wanted)} of {names.shown(name)}")
    return Reply(200, manifest(entry).replace(keys.PLACE, incoming.base_url).encode("utf-8", "replace"), JSON)


def manifest(entry: Entry) -> str:
    """A version's manifest as it is stored, our address still open."""
    return str(entry.data["manifest"])


async def find(shelf: Shelf, name: str, wanted: str) -> Entry | None:
    """The entry of a version or a dist-tag; raises NotHere where there is no such package."""
    exact = names.normal(wanted, loose=True)
    for each in dict.fromkeys((wanted, exact)):
        if each is not None and names.parse(each) is not None:
            entry = await shelf.entry(keys.tarball(name, each))
            if entry is not None:
                return entry
    facts = await shelf.properties(name)
    tagged = known_tags(facts).get(wanted)
    if tagged is None and wanted == "latest":
        tagged = semver.best([entry.version for entry in await shelf.entries(name) if entry.listed])
    return await shelf.entry(keys.tarball(name, tagged)) if tagged is not None else None


def known_tags(facts: Mapping[str, str]) -> dict[str, str]:
    """The dist-tags of a package as they are stored."""
    if "tags" in facts:
        found: dict[str, str] = orjson.loads(facts["tags"])
        return found
    prefix = assembling.TAG
    return {name.removeprefix(prefix): value for name, value in facts.items() if name.startswith(prefix)}


async def root(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/``: package names and their addresses, a page at a time (CommonJS Packages/Registry, "registry root
    URL"), or words for a person."""
    known = [name for name, _ in await shelf.survey(summary.FACT)]
    accept = incoming.headers.get("accept", "")
    if "text/html" in accept and "json" not in accept:
        return Reply(200, _page(incoming.base_url, shelf.repository, len(known)), "text/html; charset=utf-8")
    after = incoming.query.get("startkey", "")
    limit = min(_number(incoming.query.get("limit"), PAGE), 10 * PAGE)
    shown = [name for name in known if name > after][:limit]
    links: Headers = ()
    if shown and shown[-1] != known[-1]:
        links = (("link", f'<{incoming.base_url}?startkey={_escaped(shown[-1])}&limit={limit}>; rel="next"'),)
    body = orjson.dumps({name: incoming.base_url + _escaped(name) for name in shown})
    return Reply(200, body, JSON, links)


def _escaped(name: str) -> str:
    return name.replace("/", "%2f")


def _number(text: str | None, usual: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else usual


def _page(base_url: str, repository: str, count: int) -> bytes:
    return (
        f"<!DOCTYPE html>\n<title>{repository}</title>\n<h1>{repository}</h1>\n"
        f"<p>An npm registry; {count} packages are published or kept here. Point a client at it:</p>\n"
        f"<pre>npm config set registry {base_url}</pre>\n"
    ).encode("ascii", "xmlcharrefreplace")


async def ping(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/ping``."""
    return reply({})


async def visibility(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/package/{package}/visibility``: whether anybody may read it, which the repository decides."""
    await _known(incoming, shelf)
    return reply({"public": shelf.public})


async def collaborators(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/package/{package}/collaborators``: its owners."""
    facts = await _known(incoming, shelf)
    return reply({owner["name"]: "write" for owner in owners(facts)})


def owners(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    """The maintainers of a hosted or a proxied package."""
    if "head" not in facts:
        return list(assembling.people(facts))
    head = members.split(f"{{{facts['head']}}}".encode("utf-8", "replace"))
    found = members.value(head.get("maintainers"), list) or []
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("name"), str)]


async def _known(incoming: Incoming, shelf: Shelf) -> Mapping[str, str]:
    name = named(incoming, 2)
    facts = await shelf.properties(name)
    if not facts:
        raise NotHere(f"{shelf.repository} has no {names.shown(name)}")
    return facts


async def access(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``/-/package/{package}/access``: who may read is said of repositories, not of packages."""
    raise Forbidden("who may read is decided for the whole repository; ask its administrator")
