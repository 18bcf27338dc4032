"""Crates and versions as tools ask for them, in the shapes of the public registry's API (its OpenAPI document).

What the index of an upstream does not tell of a proxied crate is null here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit
from zlib import crc32

import orjson

from reliquary.errors import NotHere
from reliquary.formats import semver
from reliquary.formats.cargo import keys, names, summary
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Entry, Headers

JSON = "application/json"
PAGE, MOST = 10, 100
"""Things on one page: usually, and at most."""

Shown: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Crate:
    """A crate that there is.

    Args:
        name: as it is spelled.
        place: path of the repository with a final slash, that links begin with.
        entries: its versions in the order they were published; never empty.
        readmes: keys of the readmes that are here.
        facts: what is known of the crate as a whole.
        counts: downloads, by key of a version's archive, where they were looked up.
    """

    name: str
    place: str
    entries: Sequence[Entry]
    readmes: frozenset[str]
    facts: Mapping[str, str]
    counts: Mapping[str, int] = field(default_factory=dict)

    def one(self, version: str) -> Entry:
        """A version, with or without its build metadata. Raises NotHere."""
        for entry in self.entries:
            if entry.version == version:
                return entry
        for entry in self.entries:
            if entry.version.partition("+")[0] == version.partition("+")[0]:
                return entry
        raise NotHere(f"crate `{self.name}` does not have a version `{ascii(version[:120])[1:-1]}`")


def reply(value: object, status: int = 200, headers: Headers = ()) -> Reply:
    """A small JSON answer."""
    return Reply(status, written(value), JSON, headers)


def written(value: object) -> bytes:
    """JSON; of upstreams' lines too, that may hold numbers of any size."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def number(text: str) -> int:
    """A lasting id: 31 bits of a text, since clients read ids into ``u32`` or ``i32``."""
    return crc32(text.encode("utf-8", "replace")) & 0x7FFFFFFF


def person(login: str, kind: str = "user") -> Shown:
    """A user or a team, as owners and publishers are told; nothing but the login is known of anybody."""
    return {"id": number(login), "login": login, "name": login, "kind": kind, "url": None, "avatar": None}


def place(incoming: Incoming) -> str:
    """The path of the repository's address, with a final slash."""
    return urlsplit(incoming.base_url).path


def count(incoming: Incoming, name: str, usual: int) -> int:
    """A whole number of the query; the usual one where there is none."""
    text = incoming.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else usual


def part(incoming: Incoming) -> tuple[int, int]:
    """Where the part of a list that ``page`` and ``per_page`` name begins, and how long it is at most; a larger one
    than there may be is made smaller."""
    size = min(max(count(incoming, "per_page", PAGE), 1), MOST)
    return (max(count(incoming, "page", 1), 1) - 1) * size, size


def cut(incoming: Incoming, found: Sequence[Any]) -> Sequence[Any]:
    """That part of a list."""
    start, size = part(incoming)
    return found[start : start + size]


async def crate(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}``: it and, unless ``include`` leaves them out, its versions, keywords, categories.

    Raises:
        NotHere: there is no such crate.
    """
    found = await _counted(incoming, shelf)
    wanted = incoming.query.get("include", "full").split(",")
    parts = {part for part in ("versions", "keywords", "categories") if part in wanted or "full" in wanted}
    return Reply(200, await shelf.inspect(lambda: written(_document(found, parts))), JSON)


async def versions(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/versions``: the highest first, or with ``sort=date`` the last published. Raises
    NotHere."""
    found = await _counted(incoming, shelf)
    by_key = {entry.version: entry for entry in found.entries}
    ordered = list(by_key) if incoming.query.get("sort") == "date" else semver.ascending(by_key)
    shown = [by_key[version] for version in reversed(ordered)]
    if "per_page" in incoming.query:
        shown = list(cut(incoming, shown))

    def made() -> bytes:
        meta = {"total": len(by_key), "next_page": None}
        return written({"versions": [_version(found, entry) for entry in shown], "meta": meta})

    return Reply(200, await shelf.inspect(made), JSON)


