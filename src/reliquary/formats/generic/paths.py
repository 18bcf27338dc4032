"""Addresses of the generic format: a path is a file, a path with a final slash is a folder."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from urllib.parse import quote

from reliquary.errors import Malformed
from reliquary.formats.base import Call, FileKey, Manner, Match, Offer, PageKey
from reliquary.formats.generic import verbs
from reliquary.types import Action

LISTING = (Offer("text/html", "text/html; charset=utf-8"), Offer("application/json", "application/json"))
LONGEST = 1024


def match(method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
    """Map a path to a file, a folder or a verb; raises Malformed for paths no client can mean."""
    path = "/".join(segments)
    if len(path.encode()) > LONGEST:
        raise Malformed(f"the path is longer than {LONGEST} bytes; choose a shorter one")
    if "" in path.split("/")[:-1]:
        raise Malformed("the path has an empty segment (two slashes in a row)")
    if not path or path.endswith("/"):
        return _folder_call(method, path, query)
    if method == "PUT":
        return Call(Action.PUBLISH, verbs.put, name=path, scope=scope_of(path))
    if method == "DELETE":
        return Call(Action.DELETE, verbs.delete, name=path, scope=scope_of(path))
    if method in ("GET", "HEAD"):
        return FileKey(path, scope_of(path), path)
    return None


def _folder_call(method: str, path: str, query: Mapping[str, str]) -> Match | None:
    if method == "PUT":
        raise Malformed("a folder cannot be put: end the address with a file name (curl -T file URL/folder/file)")
    if method not in ("GET", "HEAD"):
        return None
    forced = {"json": "application/json", "html": "text/html"}.get(query.get("format", ""))
    return PageKey(path, path, children=path, media=forced)


def folder(scope: str) -> PageKey:
    """The page that lists a folder (``""`` or a path with a final slash)."""
    return PageKey(scope, scope, children=scope)


def scope_of(path: str) -> str:
    """The folder a path lies in: ``""``, or with a final slash."""
    head, slash, _ = path.rpartition("/")
    return head + slash


def folders_around(path: str) -> list[str]:
    """Every folder on the way to a path, the root first."""
    cuts = [0] + [at + 1 for at, sign in enumerate(path) if sign == "/"]
    return [path[:cut] for cut in cuts]


def manner(key: FileKey | PageKey) -> Manner:
    """How files and folders are answered: a file may be written anew, so it is revalidated."""
    if isinstance(key, PageKey):
        return Manner(LISTING, max_age=300, codings=True)
    kind, coding = mimetypes.guess_type(key.path, strict=True)
    media = kind if kind and not coding else "application/octet-stream"
    return Manner((Offer(media, media),), max_age=300, ranges=True, sandbox=True)


def locate(key: FileKey | PageKey, base: str) -> str:
    """Where the same path lies below an upstream folder."""
    return base + quote(key.path, safe="/~!$&'()*+,;=:@")
