"""Where index files, archives and readmes are, below a repository."""

from __future__ import annotations

from reliquary.formats.base import FileKey, PageKey
from reliquary.formats.cargo import names

CONFIG = "config.json"
API = "api/v1/crates"


def page(name: str) -> PageKey:
    """A crate's index file, by its name as it is spelled there, in any case."""
    lower = name.lower()
    return PageKey(names.index_path(lower), lower, names.normal(lower))


def config(base: str) -> PageKey:
    """The ``config.json`` of an upstream whose index is at ``base``; what it says is of that index alone."""
    return PageKey(f"{CONFIG} {base}", CONFIG)


def crate_key(name: str, version: str) -> str:
    """The key of a version's archive: where it is had from."""
    return f"{API}/{name.lower()}/{version}/download"


def readme_key(name: str, version: str) -> str:
    """The key of a version's readme."""
    return f"{API}/{name.lower()}/{version}/readme"


def crate(name: str, version: str) -> FileKey:
    """A version's archive."""
    return FileKey(crate_key(name, version), name.lower(), names.normal(name))


def readme(name: str, version: str) -> FileKey:
    """A version's readme."""
    return FileKey(readme_key(name, version), name.lower(), names.normal(name), listed=False)
