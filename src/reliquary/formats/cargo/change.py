"""What may change of a version after it was published: whether it is yanked, and whether it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from reliquary.errors import NotHere
from reliquary.formats.cargo import keys, lines, names, summary
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Entry

JSON = "application/json"
ROUNDS = 20
"""Times that a summary is written anew while others change the crate; the last of them sees all."""


async def yank(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``api/v1/crates/{crate}/{version}/yank``: no new lock file takes it; raises NotHere."""
    return await _set_yanked(incoming, shelf, yanked=True)


async def unyank(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``api/v1/crates/{crate}/{version}/unyank``: as if it had never been yanked; raises NotHere."""
    return await _set_yanked(incoming, shelf, yanked=False)


async def delete(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``manage/{crate}/{version}``: gone, and its number with it; raises NotHere."""
    entry = await _version(incoming, shelf)
    left = [each for each in await shelf.entries(entry.scope) if each.version != entry.version]
    said = summary.of_entries(await _spelled(shelf, entry), left)
    gone = [entry.key, keys.readme_key(entry.scope, entry.version)]
    await shelf.remove(gone, properties={summary.FACT: said, "updated": stamp(shelf)}, clears=True)
    await settle(shelf, entry.name)
    return Reply(204)


async def _set_yanked(incoming: Incoming, shelf: Shelf, *, yanked: bool) -> Reply:
    entry = await _version(incoming, shelf)
    line = lines.with_yanked(entry.data["line"], yanked)
    if line != entry.data["line"]:
        changed = replace(entry, data={**entry.data, "line": line})
        every = [changed if each.key == entry.key else each for each in await shelf.entries(entry.scope)]
        said = summary.of_entries(await _spelled(shelf, entry), every)
        facts = {summary.FACT: said, "updated": stamp(shelf)}
        await shelf.update([changed], "yank" if yanked else "unyank", properties=facts)
        await settle(shelf, entry.name)
    return Reply(200, orjson.dumps({"ok": True}), JSON)


async def settle(shelf: Shelf, name: str) -> Mapping[str, str]:
    """Have the summary tell what is there now: others may have changed the crate since it was looked at.

    Args:
        name: the package's.

    Returns:
        The facts on it.
    """
    known: Mapping[str, str] = {}
    for _ in range(ROUNDS):
        known = await shelf.properties(name)
        there = [entry for entry in await shelf.entries(name) if entry.listed]
        said = summary.of_entries(known.get("name", name), there)
        if known.get(summary.FACT) == said:
            break
        await shelf.set_properties(name, {summary.FACT: said})
    return known


async def _version(incoming: Incoming, shelf: Shelf) -> Entry:
    """The version that the address names, behind ``api/v1/crates`` or ``manage``."""
    parts = incoming.segments[3:] if incoming.segments[0] == "api" else incoming.segments[1:]
    name, version = parts[0], parts[1]
    entry = await shelf.entry(keys.crate(name, version))
    if entry is None:
        raise NotHere(f"crate `{names.shown(name)[1:-1]}` does not have a version `{names.shown(version)[1:-1]}`")
    return entry


async def _spelled(shelf: Shelf, entry: Entry) -> str:
    return (await shelf.properties(entry.scope)).get("name", entry.scope)


def stamp(shelf: Shelf) -> str:
    """The time as facts tell it."""
    return shelf.now.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
