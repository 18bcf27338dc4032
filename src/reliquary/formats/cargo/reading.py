"""Documents of upstreams: index files, whose lines are kept as they came, and ``config.json``."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from reliquary.errors import Malformed
from reliquary.formats.base import FileKey, PageKey, Reading, Source
from reliquary.formats.cargo import index, keys, names, summary
from reliquary.formats.entries import Entries
from reliquary.types import Entry

HEAVY = 500
"""Bytes of an index file that are remembered at the cost of an entry."""
_HEX = frozenset(string.hexdigits)


class _Config(msgspec.Struct):
    dl: str
    api: str | None = None


class _Line(msgspec.Struct):
    """What counts here of a line; all else, of newer schemas too, is passed on as it came."""

    name: str
    vers: str
    cksum: str
    yanked: bool | None = None
    deps: msgspec.Raw = msgspec.Raw(b"[]")
    pubtime: msgspec.Raw = msgspec.Raw(b"null")


_CONFIG = msgspec.json.Decoder(_Config)
_LINE = msgspec.json.Decoder(_Line)
_Item: TypeAlias = tuple[_Line, bytes]
"""A line as far as it is understood, and its text."""


class Lines(Entries[_Item]):
    """Implements `reliquary.formats.base.Compact`; equal to another of the same text."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lines):
            return NotImplemented
        return [text for _, text in self._items] == [text for _, text in other._items]

    def keys(self) -> Sequence[str]:
        """Where their archives are."""
        return [keys.crate_key(line.name, line.vers) for line, _ in self._items]

    def listed(self, media: str) -> Sequence[tuple[str, str, str, str, bytes]]:
        """Key, name, file name, version and fragment of each."""
        return [
            (
                keys.crate_key(line.name, line.vers),
                names.normal(line.name),
                names.crate_file(line.name, line.vers),
                line.vers,
                index.rendered(text),
            )
            for line, text in self._items
        ]

    def _entry(self, item: _Item) -> Entry:
        line, text = item
        return Entry(
            key=keys.crate_key(line.name, line.vers),
            name=names.normal(line.name),
            version=line.vers,
            filename=names.crate_file(line.name, line.vers),
            scope=line.name.lower(),
            digests={"sha256": line.cksum.lower()},
            published=_moment(line.pubtime),
            data={"line": text.decode("utf-8", "replace")},
        )


def read(key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
    """Read an index file or a ``config.json`` (The Cargo Book, "Index format").

    Raises:
        Malformed: it is neither, or one of another crate.
    """
    if key.scope == keys.CONFIG:
        return _config(source)
    if file is not None:
        # Of a plus in a version JSON has several spellings.
        named = file.path.split("/")[-2].partition("+")[0].encode()
        found = _lines(key, b"\n".join(line for line in source.body.split(b"\n") if named in line))
        return Reading(Lines([item for item in found if keys.crate_key(item[0].name, item[0].vers) == file.path]))
    found = _lines(key, source.body)
    if not found:
        # Not an empty one either: an index drops the file with its last line, and our 404 would be taken for an answer.
        raise Malformed(f"it is no index file of {names.shown(key.scope)}")
    name = found[-1][0].name
    facts = {
        "name": name,
        summary.FACT: summary.of(name, [(line.vers, line.yanked is True, line.deps) for line, _ in found]) or "",
    }
    return Reading(Lines(found), properties=facts, weight=len(source.body) // HEAVY)


def _config(source: Source) -> Reading:
    try:
        config = _CONFIG.decode(source.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(
            "it is no config.json of a registry: it names no dl; is the address that of an index?"
        ) from error
    if not config.dl.startswith(("http://", "https://")):
        raise Malformed("its config.json names a dl that is no http or https address")
    return Reading(properties={"dl": config.dl, "api": (config.api or "").rstrip("/")})


def _lines(key: PageKey, body: bytes) -> list[_Item]:
    """Every line that cargo could use; others, which it hides too, are left out. One version is listed once, as its
    last line says, which is what cargo goes by."""
    found: dict[str, _Item] = {}
    for text in (each.strip() for each in body.split(b"\n")):
        try:
            line = _LINE.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if line.name.lower() == key.scope and _usable(line):
            found[line.vers] = line, text
    return list(found.values())


def _usable(line: _Line) -> bool:
    """Whether a line's archive can be named and checked."""
    return names.valid(line.name) and "/" not in line.vers and len(line.cksum) == 64 and _HEX.issuperset(line.cksum)


def _moment(raw: msgspec.Raw) -> datetime | None:
    """A time of an index line, None for what is none."""
    try:
        found = datetime.fromisoformat(bytes(raw).decode().strip('"'))
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def locate(key: FileKey | PageKey, base: str) -> str | None:
    """A page's address below an index; archives are where its ``config.json`` says."""
    if not isinstance(key, PageKey):
        return None
    if key.scope == keys.CONFIG:
        return base + keys.CONFIG if key == keys.config(base) else None
    return base + key.path


def direct(entry: Entry, told: Mapping[str, str]) -> str | None:
    """The address of an archive by a ``dl`` template (The Cargo Book, "Index configuration")."""
    template = told.get("dl", "")
    name = entry.filename.removesuffix(f"-{entry.version}.crate")
    markers = {
        "{crate}": name,
        "{version}": entry.version,
        "{prefix}": names.folder(name),
        "{lowerprefix}": names.folder(name.lower()),
        "{sha256-checksum}": entry.digests.get("sha256", ""),
    }
    if not template.startswith(("http://", "https://")):
        return None
    if not any(marker in template for marker in markers):
        template = template.rstrip("/") + "/{crate}/{version}/download"
    for marker, value in markers.items():
        template = template.replace(marker, value)
    return template


def question(path: str, told: Mapping[str, str]) -> str | None:
    """An address of an upstream's web API."""
    api = told.get("api", "")
    return f"{api}/{path}" if api.startswith(("http://", "https://")) else None
