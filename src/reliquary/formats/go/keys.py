"""Where pages and files of modules are, below a repository and below an upstream alike."""

from __future__ import annotations

from collections.abc import Sequence

from reliquary.formats.base import FileKey, PageKey
from reliquary.formats.go import names, versions

LIST = "/@v/list"
LATEST = "/@latest"
ZIP, MOD, INFO = ".zip", ".mod", ".info"
SUMDB = "sumdb/"
TOLD = "@latest "
"""How the file name of an entry begins that tells what an upstream's ``@latest`` says."""


def listing(path: str) -> PageKey:
    """A module's list of versions."""
    return PageKey(names.escape(path) + LIST, path, path)


def latest(path: str) -> PageKey:
    """A module's ``@latest``."""
    return PageKey(names.escape(path) + LATEST, path, path)


def query(path: str, asked: str) -> PageKey:
    """What a branch or a commit is by now; the question as the address has it, escaped."""
    place = f"{names.escape(path)}/@v/{asked}{INFO}"
    return PageKey(place, place, path)


def file(path: str, version: str, ending: str) -> FileKey:
    """One of the three files of a version; its zip stands for it in lists."""
    place = f"{names.escape(path)}/@v/{names.escape(version)}{ending}"
    return FileKey(place, path, path, listed=ending == ZIP, version=version)


def archive(path: str, version: str) -> FileKey:
    """A version's zip."""
    return file(path, version, ZIP)


def base_name(path: str) -> str:
    """The last element of a key: the file's name."""
    return path.rpartition("/")[2]


def split(segments: Sequence[str]) -> tuple[str, str] | None:
    """A module's path, and what is asked of it, as the address has it: ``@latest``, ``list``, ``v1.0.0.zip``; None
    where a module cannot have such an address."""
    *front, last = segments or ("",)
    if last != LATEST[1:]:
        *front, mark = front or [""]
        if mark != "@v":
            return None
    if any("/" in segment for segment in segments):
        return None
    path = names.unescape("/".join(front))
    return (path, last) if path is not None and names.valid_path(path) else None


def version(path: str, escaped: str) -> str | None:
    """The version that an address names; None for what is no canonical one of this module."""
    plain = names.unescape(escaped)
    known = plain is not None and versions.canonical(plain) is not None and versions.fits(path, plain)
    return plain if known else None


def told(place: str, name: str) -> PageKey:
    """What a checksum database says of itself: ``supported``, ``latest``. The place is the whole address."""
    return PageKey(place, place, name)


def record(place: str, database: str, path: str, version: str) -> FileKey:
    """A checksum database's record of a version; as private as the module's name is."""
    return FileKey(place, SUMDB + database, path, listed=False, version=version)


def tile(place: str, database: str) -> FileKey:
    """A piece of a checksum database's tree."""
    return FileKey(place, SUMDB + database, "", listed=False)
