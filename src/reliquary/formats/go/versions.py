"""Versions of modules: canonical ones, pseudo-versions, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from reliquary.formats import semver
from reliquary.formats.go.names import split_prefix_version

INCOMPATIBLE = "+incompatible"
"""The only build metadata that a version may have: of a major version from 2 on, of a module without a go.mod."""

_PSEUDO = re.compile(
    r"(?P<base>v[0-9]+\.(?:0\.0|[0-9]+\.[0-9]+-(?:[^+]*\.)?0))(?P<join>[.-])"
    r"(?P<time>[0-9]{14})-(?P<revision>[A-Za-z0-9]+)(?P<build>\+[0-9A-Za-z.-]+)?"
)
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
_LOWEST = semver.Version(0, 0, 0, (0,))


def parse(text: str) -> semver.Version | None:
    """A version ``vX.Y.Z[-pre][+build]``, or None: ``v1`` and ``v1.2`` are queries, not versions."""
    return semver.parse(text[1:]) if text.startswith("v") else None


def canonical(text: str) -> str | None:
    """The version itself where it is ``vX.Y.Z[-pre][+incompatible]``, else None."""
    version = parse(text)
    return text if version and version.build in ("", INCOMPATIBLE[1:]) else None


def is_pseudo(version: str) -> bool:
    """Whether a version names a commit by its time and the beginning of its hash."""
    return _pseudo(version) is not None


def pseudo(base: str | None, time: datetime, revision12: str, *, major: int = 0) -> str:
    """The pseudo-version of a commit (The Go Modules Reference, "Pseudo-versions").

    Args:
        base: the highest version among the tags of its ancestors, None where there is none.
        time: of the commit; seconds and UTC are made of it. It must have a zone.
        revision12: the first 12 hexadecimal digits of its hash.
        major: the major version, for a commit without a base.

    Raises:
        ValueError: the base is no version.
    """
    stamp = f"{time.astimezone(UTC):%Y%m%d%H%M%S}".rjust(14, "0") + f"-{revision12}"
    if base is None:
        return f"v{major}.0.0-{stamp}"
    version = parse(base)
    if version is None:
        raise ValueError(f"{base!r} is no version")
    behind = f"+{version.build}" if version.build else ""
    if version.prerelease:
        return f"v{version}.0.{stamp}{behind}"
    return f"v{version.major}.{version.minor}.{version.patch + 1}-0.{stamp}{behind}"


def base_of(version: str) -> str | None:
    """The version that a pseudo-version counts from.

    Returns:
        None where it has none, is no pseudo-version, or claims one that cannot be.
    """
    found = _pseudo(version)
    if found is None or found["join"] == "-":
        return None
    before, build = found["base"], found["build"] or ""
    if not before.endswith("-0"):
        return before.removesuffix(".0") + build
    front, _, patch = before.removesuffix("-0").rpartition(".")
    return f"{front}.{int(patch) - 1}{build}" if int(patch) else None


def time_of(version: str) -> datetime | None:
    """The commit time (UTC) in a pseudo-version; None for other versions, and for what is no time."""
    found = _pseudo(version)
    if found is None:
        return None
    try:
        return datetime.strptime(found["time"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def revision_of(version: str) -> str | None:
    """The beginning of the commit's hash in a pseudo-version; None for other versions."""
    found = _pseudo(version)
    return found["revision"] if found else None


def instant(text: object) -> datetime | None:
    """The time (UTC) in a version's JSON; None where it is missing or not as RFC 3339 has it.

    Upstreams write it with a zone, and with nanoseconds, of which microseconds are kept.
    """
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def ascending(versions: Iterable[str]) -> list[str]:
    """Versions from the lowest to the highest, as the go command orders them.

    Build metadata decides only between versions that are equal without it; what is no version stands first.
    """
    return sorted(versions, key=_order)


def latest(versions: Iterable[str], *, modular: bool = True) -> str | None:
    """What ``@latest`` names (go.md, section 3).

    Args:
        versions: in any order; what is not canonical does not count.
        modular: whether the highest version without ``+incompatible`` has a go.mod. Where it has none, the go command
            lets those with it count by their numbers.

    Returns:
        The highest release, else the highest pre-release, else the pseudo-version of the youngest commit; a
        compatible version before one with ``+incompatible``. None where there is no canonical version.
    """
    known = [each for each in versions if canonical(each)]
    return max(known, key=lambda each: _rank(each, modular)) if known else None


def fits(path: str, version: str) -> bool:
    """Whether a module of this path can have this canonical version (go.md, section 4)."""
    parsed = parse(version)
    if parsed is None:
        return False
    suffix = split_prefix_version(path)[1].removesuffix("-unstable")
    if parsed.build:
        return f"+{parsed.build}" == INCOMPATIBLE and parsed.major >= 2 and not suffix
    if not suffix:
        return parsed.major < 2
    # Old tools made such pseudo-versions, and published go.mod files still name them.
    old = suffix == ".v1" and version.startswith("v0.0.0-")
    return old or suffix[1:] == f"v{parsed.major}"


def _pseudo(version: str) -> re.Match[str] | None:
    found = _PSEUDO.fullmatch(version)
    if found is None or parse(version) is None:
        return None
    # vX.0.0-time- has a dash before the time, the other two forms a dot.
    bare = found["base"].endswith(".0.0") and "-" not in found["base"]
    return found if bare == (found["join"] == "-") else None


def _order(version: str) -> tuple[bool, semver.Version, str]:
    parsed = parse(version)
    return parsed is not None, parsed or _LOWEST, version


def _rank(version: str, modular: bool) -> tuple[bool, bool, bool, str, semver.Version]:
    """What ``@latest`` chooses by: a tag before a commit, compatible, released, young, high."""
    parsed = parse(version) or _LOWEST
    found = _pseudo(version)
    compatible = not (modular and parsed.build)
    return found is None, compatible, not parsed.prerelease, found["time"] if found else "", parsed
