"""A registry on loopback that plays an npm upstream: what it offers is said by tests, and may be odd.

It answers below a path, as mirrors do, signs versions with a key of its own, and counts what is asked.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.clients.npm.samples import Sample

ABBREVIATED = "application/vnd.npm.install-v1+json"
PREFIX = "/mirror/npm/"
SHORT = (
    "name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies", "peerDependencies",
    "peerDependenciesMeta", "bundleDependencies", "bin", "directories", "dist", "engines", "cpu", "os", "libc",
    "funding", "hasInstallScript",
)  # fmt: skip


@dataclass(frozen=True)
class Offer:
    """How one package is offered.

    Args:
        tags: dist-tags; ``latest`` is the last sample where nothing is said.
        deprecated: versions and what is said of them.
        published: ISO 8601 date of every version that ``dates`` does not name.
        time: whether the document tells dates.
        validators: whether answers carry an ETag.
        unconventional: tarballs lie at ``/download/{name}/{version}/{shasum}.tgz``.
        signed: whether versions are signed.
        wrong: versions whose ``dist`` names digests of other bytes.
    """

    samples: tuple[Sample, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    deprecated: Mapping[str, str] = field(default_factory=dict)
    published: str = "2026-01-02T03:04:05.678Z"
    dates: Mapping[str, str] = field(default_factory=dict)
    time: bool = True
    validators: bool = True
    unconventional: bool = False
    signed: bool = True
    wrong: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The package's."""
        return self.samples[0].name

    def path(self, sample: Sample) -> str:
        """Where a tarball lies, below the registry."""
        if self.unconventional:
            return f"download/{sample.name}/{sample.version}/{sample.shasum}.tgz"
        return f"{sample.name}/-/{sample.filename}"


@dataclass(frozen=True)
class Reply:
    """An answer: its body is compressed for who takes gzip, and has an ETag unless it must not."""

    status: int
    body: bytes
    content_type: str = "application/json"
    validators: bool = True


