"""The older queries beside the simple API: project JSON, provenance, links to source archives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import quote

import orjson
from packaging.version import InvalidVersion, Version

from reliquary.errors import NotHere, Unavailable
from reliquary.formats.pypi import metadata, names
from reliquary.formats.pypi.index import timestamp, yanked
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Entry, Headers

_TEXTS = (
    "author", "author_email", "description", "description_content_type", "download_url", "home_page", "license",
    "license_expression", "maintainer", "maintainer_email", "requires_python", "summary",
)  # fmt: skip
_LISTS = ("classifiers", "dynamic", "license_files", "platforms", "provides_extra", "requires_dist")
_PASSED = ("accept",)


async def document(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``pypi/{name}/json`` or ``pypi/{name}/{version}/json``: the upstream's, with our
    addresses in it, or our own. Raises NotHere, Unavailable."""
    parts = [segment for segment in incoming.segments if segment]
    name = names.normalise(parts[1])
    version = parts[2] if len(parts) == 4 else None
    entries = [entry for entry in await shelf.entries(name) if entry.listed]
    if not shelf.hosted:
        try:
            reply = await shelf.forward("/".join(quote(part, safe="") for part in parts), _passed(incoming))
            return await shelf.inspect(lambda: _relinked(reply, name, entries, incoming.base_url))
        except NotHere:
            if not entries:
                raise
    return await _own(incoming, shelf, name, version, entries)


