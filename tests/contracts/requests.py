"""One table of requests for every format and kind of repository, and a town of servers to ask."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.formats.cargo.artefacts import crate, line
from tests.formats.npm.artefacts import packument, tarball
from tests.formats.pypi.artefacts import sdist, wheel
from tests.running import Answer, Running, running
from tests.upstreams import Upstream, playing

KINDS = ("hosted", "proxy", "group")
FORMATS = ("pypi", "generic", "npm", "cargo")
WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"
FIRST = {"pypi": "text/html", "generic": "text/html", "npm": "application/json", "cargo": "text/plain"}
"""The media type of a page for clients that name none."""
OTHER = {
    "pypi": "application/vnd.pypi.simple.v1+json",
    "generic": "application/json",
    "npm": "application/vnd.npm.install-v1+json",
}
"""A further one, where the format has one."""
NAMES = {"hosted": "local", "proxy": "upstream", "group": "main"}
FAR_PAST, FAR_FUTURE = "Thu, 01 Jan 1998 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@dataclass(frozen=True)
class Place:
    """One repository of the town with a file and a page of it; paths begin with a slash."""

    format: str
    kind: str
    root: str
    file: str
    page: str
    body: bytes
    missing_file: str
    missing_page: str | None

    @property
    def small_page(self) -> str:
        """A page that no coding would shorten."""
        name = "tiny" if self.kind == "proxy" else "little"
        if self.format in ("npm", "cargo"):
            return self.root + (name if self.format == "npm" else indexed(name))
        return self.root + ("simple/" if self.format == "pypi" else "")


@dataclass(frozen=True)
class Case:
    """A request and what must come of it.

    Args:
        headers: may hold ``{etag}`` and ``{modified}`` of the plain answer, ``{size}`` and ``{last}``.
        part: the bytes that must come with a 206, as a slice.
    """

    name: str
    headers: Mapping[str, str]
    status: int
    part: slice | None = None
    method: str = "GET"
    also: Mapping[str, str] = field(default_factory=dict)

    def fitted(self, plain: Answer) -> dict[str, str]:
        """The headers for a representation whose plain answer is known."""
        size = int(plain.header("content-length") or 0)
        facts = {
            "etag": plain.header("etag"),
            "modified": plain.header("last-modified"),
            "size": size,
            "last": size - 1,
        }
        return {name: value.format(**facts) for name, value in self.headers.items()}


CONDITIONS = (
    Case("the etag", {"If-None-Match": "{etag}"}, 304),
    Case("the etag, weak", {"If-None-Match": "W/{etag}"}, 304),
    Case("a list with the etag", {"If-None-Match": '"x", W/"y",{etag} , "z"'}, 304),
    Case("any etag", {"If-None-Match": "*"}, 304),
    Case("another etag", {"If-None-Match": '"x"'}, 200),
    Case("the etag without quotes", {"If-None-Match": "x"}, 200),
    Case("the date", {"If-Modified-Since": "{modified}"}, 304),
    Case("a later date", {"If-Modified-Since": FAR_FUTURE}, 304),
    Case("an earlier date", {"If-Modified-Since": FAR_PAST}, 200),
    Case("no date at all", {"If-Modified-Since": "yesterday or so"}, 200),
    Case("a date that overflows", {"If-Modified-Since": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, 200),
    Case("another etag wins over the date", {"If-None-Match": '"x"', "If-Modified-Since": "{modified}"}, 200),
    Case("the etag wins over an early date", {"If-None-Match": "{etag}", "If-Modified-Since": FAR_PAST}, 304),
    Case("if-match holds", {"If-Match": "{etag}"}, 200),
    Case("if-match any", {"If-Match": "*"}, 200),
    Case("if-match fails", {"If-Match": '"x"'}, 412),
    Case("if-match compares strongly", {"If-Match": "W/{etag}"}, 412),
    Case("unmodified since holds", {"If-Unmodified-Since": "{modified}"}, 200),
    Case("unmodified since fails", {"If-Unmodified-Since": FAR_PAST}, 412),
    Case("unmodified since is no date", {"If-Unmodified-Since": "never"}, 200),
    Case("if-match comes before if-none-match", {"If-Match": '"x"', "If-None-Match": "{etag}"}, 412),
    Case("conditions on HEAD", {"If-None-Match": "{etag}"}, 304, method="HEAD"),
    Case("a failed condition on HEAD", {"If-Match": '"x"'}, 412, method="HEAD"),
)

RANGES = (
    Case("from to", {"Range": "bytes=1-4"}, 206, slice(1, 5)),
    Case("from", {"Range": "bytes=5-"}, 206, slice(5, None)),
    Case("the tail", {"Range": "bytes=-7"}, 206, slice(-7, None)),
    Case("a tail longer than all", {"Range": "bytes=-99999999"}, 206, slice(None)),
    Case("the first byte", {"Range": "bytes=0-0"}, 206, slice(0, 1)),
    Case("the last byte", {"Range": "bytes={last}-{last}"}, 206, slice(-1, None)),
    Case("past the end is cut", {"Range": "bytes=2-99999999"}, 206, slice(2, None)),
    Case("unit in capitals", {"Range": "Bytes=1-4"}, 206, slice(1, 5)),
    Case("starts past the end", {"Range": "bytes={size}-"}, 416),
    Case("an empty tail", {"Range": "bytes=-0"}, 416),
    Case("several", {"Range": "bytes=0-1,3-4"}, 200),
    Case("thousands", {"Range": "bytes=" + ",".join(["0-0"] * 5000)}, 200),
    Case("other units", {"Range": "lines=1-2"}, 200),
    Case("backwards", {"Range": "bytes=4-1"}, 200),
    Case("no numbers", {"Range": "bytes=-"}, 200),
    Case("letters", {"Range": "bytes=a-b"}, 200),
    Case("digits of other scripts", {"Range": "bytes=\u00b2-4"}, 200),
    Case("no unit", {"Range": "1-4"}, 200),
    Case("huge numbers", {"Range": "bytes=" + "9" * 3000 + "-"}, 200),
    Case("if-range holds", {"Range": "bytes=1-4", "If-Range": "{etag}"}, 206, slice(1, 5)),
    Case("if-range by date", {"Range": "bytes=1-4", "If-Range": "{modified}"}, 206, slice(1, 5)),
    Case("if-range fails", {"Range": "bytes=1-4", "If-Range": '"x"'}, 200),
    Case("if-range is weak", {"Range": "bytes=1-4", "If-Range": "W/{etag}"}, 200),
    Case("if-range by another date", {"Range": "bytes=1-4", "If-Range": FAR_FUTURE}, 200),
    Case("if-range is nonsense", {"Range": "bytes=1-4", "If-Range": "perhaps"}, 200),
    Case("a condition before a range", {"Range": "bytes=1-4", "If-None-Match": "{etag}"}, 304),
    Case("HEAD ignores it", {"Range": "bytes=1-4"}, 200, method="HEAD"),
    Case("HEAD ignores a bad one", {"Range": "bytes={size}-"}, 200, method="HEAD"),
)

CODINGS = (
    ("", "identity"),
    ("identity", "identity"),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("gzip, deflate", "gzip"),
    ("gzip, deflate, br, zstd", "zstd"),
    ("x-gzip", "gzip"),
    ("GZIP", "gzip"),
    ("gzip;q=1, zstd;q=0.5", "gzip"),
    ("gzip;q=0", "identity"),
    ("gzip;q=0, *", "zstd"),
    ("identity;q=1, gzip;q=0.2", "identity"),
    ("gzip, identity;q=0", "gzip"),
    ("br", "identity"),
    ("br, identity;q=0", "identity"),
    ("*;q=0", "identity"),
    ("gzip;q=x", "identity"),
    (",,;;q=,", "identity"),
    ("gzip, " * 3000, "gzip"),
)
"""Accept-Encoding, and the coding that a page of more than a kilobyte must come in."""

REFUSED_PATHS = (
    "a%00b", "%00", "a%2500b", "a%01b", "a%7Fb", "a%C2%85b", "a%0d%0aX-Evil:1", "a%5cb", "..%5c..%5csecret", "%ff",
    "%c3", "%c0%ae%c0%ae/x", "%", "a%2", "a%zz", "../x", "./x", "a/../b", "a/./b", "%2e%2e/x", "%2E/x", "a/%2e%2e",
    "a/..", "..%2f..%2fx", "a%2f..%2fb", "a//b", "//b", "a///",
)  # fmt: skip
"""Paths below a repository that are 400 for every format."""


def places() -> list[Place]:
    """Every format times every kind."""
    return [place(format, kind) for format in FORMATS for kind in KINDS]


def place(format: str, kind: str) -> Place:
    """One of them; a proxy has what lies at the upstream."""
    root = f"/{format}/{NAMES[kind]}/"
    if format == "generic":
        folder = "far" if kind == "proxy" else "near"
        return Place(
            format,
            kind,
            root,
            f"{root}{folder}/x.tar.gz",
            f"{root}{folder}/",
            blob(folder),
            f"{root}{folder}/no",
            f"{root}none/",
        )
    name = "outer" if kind == "proxy" else "demo"
    if format == "npm":
        file = f"{root}{name}/-/{name}-1.0.0.tgz"
        missing = f"{root}{name}/-/{name}-99.0.0.tgz"
        return Place(format, kind, root, file, root + name, packed(name), missing, f"{root}nobody")
    if format == "cargo":
        file, missing = (f"{root}api/v1/crates/{name}/{version}/download" for version in ("1.0.0", "99.0.0"))
        return Place(format, kind, root, file, root + indexed(name), boxed(name), missing, root + indexed("nobody"))
    body = archive(name)
    digest = hashlib.sha256(body).hexdigest()
    file = f"{root}files/{name}/{digest}/{name}-1.0.tar.gz"
    missing = f"{root}files/{name}/{'0' * 64}/{name}-1.0.tar.gz"
    return Place(format, kind, root, file, f"{root}simple/{name}/", body, missing, f"{root}simple/nobody/")


def blob(seed: str, size: int = 3000) -> bytes:
    """Bytes that no coding shortens, the same for the same seed."""
    pieces = [hashlib.sha256(f"{seed}{at}".encode()).digest() for at in range(size // 32 + 1)]
    return b"".join(pieces)[:size]


def archive(name: str, version: str = "1.0") -> bytes:
    """A source distribution of some hundred bytes."""
    return sdist(name, version, members={f"{name}-{version}/data.bin": blob(name, 900)})


def built(name: str, version: str = "1.0") -> bytes:
    """A wheel."""
    return wheel(name, version)


def packed(name: str, version: str = "1.0.0") -> bytes:
    """An npm tarball of some hundred bytes."""
    return tarball(name, version, members={"data.bin": blob(name, 900)})


def boxed(name: str, version: str = "1.0.0") -> bytes:
    """A crate's archive of some hundred bytes."""
    return crate(name, version, files={"data.bin": blob(name, 900)})


