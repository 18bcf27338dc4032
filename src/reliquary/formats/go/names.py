"""Module paths: what they may be, how addresses spell them, and the patterns that cover them."""

from __future__ import annotations

import re
from functools import lru_cache

from reliquary.errors import Malformed

_ESCAPED = re.compile(r"!([a-z])")
_FIRST = re.compile(r"[a-z0-9.-]+")
_ELEMENT = re.compile(r"[A-Za-z0-9._~-]+")
_SHORT_NAME = re.compile(r"[^.]*~[0-9]+(?:\.|$)")
_MAJOR = re.compile(r"(.*)/v([0-9.]+)", re.DOTALL)
_GOPKG = re.compile(r"(.*)(\.v(?:0|[1-9][0-9]*)(?:-unstable)?)", re.DOTALL)
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{digit}" for digit in range(1, 10)), *(f"lpt{digit}" for digit in range(1, 10))}
)
"""Names of devices on Windows, where no file can be called so, whatever follows the first dot."""


def escape(text: str) -> str:
    """A module path or version as addresses have it: every upper-case letter X as ``!x``."""
    return re.sub("[A-Z]", lambda found: "!" + found[0].lower(), text)


def unescape(text: str) -> str | None:
    """What an address spells; None for an upper-case letter or a ``!`` without a lower-case letter behind it."""
    plain = _ESCAPED.sub(lambda found: found[1].upper(), text)
    return plain if escape(plain) == text and "!" not in plain else None


def check_path(path: str) -> None:
    """Refuse what the go command takes for no module path (go.md, section 4, "Names").

    Raises:
        Malformed: the message says which rule it breaks.
    """
    fault = _fault(path)
    if fault:
        raise Malformed(f"{shown(path)} is no module path: {fault}")


def valid_path(path: str) -> bool:
    """Whether a module of this path may be asked for: the go command refuses all others before it asks."""
    return _fault(path) is None


def split_prefix_version(path: str) -> tuple[str, str]:
    """A module path and its major version's suffix.

    Returns:
        What stands before it, and ``/v2``, ``.v3`` or ``.v3-unstable`` (these of ``gopkg.in/`` only), or ``""``
        where it has none or a wrong one.
    """
    if path.startswith("gopkg.in/"):
        found = _GOPKG.fullmatch(path)
        return (found[1], found[2]) if found else (path, "")
    found = _MAJOR.fullmatch(path)
    if found and found[1] and _is_major(found[2]):
        return found[1], f"/v{found[2]}"
    return path, ""


def matches_prefix(path: str, patterns: str) -> bool:
    """Whether one of the patterns covers a path, as GOPRIVATE and GONOSUMDB have it (``go help private``).

    Args:
        path: of a module or a package.
        patterns: globs with commas between them; each is held against as many leading elements as it has itself. A
            broken one covers nothing.
    """
    elements = path.split("/")
    for glob in patterns.split(","):
        trimmed = glob.removesuffix("/")
        wanted = trimmed.count("/") + 1
        if not trimmed or wanted > len(elements):
            continue
        pattern = _compiled(trimmed)
        if pattern and pattern.fullmatch("/".join(elements[:wanted])):
            return True
    return False


def reserved(element: str) -> bool:
    """Whether Windows keeps the name of this file or folder for a device."""
    return element.partition(".")[0].lower() in _DEVICES


def suffix_fault(path: str) -> str | None:
    """What is wrong, for people, with the major version at a path's end; None where it is right, or there is none."""
    if path.startswith("gopkg.in/"):
        return None if _GOPKG.fullmatch(path) else "below gopkg.in it ends with its major version, such as .v1"
    found = _MAJOR.fullmatch(path)
    if found and found[1] and not _is_major(found[2]):
        return "a major version at its end is /v2 or higher, without leading zeros and dots"
    return None


def shown(text: str) -> str:
    """A path, name or version as a message may carry it."""
    return ascii(text[:160])


def _fault(path: str) -> str | None:
    """The rule that a module path breaks, for people."""
    if path.startswith("-") or not all(path.split("/")):
        return "it is empty, starts with a dash, or has a slash too many"
    elements = path.split("/")
    for element in elements:
        fault = _element_fault(element)
        if fault:
            return f"{fault} in {shown(element)}"
    if "." not in elements[0]:
        return "its first element has no dot, as the name of a host has"
    if not _FIRST.fullmatch(elements[0]):
        return "its first element has others than a-z, 0-9, '.' and '-'"
    return suffix_fault(path)


def _element_fault(element: str) -> str | None:
    if element.startswith(".") or element.endswith("."):
        return "a dot at the start or the end"
    if not _ELEMENT.fullmatch(element):
        return "others than ASCII letters, digits, '-', '.', '_' and '~'"
    if reserved(element):
        return "a name that Windows reserves"
    return "a tilde and digits at the end, as Windows shortens names," if _SHORT_NAME.match(element) else None


def _is_major(digits: str) -> bool:
    return digits.isdigit() and digits[0] != "0" and digits != "1"


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str] | None:
    """A glob of Go's path.Match: ``*`` and ``?`` never cross a slash; None where its syntax is broken."""
    out, at = "", 0
    while at < len(glob):
        found = _GLOB.match(glob, at)
        if found is None:
            return None
        at = found.end()
        stars, question, escaped, negated, ranges, plain = found.groups()
        if stars:
            # One star of a run does for all: several of them in a regular expression would take for ever.
            out += "[^/]*" if not out.endswith("[^/]*") else ""
        elif question:
            out += "[^/]"
        elif ranges:
            out += _class(ranges, negated == "^")
        else:
            out += re.escape(escaped[1] if escaped else plain)
    return re.compile(out, re.DOTALL)


_ONE = r"(?:\\.|[^\\\]-])"
_GLOB = re.compile(
    rf"(\*+)|(\?)|(\\.)|\[(\^|(?!\^))((?:{_ONE}(?:-{_ONE})?)+)\]|([^\\\[*?])",
    re.DOTALL,
)
_RANGE = re.compile(rf"({_ONE})(?:-({_ONE}))?", re.DOTALL)


def _class(ranges: str, negated: bool) -> str:
    spans = []
    for low, high in _RANGE.findall(ranges):
        first, last = low[-1], (high or low)[-1]
        if first <= last:
            spans.append(f"{re.escape(first)}-{re.escape(last)}")
    if not spans:
        return r"[\s\S]" if negated else r"(?!)"
    return f"[{'^' if negated else ''}{''.join(spans)}]"
