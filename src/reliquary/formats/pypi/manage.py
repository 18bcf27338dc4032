"""Our own verbs on what is published: yank, delete, project status. No specification names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from reliquary.errors import Malformed, NotHere
from reliquary.formats.pypi import names
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Action, Entry

STATUSES = ("active", "deprecated", "archived", "quarantined")
_REASON = 2_000


class _Status(msgspec.Struct):
    status: str
    reason: str | None = None


async def yank(
    shelf: Shelf, name: str, version: str, filename: str | None, reason: str | None, undo: bool = False
) -> int:
    """Mark a release's files, or one of them, as yanked (PEP 592), or take the mark away.

    Args:
        shelf: a hosted repository.
        name: normal name of the project.
        version: any spelling of the version.
        filename: one file only, or None for all files of the release.
        reason: shown by installers, or None.
        undo: take the mark away.

    Returns:
        How many files changed. Raises NotHere when no file matches.
    """
    chosen = [entry for entry in await _files(shelf, name, version, filename) if entry.listed]
    mark = (_one_line(reason or "") or True) if not undo else False
    changed = [_marked(entry, mark) for entry in chosen if entry.data.get("yanked", False) != mark]
    if changed:
        await shelf.update(changed, "unyank" if undo else "yank")
    return len(changed)


async def remove(shelf: Shelf, name: str, version: str, filename: str | None = None) -> int:
    """Delete a release, or one of its files, sidecars included; returns how many keys went.
    Raises NotHere when no file matches."""
    chosen = await _files(shelf, name, version, filename)
    return await shelf.remove([entry.key for entry in chosen])


async def status(shelf: Shelf, name: str, status: str, reason: str | None = None) -> None:
    """Set a project's status (PEP 792). Raises Malformed for an unknown one, NotHere for an
    unknown project."""
    if status not in STATUSES:
        raise Malformed(f"the status must be one of {', '.join(STATUSES)}")
    if not await shelf.entries(name):
        raise NotHere(f"there is no project {name}")
    text = _one_line(reason or "")
    await shelf.set_properties(name, {"status": status, "status-reason": text or None})


async def _files(shelf: Shelf, name: str, version: str, filename: str | None) -> Sequence[Entry]:
    """Entries of a release, sidecars included."""
    chosen = [
        entry
        for entry in await shelf.entries(name)
        if names.same_version(entry.version, version)
        and filename in (None, entry.filename, entry.filename.removesuffix(".metadata"))
    ]
    if not chosen:
        raise NotHere(f"there is no such file of {name}")
    return chosen


def _marked(entry: Entry, mark: bool | str) -> Entry:
    kept = {field: value for field, value in entry.data.items() if field != "yanked"}
    return replace(entry, data={**kept, "yanked": mark} if mark else kept)


def _one_line(text: str) -> str:
    """A reason without control characters: installers print it on a terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


async def put_yank(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``manage/{name}/{version}/yank``: the body is the reason, ``?filename=`` picks one file."""
    reason = _decoded(await incoming.body(_REASON))
    return await _yank(incoming, shelf, reason, undo=False)


async def delete_yank(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``manage/{name}/{version}/yank`` takes the mark away."""
    return await _yank(incoming, shelf, None, undo=True)


async def _yank(incoming: Incoming, shelf: Shelf, reason: str | None, *, undo: bool) -> Reply:
    name = names.normalise(incoming.segments[1])
    await shelf.permit(Action.DELETE, name)
    filename = incoming.query.get("filename") or None
    count = await yank(shelf, name, incoming.segments[2], filename, reason, undo)
    return Reply(200, f"{count} files changed\n".encode())


async def delete_version(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``manage/{name}/{version}``, with ``?filename=`` one file of it: 204."""
    name = names.normalise(incoming.segments[1])
    await shelf.permit(Action.DELETE, name)
    await remove(shelf, name, incoming.segments[2], incoming.query.get("filename") or None)
    return Reply(204)


async def delete_file(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE a file at its own address, its sidecar with it: 204, or 404."""
    key, name = "/".join(incoming.segments), incoming.segments[1]
    await shelf.permit(Action.DELETE, name)
    if not await shelf.remove([key, key + ".metadata"]):
        raise NotHere("there is no such file")
    return Reply(204)


async def put_status(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``manage/{name}/status`` with JSON ``{"status", "reason"}``: 204."""
    name = names.normalise(incoming.segments[1])
    await shelf.permit(Action.ADMIN, name)
    try:
        wanted = msgspec.json.decode(await incoming.body(_REASON * 2), type=_Status)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed('send JSON: {"status": "archived", "reason": "why"}') from error
    await status(shelf, name, wanted.status, wanted.reason)
    return Reply(204)


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the reason is not UTF-8 text") from error
