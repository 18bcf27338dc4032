"""Publishing: npm's document with the tarball inside, or a bare tarball."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from reliquary.errors import AlreadyThere, Forbidden, Malformed
from reliquary.formats import semver
from reliquary.formats.npm import assembling, change, document, inspect, keys, names, summary, tags, views
from reliquary.formats.npm.reading import cut
from reliquary.formats.verbs import Incoming, Received, Reply, Shelf
from reliquary.types import Action, Entry

ALGORITHMS = ("sha1", "sha512")
GZIP = b"\x1f\x8b"
PROVENANCE = ".sigstore"
BUNDLE = 16_777_216
"""Bytes of a provenance bundle."""


@dataclass
class Parcel:
    """What came with a document: tarballs and bundles by attachment name; nothing names them yet."""

    shelf: Shelf
    tarballs: dict[str, Received] = field(default_factory=dict)
    bundles: dict[str, bytes] = field(default_factory=dict)

    async def take(self, filename: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an attachment away as it comes."""
        if not filename.endswith(PROVENANCE):
            self.tarballs[filename] = await self.shelf.receive(chunks, algorithms=ALGORITHMS)
            return
        if self.bundles:
            raise Malformed("a version has one provenance; send one attachment of it")
        pieces, size = [], 0
        async for chunk in chunks:
            size += len(chunk)
            if size > BUNDLE:
                raise Malformed(f"the provenance is larger than {BUNDLE} bytes")
            pieces.append(chunk)
        self.bundles[filename] = b"".join(pieces)

    async def discard(self) -> None:
        """Throw away what was not published."""
        for received in self.tarballs.values():
            await received.discard()


@dataclass(frozen=True)
class Draft:
    """One version on its way: all that was said of it, and the bytes that were looked into."""

    name: str
    version: str
    manifest: Mapping[str, Any]
    received: Received
    tarball: inspect.Tarball
    tags: tuple[str, ...] = ("latest",)
    readme: str | None = None
    bundle: bytes | None = None
    session: str | None = None


