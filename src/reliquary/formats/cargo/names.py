"""Names of crates: as they are spelled, as index paths have them, and as they are told apart."""

from __future__ import annotations

import re
from itertools import product

from reliquary.errors import Malformed

LONGEST = 64
"""Characters of a new crate's name."""

SEPARATORS = 7
"""Of a name with more of ``-`` and ``_`` than this, all must be the same: its other spellings are too many to forget
when it is published."""
ASKED = 3
"""Of a name with more separators than this an upstream is not asked for every spelling."""

_SEPARATOR = re.compile("[-_]")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NEW = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_DEVICES = frozenset(
    {"aux", "con", "nul", "prn", *(f"com{digit}" for digit in range(10)), *(f"lpt{digit}" for digit in range(10))}
)
"""Names of devices on Windows, where no folder can be called so."""
_RUNTIME = frozenset({"alloc", "core", "proc-macro", "std", "test"})
"""Crates that come with the compiler."""


def valid(name: str) -> bool:
    """Whether a crate of this name may be asked for; old ones may break the rules for new ones."""
    if _NAME.fullmatch(name) is None:
        return False
    return name.count("-") + name.count("_") <= SEPARATORS or "-" not in name or "_" not in name


def check_new(name: str) -> None:
    """Refuse a name that no new crate may have.

    Raises:
        Malformed: the message says which rule it breaks.
    """
    if len(name) > LONGEST:
        raise Malformed(f"a crate's name has at most {LONGEST} characters, this one has {len(name)}")
    if not _NEW.fullmatch(name):
        raise Malformed(
            f"{shown(name)} is not the name of a crate: write letters, digits, '-' and '_', with a letter first"
        )
    if not valid(name):
        raise Malformed(f"{shown(name)} has '-' and '_' in it, and many of them; write one of the two")
    if name.lower() in _DEVICES or normal(name) in _RUNTIME:
        raise Malformed(f"the name {shown(name)} is reserved; choose another one")


def normal(name: str) -> str:
    """The form in which names are told apart: neither case nor ``-`` against ``_`` makes two of one."""
    return name.lower().replace("_", "-")


def spellings(lower: str, most: int = SEPARATORS) -> list[str]:
    """Names of index files that differ from this one by ``-`` against ``_`` alone, itself first.

    Args:
        most: of a name with more separators than this only the two in which they are all the same.
    """
    parts = _SEPARATOR.split(lower)
    count = len(parts) - 1
    sets = product("-_", repeat=count) if count <= most else (("-",) * count, ("_",) * count)
    made = ("".join(f"{part}{sign}" for part, sign in zip(parts, (*signs, ""), strict=True)) for signs in sets)
    return list(dict.fromkeys((lower, *made)))


def folder(name: str) -> str:
    """The folders of an index file (The Cargo Book, "Index files"): ``1``, ``2``, ``3/a``, ``ab/cd``, its letters as
    they are: those of an index are lower."""
    if len(name) < 3:
        return str(len(name))
    return f"3/{name[0]}" if len(name) == 3 else f"{name[:2]}/{name[2:4]}"


def index_path(lower: str) -> str:
    """Where a crate's index file is, below an index."""
    return f"{folder(lower)}/{lower}"


def crate_file(name: str, version: str) -> str:
    """The file name of a version's archive."""
    return f"{name}-{version}.crate"


def shown(text: str) -> str:
    """A name or version as a message may carry it."""
    return ascii(text[:120])
