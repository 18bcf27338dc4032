"""Publishing: module zips, at their own place or anywhere, and the two small files that some clients send along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import IO, TypeAlias

from reliquary.errors import AlreadyThere, Conflict, Malformed
from reliquary.formats.go import gomod, index, keys, names, reading, versions, zips
from reliquary.formats.go.names import shown
from reliquary.formats.verbs import Incoming, Received, Reply, Shelf
from reliquary.types import Action, Entry

Run: TypeAlias = Callable[[Incoming, Shelf], Awaitable[Reply]]


async def exact(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``{module}/@v/{version}.zip``: 201, and 200 where the same content is there.

    Raises:
        Malformed, TooLarge: the zip is no module zip of this path and version.
        Conflict: other content is there, or was.
    """
    return await _take(incoming, shelf, _named(incoming))


async def upload(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``upload``, as Forgejo has it: the zip's own entries tell what it is; else as `exact`."""
    return await _take(incoming, shelf, None)


async def named(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``{version}.zip`` (Nexus) or any other name of a zip (``curl -T``, an import) below the root; else as
    `upload`."""
    stem = incoming.segments[0].removesuffix(keys.ZIP)
    return await _take(incoming, shelf, None, version=versions.canonical(stem))


async def mod(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``{module}/@v/{version}.mod``: it comes out of the zip, so it is compared, and nothing is stored.

    Raises:
        Conflict: the zip is not here, or its go.mod is another one.
    """
    entry = await _there(incoming, shelf)
    sent = zips.mod_h1(await incoming.body(gomod.LARGEST))
    if sent != entry.data.get("mod_h1"):
        raise Conflict(f"the go.mod in the zip of {_shown(entry)} is {entry.data.get('mod_h1')}, and {sent} was sent")
    return Reply(200, b"as in the zip\n")


async def info(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``{module}/@v/{version}.info``: it is made here, so it is compared, and nothing is stored.

    Raises:
        Malformed: it is no JSON of a version.
        Conflict: the zip is not here, or another version is told of.
    """
    entry = await _there(incoming, shelf)
    told = reading.version_of(await incoming.body(index.LARGEST_INFO))
    if told != entry.version:
        raise Conflict(f"{_shown(entry)} was addressed, and the JSON tells of {shown(told)}")
    return Reply(200, b"known\n")


def _named(incoming: Incoming) -> tuple[str, str]:
    """Path and version of the address; raises Malformed."""
    found = keys.split(incoming.segments)
    if found is None:
        raise Malformed("the address names no module")
    path, asked = found
    version = names.unescape(asked[: asked.rfind(".")])
    if version is None:
        raise Malformed(f"{shown(asked)} names no version; write its upper-case letters as ! and the lower-case one")
    zips.check_identity(path, version)
    return path, version


async def _there(incoming: Incoming, shelf: Shelf) -> Entry:
    path, version = _named(incoming)
    await shelf.permit(Action.PUBLISH, path)
    entry = await shelf.entry(keys.archive(path, version))
    if entry is None:
        raise Conflict(f"the zip of {shown(path)} {shown(version)} is not here; put it first, the rest is made of it")
    return entry


async def _take(
    incoming: Incoming, shelf: Shelf, expect: tuple[str, str] | None, *, version: str | None = None
) -> Reply:
    if expect is not None:
        await shelf.permit(Action.PUBLISH, expect[0])
    received = await shelf.receive(incoming.chunks(), limit=zips.LARGEST)
    try:
        with received.open() as file:
            module = await shelf.inspect(lambda: look(file, expect))
        if version is not None and module.version != version:
            raise Malformed(f"the zip is one of {shown(module.version)}, and the address says {shown(version)}")
        await shelf.permit(Action.PUBLISH, module.path)
        return await _publish(shelf, module, received)
    finally:
        await received.discard()


def look(file: IO[bytes], expect: tuple[str, str] | None) -> zips.Module:
    """A zip that may be published: what it says of itself agrees; raises Malformed, TooLarge."""
    module = zips.look(file, expect)
    zips.agree(module)
    return module


async def _publish(shelf: Shelf, module: zips.Module, received: Received) -> Reply:
    """One transaction for the three files of a version."""
    key = keys.archive(module.path, module.version)
    known = await shelf.entry(key)
    if known is not None:
        return _again(known, module)
    entry = Entry(
        key=key.path,
        name=module.path,
        version=module.version,
        filename=keys.base_name(key.path),
        scope=module.path,
        published=shelf.now,
        data={"time": index.stamp(shelf.now)},
    )
    entry = reading.with_hashes(entry, module)
    additions: list[tuple[Entry, Received | bytes]] = [
        (entry, received),
        (_beside(entry, keys.MOD), module.mod),
        (_beside(entry, keys.INFO), index.info(entry.version, entry.data)),
    ]
    try:
        new = await shelf.add(additions)
    except AlreadyThere as error:
        known = await shelf.entry(key)
        if known is not None:
            return _again(known, module)
        raise AlreadyThere(
            f"{_shown(entry)} was deleted, and its number does not come back with other content; publish another"
        ) from error
    return Reply(201 if new else 200, _told(entry).encode())


def _again(known: Entry, module: zips.Module) -> Reply:
    """The same content is there, in whatever bytes; raises AlreadyThere for other content."""
    if known.data.get("h1") != module.h1:
        raise AlreadyThere(
            f"{_shown(known)} is here already with {known.data.get('h1')}, and {module.h1} was sent; "
            "clients have the first one's hash in go.sum, so publish a new version"
        )
    return Reply(200, _told(known).encode())


def _beside(entry: Entry, ending: str) -> Entry:
    key = keys.file(entry.name, entry.version, ending)
    return Entry(
        key=key.path,
        name=entry.name,
        version=entry.version,
        filename=keys.base_name(key.path),
        scope=entry.scope,
        published=entry.published,
        listed=False,
    )


def _told(entry: Entry) -> str:
    """The two lines that go.sum will have."""
    name, version = entry.name, entry.version
    return f"{name} {version} {entry.data['h1']}\n{name} {version}/go.mod {entry.data['mod_h1']}\n"


def _shown(entry: Entry) -> str:
    return f"{shown(entry.name)[1:-1]} {shown(entry.version)[1:-1]}"
