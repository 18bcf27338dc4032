"""Packuments of upstreams: versions as entries, each with its manifest verbatim but for our addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
import orjson

from reliquary.errors import Malformed
from reliquary.formats.base import FileKey, PageKey, Reading, Source
from reliquary.formats.npm import keys, members, names, summary
from reliquary.formats.npm.members import Bytes
from reliquary.formats.npm.versions import Versions, moment
from reliquary.types import Entry

HEAVY = 500
"""Bytes of a packument that are remembered at the cost of an entry: twice, as they came and as they are shown."""
README = 65_536
"""Characters of a readme that are passed on."""

_SURROGATES = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u(?:d[89ab][0-9a-f]{2}(\\ud[c-f][0-9a-f]{2})?|d[c-f][0-9a-f]{2})", re.IGNORECASE
)
"""Halves of characters as JSON writes them, the second group where both are there."""
_OURS = frozenset({"_id", "name", "versions", "time", "dist-tags", "_attachments", "readme"})
"""Members of a packument that are made anew."""


def read(key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
    """Read a packument in its full form.

    Raises:
        Malformed: it is no packument, or one of another package.
    """
    document = _split(_clean(source.body))
    named = document.get("name") or document.get("_id")
    if members.value(named, str) != key.name:
        raise Malformed(f"it is no packument of {key.name}")
    versions = members.split_or_none(document.get("versions")) or {}
    times = members.split_or_none(document.get("time")) or {}
    if file is not None:
        return Reading(Versions(key.name, _narrow(key.name, versions, file), times, source.url))
    tags = members.value(document.get("dist-tags"), dict) or {}
    latest = tags.get("latest")
    newest = versions.get(latest) if isinstance(latest, str) else None
    return Reading(
        Versions(key.name, versions, times, source.url),
        properties=summary.of_packument(key.name, document, newest, times.get(str(latest))),
        about=_about(document, tags, times, versions),
        dated=moment(members.value(times.get("modified"), str)),
        weight=len(source.body) // HEAVY,
    )


def glean(key: FileKey, source: Source) -> Entry | None:
    """The entry of one version, of its manifest alone; when it was published that does not say.

    Raises:
        Malformed: it is no manifest of this package.
    """
    body = _clean(source.body)
    document = _split(body)
    version = members.value(document.get("version"), str)
    if members.value(document.get("name"), str) != key.name or version is None:
        raise Malformed(f"it is no manifest of {key.name}")
    entries = Versions(key.name, {version: msgspec.Raw(body)}, {}, source.url)
    return next((entry for entry in entries if entry.key == key.path), None)


def _clean(body: bytes) -> bytes:
    """A document that is UTF-8, and does not hold our placeholder."""
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode("utf-8", "replace").encode()
    return body.replace(keys.PLACE.encode(), b"")


def _split(body: bytes) -> Mapping[str, Bytes]:
    """The document's members. Texts that were cut within a character (registries count units of UTF-16) are no JSON
    to strict parsers: the half becomes U+FFFD."""
    try:
        return members.split(body)
    except Malformed:
        mended = _SURROGATES.sub(lambda found: found[0] if found[2] else found[1] + b"\\ufffd", body)
        if mended == body:
            raise
        return members.split(mended)


def _narrow(name: str, versions: Mapping[str, Bytes], file: FileKey) -> Mapping[str, Bytes]:
    filename = file.path.rpartition("/")[2]
    version = names.version_of(name, filename)
    if version is not None and version in versions:
        return {version: versions[version]}
    return {each: versions[each] for each in versions if names.tarball(name, each) == filename}


def _about(
    document: Mapping[str, Bytes], tags: Mapping[str, object], times: Mapping[str, Bytes], versions: Mapping[str, Bytes]
) -> dict[str, str]:
    """What the packument says beside its versions, as `assembling` puts it in."""
    head = [(name, content) for name, content in document.items() if name not in _OURS]
    readme = members.value(document.get("readme"), str)
    if readme:
        head.append(("readme", orjson.dumps(cut(readme))))
    others = [(name, content) for name, content in times.items() if name not in versions]
    known = {tag: version for tag, version in tags.items() if isinstance(version, str)}
    return {
        "head": members.text(members.bare(head)),
        "tags": orjson.dumps(known).decode(),
        "times": members.text(members.bare(others)),
    }


def cut(readme: str) -> str:
    """A readme of a size that is passed on; halves of characters are left out of it."""
    return readme[:README].encode("utf-8", "replace").decode()
