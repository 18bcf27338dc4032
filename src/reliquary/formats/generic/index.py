"""Folder listings: HTML in the style of an autoindex, and JSON; read from upstreams too."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import msgspec
import orjson
from selectolax.lexbor import LexborHTMLParser

from reliquary.errors import Malformed
from reliquary.formats.base import Listing, PageKey, Pen, Reading, Rendered, Source
from reliquary.types import Entry


def fragment(entry: Entry, media: str | None = None) -> bytes:
    """A file's JSON object, a newline, its HTML row; what pages of one media type do without may
    be left empty. b"" for an unlisted entry."""
    if not entry.listed:
        return b""
    row = _row(entry) if media in (None, "application/json") else b""
    return row if media == "application/json" else row + b"\n" + _listed(entry)


def _row(entry: Entry) -> bytes:
    row: dict[str, Any] = {"name": entry.filename}
    if entry.size is not None:
        row["size"] = entry.size
    if entry.published is not None:
        row["modified"] = entry.published.strftime("%Y-%m-%dT%H:%M:%SZ")
    if sha256 := entry.digests.get("sha256"):
        row["sha256"] = sha256
    return orjson.dumps(row)


def _listed(entry: Entry) -> bytes:
    date = entry.published.strftime("%Y-%m-%d %H:%M") if entry.published else "-"
    size = "-" if entry.size is None else str(entry.size)
    return _line(entry.filename, date, size)


def _line(name: str, date: str, size: str) -> bytes:
    shown = escape(name).replace("\n", " ")
    pad = " " * max(1, 51 - len(name))
    return f'<a href="./{quote(name)}{"/" if size == "folder" else ""}">{shown}</a>{pad}{date:>16} {size:>19}'.encode()


def assemble(key: PageKey, listing: Listing, pen: Pen, media: str | None) -> Iterator[Rendered]:
    """Render a folder in both media types, or in the one named."""
    folders = _children(key.scope, [name for name, _ in listing.names])
    if media in (None, "application/json"):
        yield Rendered(key.path, "application/json", _json(key, folders, listing))
    if media in (None, "text/html"):
        yield Rendered(key.path, "text/html", _html(key, folders, listing, pen))


def _children(scope: str, names: list[str]) -> list[str]:
    """Direct sub-folders among all scopes below this one, as names without slashes."""
    below = {name[len(scope) :].split("/", 1)[0] for name in names if name.startswith(scope) and name != scope}
    return sorted(below - {""})


def _json(key: PageKey, folders: list[str], listing: Listing) -> bytes:
    files = b",".join(row.fragment.split(b"\n", 1)[0] for row in listing.files)
    head = orjson.dumps({"path": "/" + key.scope, "folders": [{"name": name} for name in folders]})
    return head[:-1] + b',"files":[' + files + b"]}"


def _html(key: PageKey, folders: list[str], listing: Listing, pen: Pen) -> bytes:
    title = escape(f"Index of {pen.repository}/{key.scope}").encode()
    rows = [b'<a href="../">../</a>'] if key.scope else []
    rows += [_line(name, "-", "folder") for name in folders]
    rows += [row.fragment.split(b"\n", 1)[1] for row in listing.files]
    return (
        b'<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"><title>'
        + title
        + b"</title></head>\n<body>\n<h1>"
        + title
        + b"</h1><hr><pre>\n"
        + b"\n".join(rows)
        + b"\n</pre><hr></body>\n</html>\n"
    )


def read(key: PageKey, source: Source) -> Reading:
    """Read an autoindex page or our own JSON listing; raises Malformed for anything else.

    A document that was kept comes without its type: it was judged when it arrived.
    """
    kind = source.content_type.split(";")[0].strip().lower() or _sniffed(source.body)
    if kind == "application/json":
        return _read_json(key, source)
    if kind not in ("text/html", "application/xhtml+xml"):
        raise Malformed(f"a folder listing is expected, and {kind or 'no type'} came")
    tree = LexborHTMLParser(source.body.decode("utf-8", "replace"))
    title = (tree.css_first("title") or tree.css_first("h1")) if tree.root else None
    if title is None or not title.text().strip().lower().startswith(("index of", "directory listing")):
        raise Malformed("the page is not a folder listing")
    return _reading(key, source.url, [link.attributes.get("href") or "" for link in tree.css("a[href]")])


def _sniffed(body: bytes) -> str:
    return "application/json" if body.lstrip()[:1] == b"{" else "text/html"


def _read_json(key: PageKey, source: Source) -> Reading:
    try:
        document = msgspec.json.decode(source.body, type=_Folder)
    except msgspec.DecodeError as error:
        raise Malformed("the folder listing is not the JSON of a listing") from error
    links = [quote(row.name) for row in document.files] + [quote(row.name) + "/" for row in document.folders]
    return _reading(key, source.url, links)


class _Row(msgspec.Struct):
    name: str


class _Folder(msgspec.Struct):
    files: list[_Row]
    folders: list[_Row]


def _reading(key: PageKey, page: str, links: list[str]) -> Reading:
    base = urlsplit(page)
    entries: dict[str, Entry] = {}
    names: set[str] = set()
    for link in links:
        target = urlsplit(urljoin(page, link))
        if (target.scheme, target.netloc) != (base.scheme, base.netloc) or not target.path.startswith(base.path):
            continue
        name = unquote(target.path[len(base.path) :])
        bare = name.rstrip("/")
        if target.query or not bare or "/" in bare or bare in (".", "..") or not bare.isprintable() or "\\" in bare:
            continue
        path = key.scope + bare
        if name.endswith("/"):
            names.add(path + "/")
        else:
            url = target._replace(fragment="").geturl()
            entries[path] = Entry(key=path, name=path, version="", filename=bare, scope=key.scope, url=url)
    return Reading(entries=list(entries.values()), names=sorted(names))
