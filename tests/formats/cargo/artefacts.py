"""Crates, manifests, publish bodies and index lines made in memory, whole or broken on purpose."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from typing import Any

import msgspec

from reliquary.formats import semver
from reliquary.formats.cargo import lines, names, syntax

TABLES = (
    "badges",
    "bin",
    "build-dependencies",
    "dependencies",
    "dev-dependencies",
    "features",
    "lib",
    "lints",
    "profile",
    "target",
)
"""What stands beside ``[package]`` in a Cargo.toml."""


def toml(name: str, version: str, **more: object) -> str:
    """A normalised Cargo.toml.

    Args:
        more: further members, `_` for `-`: those of `TABLES` at the top, all others in ``[package]``; None leaves one
            out.
    """
    said = {key.replace("_", "-"): value for key, value in more.items() if value is not None}
    package: dict[str, object] = {"edition": "2021", "name": name, "version": version, "license": "MIT"}
    package["description"] = f"the {name} of the tests"
    package |= {key: value for key, value in said.items() if key not in TABLES}
    lines = ["[package]", *(f"{_key(key)} = {_value(value)}" for key, value in package.items())]
    tables = {key: value for key, value in said.items() if key in TABLES}
    return "\n".join([f"{key} = {_value(value)}" for key, value in tables.items()] + lines) + "\n"


def crate(
    name: str = "demo",
    version: str = "1.0.0",
    *,
    manifest: str | None = None,
    files: Mapping[str, bytes] | None = None,
    folder: str | None = None,
) -> bytes:
    """A .crate, the same bytes for the same arguments.

    Args:
        manifest: its Cargo.toml, else the `toml` of this name and version.
        files: further or other files, by path below the folder.
        folder: the one at the top, else ``{name}-{version}``.
    """
    own = (toml(name, version) if manifest is None else manifest).encode()
    held = {"Cargo.toml": own, "Cargo.toml.orig": own, "src/lib.rs": b"pub fn one() -> u8 { 1 }\n", **(files or {})}
    top = f"{name}-{version}" if folder is None else folder
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, body in held.items():
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return gzip.compress(sink.getvalue(), mtime=0)


def told(name: str = "demo", version: str = "1.0.0", **more: object) -> dict[str, Any]:
    """The JSON that cargo sends with a crate, every field of it (cargo.md, section 4).

    Args:
        more: other or further members.
    """
    return {
        "name": name,
        "vers": version,
        "deps": [],
        "features": {},
        "authors": [],
        "description": f"the {name} of the tests",
        "documentation": None,
        "homepage": None,
        "readme": None,
        "readme_file": None,
        "keywords": [],
        "categories": [],
        "license": "MIT",
        "license_file": None,
        "repository": None,
        "badges": {},
        "links": None,
        "rust_version": None,
        **more,
    }


def dep(name: str = "leaf", **more: object) -> dict[str, Any]:
    """A dependency in that JSON.

    Args:
        more: other or further members.
    """
    return {
        "optional": False,
        "default_features": True,
        "name": name,
        "features": [],
        "version_req": "^1.0",
        "target": None,
        "kind": "normal",
        **more,
    }


def body(told: Mapping[str, Any], crate: bytes) -> bytes:
    """A publish body: both parts behind their lengths, 32 bits, little end first."""
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    return struct.pack("<I", len(text)) + text + struct.pack("<I", len(crate)) + crate


def line(name: str = "demo", vers: str = "1.0.0", cksum: str | None = None, **more: object) -> dict[str, Any]:
    """The object of an index line.

    Args:
        cksum: SHA-256 of the .crate, hexadecimal, else that of `crate`.
        more: other or further members.
    """
    digest = checksum(crate(name, vers)) if cksum is None else cksum
    return {"name": name, "vers": vers, "deps": [], "cksum": digest, "features": {}, "yanked": False, **more}


def checksum(crate: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(crate).hexdigest()


def _value(value: object) -> str:
    """A TOML value, on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(text: str) -> str:
    return text if text.replace("-", "").replace("_", "").isalnum() and text.isascii() else json.dumps(text)


def parse(text: bytes) -> lines.Line | None:
    """An index line as cargo reads it; None where it would show nobody its version. Requirements, targets and
    features are taken as they are."""
    try:
        line = msgspec.json.decode(text, type=lines.Line)
    except (ValueError, RecursionError):
        return None
    good = names.valid(line.name) and semver.parse(line.vers) is not None
    good = good and (line.rust_version is None or syntax.rust_version(line.rust_version))
    return line if good and (line.pubtime is None or syntax.pubtime(line.pubtime)) else None