async def provenance(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``integrity/{name}/{version}/{filename}/provenance`` (PEP 740): only upstreams have any."""
    if shelf.hosted:
        raise NotHere("there is no provenance for this file")
    parts = [quote(segment, safe="") for segment in incoming.segments if segment]
    return await shelf.forward("/".join(parts), _passed(incoming))


async def source(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``packages/source/{letter}/{name}/{file}``: 302 to the file."""
    name, filename = names.normalise(incoming.segments[3]), incoming.segments[4]
    for entry in await shelf.entries(name):
        if entry.listed and entry.filename == filename:
            return Reply(302, headers=(("location", _address(incoming.base_url, entry)),))
    raise NotHere("there is no such file")


def _passed(incoming: Incoming) -> dict[str, str]:
    return {name: incoming.headers[name] for name in _PASSED if name in incoming.headers}


def _address(base_url: str, entry: Entry) -> str:
    return base_url + quote(entry.key, safe="/")


def _mirrored(base_url: str, entry: Entry) -> str:
    """The address that mirrors take: bandersnatch wants ``/packages`` at the beginning of the path,
    where every file can be had as well."""
    server, format, repository = base_url.rstrip("/").rsplit("/", 2)
    return f"{server}/packages/{format}/{repository}/" + quote(entry.key, safe="/")


def _relinked(reply: Reply, name: str, entries: Iterable[Entry], base_url: str) -> Reply:
    """The upstream's document with our address for every file: no client leaves us by it."""
    try:
        found = orjson.loads(reply.body)
    except ValueError as error:
        raise Unavailable("the upstream's project JSON does not parse") from error
    if reply.status != 200 or not isinstance(found, dict):
        raise Unavailable("the upstream did not answer with project JSON")
    ours = {entry.filename: entry.key for entry in entries}
    for file in _upstream_files(found):
        key = _key(name, file) or ours.get(str(file.get("filename")))
        file["url"] = base_url + quote(key, safe="/") if key else None
    headers = _serial_header(found.get("last_serial"))
    return Reply(200, orjson.dumps(found), "application/json", headers)


def _key(name: str, file: Mapping[str, Any]) -> str | None:
    """Where a file of an upstream's document is served, by its sha256."""
    digests, filename = file.get("digests"), file.get("filename")
    sha256 = str(digests.get("sha256")).lower() if isinstance(digests, dict) else ""
    if not names.is_place(sha256) or not isinstance(filename, str) or not names.is_artefact(filename):
        return None
    return names.file_path(name, filename, sha256)


def _upstream_files(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    releases = found.get("releases")
    groups = [found.get("urls"), *(releases.values() if isinstance(releases, dict) else ())]
    return [file for group in groups if isinstance(group, list) for file in group if isinstance(file, dict)]


def _serial_header(serial: object) -> Headers:
    return (("x-pypi-last-serial", str(serial)),) if isinstance(serial, int) else ()


async def _own(incoming: Incoming, shelf: Shelf, name: str, version: str | None, entries: Sequence[Entry]) -> Reply:
    """The document made of what we know; a quarantined project offers nothing (PEP 792)."""
    if not entries or (await shelf.properties(name)).get("status") == "quarantined":
        raise NotHere(f"there is no project {name}")
    releases: dict[str, list[Entry]] = {}
    for entry in entries:
        releases.setdefault(entry.version, []).append(entry)
    chosen = _newest(releases) if version is None else _spelled(releases, version)
    serial = next((number for child, number in await shelf.names() if child == name), 0)
    files = {text: [_file(incoming.base_url, entry) for entry in group] for text, group in releases.items()}
    info = _info(incoming.base_url, name, chosen, releases[chosen], await _metadata(shelf, releases[chosen]))
    found: dict[str, Any] = {"info": info, "last_serial": serial}
    if version is None:
        found["releases"] = files
    found |= {"urls": files[chosen], "vulnerabilities": []}
    return Reply(200, orjson.dumps(found), "application/json", _serial_header(serial))


def _spelled(releases: Mapping[str, object], version: str) -> str:
    for text in releases:
        if names.same_version(text, version):
            return text
    raise NotHere("there is no such version")


def _newest(releases: Mapping[str, Sequence[Entry]]) -> str:
    """The version people mean: the highest final one that is not yanked, else the next best."""

    def rank(text: str) -> tuple[bool, bool, bool, Version]:
        kept = any(not yanked(entry.data) for entry in releases[text])
        try:
            version = Version(text)
        except InvalidVersion:
            return kept, False, False, Version("0")
        return kept, not version.is_prerelease, True, version

    return max(releases, key=rank)


async def _metadata(shelf: Shelf, entries: Iterable[Entry]) -> dict[str, Any]:
    """What a stored METADATA of the release says; nothing where there is none."""
    for entry in entries:
        if isinstance(entry.data.get("core_metadata"), Mapping):
            try:
                raw = await shelf.read(entry.key + ".metadata", metadata.LARGEST)
            except NotHere:
                continue
            return metadata.fields(raw)
    return {}


def _info(base_url: str, name: str, version: str, entries: Sequence[Entry], found: Mapping[str, Any]) -> dict[str, Any]:
    page = f"{base_url}simple/{name}/"
    marks = [yanked(entry.data) for entry in entries]
    info: dict[str, Any] = {field: found.get(field) for field in _TEXTS}
    info |= {field: found.get(field) for field in _LISTS}
    info["classifiers"] = found.get("classifiers") or []
    info["keywords"] = ",".join(found.get("keywords") or ())
    info["project_urls"] = found.get("project_urls")
    info["platform"] = next(iter(info.pop("platforms") or ()), None)
    if info["requires_python"] is None:
        info["requires_python"] = next((text for entry in entries if (text := entry.data.get("requires_python"))), None)
    return info | {
        "name": found.get("name") or name,
        "version": version,
        "package_url": page,
        "project_url": page,
        "release_url": page,
        "bugtrack_url": None,
        "docs_url": None,
        "downloads": {"last_day": -1, "last_month": -1, "last_week": -1},
        "yanked": all(marks),
        "yanked_reason": next((mark for mark in marks if isinstance(mark, str)), None) if all(marks) else None,
    }


def _file(base_url: str, entry: Entry) -> dict[str, Any]:
    mark = yanked(entry.data)
    moment = entry.published.astimezone(UTC) if entry.published else None
    wheel = entry.filename.endswith(".whl")
    return {
        "comment_text": None,
        "core-metadata": entry.data.get("core_metadata") or False,
        "digests": dict(entry.digests),
        "downloads": -1,
        "filename": entry.filename,
        "has_sig": False,
        "md5_digest": entry.digests.get("md5"),
        "packagetype": "bdist_wheel" if wheel else "sdist",
        "python_version": entry.filename.rsplit("-", 3)[1] if wheel else "source",
        "requires_python": entry.data.get("requires_python"),
        "size": entry.size,
        "upload_time": moment.strftime("%Y-%m-%dT%H:%M:%S") if moment else None,
        "upload_time_iso_8601": timestamp(moment) if moment else None,
        "url": _mirrored(base_url, entry),
        "yanked": bool(mark),
        "yanked_reason": mark if isinstance(mark, str) else None,
    }
