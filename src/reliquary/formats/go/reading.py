"""What upstreams send: lists of versions, the JSON of one, and what a checksum database says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import IO
from urllib.parse import quote

import msgspec

from reliquary.errors import Malformed, Mismatch, TooLarge
from reliquary.formats.base import Arrival, FileKey, PageKey, Reading, Source
from reliquary.formats.go import index, keys, notes, records, tiles, versions, zips
from reliquary.formats.go.names import shown
from reliquary.types import Entry

_TEXT = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f]*")


class _Info(msgspec.Struct, rename="pascal"):
    version: str
    time: str | None = None


_INFO = msgspec.json.Decoder(_Info)


def locate(key: FileKey | PageKey, base: str) -> str:
    """All of it lies at an upstream as it lies here."""
    return base + quote(key.path, safe="/~!$&'()*+,;=:@")


def read(key: PageKey, source: Source) -> Reading:
    """Read any page.

    Raises:
        Malformed: it is another thing than was asked for, such as a web page.
    """
    if source.content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
        raise Malformed("a web page came where a module proxy was asked")
    try:
        text = source.body.decode()
    except UnicodeDecodeError as error:
        raise Malformed("it is not UTF-8") from error
    if not _TEXT.fullmatch(text):
        raise Malformed("it has control characters")
    if key.path.startswith(keys.SUMDB):
        return _of_database(key, text)
    if key.path.endswith(keys.LIST):
        return _list(key, text)
    return _told(key, text)


def _list(key: PageKey, text: str) -> Reading:
    """Tags alone, in any order: what else an upstream lists, clients leave out. Some write a time behind each."""
    if text.lstrip()[:1] in ("<", "{", "["):
        raise Malformed("it is no list of versions")
    words = [line.split() for line in text.splitlines()]
    named = dict.fromkeys(line[0] for line in words if line)
    return Reading([_entry(key.scope, version) for version in named if _is_tag(key.scope, version)])


def _is_tag(path: str, version: str) -> bool:
    return versions.canonical(version) is not None and versions.fits(path, version) and not versions.is_pseudo(version)


def _entry(path: str, version: str) -> Entry:
    place = keys.archive(path, version).path
    return Entry(key=place, name=path, version=version, filename=keys.base_name(place), scope=path)


def _told(key: PageKey, text: str) -> Reading:
    """``@latest``, and what a branch or commit is, as the upstream says it. Each version that is told has a name of
    its own, so that a group sees those of all its members."""
    found = _decoded(text.encode())
    asked = keys.base_name(key.path)
    entry = Entry(
        key=key.path,
        name=key.name,
        version=found.version,
        filename=keys.TOLD + found.version if key.path.endswith(keys.LATEST) else asked,
        scope=key.scope,
        data={"told": text.strip()},
    )
    return Reading([entry], whole=False)


def version_of(body: bytes) -> str:
    """The version that such JSON tells of; raises Malformed."""
    return _decoded(body).version


def _decoded(body: bytes) -> _Info:
    try:
        found = _INFO.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("it is not the JSON of a version") from error
    if versions.canonical(found.version) is None:
        raise Malformed(f"{shown(found.version)} in it is no canonical version")
    if found.time is not None and versions.instant(found.time) is None:
        raise Malformed(f"{shown(found.time)} in it is no time")
    return found


def _of_database(key: PageKey, text: str) -> Reading:
    """``supported``, of which the status says all, and the newest signed head."""
    if key.path.endswith("/latest"):
        if len(text) > notes.LARGEST or not text.startswith("go.sum database tree\n"):
            raise Malformed("it is no signed head of a checksum database")
    else:
        text = ""
    entry = Entry(key.path, key.name, "", keys.base_name(key.path), key.scope, data={"told": text})
    return Reading([entry], whole=False)


def arrive(entry: Entry, file: IO[bytes]) -> Arrival | None:
    """Look at a file that came from an upstream.

    Returns:
        A zip's entry with the hashes that go.sum has of it; None for others.

    Raises:
        Mismatch: it is not what its address says, or no client could use it.
    """
    try:
        if entry.key.startswith(keys.SUMDB):
            _check_of_database(entry, file)
        elif entry.key.endswith(keys.ZIP):
            return Arrival(_learned(entry, zips.look(file, (entry.name, entry.version))))
        elif entry.key.endswith(keys.INFO):
            _check_info(entry, file)
        return None
    except (Malformed, TooLarge) as error:
        raise Mismatch(f"the upstream's {shown(entry.key)} is unusable: {error.message}") from error


def _learned(entry: Entry, module: zips.Module) -> Entry:
    known = entry.data.get("h1")
    if known is not None and known != module.h1:
        raise Mismatch(f"{shown(entry.key)} came with {module.h1}, and was {known}")
    return with_hashes(entry, module)


def with_hashes(entry: Entry, module: zips.Module) -> Entry:
    """An entry that knows what is in its zip."""
    hashes = {"h1": module.h1, "mod_h1": module.mod_h1, "own_mod": module.own_mod}
    return replace(entry, data={**entry.data, **hashes})


def _check_info(entry: Entry, file: IO[bytes]) -> None:
    found = _decoded(file.read(index.LARGEST_INFO))
    if found.version != entry.version:
        raise Malformed(f"it tells of {shown(found.version)}")


def _check_of_database(entry: Entry, file: IO[bytes]) -> None:
    body = file.read(index.LARGEST_INFO)
    if entry.version:
        _, text, _ = records.split(body)
        found = records.parse(text)
        if (found.path, found.version) != (entry.name, entry.version):
            raise Malformed(f"it tells of {shown(found.path)} {shown(found.version)}")
        return
    tile = tile_of(entry.key)
    if tile is None:
        return
    held = len(records.records_of(body)) * tiles.HASH if tile.level == tiles.DATA else len(body)
    if held != tile.width * tiles.HASH:
        raise Malformed(f"it has not the {tile.width} entries of the tile")


def tile_of(place: str) -> tiles.Tile | None:
    """The tile that an address of a checksum database names."""
    _, mark, rest = place.partition("/tile/")
    return tiles.parse(mark[1:] + rest) if mark else None