async def put(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``/{package}``: a publish, a change of what is there, or (``curl -T``) a tarball.

    Raises:
        Malformed: what was sent contradicts itself or breaks npm's rules.
        Forbidden: the version is there already, or the asker may not publish it.
    """
    first, chunks = await document.peek(incoming.chunks(), 2)
    if first == GZIP:
        return await _bare(incoming, shelf, chunks)
    parcel = Parcel(shelf)
    try:
        found = await document.split(chunks, parcel.take)
        name = views.named(incoming)
        await shelf.permit(Action.PUBLISH, name)  # at an address that could be a tarball's the name was not asked for
        if found.get("name", found.get("_id", name)) != name:
            raise Malformed(f"the document is of another package than the address, {names.shown(name)}")
        if not parcel.tarballs:
            if isinstance(found.get("_attachments"), dict) and found["_attachments"]:
                raise Malformed("the document holds no tarball; send one as name-version.tgz")
            return await change.apply(incoming, shelf, name, found, removals=False)
        return await _publish(shelf, await _draft(incoming, shelf, name, found, parcel))
    finally:
        await parcel.discard()


async def _draft(incoming: Incoming, shelf: Shelf, name: str, found: Mapping[str, Any], parcel: Parcel) -> Draft:
    """Read npm's publish document; raises Malformed."""
    versions = found.get("versions")
    if not isinstance(versions, dict) or len(versions) != 1 or len(parcel.tarballs) != 1:
        raise Malformed("publish one version at a time, with its one tarball")
    ((key, manifest),) = versions.items()
    version = names.normal(key, loose=True)
    if not isinstance(manifest, dict) or version is None:
        raise Malformed(f"{names.shown(key)} is no version of semver, or has no manifest; send one such as 1.0.0")
    named, said = manifest.get("name"), manifest.get("version")
    if named != name or not isinstance(said, str) or names.normal(said, loose=True) != version:
        raise Malformed("the manifest has another name or version than the document around it")
    ((filename, received),) = parcel.tarballs.items()
    if names.version_of(name, filename) not in (key, version, said):
        raise Malformed(f"the tarball is called {names.shown(filename)}, not {names.tarball(name, version)}")
    _check_digests(manifest.get("dist"), received)
    with received.open() as file:
        tarball = await shelf.inspect(lambda: _look(file, manifest))
    readme = found.get("readme") or manifest.get("readme")
    return Draft(
        name=name,
        version=version,
        manifest=manifest,
        received=received,
        tarball=tarball,
        tags=_tags(found.get("dist-tags"), key, version),
        readme=readme if isinstance(readme, str) and readme else tarball.readme,
        bundle=next(iter(parcel.bundles.values()), None),
        session=incoming.headers.get("npm-session"),
    )


def _look(file: IO[bytes], manifest: Mapping[str, Any]) -> inspect.Tarball:
    tarball = inspect.look(file)
    inspect.agree(manifest, tarball)
    return tarball


def _written(manifest: Mapping[str, Any]) -> bytes:
    """A manifest as JSON; raises Malformed for one that is nested too deeply."""
    try:
        return orjson.dumps(manifest)
    except TypeError as error:
        raise Malformed("the manifest holds lists or objects nested too deeply; make them flatter") from error


def _check_digests(dist: object, received: Received) -> None:
    """The digests that the client computed, against the bytes that came (section 4 of npm's publish)."""
    said = dist if isinstance(dist, Mapping) else {}
    shasum, integrity = said.get("shasum"), said.get("integrity")
    if isinstance(shasum, str) and shasum.lower() != received.digests["sha1"]:
        raise Malformed("the tarball's sha1 is not the shasum of its manifest; pack and publish it again")
    for each in integrity.split() if isinstance(integrity, str) else ():
        if each.startswith("sha512-") and each.partition("?")[0] != integrity_of(received):
            raise Malformed("the tarball's sha512 is not the integrity of its manifest; pack and publish it again")


def integrity_of(received: Received) -> str:
    """Bytes in the form of Subresource Integrity."""
    return "sha512-" + base64.b64encode(bytes.fromhex(received.digests["sha512"])).decode()


def _tags(found: object, key: str, version: str) -> tuple[str, ...]:
    if found is None:
        return ("latest",)
    if not isinstance(found, dict) or any(value not in (key, version) for value in found.values()):
        raise Malformed("dist-tags must be an object whose tags name the version that is published")
    for tag in found:
        names.check_tag(tag)
    return tuple(found) or ("latest",)


async def _bare(incoming: Incoming, shelf: Shelf, chunks: AsyncIterator[bytes]) -> Reply:
    """A tarball as the body: all that is said of it is its own package.json. ``?tag=`` names its tag."""
    received = await shelf.receive(chunks, algorithms=ALGORITHMS)
    try:
        with received.open() as file:
            tarball = await shelf.inspect(lambda: inspect.look(file))
        version = names.normal(tarball.version, loose=True)
        if version is None:
            raise Malformed(f"{names.shown(tarball.version)} is no version of semver; correct it in package.json")
        await shelf.permit(Action.PUBLISH, tarball.name)
        wanted = await _wanted(shelf, tarball.name, version, incoming.query.get("tag"))
        draft = Draft(tarball.name, version, tarball.manifest, received, tarball, wanted, tarball.readme, session=None)
        return await _publish(shelf, draft)
    finally:
        await received.discard()


async def _wanted(shelf: Shelf, name: str, version: str, tag: str | None) -> tuple[str, ...]:
    """The tag of a bare tarball: the one that was asked for, else ``latest`` where it is the best version by then:
    tarballs are imported in any order, and a prerelease is no news to those who asked for none."""
    if tag is not None:
        names.check_tag(tag)
        return (tag,)
    latest = views.known_tags(await shelf.properties(name)).get("latest")
    return ("latest",) if latest is None or semver.best((latest, version)) == version else ()


async def _publish(shelf: Shelf, draft: Draft) -> Reply:
    name, version = draft.name, draft.version
    names.check_new(name)
    key = keys.tarball_key(name, version)
    there = await shelf.entry(keys.tarball(name, version))
    if there is not None:
        return _repeated(shelf, draft, there)
    now = tags.stamp(shelf.now)
    manifest = await _manifest(shelf, draft)
    entry = Entry(
        key=key,
        name=name,
        version=version,
        filename=names.tarball(name, version),
        scope=name,
        published=shelf.now,
        data={"manifest": _written(manifest).decode(), "time": now, "session": draft.session},
    )
    additions: list[tuple[Entry, Received | bytes]] = [(entry, draft.received)]
    if draft.bundle is not None:
        additions.append((_sidecar(draft), _attestations(draft.bundle)[0]))
    values: dict[str, str | None] = {assembling.TAG + tag: version for tag in draft.tags}
    shown = {summary.FACT: summary.of_manifest(name, manifest, now)}
    if draft.readme:
        shown["readme"] = keys.clean(cut(draft.readme))
    defaults = {f"{assembling.TAG}latest": version, "created": now, **shown}
    if shelf.publisher is not None:
        defaults[assembling.OWNER + shelf.publisher] = ""
    if "latest" in draft.tags:
        values |= shown
    try:
        new = await shelf.add(additions, properties={**values, "modified": now}, defaults=defaults)
    except AlreadyThere as error:
        raise _taken(draft, error.message) from error
    if not new:
        there = await shelf.entry(keys.tarball(name, version))
        return _repeated(shelf, draft, there)
    return _done(name, assembling.revision(await shelf.properties(name)))


def _done(name: str, rev: str) -> Reply:
    return views.reply({"ok": True, "success": True, "id": name, "rev": rev}, 201)


def _repeated(shelf: Shelf, draft: Draft, there: Entry | None) -> Reply:
    """npm sends a publish again when its answer was lost: the same bytes in the same session are no news."""
    same = there is not None and there.digests.get("sha512") == draft.received.digests["sha512"]
    if same and there is not None and draft.session and there.data.get("session") == draft.session:
        return _done(draft.name, "1-0")
    raise _taken(draft)


def _taken(draft: Draft, more: str = "") -> Forbidden:
    said = f"You cannot publish over the previously published versions: {draft.version}."
    return Forbidden(f"{said} {more}".strip(), code="already-exists")


async def _manifest(shelf: Shelf, draft: Draft) -> dict[str, Any]:
    """The manifest as it is shown from now on: what was sent, and what only the registry knows."""
    name, version = draft.name, draft.version
    made = {key: value for key, value in draft.manifest.items() if key not in ("readme", "_attachments")}
    if (place := keys.PLACE.encode()) in (text := _written(made)):
        made = orjson.loads(text.replace(place, b""))
    integrity = integrity_of(draft.received)
    keyid, signature = await shelf.sign(f"{name}@{version}:{integrity}".encode())
    dist: dict[str, Any] = {
        "integrity": integrity,
        "shasum": draft.received.digests["sha1"],
        "tarball": keys.PLACE + keys.tarball_key(name, version),
        "fileCount": draft.tarball.file_count,
        "unpackedSize": draft.tarball.unpacked_size,
        "signatures": [{"keyid": keyid, "sig": signature}],
    }
    if draft.bundle is not None:
        kind = _attestations(draft.bundle)[1]
        dist["attestations"] = {
            "url": keys.PLACE + keys.attestations_key(name, version),
            "provenance": {"predicateType": kind},
        }
    made |= {"_id": f"{name}@{version}", "name": name, "version": version, "dist": dist}
    made.pop("hasInstallScript", None)
    if draft.tarball.has_install_script:
        made["hasInstallScript"] = True
    if draft.tarball.has_shrinkwrap:
        made["_hasShrinkwrap"] = True
    if shelf.publisher is not None:
        made["_npmUser"] = {"name": shelf.publisher, "email": ""}
        made["maintainers"] = assembling.people(
            {**await shelf.properties(name), assembling.OWNER + shelf.publisher: ""}
        )
    return made


def _sidecar(draft: Draft) -> Entry:
    key = keys.attestations_key(draft.name, draft.version)
    return Entry(
        key,
        draft.name,
        draft.version,
        f"{names.tarball(draft.name, draft.version)}{PROVENANCE}",
        draft.name,
        listed=False,
    )


def _attestations(bundle: bytes) -> tuple[bytes, str]:
    """A bundle as the attestations of a version, and its predicate's type; raises Malformed."""
    try:
        found = orjson.loads(bundle)
        statement = orjson.loads(base64.b64decode(found["dsseEnvelope"]["payload"]))
        kind = statement["predicateType"]
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise Malformed("the provenance is no sigstore bundle around a statement; publish without it") from error
    if not isinstance(kind, str):
        raise Malformed("the provenance names no predicate type; publish without it")
    return orjson.dumps({"attestations": [{"predicateType": kind, "bundle": found}]}), kind
