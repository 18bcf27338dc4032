"""Addresses of the simple repository API, of uploads and of our own verbs."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from reliquary.formats.base import Call, FileKey, Match, Moved, PageKey
from reliquary.formats.pypi import legacy, manage, names, negotiate, publish, rpc
from reliquary.types import Action

_UPLOADS: tuple[tuple[str, ...], ...] = ((), ("legacy",), ("simple",))


def match(method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
    """Map a path below the repository; raises NotAcceptable for a ``?format=`` that is unknown."""
    slash = bool(segments) and segments[-1] == ""
    parts = segments[:-1] if slash else segments
    if method in ("GET", "HEAD"):
        return _get(parts, slash, query)
    if method == "POST":
        return _post(parts)
    if slash:
        return None
    if method == "PUT":
        return _put(parts)
    return _delete(parts) if method == "DELETE" else None


def root() -> PageKey:
    """The list of projects."""
    return PageKey("simple/", "", children="")


def page(name: str, media: str | None = None) -> PageKey:
    """The page of a project, by its normal name."""
    return PageKey(f"simple/{name}/", name, name, media=media)


def locate(key: FileKey | PageKey, base: str) -> str | None:
    """A page's address at an upstream; None for files, whose addresses only pages tell.

    People write an index down with or without its last ``simple``. It is added where the form of
    the address says that the index lies deeper: a bare host, and the ``pypi/`` and
    ``pypi/{repository}/`` of repository servers. Anything else is taken as it is.
    """
    if isinstance(key, FileKey):
        return None
    index = _index(base)
    return f"{index}{key.name}/" if key.name else index


def _index(base: str) -> str:
    parts = urlsplit(base)
    folders = [segment for segment in parts.path.split("/") if segment]
    if folders == ["pypi"]:
        folders = ["simple"]
    elif not folders or folders[-1] == "pypi" or folders[-2:-1] == ["pypi"]:
        folders += [] if folders[-1:] in (["simple"], ["+simple"]) else ["simple"]
    path = "/" + "".join(f"{folder}/" for folder in folders)
    return parts._replace(path=path, query="", fragment="").geturl()


def _get(parts: tuple[str, ...], slash: bool, query: Mapping[str, str]) -> Match | None:
    parts = _inner(parts)
    match parts:
        case ("simple" | "+simple",):
            return _simple_root(slash, query)
        case ("simple" | "+simple", name):
            return _simple_page(name, slash, query)
        case ("files", name, place, filename) if not slash:
            return _file(name, place, filename)
        case ("integrity", name, _, _, "provenance"):
            return _call(legacy.provenance, name)
        case ("pypi", name, "json") | ("pypi", name, _, "json"):
            return _call(legacy.document, name)
        case ("packages", "source", _, name, _):
            return _call(legacy.source, name)
    return None


def _inner(parts: tuple[str, ...]) -> tuple[str, ...]:
    """What some clients append to the address that they upload to, seen from the base.

    The files too: a page's relative links resolve below whatever the page was asked at.
    """
    if len(parts) > 1 and parts[0] in ("legacy", "simple"):
        rest = parts[1:]
        if rest[0] == "+simple" or (len(rest) == 4 and rest[0] == "files"):
            return rest
    return parts


def _simple_root(slash: bool, query: Mapping[str, str]) -> Match:
    if not slash:
        return Moved("simple/")
    return PageKey("simple/", "", children="", media=negotiate.forced(query))


def _simple_page(name: str, slash: bool, query: Mapping[str, str]) -> Match | None:
    normal = names.valid_name(name)
    if normal is None:
        return None
    return page(normal, negotiate.forced(query)) if slash and normal == name else Moved(f"simple/{normal}/")


def _file(name: str, place: str, filename: str) -> FileKey | None:
    if not names.is_normal(name) or not names.is_place(place) or not names.safe_filename(filename):
        return None
    return FileKey(f"files/{name}/{place}/{filename}", name, name)


def _call(run: publish.Verb, name: str, action: Action = Action.READ) -> Call | None:
    normal = names.valid_name(name)
    return Call(action, run, name=normal, scope=normal) if normal else None


def _post(parts: tuple[str, ...]) -> Call | None:
    if parts in _UPLOADS:
        return Call(Action.PUBLISH, publish.upload)
    return Call(Action.READ, rpc.answer) if parts == ("pypi",) else None


def _put(parts: tuple[str, ...]) -> Call | None:
    match parts:
        case (filename,):
            release = names.release_of(filename)
            name = release[0] if release else None
            return Call(Action.PUBLISH, publish.put, name=name, scope=name)
        case ("manage", name, "status"):
            return _call(manage.put_status, name, Action.ADMIN)
        case ("manage", name, _, "yank"):
            return _call(manage.put_yank, name, Action.DELETE)
    return None


def _delete(parts: tuple[str, ...]) -> Call | None:
    match parts:
        case ("manage", name, _, "yank"):
            return _call(manage.delete_yank, name, Action.DELETE)
        case ("manage", name, _):
            return _call(manage.delete_version, name, Action.DELETE)
        case ("files", name, place, filename) if _file(name, place, filename) and names.is_artefact(filename):
            return _call(manage.delete_file, name, Action.DELETE)
    return None
