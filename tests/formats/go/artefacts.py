"""go.mod files and module zips made in memory, the same bytes for the same arguments."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from types import EllipsisType, MappingProxyType

FILES: Mapping[str, bytes] = MappingProxyType(
    {"demo.go": b"package demo\n\nfunc One() int { return 1 }\n", "LICENSE": b"For the tests alone.\n"}
)
"""What a module holds beside its go.mod."""


def gomod(
    path: str = "example.com/demo",
    *,
    go: str | None = "1.21",
    toolchain: str | None = None,
    deprecated: str | None = None,
    require: Mapping[str, str] = MappingProxyType({}),
    retract: Iterable[str] = (),
) -> bytes:
    """A go.mod.

    Args:
        deprecated: the text behind ``// Deprecated:``.
        require: module path to version.
        retract: each as it stands behind the word: ``v1.0.0``, ``[v1.0.0, v1.1.0] // a rationale``.
    """
    lines = [f"// Deprecated: {deprecated}"] if deprecated is not None else []
    lines += [f"module {path}"]
    lines += ["", f"go {go}"] if go else []
    lines += ["", f"toolchain {toolchain}"] if toolchain else []
    lines += [part for name, version in require.items() for part in ("", f"require {name} {version}")]
    lines += [part for each in retract for part in ("", f"retract {each}")]
    return "\n".join([*lines, ""]).encode()


def module_zip(
    path: str = "example.com/demo",
    version: str = "v1.0.0",
    *,
    files: Mapping[str, bytes] = FILES,
    mod: bytes | EllipsisType | None = ...,
    prefix: str | None = None,
    stored: bool = False,
) -> bytes:
    """A module zip.

    Args:
        files: by path below the prefix, beside the go.mod.
        mod: the go.mod, None for none; else that of `gomod`, and none for ``+incompatible``.
        prefix: in front of every name, else ``{path}@{version}/``.
        stored: do not compress: the same h1 in other bytes.
    """
    if mod is ...:
        mod = None if version.endswith("+incompatible") else gomod(path)
    held = {**({} if mod is None else {"go.mod": mod}), **files}
    start = f"{path}@{version}/" if prefix is None else prefix
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, body in held.items():
            member = zipfile.ZipInfo(start + name, (1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(member, body)
    return sink.getvalue()


def h1(data: bytes) -> str:
    """The h1 of a zip, as go.sum has it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return h1_of({name: archive.read(name) for name in archive.namelist()})


def h1_of(files: Mapping[str, bytes]) -> str:
    """The h1 of files by name; that of a go.mod is of ``{"go.mod": bytes}``."""
    names = sorted(files, key=str.encode)
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names)
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
