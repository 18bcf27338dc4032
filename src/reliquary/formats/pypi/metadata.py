"""Core metadata as wheels and source distributions carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.metadata import parse_email
from packaging.version import InvalidVersion, Version

from reliquary.errors import Malformed
from reliquary.formats.pypi import names

LARGEST = 4 * 1_048_576
"""Bytes of METADATA or PKG-INFO that are read at most; real ones stay far below."""


@dataclass(frozen=True, slots=True)
class Release:
    """What an artefact says of itself: normal name, version in normal form, ``Requires-Python``
    (None when absent), its kind as uploads call it, its metadata file's bytes, and the
    ``License-File`` values whose place in archives is defined (metadata 2.4, PEP 639)."""

    name: str
    version: str
    requires_python: str | None
    filetype: str
    metadata: bytes
    license_files: tuple[str, ...] = ()


def fields(raw: bytes) -> dict[str, Any]:
    """Parse a metadata file leniently: a field that repeats or does not decode is left out."""
    parsed, _ = parse_email(raw)
    return dict(parsed)


def release(raw: bytes, filetype: str, where: str) -> Release:
    """Read name and version out of a metadata file.

    Args:
        raw: the file's bytes.
        filetype: ``bdist_wheel`` or ``sdist``.
        where: the member's name, for messages.

    Raises:
        Malformed: a field that every release needs is missing or wrong.
    """
    found = fields(raw)
    for field in ("metadata_version", "name", "version"):
        if not found.get(field):
            label = field.replace("_", "-").title()
            raise Malformed(f"{where} has no usable {label}; build the package again with a current build tool")
    name = names.valid_name(str(found["name"]))
    if name is None:
        raise Malformed(f"the Name in {where} is not a project name")
    try:
        version = str(Version(str(found["version"])))
    except InvalidVersion as error:
        raise Malformed(f"the Version in {where} is not a version (PEP 440)") from error
    return Release(name, version, found.get("requires_python") or None, filetype, raw, _license_files(found))


def _license_files(found: Mapping[str, Any]) -> tuple[str, ...]:
    major, _, minor = str(found.get("metadata_version", "")).partition(".")
    if not (major.isdigit() and minor.isdigit() and (int(major[:4]), int(minor[:4])) >= (2, 4)):
        return ()
    return tuple(str(path) for path in found.get("license_files") or ())
