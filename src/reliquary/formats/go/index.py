"""A module's list of versions and its ``@latest`` (The Go Modules Reference, "GOPROXY protocol")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from reliquary.errors import NotHere
from reliquary.formats.base import Listing, Offer, PageKey, Rendered, Shown
from reliquary.formats.go import keys, versions
from reliquary.formats.go.names import shown
from reliquary.types import Entry

TEXT = Offer("text/plain", "text/plain; charset=utf-8")
JSON = Offer("application/json", "application/json")
LARGEST_INFO = 1_048_576
"""Bytes of a version's JSON."""
_MODULAR, _BARE = b"+", b"-"
"""What fragments begin with: whether the version has a go.mod of its own, as far as is known."""


def info(version: str, data: Mapping[str, Any]) -> bytes:
    """A version's JSON, by what its entry knows: ``time`` as RFC 3339, ``origin``."""
    told: dict[str, Any] = {"Version": version}
    if data.get("time"):
        told["Time"] = data["time"]
    if data.get("origin"):
        told["Origin"] = data["origin"]
    return orjson.dumps(told)


def stamp(time: datetime) -> str:
    """A time as a version's JSON has it: RFC 3339, UTC, seconds."""
    return time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def fragment(entry: Entry) -> bytes:
    """A version's JSON behind a mark; b"" for what no page shows."""
    if not entry.listed or "hidden" in entry.data:
        return b""
    if (told := entry.data.get("told")) is not None:
        return _MODULAR + str(told).encode()
    return (_MODULAR if entry.data.get("own_mod", True) else _BARE) + info(entry.version, entry.data)


def assemble(key: PageKey, listing: Listing) -> Rendered:
    """Any page; raises NotHere for one that nothing is known for."""
    files = [file for file in listing.files if file.fragment]
    if key.path.startswith(keys.SUMDB):
        return _passed_on(key, TEXT, files)
    if key.path.endswith(keys.LIST):
        return Rendered(key.path, TEXT.media, _list(files))
    if key.path.endswith(keys.LATEST):
        return Rendered(key.path, JSON.media, _latest(key, files))
    return _passed_on(key, JSON, files)


def _passed_on(key: PageKey, offer: Offer, files: Sequence[Shown]) -> Rendered:
    """What the first upstream said."""
    if not files:
        raise NotHere(f"nothing is known of {shown(key.path)}")
    return Rendered(key.path, offer.media, files[0].fragment[1:])


def _list(files: Sequence[Shown]) -> bytes:
    found = {file.version for file in files if not versions.is_pseudo(file.version)}
    return "".join(f"{version}\n" for version in versions.ascending(found)).encode()


def _latest(key: PageKey, files: Sequence[Shown]) -> bytes:
    """The best of what upstreams tell and of the versions that are here.

    A commit that somebody asked for says nothing of what an upstream takes for the latest, and an upstream knows
    whether the versions without a go.mod count.
    """
    told = {file.version: file.fragment for file in files if file.filename.startswith(keys.TOLD)}
    here = {file.version: file.fragment for file in files if not file.filename.startswith(keys.TOLD)}
    if told:
        here = {version: known for version, known in here.items() if not versions.is_pseudo(version)}
    every = {**here, **told}
    if told:
        modular = not any(version.endswith(versions.INCOMPATIBLE) for version in told)
    else:
        compatible = versions.latest(version for version in every if not version.endswith(versions.INCOMPATIBLE))
        modular = compatible is None or every[compatible].startswith(_MODULAR)
    best = versions.latest(every, modular=modular)
    if best is None:
        raise NotHere(f"{shown(key.name)} has no versions")
    return every[best][1:]
