"""npm's names, versions (semver 2.0.0), tags and tarball names: what may be asked for, what may be new."""

from __future__ import annotations

import re

from reliquary.errors import Malformed
from reliquary.formats import semver
from reliquary.formats.semver import BUILD, WORD, Version

LONGEST = 214
"""Characters of a name, and of a tag."""

_BIGGEST = 2**53 - 1
"""npm reads version numbers as doubles and refuses what they cannot count."""

_PART = r"[A-Za-z0-9_~!*'()-][A-Za-z0-9_.~!*'()-]*"
_NAME = re.compile(rf"(?:@({_PART})/)?({_PART})")
_NEW = re.compile(r"(?:@[a-z0-9_-][a-z0-9_.-]*/)?[a-z0-9_-][a-z0-9_.-]*")
_NEVER = frozenset({"node_modules", "favicon.ico"})

_LOOSE = re.compile(rf"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-?((?:{WORD}|[0-9]+)(?:\.(?:{WORD}|[0-9]+))*))?{BUILD}")
_IN_FILE = re.compile(r"[v=]?[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*")

_WILD = r"(?:[0-9]+|[xX*])"
_SOME = rf"[v= ]*{_WILD}(?:\.{_WILD}(?:\.{_WILD}(?:-?(?:{WORD}|[0-9]+)(?:\.(?:{WORD}|[0-9]+))*)?{BUILD})?)?"
_COMPARATOR = re.compile(rf"(?:[<>]?=?|~>?|\^)\s*{_SOME}")
_HYPHEN = re.compile(rf"{_SOME} - {_SOME}")
_OPERATOR = re.compile(r"([<>=~^]) +")
_DROPPED = re.compile(r"\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")
_STAR = re.compile(r"[<>]?=?\*")
_BARE = frozenset({"", "<", ">", "=", "<=", ">=", "~", "~>", "^"})


def valid(name: str) -> bool:
    """Whether a package of this name may be asked for, legacy names such as ``JSONStream`` included.

    ``-`` is no name, alone or in a scope, so that ``/-/`` is always a route; ``-x`` is one.
    """
    found = _NAME.fullmatch(name)
    if not found or len(name) > LONGEST:
        return False
    scope, own = found.groups()
    if own == "-" or name.lower() in _NEVER:
        return False
    return scope is not None or not own.startswith("_")


def check_new(name: str) -> None:
    """Refuse a name that npm gives to no new package; names of Node's own modules are left to their owner.

    Raises:
        Malformed: the message says which rule it breaks.
    """
    if len(name) > LONGEST:
        raise Malformed(f"a package's name has at most {LONGEST} characters, this one has {len(name)}")
    if name.lower() in _NEVER:
        raise Malformed(f"{name.lower()} cannot be the name of a package; choose another one")
    if name != name.lower():
        raise Malformed(f"the name {shown(name)} has capital letters; write it in lower case")
    if name.startswith((".", "_", "-")):
        raise Malformed(f"the name {shown(name)} begins with {name[0]}; begin it with a letter or a digit")
    if not _NEW.fullmatch(name) or not valid(name):
        raise Malformed(
            f"{shown(name)} is not a package name: write name or @scope/name, of letters, digits, '-', '_' and '.'"
        )


def parse(text: str) -> Version | None:
    """A version strictly by semver 2.0.0 that npm can count, or None."""
    return _counted(semver.parse(text))


def normal(text: str, *, loose: bool = False) -> str | None:
    """A version's identity: ``v``, ``=`` and spaces around it trimmed, build metadata dropped.

    Args:
        text: as somebody wrote it.
        loose: mend, as npm does when it publishes, leading zeros and ``1.0.0beta``.

    Returns:
        The version as semver writes it, or None when it is none.
    """
    if len(text) > semver.LONGEST:
        return None
    bare = text.strip().lstrip("v= \t\r\n")
    found = semver.made(_LOOSE.fullmatch(bare)) if loose else semver.parse(bare)
    return None if _counted(found) is None else str(found)


def _counted(found: Version | None) -> Version | None:
    """A version whose numbers npm can count."""
    return None if found is None or max(found.major, found.minor, found.patch) > _BIGGEST else found


def is_range(tag: str) -> bool:
    """Whether npm reads a text as a range of versions (``1``, ``v1.x``, ``^2``, ``>=1 <2``, ``*``, ``""``)."""
    return all(_is_simple(" ".join(part.split())) for part in tag.split("||"))


def _is_simple(part: str) -> bool:
    """One alternative of a range: two versions around a hyphen, or comparators that all must hold."""
    if _HYPHEN.fullmatch(part):
        return True
    # npm throws away build metadata and stars wherever they stand, so that `+0` and `1.2.3-a*` are ranges too.
    joined = _OPERATOR.sub(r"\1", _DROPPED.sub("", part)).strip()
    words = (_STAR.sub("", word) for word in joined.split(" ") if not _COMPARATOR.fullmatch(word))
    return all(word in _BARE or _COMPARATOR.fullmatch(word) for word in words)


def check_tag(tag: str) -> None:
    """Refuse what cannot be a dist-tag.

    Raises:
        Malformed: it is a range of versions, too long, or cannot stand in an address.
    """
    if is_range(tag):
        raise Malformed(f"the tag {shown(tag)} reads as a range of versions; choose a word")
    if len(tag) > LONGEST:
        raise Malformed(f"a tag has at most {LONGEST} characters, this one has {len(tag)}")
    plain = tag.isprintable() and not any(sign in tag for sign in " \\%")
    if not plain or any(part in ("", ".", "..") for part in tag.split("/")):
        raise Malformed(f"the tag {shown(tag)} cannot stand in an address; use letters, digits, '-', '_' and '.'")


def shown(text: str) -> str:
    """A name, version or tag as a message may carry it."""
    return ascii(text[:120])


def basename(name: str) -> str:
    """A name without its scope."""
    return name.rpartition("/")[2]


def tarball(name: str, version: str) -> str:
    """The file name of a version's tarball: ``{basename}-{version}.tgz``."""
    return f"{basename(name)}-{version}.tgz"


def version_of(name: str, filename: str) -> str | None:
    """The version that a tarball's file name carries; the inverse of `tarball`.

    Args:
        name: the package.
        filename: what follows ``/-/``; the forms ``@scope/name-1.0.0.tgz`` and ``%2B`` for a plus are known.

    Returns:
        The version as it is written there, or None for another package's file.
    """
    bare = re.sub("%2b", "+", filename, flags=re.IGNORECASE).removesuffix(".tgz")
    if bare == filename or not filename.endswith(".tgz"):
        return None
    for prefix in (name, basename(name)):
        rest = bare[len(prefix) + 1 :]
        if bare.startswith(prefix + "-") and len(rest) <= semver.LONGEST and _IN_FILE.fullmatch(rest):
            return rest
    return None
