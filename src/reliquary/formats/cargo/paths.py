"""cargo's addresses: the index at the root, the web API below ``api/v1/``, and our own verbs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from reliquary.formats.base import Call, FileKey, Manner, Match, Offer, PageKey
from reliquary.formats.cargo import change, config, keys, login, names, owners, publish, search, views
from reliquary.formats.cargo.index import TEXT
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Action

_Run: TypeAlias = Callable[[Incoming, Shelf], Awaitable[Reply]]
_PAGE = Manner(offers=(TEXT,), max_age=300, codings=True, prompt=True)
_CONFIG = Manner(offers=(TEXT,), max_age=300)
_CRATE = Manner(offers=(Offer("application/gzip", "application/gzip"),), immutable=True, ranges=True, sandbox=True)
_README = Manner(offers=(Offer("text/plain", "text/plain; charset=utf-8"),), immutable=True, ranges=True, sandbox=True)
READS = ("GET", "HEAD")

_OF_CRATE: Mapping[tuple[str, str], tuple[Action, _Run]] = {
    ("GET", "versions"): (Action.READ, views.versions),
    ("GET", "downloads"): (Action.READ, views.downloads),
    ("GET", "reverse_dependencies"): (Action.READ, views.reverse_dependencies),
    ("GET", "owners"): (Action.READ, owners.owners),
    ("GET", "owner_user"): (Action.READ, owners.owner_user),
    ("GET", "owner_team"): (Action.READ, owners.owner_team),
    ("PUT", "owners"): (Action.PUBLISH, owners.add),
    ("DELETE", "owners"): (Action.PUBLISH, owners.remove),
}
_OF_VERSION: Mapping[tuple[str, str], tuple[Action, _Run]] = {
    ("GET", "dependencies"): (Action.READ, views.dependencies),
    ("DELETE", "yank"): (Action.PUBLISH, change.yank),
    ("PUT", "unyank"): (Action.PUBLISH, change.unyank),
}


def match(method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
    """Map a path below the repository.

    An index file's first segment is ``1``, ``2``, ``3`` or two characters, so every longer one is free for other
    things (The Cargo Book, "Index files").
    """
    reading = method in READS
    match segments:
        case () | ("",):
            return Call(Action.READ, config.root) if reading else None
        case (keys.CONFIG,):
            return Call(Action.READ, config.config) if reading else None
        case ("me",):
            return _me(method)
        case ("api", "v1", *rest):
            return _api(method, rest)
        case ("manage", name, version, *rest):
            return _manage(method, name, version, rest)
        case (file,) if method == "PUT" and file.endswith(".crate"):
            return Call(Action.PUBLISH, publish.bare)
    return _page(segments) if reading else None


def manner(key: FileKey | PageKey) -> Manner:
    """How an index file, an archive or a readme is answered."""
    if isinstance(key, PageKey):
        return _CONFIG if key.scope == keys.CONFIG else _PAGE
    return _CRATE if key.listed else _README


def _page(segments: tuple[str, ...]) -> PageKey | None:
    """An index file by its one right path: small letters, and folders that fit its name."""
    name = segments[-1]
    right = names.valid(name) and segments == tuple(names.index_path(name.lower()).split("/"))
    return keys.page(name) if right else None


def _me(method: str) -> Call | None:
    if method == "POST":
        return Call(Action.READ, login.take, open=True)
    return Call(Action.READ, login.me, open=True) if method in READS else None


def _api(method: str, rest: list[str]) -> Match | None:
    asked = "GET" if method == "HEAD" else method
    match rest:
        case ["trusted_publishing", "tokens"] if asked in ("PUT", "DELETE"):
            return Call(Action.READ, login.exchange, open=True)
        case ["crates"] if asked == "GET":
            return Call(Action.READ, search.search)
        case ["crates", "new"] if asked == "PUT":
            return Call(Action.PUBLISH, publish.put)
        case ["crates", name, *more] if names.valid(name):
            return _crate(asked, name, more)
    return None


def _crate(method: str, name: str, more: list[str]) -> Match | None:
    match more:
        case []:
            return _call(name, Action.READ, views.crate) if method == "GET" else None
        case [word] if (found := _OF_CRATE.get((method, word))) is not None:
            return _call(name, *found)
        case [_]:
            return _call(name, Action.READ, views.version) if method == "GET" and _is_version(more[0]) else None
        case [version, "download"] if method == "GET" and _is_version(version):
            return keys.crate(name, version)
        case [version, "readme"] if method == "GET" and _is_version(version):
            return keys.readme(name, version)
        case [version, word] if _is_version(version) and (found := _OF_VERSION.get((method, word))) is not None:
            return _call(name, *found)
    return None


def _is_version(text: str) -> bool:
    """Whether a segment stands where a version does: each begins with a digit."""
    return text[:1].isdigit() and "/" not in text and len(text) <= 256


def _call(name: str, action: Action, run: _Run) -> Call:
    return Call(action, run, name=names.normal(name), scope=name.lower())


def _manage(method: str, name: str, version: str, rest: list[str]) -> Call | None:
    """Our own verbs: ``manage/{crate}/{version}`` and ``.../yank``."""
    if not names.valid(name):
        return None
    match method, rest:
        case "DELETE", []:
            return _call(name, Action.DELETE, change.delete)
        case "PUT", ["yank"]:
            return _call(name, Action.PUBLISH, change.yank)
        case "DELETE", ["yank"]:
            return _call(name, Action.PUBLISH, change.unyank)
    return None
