"""Changes to what is published, sent as whole documents and read as differences: nothing else of a
document that comes back is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from reliquary.errors import Conflict, Malformed, NotHere
from reliquary.formats import semver
from reliquary.formats.npm import assembling, document, keys, names, tags, views
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Action, Entry

REASON = 65_536
"""Bytes of the words of a deprecation."""
OWNER = 65_536
"""Bytes of a question about one owner."""


async def put(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``/{package}/-rev/{rev}``: a document with versions left out, or owners changed."""

    async def refuse(filename: str, chunks: object) -> None:
        raise Malformed("a change of what is there takes no attachments; publish without -rev")

    found = await document.split(incoming.chunks(), refuse)
    return await apply(incoming, shelf, views.named(incoming), found, removals=True)


async def apply(incoming: Incoming, shelf: Shelf, name: str, found: Mapping[str, Any], *, removals: bool) -> Reply:
    """Carry out what a document changes: deprecations, owners, the asker's star, and removed versions.

    Args:
        removals: whether versions that are not in it shall go.

    Raises:
        NotHere: there is no such package.
        Conflict: it was made from an older state than the one it would remove versions from.
        Malformed: it changes what cannot be changed.
    """
    entries = [entry for entry in await shelf.entries(name) if entry.listed]
    facts = await shelf.properties(name)
    if not entries and not facts:
        raise NotHere(f"{shelf.repository} has no {names.shown(name)}; publish it first")
    values: dict[str, str | None] = {}
    versions = found.get("versions")
    changed: list[Entry] = []
    gone: list[Entry] = []
    if isinstance(versions, dict):
        changed = _deprecations(versions, entries)
        gone = [entry for entry in entries if entry.version not in versions] if removals else []
    else:
        values |= _owners(found.get("maintainers"), facts)
        if values and removals:
            _check_revision(facts, name, incoming, found)
    values |= _star(found.get("users"), facts, shelf.publisher)
    if gone:
        _check_revision(facts, name, incoming, found)
        await remove(shelf, name, entries, facts, gone)
    elif changed:
        await shelf.update(changed, "deprecate", properties={**values, "modified": tags.stamp(shelf.now)})
    elif values:
        await shelf.set_properties(name, {**values, "modified": tags.stamp(shelf.now)})
    rev = assembling.revision(await shelf.properties(name))
    return views.reply({"ok": True, "success": True, "id": name, "rev": rev}, 201)


def _deprecations(versions: Mapping[str, Any], entries: Sequence[Entry]) -> list[Entry]:
    """Entries whose ``deprecated`` the document sets or takes away (an empty text undoes it)."""
    known = {entry.version: entry for entry in entries}
    changed = []
    for version, manifest in versions.items():
        entry = known.get(version)
        if entry is None or not isinstance(manifest, Mapping):
            raise Malformed(f"there is no version {names.shown(version)}; publish it with its tarball")
        stored = orjson.loads(views.manifest(entry))
        wanted = _message(manifest.get("deprecated"))
        if wanted == _message(stored.get("deprecated")):
            continue
        stored.pop("deprecated", None)
        if wanted is not None:
            stored["deprecated"] = wanted
        changed.append(replace(entry, data={**entry.data, "manifest": orjson.dumps(stored).decode()}))
    return changed


def _message(found: object) -> str | None:
    """What ``deprecated`` says: a text, or true for no text in particular; nothing for "" and false."""
    if found is True:
        return "this version is deprecated"
    return keys.clean(found) if isinstance(found, str) and found else None


def _owners(found: object, facts: Mapping[str, str]) -> dict[str, str | None]:
    if found is None:
        return {}
    if not isinstance(found, list) or not found:
        raise Malformed("maintainers must be a list of at least one owner with a name")
    wanted: dict[str, str | None] = {}
    for each in found:
        name = each.get("name") if isinstance(each, dict) else each
        if not isinstance(name, str) or not name:
            raise Malformed("each owner needs a name")
        mail = each.get("email") if isinstance(each, dict) else ""
        wanted[assembling.OWNER + keys.clean(name[:214])] = keys.clean(mail[:500]) if isinstance(mail, str) else ""
    had = [name for name in facts if name.startswith(assembling.OWNER)]
    return {**dict.fromkeys(had), **wanted}


def _star(found: object, facts: Mapping[str, str], asker: str | None) -> dict[str, str | None]:
    """Of all the stars in a document only the asker's own counts."""
    if not isinstance(found, dict) or asker is None:
        return {}
    starred, wanted = assembling.STAR + asker in facts, bool(found.get(asker))
    return {assembling.STAR + asker: "1" if wanted else None} if wanted != starred else {}


def _check_revision(facts: Mapping[str, str], name: str, incoming: Incoming, found: Mapping[str, Any]) -> None:
    current = assembling.revision(facts)
    sent = incoming.segments[-1] if "-rev" in incoming.segments else found.get("_rev")
    if sent != current:
        raise Conflict(f"{names.shown(name)} was changed since it was read; read it again and repeat the change")


