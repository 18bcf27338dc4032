"""npm tarballs, publish documents and packuments made in memory, whole or broken on purpose."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

ABBREVIATED = "application/vnd.npm.install-v1+json"
TIME = "2026-01-02T03:04:05.678Z"


def manifest(name: str = "demo", version: str = "1.0.0", **more: object) -> dict[str, Any]:
    """A package.json."""
    return {"name": name, "version": version, "description": f"the {name} of the tests", "license": "MIT", **more}


def tarball(
    name: str = "demo",
    version: str = "1.0.0",
    *,
    package: object = None,
    members: Mapping[str, bytes] | None = None,
    **more: object,
) -> bytes:
    """A .tgz, the same bytes for the same arguments.

    Args:
        package: what package.json holds instead of the manifest of this name and version.
        members: further files, by path below ``package/``.
        more: further members of the manifest.
    """
    own = json.dumps(manifest(name, version, **more) if package is None else package).encode()
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, body in {"package.json": own, "index.js": b"module.exports = 1\n", **(members or {})}.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return gzip.compress(sink.getvalue(), mtime=0)


def basename(name: str, version: str = "1.0.0") -> str:
    """The conventional file name of a tarball."""
    return f"{name.rpartition('/')[2]}-{version}.tgz"


def integrity(body: bytes) -> str:
    """``sha512-`` and base64 (Subresource Integrity)."""
    return "sha512-" + base64.b64encode(hashlib.sha512(body).digest()).decode()


def shasum(body: bytes) -> str:
    """SHA-1, hexadecimal."""
    return hashlib.sha1(body).hexdigest()


def dist(body: bytes, url: str) -> dict[str, Any]:
    """What a manifest says of its tarball."""
    return {"tarball": url, "integrity": integrity(body), "shasum": shasum(body)}


def document(
    name: str = "demo",
    version: str = "1.0.0",
    *,
    body: bytes | None = None,
    tags: Mapping[str, str] | None = None,
    provenance: object = None,
    said: Mapping[str, object] | None = None,
    top: Mapping[str, object] | None = None,
    **more: object,
) -> dict[str, Any]:
    """A publish document as npm makes it (npm.md, section 4).

    Args:
        body: the tarball, else one that fits.
        tags: dist-tags, else ``latest``.
        provenance: a sigstore bundle to attach.
        said: members of the manifest that the tarball's package.json does not have.
        top: further or other members at the top.
        more: further members of the manifest and of package.json.
    """
    own = manifest(name, version, **more)
    packed = tarball(name, version, package=own) if body is None else body
    filename = f"{name}-{version}.tgz"
    own |= {"_id": f"{name}@{version}", "dist": dist(packed, f"http://registry.example/{name}/-/{filename}")}
    data = base64.b64encode(packed).decode()
    attached: dict[str, Any] = {
        filename: {"content_type": "application/octet-stream", "data": data, "length": len(packed)}
    }
    if provenance is not None:
        text = json.dumps(provenance)
        media = "application/vnd.dev.sigstore.bundle+json;version=0.3"
        attached[f"{name}-{version}.sigstore"] = {"content_type": media, "data": text, "length": len(text)}
    return {
        "_id": name,
        "name": name,
        "dist-tags": dict(tags) if tags is not None else {"latest": version},
        "versions": {version: {**own, **(said or {})}},
        "access": None,
        **(top or {}),
        "_attachments": attached,
    }


def published(name: str = "demo", version: str = "1.0.0", **more: Any) -> bytes:
    """A publish document as it goes over the wire."""
    return json.dumps(document(name, version, **more)).encode()


def packument(name: str, tarballs: Mapping[str, bytes], base: str, *, timed: bool = True, **more: object) -> bytes:
    """An upstream's full packument.

    Args:
        tarballs: by version, in the order they were published; the last one is ``latest``.
        base: address of the upstream's registry, with a final slash.
        timed: whether it tells when versions were published.
        more: further or other members at the top.
    """
    versions = {
        version: manifest(name, version)
        | {"_id": f"{name}@{version}", "dist": dist(body, f"{base}{name}/-/{basename(name, version)}")}
        for version, body in tarballs.items()
    }
    found: dict[str, object] = {
        "_id": name,
        "_rev": "7-abc",
        "name": name,
        "dist-tags": {"latest": [*tarballs][-1]} if tarballs else {},
        "versions": versions,
    }
    if timed:
        found["time"] = {"created": TIME, "modified": TIME, **dict.fromkeys(versions, TIME)}
    return json.dumps({**found, **more}).encode()


def bundle(subject: str = "pkg:npm/demo@1.0.0") -> dict[str, Any]:
    """A sigstore bundle around a provenance statement."""
    statement = {"predicateType": "https://slsa.dev/provenance/v1", "subject": [{"name": subject}]}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.3", "dsseEnvelope": {"payload": payload}}