def indexed(name: str) -> str:
    """The path of a crate's index file."""
    folders = {1: "1", 2: "2", 3: f"3/{name[:1]}"}.get(len(name), f"{name[:2]}/{name[2:4]}")
    return f"{folders}/{name}".lower()


def simple(name: str, files: Mapping[str, bytes]) -> bytes:
    """An upstream's project page."""
    rows = "".join(
        f'<a href="../../files/{file}#sha256={hashlib.sha256(body).hexdigest()}">{file}</a><br>\n'
        for file, body in files.items()
    )
    return f"<!DOCTYPE html><html><body><h1>Links for {name}</h1>{rows}</body></html>".encode()


def autoindex(folder: str, names: list[str]) -> bytes:
    """An upstream's folder listing."""
    rows = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
    return f"<html><head><title>Index of {folder}</title></head><body><pre>{rows}</pre></body></html>".encode()


def lay(upstream: Upstream, name: str, versions: int = 1) -> None:
    """Put a project with that many versions, and its files, at an upstream, for pypi, npm and cargo."""
    files = {f"{name}-{at}.0.tar.gz": archive(name, f"{at}.0") for at in range(1, versions + 1)}
    upstream.put(f"/simple/{name}/", simple(name, files), content_type="text/html")
    for file, body in files.items():
        upstream.put(f"/files/{file}", body)
    tarballs = {f"{at}.0.0": packed(name, f"{at}.0.0") for at in range(1, versions + 1)}
    lay_packument(upstream, name, tarballs)
    lay_index(upstream, name, {f"{at}.0.0": boxed(name, f"{at}.0.0") for at in range(1, versions + 1)})