async def remove(
    shelf: Shelf, name: str, entries: Sequence[Entry], facts: Mapping[str, str], gone: Sequence[Entry]
) -> None:
    """Remove versions, and all that is said of the package when none is left; tags that named them
    go, and ``latest`` moves to the best version there is."""
    await shelf.permit(Action.DELETE, name)
    lost = {entry.version for entry in gone}
    left = [entry.version for entry in entries if entry.version not in lost]
    values: dict[str, str | None] = {}
    if left:
        stale = [tag for tag, version in views.known_tags(facts).items() if version in lost]
        values = {assembling.TAG + tag: None for tag in stale}
        if "latest" in stale:
            values[f"{assembling.TAG}latest"] = semver.best(left)
    values["modified"] = tags.stamp(shelf.now)
    paths = [path for entry in gone for path in (entry.key, keys.attestations_key(name, entry.version))]
    await shelf.remove(paths, "unpublish", properties=values, clears=True)


async def delete_package(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``/{package}/-rev/{rev}``: every version."""
    name = views.named(incoming)
    entries = [entry for entry in await shelf.entries(name) if entry.listed]
    if not entries:
        raise NotHere(f"{shelf.repository} has no {names.shown(name)}")
    await remove(shelf, name, entries, await shelf.properties(name), entries)
    return views.reply({"ok": True})


async def delete_tarball(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``/{package}/-/{file}``, with or without ``/-rev/{rev}``: npm sends it after the document without
    the version, which removed the tarball too; 404 is as good to it."""
    name = views.named(incoming)
    path = views.behind(incoming).removeprefix("-/").partition("/-rev/")[0]
    version = names.version_of(name, path)
    key = keys.tarball(name, version or "")
    entry = await shelf.entry(key) if version is not None else None
    if entry is None:
        raise NotHere(f"{shelf.repository} has no tarball {names.shown(path)}")
    await _remove_one(shelf, entry)
    return views.reply({"ok": True})


async def _remove_one(shelf: Shelf, entry: Entry) -> None:
    entries = [each for each in await shelf.entries(entry.name) if each.listed]
    await remove(shelf, entry.name, entries, await shelf.properties(entry.name), [entry])


async def delete_version(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``/manage/{package}/{version}``: our own verb, for the API and the command line."""
    await _remove_one(shelf, await _version(shelf, views.named(incoming, 1), views.behind(incoming, 1)))
    return Reply(204)


async def yank(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``/manage/{package}/{version}/yank`` with a reason, DELETE to take it back: a deprecation."""
    name, version = views.named(incoming, 1), views.behind(incoming, 1).removesuffix("/yank")
    entry = await _version(shelf, name, version)
    wanted: object = None
    if incoming.method == "PUT":
        wanted = (await incoming.body(REASON)).decode("utf-8", "replace").strip() or True
    told = {**orjson.loads(views.manifest(entry)), "deprecated": wanted}
    if changed := _deprecations({entry.version: told}, [entry]):
        await shelf.update(changed, "deprecate", properties={"modified": tags.stamp(shelf.now)})
    return Reply(204)


async def _version(shelf: Shelf, name: str, version: str) -> Entry:
    entry = await shelf.entry(keys.tarball(name, version))
    if entry is None:
        raise NotHere(f"{shelf.repository} has no version {names.shown(version)} of {names.shown(name)}")
    return entry


async def put_owner(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``/-/package/{package}/owners`` with ``{"user": name}``: one owner more."""
    try:
        found = orjson.loads(await incoming.body(OWNER))
    except ValueError as error:
        raise Malformed('the body is no JSON; send the owner, such as {"user": "anna"}') from error
    name = found.get("user") if isinstance(found, dict) else None
    return await _set_owner(incoming, shelf, name, remove=False)


async def delete_owner(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``/-/package/{package}/owners/{user}``: one owner less; the last one stays."""
    return await _set_owner(incoming, shelf, views.behind(incoming, 2).removeprefix("owners/"), remove=True)


async def _set_owner(incoming: Incoming, shelf: Shelf, owner: object, *, remove: bool) -> Reply:
    name = views.named(incoming, 2)
    facts = await shelf.properties(name)
    if not facts:
        raise NotHere(f"{shelf.repository} has no {names.shown(name)}; publish it first")
    had = {person["name"]: person["email"] for person in assembling.people(facts)}
    if not isinstance(owner, str) or not owner:
        raise Malformed('name the owner, such as {"user": "anna"}')
    if remove and owner not in had:
        raise NotHere(f"{names.shown(owner)} is no owner of {names.shown(name)}")
    wanted = {**had, owner: had.get(owner, "")}
    if remove:
        del wanted[owner]
    people = [{"name": each, "email": mail} for each, mail in wanted.items()]
    await shelf.set_properties(name, {**_owners(people, facts), "modified": tags.stamp(shelf.now)})
    return views.reply({"ok": True}, 201)
