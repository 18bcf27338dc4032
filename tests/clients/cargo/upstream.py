"""A sparse registry on loopback that plays an upstream: what it offers is said by tests, and may be odd.

It answers below a path, as mirrors do, writes its lines with spaces as some do, and counts what is asked.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.clients.cargo.samples import Crate, prefix

PREFIX = "/mirror/cargo/"

FORMS: Mapping[str, str] = {
    "plain": "{url}dl",
    "names": "{url}dl/{{crate}}/{{crate}}-{{version}}.crate",
    "prefix": "{url}dl/{{prefix}}/{{crate}}-{{version}}.crate",
    "lower": "{url}dl/{{lowerprefix}}/{{crate}}/{{version}}",
    "digest": "{url}blobs/{{sha256-checksum}}",
}
"""What ``dl`` may look like, in a template of the registry's address."""


@dataclass
class Offer:
    """One version of a crate: its line, and the bytes of its file."""

    crate: Crate
    line: dict[str, Any]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer; its body is compressed for who takes gzip."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] | None = None


class Registry:
    """The upstream. Everything may be said at any time, from any thread.

    Args:
        dl: a word of `FORMS`.
        token: what must be shown, if anything; config.json then says ``auth-required``.
        validators: whether answers carry an ETag.
    """

    def __init__(self, dl: str = "plain", *, token: str | None = None, validators: bool = True) -> None:
        self.asked: Counter[str] = Counter()
        """How often each path was asked: decoded, without the prefix and the query."""
        self.headers: dict[str, Mapping[str, str]] = {}
        """The headers each path was last asked with, names in lower case."""
        self.moved: str | None = None
        """Where downloads are sent to with a redirect, by an address with a final slash."""
        self._dl, self._token, self._validators = dl, token, validators
        self._lock = threading.Lock()
        self._offers: dict[str, dict[str, Offer]] = {}
        self._faults: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"registry": self}))

    @property
    def host(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Its address, with a final slash."""
        return f"http://{self.host}{PREFIX}"

    @property
    def config(self) -> dict[str, Any]:
        """config.json."""
        made: dict[str, Any] = {"dl": FORMS[self._dl].format(url=self.url), "api": self.url.rstrip("/")}
        return made | ({"auth-required": True} if self._token else {})

    # --- what tests say ---

    def offer(self, *crates: Crate, **more: Any) -> None:
        """Offer versions, after those that are offered already; ``more`` are further members of their lines."""
        with self._lock:
            for crate in crates:
                versions = self._offers.setdefault(crate.name.lower(), {})
                versions[crate.version] = Offer(crate, crate.line(**more), crate.packed)

    def yank(self, crate: Crate, yanked: bool = True) -> None:
        """Take a version back, or give it again."""
        with self._lock:
            self._offers[crate.name.lower()][crate.version].line["yanked"] = yanked

    def remove(self, crate: Crate) -> None:
        """Forget a crate with all its versions."""
        with self._lock:
            del self._offers[crate.name.lower()]

    def forge(self, crate: Crate) -> None:
        """Let a file's bytes be others than the index says."""
        with self._lock:
            offer = self._offers[crate.name.lower()][crate.version]
            offer.body = Crate(crate.name, crate.version, about={"description": "forged"}).packed

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

    def index_path(self, name: str) -> str:
        """Where a crate's index file lies, below the prefix."""
        return f"{prefix(name.lower())}/{name.lower()}"

    def text(self, name: str) -> str:
        """A crate's index file."""
        return "".join(json.dumps(offer.line) + "\n" for offer in self._offers[name.lower()].values())

    def file_path(self, crate: Crate) -> str:
        """Where a version's file lies, below the prefix."""
        told = FORMS[self._dl].format(url="")
        if "{" not in told:
            told += "/{crate}/{version}/download"
        folders = prefix(crate.name)
        values = {"crate": crate.name, "version": crate.version, "prefix": folders, "lowerprefix": folders.lower()}
        for name, value in {**values, "sha256-checksum": crate.digest}.items():
            told = told.replace(f"{{{name}}}", value)
        return told

    # --- life ---

    def __enter__(self) -> Registry:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="cargo", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    # --- answers ---

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """What is answered to a path below the prefix, with its query."""
        parts = urlsplit(path)
        plain = unquote(parts.path)
        with self._lock:
            self.asked[plain] += 1
            self.headers[plain] = headers
            if plain in self._faults:
                return Reply(self._faults[plain], b"played failure")
            if self._token is not None and headers.get("authorization") != self._token:
                return Reply(401, b"who is there?", headers={"www-authenticate": "Cargo"})
            if method not in ("GET", "HEAD"):
                return Reply(405, b"read only")
            query = {name: each[-1] for name, each in parse_qs(parts.query).items()}
            return self._answer(plain, query, headers)

    def _answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        if path == "config.json":
            return Reply(200, json.dumps(self.config).encode(), "application/json")
        if path == "api/v1/crates":
            return Reply(200, json.dumps(self._search(query)).encode(), "application/json")
        name = path.rpartition("/")[2]
        if name in self._offers and path == self.index_path(name):
            return self._index(name, headers)
        for offer in (each for versions in self._offers.values() for each in versions.values()):
            if path == self.file_path(offer.crate):
                if self.moved is not None:
                    return Reply(302, headers={"location": self.moved + path})
                return Reply(200, offer.body, "application/gzip")
        return Reply(404, b"nothing here")

    def _index(self, name: str, headers: Mapping[str, str]) -> Reply:
        body = self.text(name).encode()
        if not self._validators:
            return Reply(200, body)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if headers.get("if-none-match") == etag:
            return Reply(304, headers={"etag": etag})
        return Reply(200, body, headers={"etag": etag})

    def _search(self, query: Mapping[str, str]) -> dict[str, Any]:
        wanted = query.get("q", "").lower()
        found = [list(versions.values())[-1].crate for name, versions in self._offers.items() if wanted in name]
        told = [{"name": each.name, "max_version": each.version, "description": "played"} for each in found]
        return {"crates": told[: int(query.get("per_page", 10))], "meta": {"total": len(told)}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: ClassVar[Registry]

    def _handle(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = Reply(404, b"below the prefix only")
        if self.path.startswith(PREFIX):
            reply = self.registry.answer(self.command, self.path.removeprefix(PREFIX), headers)
        packed = "gzip" in headers.get("accept-encoding", "") and reply.content_type != "application/gzip"
        body = gzip.compress(reply.body, 1, mtime=0) if packed and reply.body else reply.body
        self.send_response(reply.status)
        for name, value in (reply.headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        if packed and reply.body:
            self.send_header("Content-Encoding", "gzip")
        if reply.status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and reply.status != 304:
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def registry(dl: str = "plain", *, token: str | None = None, validators: bool = True) -> Iterator[Registry]:
    """An upstream for the length of a ``with`` block."""
    with Registry(dl, token=token, validators=validators) as made:
        yield made
