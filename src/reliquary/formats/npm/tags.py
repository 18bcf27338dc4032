"""Dist-tags: names for versions, one at a time or all at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from reliquary.errors import Malformed, NotHere
from reliquary.formats.npm import assembling, keys, names, views
from reliquary.formats.verbs import Incoming, Reply, Shelf

BODY = 1_048_576
"""Bytes of a list of tags."""


def stamp(now: datetime) -> str:
    """A time as packuments write it: UTC, milliseconds, Z."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def list_all(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/package/{package}/dist-tags``: every tag with its version; never empty."""
    name = views.named(incoming, 2)
    facts = await shelf.properties(name)
    if not facts:
        raise NotHere(f"{shelf.repository} has no {names.shown(name)}")
    tags = views.known_tags(facts)
    if "latest" not in tags:
        tags = assembling.dist_tags(facts, [entry.version for entry in await shelf.entries(name) if entry.listed])
    return views.reply(tags)


async def put(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``/-/package/{package}/dist-tags/{tag}`` with a version as a JSON string: 201."""
    name = views.named(incoming, 2)
    tag = views.behind(incoming, 2).removeprefix("dist-tags/")
    return await _set(shelf, name, {tag: await _json(incoming)})


async def put_legacy(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``/{package}/{tag}``, as old clients did."""
    return await _set(shelf, views.named(incoming), {views.behind(incoming): await _json(incoming)})


async def put_all(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT (these and no others) or POST (these too) of ``/-/package/{package}/dist-tags``."""
    name = views.named(incoming, 2)
    wanted = await _json(incoming)
    if not isinstance(wanted, dict):
        raise Malformed('send an object of tags and versions, such as {"latest": "1.0.0"}')
    gone: list[str] = []
    if incoming.method == "PUT":
        gone = [tag for tag in views.known_tags(await shelf.properties(name)) if tag not in {*wanted, "latest"}]
    return await _set(shelf, name, wanted, gone)


async def delete(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``/-/package/{package}/dist-tags/{tag}``; ``latest`` stays."""
    name = views.named(incoming, 2)
    tag = views.behind(incoming, 2).removeprefix("dist-tags/")
    if tag == "latest":
        raise Malformed("latest cannot be removed; point it at another version")
    if tag not in views.known_tags(await shelf.properties(name)):
        raise NotHere(f"{names.shown(name)} has no tag {names.shown(tag)}")
    await _write(shelf, name, {assembling.TAG + tag: None})
    return views.reply({"ok": True})


async def _json(incoming: Incoming) -> object:
    try:
        found: object = orjson.loads(await incoming.body(BODY))
    except ValueError as error:
        raise Malformed('the body is no JSON; send the version as a string, such as "1.0.0"') from error
    return found


async def _set(shelf: Shelf, name: str, wanted: Mapping[str, object], gone: list[str] | None = None) -> Reply:
    values: dict[str, str | None] = {assembling.TAG + tag: None for tag in gone or ()}
    for tag, version in wanted.items():
        names.check_tag(tag)
        normal = names.normal(version, loose=True) if isinstance(version, str) else None
        if normal is None:
            raise Malformed(f"the tag {names.shown(tag)} needs a version as a string, such as 1.0.0")
        if await shelf.entry(keys.tarball(name, normal)) is None:
            raise NotHere(f"{shelf.repository} has no version {normal} of {names.shown(name)}")
        values[assembling.TAG + tag] = normal
    await _write(shelf, name, values)
    return views.reply({"ok": True, "id": name}, 201)


async def _write(shelf: Shelf, name: str, values: Mapping[str, str | None]) -> None:
    await shelf.set_properties(name, {**values, "modified": stamp(shelf.now)})
