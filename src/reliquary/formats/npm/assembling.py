"""Packuments as npm's clients read them, put together from fragments that were rendered once.

The full form is ``application/json``; the abbreviated one has what an installation needs, and ``time``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence

import orjson

from reliquary.errors import Malformed
from reliquary.formats import semver
from reliquary.formats.base import Listing, Offer, PageKey, Rendered
from reliquary.formats.npm import keys, members
from reliquary.formats.npm.members import Bytes
from reliquary.types import Entry

FULL = Offer("application/json", "application/json")
ABBREVIATED = Offer("application/vnd.npm.install-v1+json", "application/vnd.npm.install-v1+json")
OFFERS = (FULL, ABBREVIATED)

_PLACE = keys.PLACE.encode()
_PARTS = struct.Struct(">III")
_SHORT = (
    "name",
    "version",
    "deprecated",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bundledDependencies",
    "acceptDependencies",
    "bin",
    "directories",
    "dist",
    "engines",
    "cpu",
    "os",
    "libc",
    "funding",
    "_hasShrinkwrap",
)
_TOP = ("description", "homepage", "keywords", "repository", "author", "bugs", "license", "readmeFilename")
"""What the top of a hosted packument repeats from the manifest under ``latest``."""
_INSTALLS = ("preinstall", "install", "postinstall")
TAG, OWNER, STAR = "tag:", "owner:", "star:"
"""Prefixes of facts on a hosted package: a dist-tag's version, an owner's e-mail, somebody's star."""


# Fragments


def fragment(entry: Entry, media: str | None = None) -> bytes:
    """A version in its two forms, or in the one that a media type needs, and its time."""
    if not entry.listed:
        return b""
    time = orjson.dumps(entry.data["time"]) if entry.data.get("time") else b""
    return render(entry.data["manifest"].encode("utf-8", "replace"), time, media)


def render(manifest: bytes, time: bytes, media: str | None = None) -> bytes:
    """The fragment of a version.

    Args:
        manifest: its full form, our address still open.
        time: when it was published, as JSON; nothing where that is unknown.
    """
    full = manifest if media in (None, FULL.media) else b""
    short = abbreviate(manifest) if media in (None, ABBREVIATED.media) else b""
    return _PARTS.pack(len(time), len(full), len(short)) + time + full + short


def abbreviate(manifest: bytes) -> bytes:
    """What an installation needs of a manifest; ``hasInstallScript`` is computed, whatever it says."""
    parts = members.split(manifest)
    kept: dict[str, Bytes] = {name: parts[name] for name in _SHORT if name in parts}
    if installs(parts):
        kept["hasInstallScript"] = b"true"
    return members.join(kept)


def installs(manifest: Mapping[str, Bytes]) -> bool:
    """Whether npm runs something when it installs this: a script of three, or node-gyp."""
    scripts = members.split_or_none(manifest.get("scripts")) or {}
    named = any(members.value(scripts.get(each), str) for each in _INSTALLS)
    said = members.value(manifest.get("hasInstallScript"), bool) or members.value(manifest.get("gypfile"), bool)
    return named or bool(said)


def _parts(fragment: bytes) -> tuple[memoryview, memoryview, memoryview]:
    """Time, full and abbreviated manifest of a fragment, nothing copied; what it was not made with is empty."""
    time, full, short = _PARTS.unpack_from(fragment)
    start, middle = _PARTS.size + time, _PARTS.size + time + full
    view = memoryview(fragment)
    return view[_PARTS.size : start], view[start:middle], view[middle : middle + short]


# Pages


def assemble(key: PageKey, listing: Listing, media: str | None = None) -> Iterator[Rendered]:
    """A package's packument in each media type, or in the one named."""
    for offer in OFFERS:
        if media in (None, offer.media):
            body = _packument(key.name, listing, full=offer is FULL)
            base = (listing.base_url or "/").encode()
            yield Rendered(key.path, offer.media, body.replace(_PLACE, base))