class Registry:
    """The upstream. ``offer`` and ``fail`` may be called at any time, from any thread."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        """How often each path was asked: decoded, without the prefix and the query."""
        self.headers: dict[str, Mapping[str, str]] = {}
        """The headers each path was last asked with, names in lower case."""
        self._lock = threading.Lock()
        self._offers: dict[str, Offer] = {}
        self._faults: dict[str, int] = {}
        self._advisories: dict[str, dict[str, Any]] = {}
        self._attestations: dict[str, list[dict[str, Any]]] = {}
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"registry": self}))

    @property
    def host(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Its address, with a final slash."""
        return f"http://{self.host}{PREFIX}"

    # --- what tests say ---

    def offer(self, *samples: Sample, **how: Any) -> Offer:
        """Offer the versions of one package (see `Offer`), instead of what was offered of it before."""
        offer = Offer(samples, **how)
        with self._lock:
            self._offers[offer.name] = offer
        return offer

    def warn(self, name: str, versions: str, title: str, severity: str = "high") -> None:
        """Let audits tell of a package's versions (a range)."""
        advisory = {"id": 1000 + len(self._advisories), "title": title, "severity": severity}
        advisory |= {"url": "http://advisories.example/1", "vulnerable_versions": versions, "cwe": ["CWE-1"]}
        with self._lock:
            self._advisories[name] = advisory | {"cvss": {"score": 0, "vectorString": None}}

    def attest(self, sample: Sample, *attestations: dict[str, Any]) -> None:
        """What is attested of a version."""
        with self._lock:
            self._attestations[sample.marker] = list(attestations)

    def fail(self, path: str, status: int | None) -> None:
        """Answer a path (decoded, below the prefix) with this status; None ends it."""
        with self._lock:
            if status is None:
                self._faults.pop(path, None)
            else:
                self._faults[path] = status

    def forget(self) -> None:
        """Count anew."""
        with self._lock:
            self.asked.clear()
            self.headers.clear()

    # --- life ---

    def __enter__(self) -> Registry:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="npm", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    # --- answers ---

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What is answered to a path below the prefix, with its query."""
        parts = urlsplit(path)
        plain, query = unquote(parts.path), {name: each[-1] for name, each in parse_qs(parts.query).items()}
        with self._lock:
            self.asked[plain] += 1
            self.headers[plain] = headers
            if plain in self._faults:
                return _says(self._faults[plain], {"error": "played failure"})
            return self._service(method, plain, query, body) or self._package(method, plain, headers)

    def _service(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Reply | None:
        if path == "-/ping":
            return _says(200, {})
        if path == "-/v1/search":
            return _says(200, self._search(query))
        if path == "-/npm/v1/keys":
            return _says(200, {"keys": [self._public()]})
        if path.startswith("-/npm/v1/attestations/"):
            found = self._attestations.get(path.removeprefix("-/npm/v1/attestations/"))
            return _says(404, {"error": "none"}) if found is None else _says(200, {"attestations": found})
        if method == "POST" and path == "-/npm/v1/security/advisories/bulk":
            known = {name: [self._advisories[name]] for name in json.loads(body) if name in self._advisories}
            return _says(200, known)
        if method == "POST" and path in ("-/npm/v1/security/audits", "-/npm/v1/security/audits/quick"):
            return _says(200, self._audit(json.loads(body)))
        return None

    def _package(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if method not in ("GET", "HEAD"):
            return _says(405, {"error": "read only"})
        if path in self._offers:
            short = headers.get("accept", "").startswith(ABBREVIATED)
            return self._packument(self._offers[path], short=short)
        for offer in self._offers.values():
            for sample in offer.samples:
                if path == offer.path(sample):
                    return Reply(200, sample.tarball, "application/octet-stream", offer.validators)
        return _says(404, {"error": "Not found"})

    def _packument(self, offer: Offer, *, short: bool) -> Reply:
        versions = {sample.version: self._version(offer, sample, short=short) for sample in offer.samples}
        last = offer.samples[-1]
        tags = {"latest": last.version, **offer.tags}
        document: dict[str, Any] = {"name": offer.name, "dist-tags": tags, "versions": versions}
        if short:
            document["modified"] = max(offer.published, *offer.dates.values(), "")
            return Reply(200, json.dumps(document).encode(), ABBREVIATED, offer.validators)
        document |= {"_id": offer.name, "_rev": "3-abc", "description": last.manifest["description"]}
        document |= {"maintainers": [{"name": "zoe", "email": "zoe@team.example"}], "readme": f"# {offer.name}\n"}
        if offer.time:
            known = {version: offer.dates.get(version, offer.published) for version in versions}
            document["time"] = {"created": offer.published, "modified": max(known.values()), **known}
        return Reply(200, json.dumps(document, ensure_ascii=False).encode(), validators=offer.validators)

    def _version(self, offer: Offer, sample: Sample, *, short: bool) -> dict[str, Any]:
        told = Sample(sample.name, sample.version, command=True) if sample.version in offer.wrong else sample
        dist: dict[str, Any] = {"tarball": self.url + offer.path(sample), "shasum": told.shasum}
        dist |= {"integrity": told.integrity, "fileCount": len(sample.files)}
        if offer.signed:
            dist["signatures"] = [{"keyid": self._keyid, "sig": self._sign(f"{sample.marker}:{told.integrity}")}]
        made = {
            **sample.manifest,
            "_id": sample.marker,
            "dist": dist,
            "_npmUser": {"name": "zoe", "email": "z@x.example"},
        }
        if sample.version in offer.deprecated:
            made["deprecated"] = offer.deprecated[sample.version]
        return {name: made[name] for name in SHORT if name in made} if short else made

    def _search(self, query: Mapping[str, str]) -> dict[str, Any]:
        text = query.get("text", "")
        start, size = int(query.get("from", "0")), int(query.get("size", "20"))
        found = [offer for name, offer in sorted(self._offers.items()) if text in name]
        objects = [
            {"package": self._found(offer), "score": {"final": 1, "detail": {}}, "searchScore": 1} for offer in found
        ]
        return {"objects": objects[start : start + size], "total": len(objects), "time": "2026-01-02T03:04:05.678Z"}

    def _found(self, offer: Offer) -> dict[str, Any]:
        last, user = offer.samples[-1], {"username": "zoe", "email": "zoe@team.example"}
        told = {name: last.manifest[name] for name in ("name", "version", "description", "keywords")}
        return told | {"date": offer.published, "links": {}, "publisher": user, "maintainers": [user]}

    def _audit(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The legacy report (npm.md, part 2): advisories by id, and what to do."""
        tree = _flat(asked)
        known: dict[str, Any] = {}
        for name in sorted(tree.keys() & self._advisories.keys()):
            advisory = self._advisories[name]
            findings = [{"version": tree[name].get("version", "1.0.0"), "paths": [name]}]
            extra = {
                "module_name": name,
                "findings": findings,
                "patched_versions": "<0.0.0",
                "cves": [],
                "access": "public",
            }
            known[str(advisory["id"])] = advisory | extra
        counts = dict.fromkeys(("info", "low", "moderate", "high", "critical"), 0)
        for advisory in known.values():
            counts[advisory["severity"]] += 1
        told = {"vulnerabilities": counts, "dependencies": len(tree), "totalDependencies": len(tree)}
        return {"actions": [], "advisories": known, "muted": [], "metadata": told}

    # --- signing ---

    @property
    def _der(self) -> bytes:
        public = self._key.public_key()
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def _keyid(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self._der).digest()).decode().rstrip("=")

    def _public(self) -> dict[str, Any]:
        key = {"expires": None, "keyid": self._keyid, "keytype": "ecdsa-sha2-nistp256"}
        return key | {"scheme": "ecdsa-sha2-nistp256", "key": base64.b64encode(self._der).decode()}

    def _sign(self, text: str) -> str:
        return base64.b64encode(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))).decode()


class _Handler(BaseHTTPRequestHandler):
    registry: ClassVar[Registry]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Any method."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.startswith(PREFIX):
            reply = self.registry.answer(self.command, self.path.removeprefix(PREFIX), headers, body)
        else:
            reply = _says(404, {"error": "outside the registry"})
        self._send(reply, headers)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _send(self, reply: Reply, headers: Mapping[str, str]) -> None:
        etag = f'"{hashlib.sha256(reply.body).hexdigest()[:20]}"'
        fresh = reply.validators and reply.status == 200 and headers.get("if-none-match") == etag
        packed = (
            not fresh
            and reply.content_type != "application/octet-stream"
            and "gzip" in headers.get("accept-encoding", "")
        )
        body = b"" if fresh else gzip.compress(reply.body, mtime=0) if packed else reply.body
        self.send_response(304 if fresh else reply.status)
        if reply.validators and reply.status == 200:
            self.send_header("ETag", etag)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        if not fresh:
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Vary", "Accept, Accept-Encoding")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


def _flat(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A tree's packages by name; pnpm's has its projects above them."""
    found: dict[str, dict[str, Any]] = {}
    for name, below in tree.get("dependencies", {}).items():
        found |= {name: below, **_flat(below)}
    return found


def _says(status: int, document: Any) -> Reply:
    return Reply(status, json.dumps(document).encode())


@contextmanager
def registry() -> Iterator[Registry]:
    """An upstream for the length of a ``with`` block."""
    with Registry() as made:
        yield made
