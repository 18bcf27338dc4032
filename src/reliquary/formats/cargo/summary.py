"""What searches and reverse dependencies show of a crate: a small fact that is written when its versions change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import orjson
from msgspec.structs import asdict

from reliquary.formats import semver
from reliquary.formats.cargo import names
from reliquary.types import NOTHING, Entry

FACT = "summary"

Told: TypeAlias = tuple[str, bool | None, object]
"""What an index line says that counts here: ``vers``, ``yanked``, and ``deps`` as a list (of mappings or structs) or as
raw JSON (`msgspec.Raw`), which is read for one version only."""

_LONGEST = 1000
_WORDS = 50
_DEPS = 500
_USUAL = {"kind": "normal", "optional": False, "default_features": True, "features": [], "target": None}
"""What a dependency is when its line does not say otherwise; left out of the fact."""


class Line(msgspec.Struct):
    """What is shown of an index line, whatever an upstream wrote there; dependencies are read for few versions."""

    name: Any = None
    cksum: Any = None
    yanked: Any = False
    deps: msgspec.Raw = msgspec.Raw(b"[]")
    features: Any = None
    features2: Any = None
    links: Any = None
    rust_version: Any = None


_LINE = msgspec.json.Decoder(Line)


@dataclass(frozen=True, slots=True)
class Newest:
    """The versions a crate is known by, as the public registry tells them. Yanked ones count only where every
    version is yanked.

    Args:
        highest: by precedence, prereleases too (``max_version``).
        stable: the highest that is no prerelease (``max_stable_version``), or None.
        latest: published last (``newest_version``).
    """

    highest: str
    stable: str | None
    latest: str

    @property
    def default(self) -> str:
        """The one that is shown where one is (``default_version``)."""
        return self.stable or self.highest


def newest(versions: Sequence[tuple[str, bool | None]]) -> Newest | None:
    """The versions to know a crate by.

    Args:
        versions: (version, yanked) in the order they were published.

    Returns:
        None where there are no versions.
    """
    if not versions:
        return None
    there = [version for version, yanked in versions if not yanked] or [version for version, _ in versions]
    best = semver.best(there) or there[-1]
    stable = None if _prerelease(best) else best
    # Of hundreds of versions none is put in order twice: only prereleases can be higher than the best.
    highest = semver.ascending([*filter(_prerelease, there), best])[-1]
    return Newest(highest, stable, there[-1])


def _prerelease(version: str) -> bool:
    return "-" in version and "-" in version.partition("+")[0]


def of(name: str, lines: Sequence[Told], about: Mapping[str, Any] = NOTHING) -> str | None:
    """The fact for a crate.

    Args:
        name: as it is spelled.
        lines: in the order they were published, which is an index's own.
        about: what is known of the crate beside its index: description, keywords, categories.

    Returns:
        JSON text; None where there are no versions.
    """
    known = newest([(version, yanked) for version, yanked, _ in lines])
    if known is None:
        return None
    deps = next(deps for version, _, deps in reversed(lines) if version == known.default)
    needed = [(name, _narrow(dep)) for name, dep in needs(deps)][:_DEPS]
    told = {
        "name": _text(name),
        "max_version": known.highest,
        "max_stable": known.stable,
        "newest": known.latest,
        "yanked": all(yanked for _, yanked, _ in lines),
        "description": _text(about.get("description")),
        "keywords": _words(about.get("keywords")),
        "categories": _words(about.get("categories")),
        "deps": [name for name, _ in needed],
        "needs": [dep for _, dep in needed],
    }
    return orjson.dumps(told).decode()


def default(fact: Mapping[str, Any]) -> str:
    """The version that is shown of the crate that a fact, read as JSON, tells of."""
    return str(fact["max_stable"] or fact["max_version"])


def of_entries(name: str, entries: Iterable[Entry]) -> str | None:
    """The fact for a hosted crate, of the entries of its versions; sidecars among them are passed over."""
    listed = ordered(entry for entry in entries if entry.listed)
    lines = [(entry.version, line(entry)) for entry in listed]
    known = newest([(version, told.yanked is True) for version, told in lines])
    about = next((entry.data.get("about") for entry in listed if known and entry.version == known.default), None)
    return of(name, [(version, told.yanked is True, told.deps) for version, told in lines], about or NOTHING)


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries of versions in the order they were published; as they come where some do not tell when that was."""
    found = list(entries)
    if all(entry.published is not None for entry in found):
        found.sort(key=attrgetter("published"))
    return found


def line(entry: Entry) -> Line:
    """The index line of a version; an empty one where there is none that can be read."""
    try:
        return _LINE.decode(entry.data.get("line") or "{}")
    except (msgspec.DecodeError, RecursionError):
        return Line()


def dependencies(deps: object) -> list[dict[str, Any]]:
    """What a line says of each dependency; nothing where that cannot be read."""
    if isinstance(deps, msgspec.Raw):
        try:
            deps = orjson.loads(bytes(deps))
        except orjson.JSONDecodeError:
            return []
    read = [asdict(dep) if isinstance(dep, msgspec.Struct) else dep for dep in deps] if isinstance(deps, list) else []
    return [dep for dep in read if isinstance(dep, dict)]


def needs(deps: object) -> list[tuple[str, dict[str, Any]]]:
    """The dependencies that those who build on a crate build too: (normal name, what the line says of it); of other
    registries too, since a group answers for its upstream's index."""
    found = [dep for dep in dependencies(deps) if dep.get("kind") != "dev"]
    named = [(dep.get("package") or dep.get("name"), dep) for dep in found]
    return [(names.normal(name), dep) for name, dep in named if isinstance(name, str)]


def _narrow(dep: Mapping[str, Any]) -> dict[str, Any]:
    """What a line says of a dependency that is not the usual."""
    told = {"req": dep.get("req"), **{key: dep.get(key) for key in _USUAL}}
    return {key: value for key, value in told.items() if value is not None and value != _USUAL.get(key)}


def whole(dep: Mapping[str, Any]) -> dict[str, Any]:
    """A dependency with every member, as a line or the fact tells it."""
    return {"req": "*", **_USUAL, **{key: value for key, value in dep.items() if value is not None}}


def _words(found: object) -> list[str]:
    return [_text(each) for each in found if isinstance(each, str)][:_WORDS] if isinstance(found, list | tuple) else []


def _text(found: object) -> str:
    return found[:_LONGEST].encode("utf-8", "replace").decode() if isinstance(found, str) else ""