def _packument(name: str, listing: Listing, *, full: bool) -> bytes:
    facts = listing.properties
    versions: list[bytes | memoryview] = []
    known = [facts["times"].encode()] if facts.get("times") else _hosted_times(facts)
    times: list[bytes | memoryview] = [piece for time in known for piece in (b",", time)]
    for file in listing.files:
        time, long, short = _parts(file.fragment)
        manifest = long if full else short
        if not manifest:
            raise Malformed(f"{file.filename} has no manifest to show")
        key = _key(file.version)
        versions += (b",", key, manifest)
        if time:
            times += (b",", key, time)
    tags = orjson.dumps(dist_tags(facts, [file.version for file in listing.files]))
    middle = (b'"dist-tags":', tags, b',"versions":{', *versions[1:], b'},"time":{', *times[1:], b"}")
    quoted = orjson.dumps(name)
    if full:
        return b"".join((b'{"_id":', quoted, b',"name":', quoted, b",", *middle, _head(listing), b"}"))
    modified = _modified(facts)
    dated = b',"modified":' + modified if modified else b""
    return b"".join((b'{"name":', quoted, dated, b",", *middle, b"}"))


def _key(version: str) -> bytes:
    return orjson.dumps(version) + b":"


def _hosted_times(facts: Mapping[str, str]) -> list[bytes]:
    return [_key(name) + orjson.dumps(facts[name]) for name in ("created", "modified") if name in facts]


def _modified(facts: Mapping[str, str]) -> bytes | None:
    if "times" not in facts:
        return orjson.dumps(facts["modified"]) if "modified" in facts else None
    return members.split(f"{{{facts['times']}}}".encode()).get("modified")


def dist_tags(facts: Mapping[str, str], versions: Sequence[str]) -> dict[str, str]:
    """The tags whose versions are listed, with a ``latest`` as long as anything is."""
    if "tags" in facts:
        tags = orjson.loads(facts["tags"])
    else:
        tags = {name.removeprefix(TAG): value for name, value in facts.items() if name.startswith(TAG)}
    known = set(versions)
    kept = {tag: version for tag, version in tags.items() if version in known}
    if "latest" not in kept and (best := semver.best(versions)) is not None:
        kept = {"latest": best, **kept}
    return kept


def revision(facts: Mapping[str, str]) -> str:
    """``_rev`` of a package: made of what is said of it, so that it is the same wherever it is read, and another
    after every change."""
    said = orjson.dumps(sorted(facts.items()))
    return f"1-{hashlib.sha256(said).hexdigest()[:32]}"


def _head(listing: Listing) -> bytes:
    """The other members at the top: an upstream's own, or what the manifest under ``latest`` says."""
    facts = listing.properties
    if "head" in facts:
        head = facts["head"].encode("utf-8", "replace")
        known = members.split(b"{" + head + b"}")
        rev = b"" if "_rev" in known else b',"_rev":' + orjson.dumps(revision(facts))
        return rev + (b"," + head if head else b"")
    made: dict[str, Bytes] = {"_rev": orjson.dumps(revision(facts))}
    manifest = _newest(listing)
    made |= {name: manifest[name] for name in _TOP if name in manifest}
    made["maintainers"] = orjson.dumps(people(facts))
    if stars := sorted(name.removeprefix(STAR) for name in facts if name.startswith(STAR)):
        made["users"] = orjson.dumps(dict.fromkeys(stars, True))
    if "readme" in facts:
        made["readme"] = orjson.dumps(facts["readme"])
    return b"," + members.bare(made.items())


def people(facts: Mapping[str, str]) -> list[dict[str, str]]:
    """The owners of a hosted package."""
    owners = sorted((name.removeprefix(OWNER), mail) for name, mail in facts.items() if name.startswith(OWNER))
    return [{"name": name, "email": mail} for name, mail in owners]


def _newest(listing: Listing) -> Mapping[str, Bytes]:
    latest = dist_tags(listing.properties, [file.version for file in listing.files]).get("latest")
    for file in listing.files:
        if file.version == latest:
            return members.split(bytes(_parts(file.fragment)[1]))
    return {}
