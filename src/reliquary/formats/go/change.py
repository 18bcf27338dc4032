"""What may change of a version after it was published: whether lists show it, and whether it is there.

An author takes a version back by ``retract`` in a later go.mod; who runs the server can hide it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reliquary.errors import NotHere
from reliquary.formats.go import keys, names
from reliquary.formats.go.names import shown
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Entry

_REASON = 4096
"""Bytes of a reason."""


async def yank(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``manage/{module}/{version}/yank``: neither in the list nor the latest; whoever names it has it on; raises
    NotHere."""
    entry = await _version(incoming, shelf)
    reason = (await incoming.body(_REASON)).decode("utf-8", "replace").strip()
    if entry.data.get("hidden") != reason:
        await shelf.update([replace(entry, data={**entry.data, "hidden": reason})], "yank")
    return Reply(200, b"hidden\n")


async def unyank(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``manage/{module}/{version}/yank``: listed again; raises NotHere."""
    entry = await _version(incoming, shelf)
    if "hidden" in entry.data:
        data = {name: value for name, value in entry.data.items() if name != "hidden"}
        await shelf.update([replace(entry, data=data)], "unyank")
    return Reply(200, b"listed\n")


async def delete(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``manage/{module}/{version}``, or the zip: gone with its three files; raises NotHere."""
    entry = await _version(incoming, shelf)
    endings = (keys.ZIP, keys.MOD, keys.INFO)
    await shelf.remove([keys.file(entry.name, entry.version, ending).path for ending in endings])
    return Reply(204)


def split(segments: Sequence[str]) -> tuple[str, str] | None:
    """Path and version as our own verbs name them; None for what cannot be."""
    *front, last = segments or ("",)
    if front[-1:] == ["@v"]:
        found = names.unescape("/".join(front[:-1])), names.unescape(last)
    else:
        found = "/".join(front), last
    path, version = found
    return (path, version) if path and version and names.valid_path(path) else None


async def _version(incoming: Incoming, shelf: Shelf) -> Entry:
    segments = incoming.segments
    if segments[0] == "manage":
        found = split(segments[1:-1] if segments[-1] == "yank" else segments[1:])
    else:
        asked = keys.split(segments)
        found = (asked[0], names.unescape(asked[1].removesuffix(keys.ZIP)) or "") if asked else None
    path, version = found or ("", "")
    entry = await shelf.entry(keys.archive(path, version))
    if entry is None:
        raise NotHere(f"there is no {shown(path)} {shown(version)}")
    return entry
