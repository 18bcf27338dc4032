"""Wheels and source distributions made in memory, whole or broken on purpose."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping


def metadata(name: str = "demo", version: str = "1.0", extra: str = "", body: str = "") -> bytes:
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{extra}\n{body}".encode()


def record_line(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def wheel(
    name: str = "demo",
    version: str = "1.0",
    *,
    folder: str | None = None,
    members: Mapping[str, bytes] | None = None,
    meta: bytes | None = None,
    record: str | None = None,
    drop: tuple[str, ...] = (),
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A wheel with one module; ``drop`` leaves members out, ``record`` replaces RECORD's text."""
    info = folder or f"{name}-{version}.dist-info"
    files = {"demo.py": b"x = 1\n", **(members or {})}
    files[f"{info}/METADATA"] = metadata(name, version) if meta is None else meta
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = "".join(record_line(path, data) for path, data in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = (lines if record is None else record).encode()
    return pack({path: data for path, data in files.items() if path.rsplit("/", 1)[-1] not in drop}, method)


def pack(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data, method)
    return target.getvalue()


def sdist(
    name: str = "demo",
    version: str = "1.0",
    *,
    folder: str | None = None,
    meta: bytes | None = None,
    members: Mapping[str, bytes] | None = None,
    odd: tuple[tarfile.TarInfo, ...] = (),
    kind: int = tarfile.PAX_FORMAT,
) -> bytes:
    """A source distribution; ``odd`` members are appended without bytes."""
    root = folder or f"{name}-{version}"
    files = {f"{root}/PKG-INFO": metadata(name, version) if meta is None else meta, f"{root}/demo.py": b"x = 1\n"}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind) as archive:
        for path, data in {**files, **(members or {})}.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in odd:
            archive.addfile(member)
    return gzip.compress(target.getvalue(), mtime=0)
