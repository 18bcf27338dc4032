"""Simple API documents (PEP 503, 629, 691, 700, 714, 740, 792): fragments of files, and pages made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

import orjson

from reliquary.formats.base import Listing, PageKey, Pen, Rendered, Shown
from reliquary.formats.pypi.addresses import is_https
from reliquary.formats.pypi.negotiate import HTML, HTML_V1, JSON_V1
from reliquary.types import Entry, Headers

VERSION = "1.4"
UNSIZED = "1.0"
"""The version that does not require ``size`` (PEP 700 made it mandatory)."""

_PLAIN = re.compile(r"[a-z0-9-]*")
_UNQUOTED = re.compile(r"[A-Za-z0-9._~/-]*+")
"""Keys that `quote` leaves as they are, which costs it five times as long to find."""
_STRONGEST = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")


def fragment(entry: Entry, media: str | None = None) -> bytes:
    """What pages say of a listed file; b"" for a sidecar.

    Order and white space are fixed: clients exist that read them with regular expressions.

    Args:
        entry: the file.
        media: the type of page that needs it. None gives what all need.

    Returns:
        the JSON object, a newline, the HTML line; only what comes before the newline where JSON
        alone needs it, and nothing before it where HTML does.
    """
    if not entry.listed:
        return b""
    if media == JSON_V1:
        return _row(entry)
    return (_row(entry) if media is None else b"") + b"\n" + _anchor(entry)


def _row(entry: Entry) -> bytes:
    row: dict[str, Any] = {"filename": entry.filename, "url": _href(entry), "hashes": _hashes(entry)}
    if entry.size is not None:
        row["size"] = entry.size
    if entry.published is not None:
        row["upload-time"] = _utc(entry.published)
    return orjson.dumps(row | _said(entry.data), option=orjson.OPT_UTC_Z)


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    known = data.get("core_metadata") or False
    said: dict[str, Any] = {
        "requires-python": data.get("requires_python"),
        "yanked": yanked(data),
        "core-metadata": known,
        "dist-info-metadata": known,
    }
    if link := provenance(data.get("provenance")):
        said["provenance"] = link
    return said


def ending(data: Mapping[str, Any]) -> str:
    """The end of the JSON object of each file with this data, from the comma on."""
    return "," + orjson.dumps(_said(data)).decode()[1:]


def _anchor(entry: Entry) -> bytes:
    data = entry.data
    digests = _hashes(entry)
    best = next((f"#{name}={digests[name]}" for name in _STRONGEST if name in digests), "")
    attributes = {"href": _href(entry) + best}
    if text := data.get("requires_python"):
        attributes["data-requires-python"] = text
    if reason := yanked(data):
        attributes["data-yanked"] = reason if isinstance(reason, str) else ""
    if known := data.get("core_metadata"):
        value = f"sha256={known['sha256']}" if isinstance(known, Mapping) else "true"
        attributes |= {"data-dist-info-metadata": value, "data-core-metadata": value}
    if link := provenance(data.get("provenance")):
        attributes["data-provenance"] = link
    if entry.published is not None:
        attributes["data-upload-time"] = timestamp(entry.published)
    if entry.size is not None:
        attributes["data-size"] = str(entry.size)
    pairs = " ".join(f'{name}="{_text(value)}"' for name, value in attributes.items())
    return f"    <a {pairs}>{_text(entry.filename)}</a><br />".encode("ascii", "xmlcharrefreplace")


def _text(value: str) -> str:
    """Escaped for HTML text and attributes, on one line."""
    return escape(value).replace("\r", "&#13;").replace("\n", "&#10;")


def _href(entry: Entry) -> str:
    key = entry.key
    return "../../" + (key if _UNQUOTED.fullmatch(key) else quote(key, safe="/"))


def _hashes(entry: Entry) -> Mapping[str, str]:
    """The digests a client is told: the one everybody checks, or what there is."""
    if sha256 := entry.digests.get("sha256"):
        return {"sha256": sha256}
    return dict(sorted(entry.digests.items()))


def yanked(data: Mapping[str, Any]) -> bool | str:
    """False, True, or a reason that is not empty (PEP 592 and 691): an empty one is True."""
    value = data.get("yanked", False)
    return (value or True) if isinstance(value, str) else bool(value)


def provenance(link: object) -> str | None:
    """A provenance address as pages may carry it: absolute https (PEP 740), else None."""
    return link if isinstance(link, str) and link.isprintable() and is_https(link) else None


def timestamp(moment: datetime) -> str:
    """``yyyy-mm-ddThh:mm:ss[.ffffff]Z`` (PEP 700)."""
    return _utc(moment).isoformat().removesuffix("+00:00") + "Z"


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def assemble(key: PageKey, listing: Listing, pen: Pen, media: str | None = None) -> Iterator[Rendered]:
    """Render the list of projects or a project's page, in every media type or the one named."""
    headers: Headers = (("x-pypi-last-serial", str(listing.serial)),)
    wanted = (HTML, JSON_V1, HTML_V1) if media is None else (media,)
    if JSON_V1 in wanted:
        body = _project_json(key, listing) if key.name else _list_json(listing)
        yield Rendered(key.path, JSON_V1, body, headers)
    if HTML in wanted or HTML_V1 in wanted:
        body = _project_html(key, listing) if key.name else _list_html(listing)
        for kind in (HTML, HTML_V1):
            if kind in wanted:
                yield Rendered(key.path, kind, body, headers)


