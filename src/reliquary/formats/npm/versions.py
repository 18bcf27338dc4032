"""The versions of an upstream's packument: their text as it came, and entries made when they are asked for.

A packument has thousands of versions, of which one or two are ever installed from here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import urljoin

import msgspec
import orjson

from reliquary.formats.entries import Entries
from reliquary.formats.npm import assembling, keys, members, names
from reliquary.formats.npm.members import Bytes
from reliquary.types import Entry

_INTEGRITY = {"sha512": 64, "sha384": 48, "sha256": 32}
_PLACE = keys.PLACE.encode()


class _Dist(msgspec.Struct):
    tarball: msgspec.Raw = msgspec.Raw()
    attestations: msgspec.Raw = msgspec.Raw()


class _Manifest(msgspec.Struct):
    dist: msgspec.Raw = msgspec.Raw()


_MANIFEST = msgspec.json.Decoder(_Manifest)
_DIST = msgspec.json.Decoder(_Dist)


class Versions(Entries["_Item"]):
    """Implements `reliquary.formats.base.Compact`; equal to another of the same text.

    Args:
        name: the package.
        manifests: the text of each version's manifest, in the packument's order.
        times: the text of each version's time, as far as they are known.
        base: the packument's address, which relative addresses are below.
    """

    def __init__(self, name: str, manifests: Mapping[str, Bytes], times: Mapping[str, Bytes], base: str) -> None:
        self._name = name
        self._base = base
        found = ((version, _parts(raw)) for version, raw in manifests.items())
        super().__init__(
            [(version, manifests[version], parts, times.get(version)) for version, parts in found if parts is not None]
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Versions):
            return NotImplemented
        return (self._name, self._base, self._texts()) == (other._name, other._base, other._texts())

    def _texts(self) -> list[tuple[str, bytes, bytes]]:
        return [(version, bytes(raw), _time(time)) for version, raw, _, time in self._items]

    def keys(self) -> Sequence[str]:
        """Where their tarballs are."""
        return [keys.tarball_key(self._name, item[0]) for item in self._items]

    def listed(self, media: str) -> Sequence[tuple[str, str, str, str, bytes]]:
        """Key, name, file name, version and fragment of each."""
        name = self._name
        return [
            (
                keys.tarball_key(name, version),
                name,
                names.tarball(name, version),
                version,
                assembling.render(_placed(name, version, raw, parts), _time(time), media),
            )
            for version, raw, parts, time in self._items
        ]

    def _entry(self, item: _Item) -> Entry:
        version, raw, (dist, tarball, _), time = item
        when = members.value(time, str)
        url = members.value(tarball, str) or ""
        return Entry(
            key=keys.tarball_key(self._name, version),
            name=self._name,
            version=version,
            filename=names.tarball(self._name, version),
            scope=self._name,
            url=urljoin(self._base, url),
            digests=dict(_digests(members.split_or_none(dist) or {})),
            published=moment(when),
            data={"manifest": members.text(_placed(self._name, version, raw, item[2])), "time": when},
        )


_Parts: TypeAlias = tuple[bytes, bytes, bytes]
"""Texts of a manifest's ``dist``, and in it of ``tarball`` and ``attestations``."""
_Item: TypeAlias = tuple[str, Bytes, _Parts, Bytes | None]
"""A version, the text of its manifest, parts of that, and the text of its time."""


def _parts(raw: Bytes) -> _Parts | None:
    """None where a version has no tarball that could be fetched."""
    try:
        dist = _MANIFEST.decode(raw).dist
        found = _DIST.decode(dist)
    except (msgspec.DecodeError, RecursionError):
        return None
    tarball = bytes(found.tarball)
    # A string that is not empty: such an address can at least be asked for.
    return (bytes(dist), tarball, bytes(found.attestations)) if tarball[:1] == b'"' and len(tarball) > 2 else None


def _placed(name: str, version: str, raw: Bytes, parts: _Parts) -> bytes:
    """The manifest with our addresses for its tarball and its attestations; the rest as it came."""
    dist, tarball, attestations = parts
    ours = placed(keys.tarball_key(name, version))
    if dist.count(tarball) == 1:
        changed = dist.replace(tarball, ours)
    else:
        changed = members.join({**members.split(dist), "tarball": ours})
    known = members.split_or_none(attestations) if attestations else None
    if known is not None and "url" in known:
        ours = members.join({**known, "url": placed(keys.attestations_key(name, version))})
        changed = changed.replace(attestations, ours, 1)
    return bytes(raw).replace(dist, changed)


def placed(key: str) -> bytes:
    """An address of ours as a JSON string, its base still open."""
    return b'"' + _PLACE + orjson.dumps(key)[1:]


def _time(raw: Bytes | None) -> bytes:
    return b"" if raw is None else bytes(raw)


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
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
