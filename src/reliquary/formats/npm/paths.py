"""npm's addresses: packages in any escaping, tarballs, and the services below ``/-/``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from reliquary.formats.base import Call, FileKey, Manner, Match, Offer, PageKey
from reliquary.formats.npm import change, keys, names, publish, services, tags, views
from reliquary.formats.npm.assembling import OFFERS
from reliquary.types import Action

_PAGE = Manner(offers=OFFERS, max_age=300, codings=True, absolute=True)
_TARBALL = Manner(
    offers=(Offer("application/octet-stream", "application/octet-stream"),), immutable=True, ranges=True, sandbox=True
)
_ATTESTATIONS = Manner(offers=(Offer("application/json", "application/json"),), max_age=300)


def match(method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
    """Map a path below the repository: ``@s/p``, ``@s%2fp`` and ``@s%2Fp`` are one name, wherever it stands."""
    parts = "/".join(segments).removesuffix("/").split("/")
    if parts == [""]:
        return Call(Action.READ, views.root) if method in ("GET", "HEAD") else None
    if "" in parts:
        return None
    if parts[0] == "-":
        return services.match(method, parts[1:])
    if parts[0] == "manage" and (found := _manage(method, parts[1:])) is not None:
        return found
    name, rest = keys.split_name(parts)
    if not names.valid(name):
        return None
    if method in ("GET", "HEAD"):
        return _get(name, rest, query)
    if method == "PUT":
        return _put(name, rest)
    return _delete(name, rest) if method == "DELETE" else None


def manner(key: FileKey | PageKey) -> Manner:
    """How a packument, a tarball or attestations are answered."""
    if isinstance(key, PageKey):
        return _PAGE
    return _ATTESTATIONS if key.path.startswith("-/") else _TARBALL


def locate(key: FileKey | PageKey, base: str) -> str | None:
    """A packument's address at an upstream, and that of attestations; tarballs only packuments know."""
    if isinstance(key, PageKey):
        return f"{base}{quote(key.name, safe='@')}"
    return f"{base}{quote(key.path, safe='@/')}" if key.path.startswith("-/") else None


def _get(name: str, rest: list[str], query: Mapping[str, str]) -> Match | None:
    match rest:
        case []:
            if query.get("write") == "true":
                return Call(Action.READ, views.fresh, name=name, scope=name)
            return keys.page(name)
        case ["-", *inner] if inner:
            return keys.file(name, inner)
        case [version]:
            return Call(Action.READ, views.version, name=name, scope=name) if version != "-rev" else None
    return None


def _put(name: str, rest: list[str]) -> Match | None:
    match rest:
        case []:
            # `curl -T pkg.tgz` sends a tarball to where a package of that name would be.
            known = None if name.endswith(".tgz") else name
            return Call(Action.PUBLISH, publish.put, name=known, scope=known)
        case ["-rev", _]:
            return Call(Action.PUBLISH, change.put, name=name, scope=name)
        case [_]:
            return Call(Action.PUBLISH, tags.put_legacy, name=name, scope=name)
    return None


def _manage(method: str, parts: list[str]) -> Call | None:
    """Our own verbs: ``manage/{package}/{version}`` and ``.../yank``. No client of npm asks so much of a package that
    is called manage."""
    if len(parts) < 2 or parts[0].startswith("-"):
        return None
    name, rest = keys.split_name(parts)
    if not names.valid(name):
        return None
    match method, rest:
        case "DELETE", [_]:
            return Call(Action.DELETE, change.delete_version, name=name, scope=name)
        case "PUT" | "DELETE", [_, "yank"]:
            return Call(Action.PUBLISH, change.yank, name=name, scope=name)
    return None


def _delete(name: str, rest: list[str]) -> Match | None:
    match rest:
        case ["-rev", _]:
            return Call(Action.DELETE, change.delete_package, name=name, scope=name)
        case ["-", *inner] if inner:
            return Call(Action.DELETE, change.delete_tarball, name=name, scope=name)
    return None


def brief(key: FileKey, base: str) -> str | None:
    """The address of one version's manifest (CommonJS Packages/Registry, "package version")."""
    version = names.version_of(key.name, key.path.rpartition("/")[2]) if key.listed else None
    return f"{base}{quote(key.name, safe='@')}/{quote(version)}" if version is not None else None
