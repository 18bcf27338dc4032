"""Addresses of a module proxy (The Go Modules Reference, "GOPROXY protocol"), of a relayed checksum database, and our
own verbs.

What a module cannot have is 404 and not an error: the go command then asks the next proxy (go.md, section 2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reliquary.errors import Malformed
from reliquary.formats.base import Call, FileKey, Manner, Match, Offer, PageKey
from reliquary.formats.go import change, keys, names, publish, reading
from reliquary.formats.go.index import JSON, TEXT
from reliquary.types import Action

READS = ("GET", "HEAD")
MINUTE = 60
HOUR = 3600
_BINARY = Offer("application/octet-stream", "application/octet-stream")
_ZIP = Manner((Offer("application/zip", "application/zip"),), immutable=True, ranges=True, sandbox=True, checked=True)
_MOD = Manner((TEXT,), immutable=True, ranges=True, sandbox=True)
_INFO = Manner((JSON,), immutable=True, ranges=True, sandbox=True, checked=True)
_RECORD = Manner((TEXT,), immutable=True, ranges=True, sandbox=True, checked=True)
_TILE = Manner((_BINARY,), immutable=True, ranges=True, sandbox=True, checked=True)
# The go command asks for these two when it must know what is new; what it builds from was chosen before.
_LIST = Manner((TEXT,), max_age=MINUTE, codings=True, prompt=True, lasting=True)
_LATEST = Manner((JSON,), max_age=MINUTE, prompt=True, lasting=True)
_QUERY = Manner((JSON,), max_age=MINUTE, prompt=True)
_HEAD = Manner((TEXT,), max_age=MINUTE, prompt=True)
_SUPPORTED = Manner((TEXT,), max_age=HOUR)
_FILES = {keys.ZIP: _ZIP, keys.MOD: _MOD, keys.INFO: _INFO}
_QUESTION = re.compile(r"[!-.0-9:-~]{1,256}")
"""One element of ASCII characters."""
_PREFIX = re.compile(r"v[0-9]+(?:\.[0-9]+)?")
_WORDS = frozenset({"latest", "upgrade", "patch", "none"})
"""What the go command resolves by itself, as it does the beginnings of versions."""


def match(method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
    """Map a path below the repository."""
    if segments[:1] == ("manage",):
        return _manage(method, segments[1:])
    if method == "PUT":
        return _put(segments)
    if method == "DELETE":
        return _delete(segments)
    if method not in READS or not segments:
        return None
    if segments[0] == keys.SUMDB[:-1]:
        return _of_database(segments[1:], "/".join(segments))
    found = keys.split(segments)
    return _of_module(*found) if found is not None else None


def manner(key: FileKey | PageKey) -> Manner:
    """How each kind of page and file is answered."""
    if isinstance(key, FileKey):
        if key.path.startswith(keys.SUMDB):
            return _RECORD if key.version or "/tile/8/data/" in key.path else _TILE
        return _FILES[key.path[key.path.rfind(".") :]]
    if key.path.startswith(keys.SUMDB):
        return _SUPPORTED if key.path.endswith("/supported") else _HEAD
    if key.path.endswith(keys.LIST):
        return _LIST
    return _LATEST if key.path.endswith(keys.LATEST) else _QUERY


def _of_module(path: str, asked: str) -> Match | None:
    if asked == keys.LATEST[1:]:
        return keys.latest(path)
    if asked == "list":
        return keys.listing(path)
    stem, ending = _parted(asked)
    version = keys.version(path, stem)
    if version is not None and ending in _FILES:
        return keys.file(path, version, ending)
    return keys.query(path, stem) if ending == keys.INFO and _is_question(stem) else None


def _parted(asked: str) -> tuple[str, str]:
    at = max(asked.rfind("."), 0)
    return asked[:at], asked[at:]


def _is_question(stem: str) -> bool:
    plain = names.unescape(stem)
    if plain is None or not _QUESTION.fullmatch(stem):
        return False
    return plain not in _WORDS and not _PREFIX.fullmatch(plain)


def _of_database(rest: Sequence[str], place: str) -> Match | None:
    """An address behind ``sumdb/``; a database's name may hold slashes, and none of these words."""
    at = next((at for at, word in enumerate(rest) if word in ("supported", "latest", "lookup", "tile")), 0)
    database, more = "/".join(rest[:at]), rest[at:]
    if not at or any("/" in word for word in rest):
        return None
    match more:
        case ["supported"] | ["latest"]:
            return keys.told(place, "")
        case ["lookup", _, *_]:
            return _record("/".join(more[1:]), place, database)
        case ["tile", *_] if reading.tile_of(place) is not None:
            return keys.tile(place, database)
    return None


def _record(asked: str, place: str, database: str) -> FileKey | None:
    escaped, _, stem = asked.rpartition("@")
    path = names.unescape(escaped)
    if path is None or not names.valid_path(path):
        return None
    version = keys.version(path, stem)
    return keys.record(place, database, path, version) if version is not None else None


def _put(segments: tuple[str, ...]) -> Call | None:
    found = keys.split(segments)
    if found is not None:
        path, asked = found
        run = {keys.ZIP: publish.exact, keys.MOD: publish.mod, keys.INFO: publish.info}.get(_parted(asked)[1])
        return Call(Action.PUBLISH, run, name=path, scope=path) if run is not None else None
    match segments:
        case ("upload",):
            return Call(Action.PUBLISH, publish.upload)
        case (name,) if name.endswith(keys.ZIP):
            return Call(Action.PUBLISH, publish.named)
    if len(segments) > 1 and segments[-1].endswith((keys.ZIP, keys.MOD, keys.INFO)) and segments[-2] == "@v":
        raise Malformed("the address names no module path; write its upper-case letters as ! and the lower-case one")
    return None


def _delete(segments: tuple[str, ...]) -> Call | None:
    """A version goes with its zip's address too."""
    found = keys.split(segments)
    if found is None or not found[1].endswith(keys.ZIP):
        return None
    version = keys.version(found[0], found[1].removesuffix(keys.ZIP))
    return _call(found[0], Action.DELETE, change.delete) if version is not None else None


def _manage(method: str, rest: Sequence[str]) -> Call | None:
    """``manage/{module}/{version}`` and ``.../yank``, escaped with ``@v`` between the two, or as they are."""
    front = tuple(rest)
    yank = front[-1:] == ("yank",)
    if yank:
        front = front[:-1]
    found = change.split(front)
    if found is None:
        return None
    match method, yank:
        case "DELETE", False:
            return _call(found[0], Action.DELETE, change.delete)
        case "PUT", True:
            return _call(found[0], Action.PUBLISH, change.yank)
        case "DELETE", True:
            return _call(found[0], Action.PUBLISH, change.unyank)
    return None


def _call(path: str, action: Action, run: publish.Run) -> Call:
    return Call(action, run, name=path, scope=path)
