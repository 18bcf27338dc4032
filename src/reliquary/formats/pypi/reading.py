"""Reading simple API documents of upstreams, whatever they call them and however old they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode

from reliquary.errors import Malformed
from reliquary.formats.base import PageKey, Reading, Source
from reliquary.formats.pypi import names
from reliquary.formats.pypi.index import provenance
from reliquary.types import Entry

_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "blake2b_256": 64}
_HEX = re.compile(r"[0-9a-f]+")
_CHILD = re.compile(r"(?:\./)?([A-Za-z0-9._-]+)/?")
_TITLE = re.compile(r"\b(?:links for|simple index|simple repository|index of)\b", re.IGNORECASE)
_SERIAL = re.compile(rb"<!--\s*SERIAL (\d{1,18})\s*-->\s*$")
_LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Link:
    """A file as a document of either kind names it; every value may be missing or wrong."""

    href: str
    filename: str | None = None
    text: str = ""
    hashes: Mapping[str, Any] | None = None
    size: object = None
    uploaded: object = None
    requires_python: object = None
    yanked: bool | str = False
    core_metadata: object = None
    provenance: object = None
    gpg_sig: object = None


class _File(msgspec.Struct):
    url: Any = None
    filename: Any = None
    hashes: Any = None
    size: Any = None
    yanked: Any = None
    provenance: Any = None
    uploaded: Any = msgspec.field(default=None, name="upload-time")
    requires_python: Any = msgspec.field(default=None, name="requires-python")
    core: Any = msgspec.field(default=None, name="core-metadata")
    dist_info: Any = msgspec.field(default=None, name="dist-info-metadata")
    data_dist_info: Any = msgspec.field(default=None, name="data-dist-info-metadata")
    gpg_sig: Any = msgspec.field(default=None, name="gpg-sig")


class _Project(msgspec.Struct):
    name: Any = None


class _Document(msgspec.Struct):
    files: list[_File] | None = None
    projects: list[_Project] | None = None
    meta: Any = None
    status: Any = msgspec.field(default=None, name="project-status")


def read(key: PageKey, source: Source) -> Reading:
    """Parse a list of projects or a project's page, JSON or HTML, by what the body is: content
    types lie. Raises Malformed for a document that is neither."""
    body = source.body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if body.startswith(b"{"):
        return _read_json(key, source, body)
    if not body.startswith(b"<") and "html" not in source.content_type.lower():
        raise Malformed("an index page is expected, and something else came")
    return _read_html(key, source)


def _read_json(key: PageKey, source: Source, body: bytes) -> Reading:
    try:
        document = msgspec.json.decode(body, type=_Document)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Malformed("the upstream's JSON is not that of a simple index") from error
    properties = _json_properties(document, source)
    if key.name and document.files is not None:
        return Reading(list(_entries(key, source.url, map(_json_link, document.files))), (), properties)
    if not key.name and document.projects is not None:
        return Reading((), _children(project.name for project in document.projects), properties)
    raise Malformed("the upstream's JSON is not that of a simple index: it lists no files or projects")


def _json_properties(document: _Document, source: Source) -> dict[str, str]:
    meta = document.meta if isinstance(document.meta, dict) else {}
    status = document.status if isinstance(document.status, dict) else {"status": document.status}
    serial = meta.get("_last-serial")
    return _properties(source, status.get("status"), status.get("reason"), str(serial))


def _properties(source: Source, status: object, reason: object, serial: str) -> dict[str, str]:
    """Facts on the project. A page without a status says ``active`` (PEP 792), which must be
    told too: it ends a quarantine."""
    properties = {"status": _text(status) or "active"}
    if status and (text := _text(reason)):
        properties["status-reason"] = text
    for text in (source.headers.get("x-pypi-last-serial", ""), serial):
        if text.isascii() and text.isdigit() and len(text) < 19:
            properties["serial"] = text
            break
    return properties


def _json_link(file: _File) -> Link:
    core = next((value for value in (file.core, file.dist_info, file.data_dist_info) if value is not None), None)
    return Link(
        href=_text(file.url) or "",
        filename=_text(file.filename),
        hashes=file.hashes if isinstance(file.hashes, dict) else None,
        size=file.size,
        uploaded=file.uploaded,
        requires_python=file.requires_python,
        yanked=_text(file.yanked) or file.yanked is True,
        core_metadata=core.get("sha256") or True if isinstance(core, dict) else core,
        provenance=file.provenance,
        gpg_sig=file.gpg_sig,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _children(candidates: Iterable[object]) -> list[str]:
    found = {names.valid_name(name) for name in candidates if isinstance(name, str)}
    return sorted(name for name in found if name)


def _read_html(key: PageKey, source: Source) -> Reading:
    tree = LexborHTMLParser(source.body.decode("utf-8", "replace"))
    url = _base(tree, source.url)
    metas = {node.attributes.get("name"): node.attributes.get("content") for node in tree.css("meta[name]")}
    marked = "pypi:repository-version" in metas or any(
        _TITLE.search(node.text()) for node in (tree.css_first("title"), tree.css_first("h1")) if node
    )
    serial = _SERIAL.search(source.body[-200:])
    status, reason = metas.get("pypi:project-status"), metas.get("pypi:project-status-reason")
    properties = _properties(source, status, reason, serial[1].decode() if serial else "")
    anchors = tree.css("a[href]")
    if key.name:
        reading = Reading(list(_entries(key, url, map(_html_link, anchors))), (), properties)
    else:
        reading = Reading((), _children(_html_names(anchors, url, source.url, marked)), properties)
    if not (marked or reading.entries or reading.names):
        raise Malformed("a web page came in place of an index: it names no packages")
    return reading


def _base(tree: LexborHTMLParser, url: str) -> str:
    node = tree.css_first("base[href]")
    return _join(url, (node.attributes.get("href") or "") if node else "") or url


def _join(base: str, href: str) -> str | None:
    """An absolute http(s) address without its fragment, or None for anything else."""
    try:
        parts = urlsplit(urljoin(base, href.strip()))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    return parts._replace(fragment="").geturl() if usable else None


def _html_link(node: LexborNode) -> Link:
    given = node.attributes
    href = given.get("href") or ""
    algorithm, _, digest = href.partition("#")[2].partition("&")[0].partition("=")
    core = given.get("data-core-metadata") or given.get("data-dist-info-metadata")
    return Link(
        href=href,
        text=node.text().strip(),
        hashes={algorithm: digest},
        size=given.get("data-size"),
        uploaded=given.get("data-upload-time"),
        requires_python=given.get("data-requires-python"),
        yanked=(given["data-yanked"] or True) if "data-yanked" in given else False,
        core_metadata=_html_core(core),
        provenance=given.get("data-provenance"),
        gpg_sig=given.get("data-gpg-sig") == "true",
    )


def _html_core(value: str | None) -> object:
    """``sha256=...`` or ``true`` (PEP 714)."""
    algorithm, _, digest = (value or "").partition("=")
    return digest if algorithm == "sha256" else algorithm.strip().lower() == "true"


def _html_names(anchors: Iterable[LexborNode], base: str, page: str, marked: bool) -> list[str]:
    """Names that a list's links give.

    A page that calls itself an index may link anywhere, where the text repeats the address. One
    that does not is believed only if every link is a folder below it, named like its text: a
    login page is no list of projects.
    """
    folder = (_join(page, ".") or page).split("?")[0]
    found: list[str] = []
    for node in anchors:
        href = (node.attributes.get("href") or "").strip()
        if href in ("../", "..", "./", "."):
            continue
        name, child = _child(href, base, folder, base == page)
        repeated = names.normalise(node.text().strip().rstrip("/")) == names.normalise(name)
        if (marked and (child or repeated)) or (child and repeated and href.endswith("/")):
            found.append(name)
        elif not marked:
            return []
    return found


def _child(href: str, base: str, folder: str, plain: bool) -> tuple[str, bool]:
    """The last segment of a link, and whether it lies directly in the folder."""
    if plain and (short := _CHILD.fullmatch(href)):
        return short[1], True
    parent, _, last = (_join(base, href) or "").split("?")[0].rstrip("/").rpartition("/")
    return unquote(last), parent + "/" == folder


def _entries(key: PageKey, base: str, links: Iterable[Link]) -> Iterator[Entry]:
    """Entries and sidecars of usable links; of two links of one file name the first counts."""
    seen: set[str] = set()
    for link in links:
        entry = _entry(key, base, link)
        if entry is None or entry.filename in seen:
            continue
        seen.add(entry.filename)
        yield entry
        if sidecar := sidecar_of(entry):
            yield sidecar


def _entry(key: PageKey, base: str, link: Link) -> Entry | None:
    url = _join(base, link.href) if link.href else None
    filename = _filename(url, link) if url else None
    version = names.version_in(filename, key.name) if filename else None
    if url is None or filename is None or version is None:
        return None
    digests = _digests(link.hashes or {})
    return Entry(
        key=names.file_path(key.name, filename, digests.get("sha256"), url),
        name=key.name,
        version=version,
        filename=filename,
        scope=key.scope,
        url=url,
        digests=digests,
        size=_size(link.size),
        published=_moment(link.uploaded),
        data=_data(link, filename),
    )


def _filename(url: str, link: Link) -> str | None:
    for candidate in (link.filename, unquote(urlsplit(url).path.rsplit("/", 1)[-1]), link.text):
        if candidate and names.is_artefact(candidate):
            return candidate
    return None


def _digests(hashes: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for algorithm, value in hashes.items():
        name, digest = algorithm.strip().lower(), value.strip().lower() if isinstance(value, str) else ""
        if _LENGTHS.get(name) == len(digest) and _HEX.fullmatch(digest):
            found[name] = digest
    return found


def _size(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _data(link: Link, filename: str) -> dict[str, Any]:
    """What only this format understands; a key that says nothing is left out."""
    data: dict[str, Any] = {}
    if isinstance(link.requires_python, str) and (text := link.requires_python.strip()):
        data["requires_python"] = text
    if link.yanked:
        data["yanked"] = link.yanked
    if filename.endswith(".whl") and link.core_metadata:
        sha256 = _digests({"sha256": link.core_metadata}).get("sha256")
        data["core_metadata"] = {"sha256": sha256} if sha256 else True
    if text := provenance(link.provenance) or "":
        data["provenance"] = text
    if link.gpg_sig is True:
        data["gpg_sig"] = True
    return data


def sidecar_of(entry: Entry) -> Entry | None:
    """The METADATA file that an entry advertises with a digest (PEP 658), or None."""
    known = entry.data.get("core_metadata")
    if not isinstance(known, Mapping):
        return None
    parts = urlsplit(entry.url) if entry.url else None
    return Entry(
        key=entry.key + ".metadata",
        name=entry.name,
        version=entry.version,
        filename=entry.filename + ".metadata",
        scope=entry.scope,
        url=parts._replace(path=parts.path + ".metadata").geturl() if parts else None,
        digests={"sha256": known["sha256"]},
        listed=False,
    )
