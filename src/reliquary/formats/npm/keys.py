"""Where packuments, tarballs and attestations are, below a repository."""

from __future__ import annotations

from reliquary.formats.base import FileKey, PageKey
from reliquary.formats.npm import names

PLACE = "\ufdd0"
"""Stands for the repository's address in stored manifests: a noncharacter, which no text that is passed
between programs may hold (Unicode, section 23.7); documents that do lose it."""


def clean(text: str) -> str:
    """A text that can be stored and shown: no U+0000, which PostgreSQL does not take, no halves of characters, and
    nothing that would be taken for our address."""
    return text.replace("\0", "\ufffd").replace(PLACE, "").encode("utf-8", "replace").decode()


def tarball_key(name: str, version: str) -> str:
    """Where a version's tarball is: npm's conventional form, whatever an upstream's is."""
    return f"{name}/-/{names.tarball(name, version)}"


def attestations_key(name: str, version: str) -> str:
    """Where a version's attestations are."""
    return f"-/npm/v1/attestations/{name}@{version}"


def page(name: str) -> PageKey:
    """A package's packument."""
    return PageKey(name, name, name)


def tarball(name: str, version: str) -> FileKey:
    """A version's tarball."""
    return FileKey(tarball_key(name, version), name, name)


def file(name: str, inner: list[str]) -> FileKey | None:
    """A tarball by its conventional name, or by one of the old forms (``@s/p-1.0.0.tgz``)."""
    version = names.version_of(name, "/".join(inner))
    return tarball(name, version) if version is not None else None


def attestations(parts: list[str]) -> FileKey | None:
    """``{name}@{version}`` as clients ask for it: the name is not escaped there."""
    name, at, version = "/".join(parts).rpartition("@")
    normal = names.normal(version) if at else None
    if not names.valid(name) or normal is None:
        return None
    return FileKey(attestations_key(name, normal), name, name, listed=False)


def split_name(parts: list[str]) -> tuple[str, list[str]]:
    """A package's name at the beginning of a path, and what follows."""
    if parts[0].startswith("@") and len(parts) > 1:
        return "/".join(parts[:2]), parts[2:]
    return parts[0], parts[1:]