def lay_packument(upstream: Upstream, name: str, tarballs: Mapping[str, bytes]) -> None:
    """Put an npm package, by version, at an upstream."""
    body = packument(name, tarballs, f"{upstream.url}registry/")
    upstream.put(f"/registry/{name}", body, content_type="application/json")
    for version, tgz in tarballs.items():
        upstream.put(f"/registry/{name}/-/{name}-{version}.tgz", tgz)


def lay_index(upstream: Upstream, name: str, archives: Mapping[str, bytes], **more: object) -> None:
    """Put a crate, by version, at an upstream, with the ``config.json`` that says where archives are; ``more`` are
    further members of each line."""
    lines = [
        json.dumps(line(name, version, hashlib.sha256(body).hexdigest(), **more)) for version, body in archives.items()
    ]
    told = json.dumps({"dl": f"{upstream.url}crates"}).encode()
    upstream.put("/index/config.json", told, content_type="application/json")
    upstream.put(f"/index/{indexed(name)}", "".join(f"{each}\n" for each in lines).encode(), content_type="text/plain")
    for version, body in archives.items():
        upstream.put(f"/crates/{name}/{version}/download", body)


def config(upstream: Upstream, more: str = "") -> str:
    """Settings that point every format at an upstream."""
    places = {"pypi": "simple/", "generic": "plain/", "npm": "registry/", "cargo": "index/"}
    named = ", ".join(f'{format} = "{upstream.url}{path}"' for format, path in places.items())
    return f"upstreams = {{ {named} }}\n{more}"


