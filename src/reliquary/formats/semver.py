"""Versions by semver 2.0.0: read strictly, and put in order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeAlias

LONGEST = 256
"""Characters of a version."""
BIGGEST = 2**64 - 1
"""Numbers in it are of 64 bits."""

NUMBER = r"(?:0|[1-9][0-9]*)"
WORD = r"[0-9]*[A-Za-z-][0-9A-Za-z-]*"
BUILD = r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_STRICT = re.compile(rf"({NUMBER})\.({NUMBER})\.({NUMBER})(?:-((?:{WORD}|{NUMBER})(?:\.(?:{WORD}|{NUMBER}))*))?{BUILD}")

Identifier: TypeAlias = tuple[int, int, str]
"""Of a prerelease: (0, number, "") before (1, 0, word), as semver orders them."""

Key: TypeAlias = tuple[int, int, int, bool, tuple[Identifier, ...]]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version of semver 2.0.0; ordered, and equal, by its precedence (section 11).

    Args:
        major, minor, patch: its numbers.
        prerelease: the identifiers behind the hyphen, numbers as int.
        build: what stands behind the plus; tells nothing of order or identity.
    """

    major: int = field(compare=False)
    minor: int = field(compare=False)
    patch: int = field(compare=False)
    prerelease: tuple[int | str, ...] = field(default=(), compare=False)
    build: str = field(default="", compare=False)
    _key: Key = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = self.major, self.minor, self.patch
        object.__setattr__(self, "_key", (*numbers, not self.prerelease, tuple(map(_identifier, self.prerelease))))

    def __str__(self) -> str:
        """The version without its build metadata: its identity."""
        behind = "-" + ".".join(map(str, self.prerelease)) if self.prerelease else ""
        return f"{self.major}.{self.minor}.{self.patch}{behind}"


def parse(text: str) -> Version | None:
    """A version strictly by semver 2.0.0, or None: no ``v``, no spaces, no leading zeros."""
    return made(_STRICT.fullmatch(text)) if len(text) <= LONGEST else None


def made(found: re.Match[str] | None) -> Version | None:
    """The version of a match whose groups are the three numbers, the prerelease and the build metadata."""
    if found is None:
        return None
    major, minor, patch, behind, build = found.groups()
    if max(len(major), len(minor), len(patch)) > 20 or max(int(major), int(minor), int(patch)) > BIGGEST:
        return None
    identifiers = behind.split(".") if behind else ()
    parts = tuple(int(each) if each.isdigit() else each for each in identifiers)
    return Version(int(major), int(minor), int(patch), parts, build or "")


def ascending(versions: Iterable[str]) -> list[str]:
    """Versions from the lowest to the highest; what is no version stands first, in the order it came."""
    keys = [(_key(text) or _LOWEST, text) for text in versions]
    keys.sort(key=itemgetter(0))
    return [text for _, text in keys]


def best(versions: Iterable[str]) -> str | None:
    """The highest stable version, else the highest prerelease.

    Returns:
        One of the texts as it is; None when none of them is a version.
    """
    keys = [(key, text) for text in versions if (key := _key(text)) is not None]
    stable = [pair for pair in keys if pair[0][3]]
    return max(stable or keys, key=itemgetter(0))[1] if keys else None


def _identifier(value: int | str) -> Identifier:
    return (0, value, "") if isinstance(value, int) else (1, 0, value)


def _key(text: str) -> Key | None:
    """A version's precedence without the version: packuments of thousands of versions are sorted by it."""
    found = _STRICT.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    major, minor, patch, behind = found.group(1, 2, 3, 4)
    if behind is None:
        key: Key = int(major), int(minor), int(patch), True, ()
    else:
        identifiers = tuple((0, int(each), "") if each.isdigit() else (1, 0, each) for each in behind.split("."))
        key = int(major), int(minor), int(patch), False, identifiers
    return key


_LOWEST: Key = (-1, 0, 0, False, ())
