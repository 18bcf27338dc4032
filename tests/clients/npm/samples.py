"""Small npm packages: folders a client can pack, and tarballs made without one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

EPOCH = 499_162_500
"""Seconds: the date that registries' clients give every member, 1985-10-26."""


@dataclass(frozen=True)
class Sample:
    """One version of a package. Required from node it gives a list of markers: its own, then its dependencies'.

    Args:
        dependencies: names and ranges.
        command: has a ``bin`` of the package's own basename, which prints the marker.
        more: further members of package.json.
    """

    name: str
    version: str = "1.0.0"
    dependencies: Mapping[str, str] = field(default_factory=dict)
    command: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def marker(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def basename(self) -> str:
        """The name without its scope."""
        return self.name.rpartition("/")[2]

    @property
    def filename(self) -> str:
        """The tarball's conventional name."""
        return f"{self.basename}-{self.version}.tgz"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """package.json."""
        made: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "description": f"sample {self.basename}: Größe, 大きさ",
            "license": "MIT",
            "main": "index.js",
            "keywords": ["sample"],
        }
        if self.dependencies:
            made["dependencies"] = dict(self.dependencies)
        if self.command:
            made["bin"] = {self.basename: "cli.js"}
        return made | dict(self.more)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """What the package holds, by path."""
        below = "".join(f", ...require({json.dumps(name)})" for name in self.dependencies)
        made = {
            "package.json": json.dumps(self.manifest, indent=2, ensure_ascii=False).encode() + b"\n",
            "index.js": f"module.exports = [{json.dumps(self.marker)}{below}]\n".encode(),
            "README.md": f"# {self.name}\n".encode(),
        }
        if self.command:
            made["cli.js"] = f"#!/usr/bin/env node\nconsole.log({json.dumps(self.marker)})\n".encode()
        return made

    @cached_property
    def tarball(self) -> bytes:
        """The .tgz, the same bytes every time."""
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path, body in sorted(self.files.items()):
                member = tarfile.TarInfo(f"package/{path}")
                member.size, member.mtime, member.mode = len(body), EPOCH, 0o755 if path == "cli.js" else 0o644
                archive.addfile(member, io.BytesIO(body))
        return gzip.compress(sink.getvalue(), 9, mtime=0)

    @property
    def integrity(self) -> str:
        """``sha512-`` and base64."""
        return "sha512-" + base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()

    @property
    def shasum(self) -> str:
        """SHA-1 in hex."""
        return hashlib.sha1(self.tarball).hexdigest()

    def write(self, folder: Path) -> Path:
        """Lay the package's files in a folder; returns it."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, body in self.files.items():
            (folder / path).write_bytes(body)
        return folder

    def pack(self, folder: Path) -> Path:
        """Write the tarball into a folder; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.filename
        path.write_bytes(self.tarball)
        return path

    def document(self, tag: str = "latest") -> dict[str, Any]:
        """The body of a publish, as npm makes it (npm.md, part 4)."""
        key = f"{self.name}-{self.version}.tgz"
        tarball = f"http://registry.example/{self.name}/-/{key}"
        dist = {"integrity": self.integrity, "shasum": self.shasum, "tarball": tarball}
        data = base64.b64encode(self.tarball).decode()
        return {
            "_id": self.name,
            "name": self.name,
            "description": self.manifest["description"],
            "dist-tags": {tag: self.version},
            "versions": {self.version: {**self.manifest, "_id": self.marker, "dist": dist}},
            "access": None,
            "_attachments": {
                key: {"content_type": "application/octet-stream", "data": data, "length": len(self.tarball)}
            },
        }
