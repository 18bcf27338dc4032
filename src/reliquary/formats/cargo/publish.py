"""Publishing: cargo's framed body, or a bare archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from reliquary.errors import AlreadyThere, Conflict, Malformed
from reliquary.formats import semver
from reliquary.formats.cargo import change, frame, inspect, keys, lines, manifest, names, owners, summary
from reliquary.formats.verbs import Incoming, Received, Reply, Shelf
from reliquary.types import Action, Entry

ABOUT = (
    "description",
    "documentation",
    "homepage",
    "repository",
    "license",
    "license_file",
    "readme_file",
    "authors",
    "keywords",
    "categories",
    "badges",
)
"""What the web API tells of a version beside its line."""


async def put(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``api/v1/crates/new`` (The Cargo Book, "Registry Web API", Publish).

    Raises:
        Malformed: lengths, JSON or archive break the rules, or contradict each other.
        Conflict: the version is there, or the name is taken in another spelling.
    """
    told, archive = await frame.split(incoming.chunks())
    name = told.get("name")
    if not isinstance(name, str):
        raise Malformed("the metadata has no name; publish with cargo")
    names.check_new(name)
    await shelf.permit(Action.PUBLISH, names.normal(name))
    received = await shelf.receive(archive)
    try:
        with received.open() as file:
            crate = await shelf.inspect(lambda: inspect.look(file))
        inspect.agree(told, crate)
        return await _publish(incoming, shelf, told, crate, received)
    finally:
        await received.discard()


async def bare(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``{name}-{version}.crate`` (``curl -T``): the archive alone tells what it is; 201, and 200 where the same one
    is there, so that an import may be run again. Raises as `put` does."""
    received = await shelf.receive(incoming.chunks())
    try:
        with received.open() as file:
            crate = await shelf.inspect(lambda: inspect.look(file))
        names.check_new(crate.name)
        await shelf.permit(Action.PUBLISH, names.normal(crate.name))
        there = await shelf.entry(keys.crate(crate.name, crate.version))
        if there is not None and there.digests.get("sha256") == received.digests["sha256"]:
            return Reply(200, orjson.dumps({"warnings": _warned([])}), change.JSON)
        told = manifest.told(crate.manifest, own=_own(incoming), readme=crate.readme, readme_file=crate.readme_file)
        reply = await _publish(incoming, shelf, told, crate, received)
        return Reply(201, reply.body, reply.content_type)
    finally:
        await received.discard()


def _own(incoming: Incoming) -> tuple[str, ...]:
    return f"sparse+{incoming.base_url}", incoming.base_url


async def _publish(
    incoming: Incoming, shelf: Shelf, told: Mapping[str, Any], crate: inspect.Crate, received: Received
) -> Reply:
    """One transaction for a version whose archive was looked into."""
    warnings = await _check_name(shelf, crate.name)
    there = [entry for entry in await shelf.entries(crate.name.lower()) if entry.listed]
    version = semver.parse(crate.version)
    if version is None or any(_identity(entry.version) == str(version) for entry in there):
        raise _taken(crate)
    now, published, cksum = change.stamp(shelf), shelf.now, received.digests["sha256"]

    def line() -> str:
        told_of = {"rust_version": crate.rust_version, "links": crate.links}
        return lines.build(told, cksum=cksum, index_url=incoming.base_url, published=published, **told_of)

    entry = Entry(
        key=keys.crate_key(crate.name, crate.version),
        name=names.normal(crate.name),
        version=crate.version,
        # One name for all builds of a version, so that of two sent at once only one gets in. It is told apart by its
        # spelling: where another spelling came at once, what that leaves behind must not stand in this one's way.
        filename=names.crate_file(crate.name, str(version)),
        scope=crate.name.lower(),
        published=published,
        data={
            "line": await shelf.inspect(line),
            "about": {name: told[name] for name in ABOUT if told.get(name)},
            "publisher": shelf.publisher,
        },
    )
    additions: list[tuple[Entry, Received | bytes]] = [(entry, received)]
    if crate.readme:
        additions.append((_readme(entry, crate), crate.readme.encode("utf-8", "replace")))
    facts = {"updated": now, summary.FACT: summary.of_entries(crate.name, [*there, entry])}
    people = owners.facts([shelf.publisher]) if shelf.publisher is not None and not there else {}
    try:
        new = await shelf.add(additions, properties=facts, defaults={"name": crate.name, "created": now, **people})
    except AlreadyThere as error:
        raise await _refusal(shelf, crate) from error
    if not new:
        raise _taken(crate)
    known = (await change.settle(shelf, entry.name)).get("name")
    if known != crate.name:
        # Somebody else's first version of the other spelling came between the look and the writing.
        await shelf.remove([each.key for each, _ in additions])
        await change.settle(shelf, entry.name)
        raise _spelled_otherwise(crate.name, known)
    return Reply(200, orjson.dumps({"warnings": _warned(warnings)}), change.JSON)


def _identity(version: str) -> str:
    """A version without its build metadata."""
    return version.partition("+")[0]


def _taken(crate: inspect.Crate) -> AlreadyThere:
    return AlreadyThere(f"crate version `{crate.version}` is already uploaded")


async def _refusal(shelf: Shelf, crate: inspect.Crate) -> AlreadyThere:
    """Why a version that was not seen before did not get in: another came at once, or one was deleted."""
    own = _identity(crate.version)
    if any(_identity(entry.version) == own for entry in await shelf.entries(crate.name.lower())):
        return _taken(crate)
    return AlreadyThere(
        f"crate version `{crate.version}` was deleted, and its number does not come back; publish another"
    )


async def _check_name(shelf: Shelf, name: str) -> list[str]:
    """Refuse a name that is taken in another spelling, here or where the group's other members have theirs; what to
    tell the publisher of a new one."""
    known = (await shelf.properties(name)).get("name")
    if known is not None:
        if known != name:
            raise _spelled_otherwise(name, known)
        return []
    told = {facts.get("name", name) for facts in await shelf.elsewhere(names.spellings(name.lower(), names.ASKED))}
    if others := sorted(told - {name}):
        raise _spelled_otherwise(name, others[0])
    if told:
        return [f"`{name}` is the name of an upstream's crate too; from now on yours is found here in its place"]
    return []


def _spelled_otherwise(name: str, known: str | None) -> Conflict:
    other = f" as `{known}`" if known else ""
    return Conflict(f"crate `{name}` is known{other} in another spelling already; use that, or choose another name")


def _readme(entry: Entry, crate: inspect.Crate) -> Entry:
    return Entry(
        key=keys.readme_key(crate.name, crate.version),
        name=entry.name,
        version=entry.version,
        filename=f"{entry.filename}.readme",
        scope=entry.scope,
        listed=False,
    )


def _warned(others: list[str]) -> dict[str, list[str]]:
    """What cargo prints after a publish."""
    return {"invalid_categories": [], "invalid_badges": [], "other": others}
