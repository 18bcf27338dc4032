"""Reading simple API documents of upstreams, whatever they call them and however old they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from reliquary.errors import Malformed
from reliquary.formats.base import FileKey, PageKey, Reading, Source
from reliquary.formats.pypi import links, markup, names
from reliquary.formats.pypi.addresses import Addresses, beside, join
from reliquary.formats.pypi.index import provenance
from reliquary.types import NOTHING, Entry

_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "blake2b_256": 64}
_HEX = re.compile(r"[0-9a-f]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHILD = re.compile(r"(?:\./)?([A-Za-z0-9._-]+)/?")
_SIDECAR = ".metadata"
_TITLE = re.compile(r"\b(?:links for|simple index|simple repository|index of)\b", re.IGNORECASE)
_LARGEST = 2**53


class Link(msgspec.Struct, gc=False):
    """A file as a document of either kind names it; every value may be missing or wrong.

    Without the garbage collector's care: a document of ten thousand files holds no cycles.
    """

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
    files: list[Link] | None = None
    projects: list[_Project] | None = None
    meta: Any = None
    status: Any = msgspec.field(default=None, name="project-status")


def read(key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
    """Parse a list of projects or a project's page, JSON or HTML, by what the body is: content
    types lie. With ``file``, links that cannot be its own are passed over. Raises Malformed for a
    document that is neither."""
    body = source.body.removeprefix(b"\xef\xbb\xbf").lstrip()
    wanted = "" if file is None else file.path.rpartition("/")[2].removesuffix(_SIDECAR)
    if body.startswith(b"{"):
        return _read_json(key, source, body, wanted)
    if not body.startswith(b"<") and "html" not in source.content_type.lower():
        raise Malformed("an index page is expected, and something else came")
    return _read_html(key, source, wanted)


def _may_be(wanted: str, href: object, name: object) -> bool:
    """Whether a link with this address and name may be that of the file name."""
    if isinstance(name, str) and wanted in name:
        return True
    return isinstance(href, str) and wanted in (unquote(href) if "%" in href else href)


def _read_json(key: PageKey, source: Source, body: bytes, wanted: str) -> Reading:
    try:
        document = msgspec.json.decode(body, type=_Document)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Malformed("the upstream's JSON is not that of a simple index") from error
    properties = _json_properties(document)
    if key.name and document.files is not None:
        addresses = Addresses(source.url)
        files = [link for link in document.files if not wanted or _may_be(wanted, link.url, link.filename)]
        found = [_entry(key, addresses, _json_link(link)) for link in files]
        return Reading(list(_kept(found)), (), properties)
    if not key.name and document.projects is not None:
        return Reading((), _children(project.name for project in document.projects), properties)
    raise Malformed("the upstream's JSON is not that of a simple index: it lists no files or projects")


def _json_properties(document: _Document) -> dict[str, str]:
    status = document.status if isinstance(document.status, dict) else {"status": document.status}
    return _properties(status.get("status"), status.get("reason"))


def _properties(status: object, reason: object) -> dict[str, str]:
    """Facts on the project (PEP 792); none where it is active, as nearly every one is."""
    known = _text(status)
    if known is None or (known == "active" and not _text(reason)):
        return {}
    return {"status": known, **({"status-reason": text} if (text := _text(reason)) else {})}


def _json_link(link: Link) -> Link:
    """The link with what may be said in several ways said in the one of HTML's attributes."""
    if (core := link.core) is None:
        core = link.data_dist_info if link.dist_info is None else link.dist_info
    link.core = core.get("sha256") or True if isinstance(core, dict) else core
    link.yanked = _text(link.yanked) or link.yanked is True
    return link


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _children(candidates: Iterable[object]) -> list[str]:
    found = {names.valid_name(name) for name in candidates if isinstance(name, str)}
    return sorted(name for name in found if name)


def _read_html(key: PageKey, source: Source, wanted: str) -> Reading:
    if key.name and (short := _read_one(key, source, wanted) if wanted else _read_links(key, source)) is not None:
        return short
    page = markup.parse(source.body)
    url = join(source.url, page.base) or source.url
    marked = "pypi:repository-version" in page.metas or any(map(_TITLE.search, page.headings))
    properties = _html_properties(page)
    if key.name:
        addresses = Addresses(url)
        anchors = [each for each in page.anchors if not wanted or _may_be(wanted, each[0], each[2])]
        found = [_html_entry(key, addresses, anchor) for anchor in anchors]
        reading = Reading(list(_kept(found)), (), properties)
    else:
        reading = Reading((), _children(_html_names(page.anchors, url, source.url, marked)), properties)
    if not (marked or reading.entries or reading.names or wanted):
        raise Malformed("a web page came in place of an index: it names no packages")
    return reading


def _read_links(key: PageKey, source: Source) -> Reading | None:
    """The reading of a page in the common form, without an entry of each link; None for any other."""
    text, addresses = markup.decoded(source.body), Addresses(source.url)
    make = partial(_html_entries, key, addresses)
    found = None if text is None else links.read(key, text, addresses, make, _html_data)
    return Reading(found[1], (), _html_properties(found[0])) if found is not None and found[1] else None


def _read_one(key: PageKey, source: Source, wanted: str) -> Reading | None:
    """The links that may be that of the file name; None where all must be looked at."""
    text, addresses = markup.decoded(source.body), Addresses(source.url)
    anchors = None if text is None else markup.naming(text, wanted)
    found = list(_kept([_html_entry(key, addresses, anchor) for anchor in anchors or ()]))
    return Reading(found) if found else None


def _html_data(given: Mapping[str, str]) -> Mapping[str, Any]:
    return _data(_html_link("", given), "")


