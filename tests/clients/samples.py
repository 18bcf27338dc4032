"""Small packages, and the pages of an upstream that offers them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.formats.pypi import artefacts
from tests.upstreams import Upstream

AUTHOR = "Zoë Łuczak"
SUMMARY = "Größe, 大きさ, размер"


@dataclass(frozen=True)
class Sample:
    """A wheel of pure Python with one module of its own."""

    name: str
    version: str = "1.0"
    requires: tuple[str, ...] = ()
    padding: int = 0
    text: str = ""
    wheel: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        body = f"VERSION = {self.version!r}\n{self.text}".encode()
        info = f"{self.module}-{self.version}.dist-info"
        files = {f"{self.module}.py": body}
        if self.padding:
            files[f"{self.module}.bin"] = os.urandom(self.padding)
        files[f"{info}/METADATA"] = self.metadata
        files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        lines = [artefacts.record_line(path, data) for path, data in files.items()]
        made = artefacts.pack({**files, f"{info}/RECORD": "".join([*lines, f"{info}/RECORD,,\n"]).encode()})
        object.__setattr__(self, "wheel", made)

    @property
    def module(self) -> str:
        """The name as modules and file names spell it."""
        return self.name.replace("-", "_")

    @property
    def filename(self) -> str:
        """The wheel's."""
        return f"{self.module}-{self.version}-py3-none-any.whl"

    @property
    def digest(self) -> str:
        """The wheel's sha256."""
        return hashlib.sha256(self.wheel).hexdigest()

    @property
    def metadata(self) -> bytes:
        """METADATA, with letters outside ASCII."""
        lines = [f"Summary: {SUMMARY}", f"Author: {AUTHOR}", "Requires-Python: >=3.8"]
        lines += [f"Requires-Dist: {each}" for each in self.requires]
        return artefacts.metadata(self.name, self.version, "\n".join(lines) + "\n", f"{AUTHOR} wrote this.\n")

    @property
    def source(self) -> bytes:
        """A source distribution, which no build backend stands behind."""
        return artefacts.sdist(self.module, self.version, meta=self.metadata)

    def save(self, folder: Path, *, sdist: bool = False) -> list[Path]:
        """Write the wheel, and the source distribution if wanted; their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {self.filename: self.wheel}
        if sdist:
            files[f"{self.module}-{self.version}.tar.gz"] = self.source
        for name, body in files.items():
            (folder / name).write_bytes(body)
        return [folder / name for name in files]


def offer(upstream: Upstream, *samples: Sample, yanked: tuple[str, ...] = ()) -> None:
    """Lay the releases of one project at an upstream: JSON with sizes and metadata below
    ``/full/simple/``, HTML with nothing but digests below ``/bare/simple/``.

    Args:
        yanked: versions that are.
    """
    name = samples[0].name
    rows: list[dict[str, Any]] = []
    links = []
    for sample in samples:
        path = f"/files/{sample.filename}"
        url = upstream.put(path, sample.wheel)
        upstream.put(path + ".metadata", sample.metadata)
        digest = {"sha256": hashlib.sha256(sample.metadata).hexdigest()}
        known = {"size": len(sample.wheel), "upload-time": "2026-01-02T03:04:05.678900Z", "requires-python": ">=3.8"}
        row = {"filename": sample.filename, "url": url, "hashes": {"sha256": sample.digest}, "core-metadata": digest}
        rows.append(row | known | {"yanked": "broken" if sample.version in yanked else False})
        mark = ' data-yanked="broken"' if sample.version in yanked else ""
        links.append(f'<a href="/files/{sample.filename}#sha256={sample.digest}"{mark}>{sample.filename}</a>')
    meta = {"api-version": "1.4", "_last-serial": 7}
    page = {"meta": meta, "name": name, "versions": [sample.version for sample in samples], "files": rows}
    kind = "application/vnd.pypi.simple.v1+json"
    upstream.put(f"/full/simple/{name}/", json.dumps(page).encode(), content_type=kind)
    html = "<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>"
    upstream.put(f"/bare/simple/{name}/", html.encode(), content_type="text/html")
