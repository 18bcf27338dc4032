"""Small texts as cargo reads them: requirements, targets, features, times, and the addresses of indexes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from reliquary.formats import semver

COMPARATORS = 32
"""Parts of a requirement between commas; cargo reads no more."""
LONGEST_TARGET = 4096
"""Characters of a platform; cargo has no limit."""
DEEPEST = 100
"""Brackets within brackets of a ``cfg(...)``; cargo reads on until it has no more room."""

_N = rf"({semver.NUMBER})"
_PART = rf"(?:{semver.WORD}|{semver.NUMBER})"
_PATCH = rf"{_N}(?:-{_PART}(?:\.{_PART})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_MINOR = rf"(?:{_N}(?:\.(?:{_PATCH}|[*xX]))?|[*xX](?:\.[*xX])?)"
_COMPARATOR = re.compile(rf" *+(?:(?:[=~^]|[<>]=?) *+)?+{_N}(?:\.{_MINOR})? *+")
_STAR = re.compile(r" *+[*xX] *+")
_RUST = re.compile(rf"{_N}(?:\.{_N}(?:\.{_N})?)?")
_PUBTIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_NAMED_TARGET = re.compile(r"[\w.-]+")
_CFG_TOKEN = re.compile(r' *+(?:([(),])|((?:r#)?+[A-Za-z_][A-Za-z0-9_]*+)( *= *"[^"]*")?+) *+')
_CFG_WORDS = {"all": "A", "any": "A", "not": "N"}
_CFG_INNER = re.compile(r"A\((?:k(?:,k)*,?)?\)|N\(k\)")

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ARTIFACT = re.compile(r"bin(?::.+)?|cdylib|staticlib")
_SIGNS = str.maketrans("-+.", "___")
_PORTS = {"http": ":80", "https": ":443"}


def requirement(text: str) -> bool:
    """Whether a text is a requirement of versions (the Book, "Specifying Dependencies"): comparators between commas,
    or one star alone."""
    if _STAR.fullmatch(text):
        return True
    parts = text.split(",", COMPARATORS)
    return len(parts) <= COMPARATORS and all(_counted(_COMPARATOR.fullmatch(part)) for part in parts)


def rust_version(text: str) -> bool:
    """Whether a text is a version of Rust with one to three numbers: no operator, no prerelease."""
    return _counted(_RUST.fullmatch(text))


def pubtime(text: str) -> bool:
    """Whether a text is a time of the one form that cargo reads, ``2025-01-31T09:05:00Z``."""
    try:
        return _PUBTIME.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def target(text: str) -> bool:
    """Whether a text is a platform: a target's name, or ``cfg(...)`` of keys, ``all``, ``any`` and ``not``."""
    if len(text) > LONGEST_TARGET:
        return False
    if not (text.startswith("cfg(") and text.endswith(")")):
        return _NAMED_TARGET.fullmatch(text) is not None
    inner, at, short = text[4:-1], 0, []
    while at < len(inner):
        found = _CFG_TOKEN.match(inner, at)
        if found is None or (found[2] in _CFG_WORDS and found[3]):
            return False
        short.append(found[1] or _CFG_WORDS.get(found[2], "k"))
        at = found.end()
    whole = "".join(short)
    for _ in range(DEEPEST):
        whole, found_any = _CFG_INNER.subn("k", whole)
        if not found_any:
            break
    return whole == "k"


def alias(text: str) -> bool:
    """Whether a dependency may be renamed so."""
    return _ALIAS.fullmatch(text) is not None


def artifacts(texts: Sequence[str]) -> bool:
    """Whether these can be asked of one dependency: ``cdylib``, ``staticlib``, and ``bin`` or some ``bin:name``."""
    named = any(text.startswith("bin:") for text in texts)
    once = len(set(texts)) == len(texts) and not (named and "bin" in texts)
    return once and all(_ARTIFACT.fullmatch(text) for text in texts)


def feature(text: str) -> bool:
    """Whether a feature may have this name: letters of any script, digits, ``_``, and ``-``, ``+``, ``.`` but first."""
    # Python's own identifiers are made of the classes of Unicode (XID) that cargo asks for.
    first = text[:1]
    return (first.isidentifier() or first in set("0123456789")) and f"_{text.translate(_SIGNS)}".isidentifier()


def feature_use(text: str) -> bool:
    """Whether a feature can turn this on: ``feature``, ``dep:crate``, ``crate/feature`` or ``crate?/feature``."""
    crate, slash, name = text.partition("/")
    if slash:
        return alias(crate.removesuffix("?")) and feature(name)
    return alias(text[4:]) if text.startswith("dep:") else feature(text)


def registry(text: str) -> bool:
    """Whether a text is the URL of an index; one that is ``sparse+`` ends in a slash."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isprintable() and " " not in text and (not text.startswith("sparse+") or text.endswith("/"))
    return plain and bool(parts.scheme) and bool(parts.netloc or parts.scheme == "file")


def address(url: str) -> str:
    """An index's URL as it is compared: one index has it with and without ``sparse+``, its port and its last slash."""
    scheme, mark, rest = url.removeprefix("sparse+").partition("://")
    host, slash, path = rest.partition("/")
    scheme, host = scheme.lower(), host.lower()
    return f"{scheme}{mark}{host.removesuffix(_PORTS.get(scheme, ''))}{slash}{path}".rstrip("/")


def _counted(found: re.Match[str] | None) -> bool:
    """Whether it was found, with no number in it beyond 64 bits."""
    return found is not None and all(len(each) <= 20 and int(each) <= semver.BIGGEST for each in found.groups() if each)