def _files(listing: Listing) -> Sequence[Shown]:
    """What is offered: nothing of a quarantined project (PEP 792)."""
    return () if listing.properties.get("status") == "quarantined" else listing.files


def _project_json(key: PageKey, listing: Listing) -> bytes:
    files = _files(listing)
    rows = [file.fragment.partition(b"\n")[0] for file in files]
    # Hashes, which come before the size, hold the first brace, unless a file name does.
    sized = all(row.startswith(b',"size":', row.find(b"}") + 1) or b'"size":' in row for row in rows)
    head: dict[str, Any] = {
        "meta": {"api-version": VERSION if sized else UNSIZED, "_last-serial": listing.serial},
        "name": key.name,
        "project-status": _status(listing.properties),
    }
    if sized:
        head["versions"] = list(dict.fromkeys(file.version for file in files))
    start = orjson.dumps(head)[:-1] + b',"files":['
    if not rows:
        return start + b"]}"
    # Joined once: sums would copy a page of some megabytes again and again.
    rows[0] = start + rows[0]
    rows[-1] += b"]}"
    return b",".join(rows)


def _status(properties: Mapping[str, str]) -> dict[str, str]:
    status = {"status": properties.get("status") or "active"}
    if reason := properties.get("status-reason"):
        status["reason"] = reason
    return status


def _list_json(listing: Listing) -> bytes:
    head = orjson.dumps({"meta": {"api-version": VERSION, "_last-serial": listing.serial}})
    if _all_plain(listing.names):
        rows = ",".join([f'{{"name":"{name}","_last-serial":{serial}}}' for name, serial in listing.names]).encode()
    else:
        rows = b",".join(orjson.dumps({"name": name, "_last-serial": serial}) for name, serial in listing.names)
    return head[:-1] + b',"projects":[' + rows + b"]}"


def _all_plain(pairs: Sequence[tuple[str, int]]) -> bool:
    """Whether every name can stand in JSON and HTML as it is: one test instead of 700,000 escapes."""
    return _PLAIN.fullmatch("".join([name for name, _ in pairs])) is not None


def _project_html(key: PageKey, listing: Listing) -> bytes:
    rows = [file.fragment.partition(b"\n")[2] for file in _files(listing)]
    metas = ""
    for name in ("status", "status-reason"):
        if (value := listing.properties.get(name)) and value != "active":
            metas += f'    <meta name="pypi:project-{name}" content="{_text(value)}">\n'
    return _document(f"Links for {key.name}", metas, True, b"\n".join(rows), listing.serial)


def _list_html(listing: Listing) -> bytes:
    if _all_plain(listing.names):
        rows = [f'    <a href="{name}/">{name}</a><br />' for name, _ in listing.names]
    else:
        rows = [f'    <a href="{quote(name, safe="")}/">{_text(name)}</a><br />' for name, _ in listing.names]
    body = "\n".join(rows).encode("ascii", "xmlcharrefreplace")
    return _document("Simple index", "", False, body, listing.serial)


def _document(title: str, metas: str, headed: bool, rows: bytes, serial: int) -> bytes:
    """The frame of both HTML pages, all ASCII, so that no client has to guess a charset."""
    heading = f"    <h1>{_text(title)}</h1>\n" if headed else ""
    head = (
        "<!DOCTYPE html>\n<html>\n  <head>\n"
        f'    <meta name="pypi:repository-version" content="{VERSION}">\n{metas}'
        f"    <title>{_text(title)}</title>\n  </head>\n  <body>\n{heading}"
    )
    tail = f"  </body>\n</html>\n<!--SERIAL {serial}-->"
    return head.encode("ascii", "xmlcharrefreplace") + rows + (b"\n" if rows else b"") + tail.encode()