NONE = 'upstreams = { pypi = "none", generic = "none", npm = "none", cargo = "none", go = "none" }\n'


@contextmanager
def town(folder: Path, more: str = "") -> Iterator[tuple[Running, Upstream]]:
    """A server whose repositories hold what `places` names, with pages that pay a coding."""
    with playing() as upstream:
        lay(upstream, "outer", 12)
        lay_packument(upstream, "tiny", {"1.0.0": packed("tiny")})
        lay_index(upstream, "tiny", {"1.0.0": boxed("tiny")})
        root = b'<html><body><a href="outer/">outer</a></body></html>'
        upstream.put("/simple/", root, content_type="text/html")
        names = ["x.tar.gz", *(f"{at}.bin" for at in range(12))]
        upstream.put("/plain/far/", autoindex("far", names), content_type="text/html")
        upstream.put("/plain/", autoindex("plain", ["far/"]), content_type="text/html")
        for name in names:
            upstream.put(f"/plain/far/{name}", blob("far") if name == "x.tar.gz" else b"x")
        with running(folder / "var", config=config(upstream, more)) as server:
            fill(server)
            yield server, upstream


def fill(server: Running) -> None:
    """Publish what hosted repositories and groups of the town hold."""
    for at in range(1, 10):
        answer = server.put(f"/pypi/local/demo-{at}.0.tar.gz", archive("demo", f"{at}.0"))
        assert answer.status == 201, answer.reason
        assert server.put(f"/generic/local/near/{at}.bin", b"x").status == 201
        assert server.put(f"/npm/local/demo-{at}.0.0.tgz", packed("demo", f"{at}.0.0")).status == 201
        assert server.put(f"/cargo/local/demo-{at}.0.0.crate", boxed("demo", f"{at}.0.0")).status == 201
    assert server.put(f"/pypi/local/{WHEEL}", built("demo")).status == 201
    assert server.put("/generic/local/near/x.tar.gz", blob("near")).status == 201
    assert server.put("/npm/local/little-1.0.0.tgz", packed("little")).status == 201
    assert server.put("/cargo/local/little-1.0.0.crate", boxed("little")).status == 201


def steady(answer: Answer) -> list[tuple[str, str]]:
    """Headers that must be the same from one answer to the next."""
    return sorted(pair for pair in answer.headers if pair[0] not in ("date", "server", "connection"))


def nothing_inside(answer: Answer) -> bool:
    """Whether an error tells nothing of our inside."""
    return not re.search(rb"Traceback|File \"|\.py\b|/var/|reliquary\.db|sqlalchemy", answer.body)
