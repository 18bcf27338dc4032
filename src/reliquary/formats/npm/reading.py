"""Packuments of upstreams: versions as entries, each with its manifest verbatim but for our addresses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urljoin

import orjson

from reliquary.errors import Malformed
from reliquary.formats.base import FileKey, PageKey, Reading, Source
from reliquary.formats.npm import keys, members, names, summary
from reliquary.formats.npm.members import Bytes
from reliquary.types import Entry

PLACE = "\ufdd0"
"""Stands for the repository's address in stored manifests: a noncharacter, which no text that is passed
between programs may hold (Unicode, section 23.7); documents that do lose it."""

README = 65_536
"""Characters of a readme that are passed on."""

_OURS = frozenset({"_id", "name", "versions", "time", "dist-tags", "_attachments", "readme"})
"""Members of a packument that are made anew."""
_INTEGRITY = {"sha512": 64, "sha384": 48, "sha256": 32}


def read(key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
    """Read a packument in its full form.

    Raises:
        Malformed: it is no packument, or one of another package.
    """
    document = members.split(source.body.replace(PLACE.encode(), b""))
    named = document.get("name") or document.get("_id")
    if members.value(named, str) != key.name:
        raise Malformed(f"it is no packument of {key.name}")
    versions = members.split_or_none(document.get("versions")) or {}
    times = members.split_or_none(document.get("time")) or {}
    wanted = versions if file is None else _narrow(key.name, versions, file)
    entries = [
        entry
        for version, manifest in wanted.items()
        if (entry := _entry(key.name, version, manifest, times.get(version), source.url)) is not None
    ]
    if file is not None:
        return Reading(entries)
    tags = members.value(document.get("dist-tags"), dict) or {}
    latest = tags.get("latest")
    newest = versions.get(latest) if isinstance(latest, str) else None
    return Reading(
        entries,
        properties=summary.of_packument(key.name, document, newest, times.get(str(latest))),
        about=_about(document, tags, times, versions),
    )


def _narrow(name: str, versions: Mapping[str, Bytes], file: FileKey) -> Mapping[str, Bytes]:
    filename = file.path.rpartition("/")[2]
    version = names.version_of(name, filename)
    if version is not None and version in versions:
        return {version: versions[version]}
    return {each: versions[each] for each in versions if names.tarball(name, each) == filename}


def _entry(name: str, version: str, raw: Bytes, time: Bytes | None, base: str) -> Entry | None:
    """One version; None where it has no tarball that could be fetched."""
    manifest: dict[str, Bytes] = dict(members.split_or_none(raw) or {})
    dist: dict[str, Bytes] = dict(members.split_or_none(manifest.get("dist")) or {})
    url = members.value(dist.get("tarball"), str)
    if not url:
        return None
    key = keys.tarball_key(name, version)
    dist["tarball"] = placed(key)
    attestations: dict[str, Bytes] = dict(members.split_or_none(dist.get("attestations")) or {})
    if "url" in attestations:
        attestations["url"] = placed(keys.attestations_key(name, version))
        dist["attestations"] = members.join(attestations)
    manifest["dist"] = members.join(dist)
    when = members.value(time, str)
    return Entry(
        key=key,
        name=name,
        version=version,
        filename=names.tarball(name, version),
        scope=name,
        url=urljoin(base, url),
        digests=dict(_digests(dist)),
        published=moment(when),
        data={"manifest": members.text(members.join(manifest)), "time": when},
    )


def placed(key: str) -> bytes:
    """An address of ours as a JSON string, its base still open."""
    return b'"' + PLACE.encode() + orjson.dumps(key)[1:]


def _digests(dist: Mapping[str, Bytes]) -> Iterator[tuple[str, str]]:
    """Hexadecimal digests of a ``dist``; what cannot be read is as good as not there."""
    for each in (members.value(dist.get("integrity"), str) or "").split():
        algorithm, _, text = each.partition("-")
        if algorithm in _INTEGRITY:
            try:
                digest = base64.b64decode(text.partition("?")[0], validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(digest) == _INTEGRITY[algorithm]:
                yield algorithm, digest.hex()
    shasum = (members.value(dist.get("shasum"), str) or "").lower()
    if len(shasum) == 40 and all(sign in "0123456789abcdef" for sign in shasum):
        yield "sha1", shasum


def moment(text: str | None) -> datetime | None:
    """A time of a packument (ISO 8601), None for what is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


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
    """A readme of a size that is passed on; what is no text in UTF-8 is left out of it."""
    return readme[:README].encode("utf-8", "replace").decode()