def _html_properties(page: markup.Page) -> dict[str, str]:
    return _properties(page.metas.get("pypi:project-status"), page.metas.get("pypi:project-status-reason"))


def _html_entries(key: PageKey, addresses: Addresses, anchor: markup.Anchor) -> list[Entry]:
    return list(_kept([_html_entry(key, addresses, anchor)]))


def _html_entry(key: PageKey, addresses: Addresses, anchor: markup.Anchor) -> Entry | None:
    href, given, text = anchor
    return _entry(key, addresses, _html_link(href, given), text)


def _html_link(href: str, given: Mapping[str, str]) -> Link:
    algorithm, _, digest = href.partition("#")[2].partition("&")[0].partition("=")
    return Link(
        url=href,
        hashes={algorithm: digest},
        size=given.get("data-size"),
        uploaded=given.get("data-upload-time"),
        requires_python=given.get("data-requires-python"),
        yanked=(given["data-yanked"] or True) if "data-yanked" in given else False,
        core=_html_core(given.get("data-core-metadata") or given.get("data-dist-info-metadata")),
        provenance=given.get("data-provenance"),
        gpg_sig=given.get("data-gpg-sig") == "true",
    )


def _html_core(value: str | None) -> object:
    """``sha256=...`` or ``true`` (PEP 714)."""
    if not value:
        return False
    algorithm, _, digest = value.partition("=")
    return digest if algorithm == "sha256" else algorithm.strip().lower() == "true"


def _html_names(anchors: Sequence[markup.Anchor], base: str, page: str, marked: bool) -> list[str]:
    """Names that a list's links give.

    A page that calls itself an index may link anywhere, where the text repeats the address. One
    that does not is believed only if every link is a folder below it, named like its text: a
    login page is no list of projects.
    """
    folder = (join(page, ".") or page).split("?")[0]
    found: list[str] = []
    for given, _, text in anchors:
        href = given.strip()
        if href in ("../", "..", "./", "."):
            continue
        name, child = _child(href, base, folder, base == page)
        repeated = names.normalise(text.strip().rstrip("/")) == names.normalise(name)
        if (marked and (child or repeated)) or (child and repeated and href.endswith("/")):
            found.append(name)
        elif not marked:
            return []
    return found


def _child(href: str, base: str, folder: str, plain: bool) -> tuple[str, bool]:
    """The last segment of a link, and whether it lies directly in the folder."""
    if plain and (short := _CHILD.fullmatch(href)):
        return short[1], True
    parent, _, last = (join(base, href) or "").split("?")[0].rstrip("/").rpartition("/")
    return unquote(last), parent + "/" == folder


def _kept(found: Iterable[Entry | None]) -> Iterator[Entry]:
    """Usable entries and their sidecars; of two entries of one file name the first counts."""
    seen: set[str] = set()
    for entry in found:
        if entry is None or entry.filename in seen:
            continue
        seen.add(entry.filename)
        yield entry
        if "core_metadata" in entry.data and (sidecar := sidecar_of(entry)):
            yield sidecar


def _entry(key: PageKey, addresses: Addresses, link: Link, text: str = "") -> Entry | None:
    found = addresses.resolve(link.url) if isinstance(link.url, str) and link.url else None
    if found is None:
        return None
    url, last = found
    filename = _filename(link.filename, last, text)
    version = names.version_in(filename, key.name) if filename else None
    if filename is None or version is None:
        return None
    digests = _digests(link.hashes)
    place = names.file_path(key.name, filename, digests.get("sha256"), url)
    size, moment, data = _size(link.size), _moment(link.uploaded), _data(link, filename)
    # By position, which is a third cheaper: pages of ten thousand files are common.
    return Entry(place, key.name, version, filename, key.scope, url, digests, size, moment, True, data)


def _filename(given: object, last: str, text: str) -> str | None:
    for candidate in (given, last, text.strip()):
        if isinstance(candidate, str) and candidate and names.is_artefact(candidate):
            return candidate
    return None


def _digests(hashes: object) -> Mapping[str, str]:
    if not isinstance(hashes, dict):
        return NOTHING
    if len(hashes) == 1 and isinstance(value := hashes.get("sha256"), str) and _SHA256.fullmatch(value):
        return hashes
    found: dict[str, str] = {}
    for algorithm, value in hashes.items():
        name, digest = algorithm.strip().lower(), value.strip().lower() if isinstance(value, str) else ""
        if _LENGTHS.get(name) == len(digest) and _HEX.fullmatch(digest):
            found[name] = digest
    return found or NOTHING


def _size(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _data(link: Link, filename: str) -> Mapping[str, Any]:
    """What only this format understands; a key that says nothing is left out."""
    data: dict[str, Any] = {}
    if isinstance(link.requires_python, str) and (text := link.requires_python.strip()):
        data["requires_python"] = text
    if link.yanked:
        data["yanked"] = link.yanked
    if link.core and filename.endswith(".whl"):
        data["core_metadata"] = _digests({"sha256": link.core}) or True
    if link.provenance is not None and (text := provenance(link.provenance) or ""):
        data["provenance"] = text
    if link.gpg_sig is True:
        data["gpg_sig"] = True
    return data or NOTHING


def sidecar_of(entry: Entry) -> Entry | None:
    """The METADATA file that an entry advertises with a digest (PEP 658), or None."""
    known = entry.data.get("core_metadata")
    if not isinstance(known, Mapping):
        return None
    url = beside(entry.url, ".metadata") if entry.url else None
    place, filename, digests = entry.key + ".metadata", entry.filename + ".metadata", {"sha256": known["sha256"]}
    return Entry(place, entry.name, entry.version, filename, entry.scope, url, digests, None, None, False, NOTHING)