async def version(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/{version}``. Raises NotHere."""
    found = await _counted(incoming, shelf)
    return reply({"version": _version(found, found.one(incoming.segments[4]))})


async def dependencies(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/{version}/dependencies``, those for development too. Raises NotHere."""
    found = await find(incoming, shelf)
    entry = found.one(incoming.segments[4])
    listed = summary.dependencies(summary.line(entry).deps)
    of = _version_id(found.name, entry.version)
    return reply({"dependencies": [_dependency(of, at, dep) for at, dep in enumerate(listed)]})


async def downloads(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/downloads``: counts by day, which are not kept; each version has its whole one.
    Raises NotHere."""
    await find(incoming, shelf)
    return reply({"version_downloads": [], "meta": {"extra_downloads": []}})


async def reverse_dependencies(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/reverse_dependencies``: which crates here build on it, by their default version.
    Answered from summaries alone, so no upstream is asked about a crate that may be ours. Raises NotHere."""
    found = await find(incoming, shelf)
    wanted = names.normal(found.name)
    quick = f'"{wanted}"'
    told = [orjson.loads(fact) for _, fact in await shelf.survey(summary.FACT) if quick in fact]
    users = [each for each in told if wanted in each["deps"]]
    page = cut(incoming, users)
    return reply(
        {
            "dependencies": [_need(each, wanted, found.name) for each in page],
            "versions": [_user(found.place, each) for each in page],
            "meta": {"total": len(users)},
        }
    )


async def find(incoming: Incoming, shelf: Shelf) -> Crate:
    """The crate of the address, spelled in any way.

    Raises:
        NotHere: there is none.
        Unavailable: nobody can tell.
    """
    asked = incoming.segments[3].lower()
    for lower in names.spellings(asked, names.ASKED):
        try:
            entries = await shelf.entries(lower)
            facts = await shelf.properties(lower)
        except NotHere:
            continue
        listed = summary.ordered(entry for entry in entries if entry.listed)
        if listed:
            spelled = facts.get("name") or str(summary.line(listed[-1]).name or lower)
            readmes = frozenset(entry.key for entry in entries if not entry.listed)
            return Crate(spelled, place(incoming), listed, readmes, facts)
    raise _unknown(incoming.segments[3])


async def _counted(incoming: Incoming, shelf: Shelf) -> Crate:
    """`find`, with the counts."""
    found = await find(incoming, shelf)
    return replace(found, counts=await shelf.downloads(found.name))


def _unknown(name: str) -> NotHere:
    return NotHere(f"crate `{ascii(name[:120])[1:-1]}` does not exist")


def _document(found: Crate, parts: set[str]) -> Shown:
    shown = [_version(found, entry) for entry in reversed(found.entries)]
    newest = summary.newest([(each["num"], each["yanked"]) for each in reversed(shown)])
    if newest is None:
        raise _unknown(found.name)
    about = _about(found.one(newest.default))
    words, topics = _texts(about.get("keywords")), _texts(about.get("categories"))
    first, last = _when(found.entries[0].published), _when(found.entries[-1].published)
    made = found.facts.get("created") or first
    told = {
        "id": found.name,
        "name": found.name,
        "description": about.get("description"),
        "homepage": about.get("homepage"),
        "documentation": about.get("documentation"),
        "repository": about.get("repository"),
        "max_version": newest.highest,
        "max_stable_version": newest.stable,
        "newest_version": newest.latest,
        "default_version": newest.default,
        "num_versions": len(shown),
        "yanked": all(each["yanked"] for each in shown),
        "downloads": sum(each["downloads"] for each in shown),
        "recent_downloads": None,
        "versions": [each["id"] for each in shown] if "versions" in parts else None,
        "keywords": words if "keywords" in parts else None,
        "categories": topics if "categories" in parts else None,
        "badges": [],
        "created_at": made,
        "updated_at": found.facts.get("updated") or last,
        "exact_match": False,
        "links": links(found.place, found.name),
    }
    return {
        "crate": told,
        "versions": shown if "versions" in parts else None,
        "keywords": [_keyword(each, made) for each in words] if "keywords" in parts else None,
        "categories": [_category(each, made) for each in topics] if "categories" in parts else None,
    }


def links(place: str, name: str) -> Shown:
    """Where more is told of a crate, by absolute paths."""
    base = f"{place}{keys.API}/{quote(name)}"
    lists = {each: f"{base}/{each}" for each in ("versions", "owners", "owner_team", "owner_user")}
    return {**lists, "version_downloads": f"{base}/downloads", "reverse_dependencies": f"{base}/reverse_dependencies"}


def _about(entry: Entry) -> Mapping[str, Any]:
    about = entry.data.get("about")
    return about if isinstance(about, Mapping) else {}


def _version(found: Crate, entry: Entry) -> Shown:
    line = summary.line(entry)
    about = _about(entry)
    publisher = entry.data.get("publisher")
    base = f"{found.place}{keys.API}/{quote(found.name)}/{quote(entry.version, safe='+')}"
    readme = keys.readme_key(found.name, entry.version) in found.readmes
    when = _when(entry.published)
    return {
        **_bare(found.place, found.name, entry.version),
        "readme_path": f"{base}/readme" if readme else None,
        "created_at": when,
        "updated_at": when,
        "downloads": found.counts.get(entry.key, 0),
        "features": _features(line),
        "yanked": line.yanked is True,
        "yank_message": None,
        "lib_links": line.links,
        "license": about.get("license") or ("non-standard" if about.get("license_file") else None),
        "description": about.get("description"),
        "homepage": about.get("homepage"),
        "documentation": about.get("documentation"),
        "repository": about.get("repository"),
        "crate_size": entry.size,
        "checksum": line.cksum,
        "rust_version": line.rust_version,
        # Strict clients want a text where the address of a person's page would be.
        "published_by": {**person(publisher), "url": ""} if isinstance(publisher, str) else None,
        "audit_actions": [],
    }


def _bare(place: str, name: str, version: str) -> Shown:
    """What every version has."""
    base = f"{place}{keys.API}/{quote(name)}/{quote(version, safe='+')}"
    return {
        "id": _version_id(name, version),
        "crate": name,
        "num": version,
        "dl_path": f"{base}/download",
        "links": {"dependencies": f"{base}/dependencies", "version_downloads": f"{base}/downloads"},
    }


def _version_id(name: str, version: str) -> int:
    return number(f"{names.normal(name)}@{version}")


def _dependency(of: int, at: int, dep: Mapping[str, Any]) -> Shown:
    told = summary.whole(dep)
    return {
        "id": number(f"{of}/{at}"),
        "version_id": of,
        "crate_id": told.get("package") or told.get("name"),
        "req": told["req"],
        "optional": told["optional"],
        "default_features": told["default_features"],
        "features": told["features"],
        "target": told["target"],
        "kind": told["kind"],
        "downloads": 0,
    }


def _need(user: Mapping[str, Any], wanted: str, name: str) -> Shown:
    """How a crate that a summary tells of depends on another; where in several ways, for every target rather than for
    some, and to run rather than to be built."""
    needs = user["needs"]
    ways = [at for at, dep in enumerate(user["deps"]) if dep == wanted]
    at = min(ways, key=lambda way: ("target" in needs[way], "kind" in needs[way]))
    return _dependency(_version_id(user["name"], summary.default(user)), at, {**needs[at], "name": name})


def _user(place: str, user: Mapping[str, Any]) -> Shown:
    """The version of a crate that a summary tells of; the rest of it is asked for by itself."""
    unknown = ("readme_path", "created_at", "updated_at", "license", "crate_size", "published_by", "rust_version")
    told = {**_bare(place, user["name"], summary.default(user)), **dict.fromkeys(unknown)}
    return {
        **told,
        "downloads": 0,
        "features": {},
        "yanked": user["yanked"],
        "description": user["description"] or None,
    }


def _features(line: summary.Line) -> Shown:
    """Both maps of features, as one."""
    found = [each for each in (line.features, line.features2) if isinstance(each, dict)]
    return {feature: needs for each in found for feature, needs in each.items()}


def _keyword(word: str, made: str | None) -> Shown:
    # How many crates have it is not counted: at least this one.
    return {"id": word.lower(), "keyword": word.lower(), "crates_cnt": 1, "created_at": made}


def _category(slug: str, made: str | None) -> Shown:
    return {"id": slug, "slug": slug, "category": slug, "description": "", "crates_cnt": 1, "created_at": made}


def _texts(found: object) -> list[str]:
    return [each for each in found if isinstance(each, str)] if isinstance(found, list | tuple) else []


def _when(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None
