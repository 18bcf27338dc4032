"""A server whose proxies ask a loopback upstream, and looks into what it stored."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contracts.requests import indexed
from tests.formats.cargo.artefacts import line
from tests.formats.npm.artefacts import packument
from tests.running import Running
from tests.upstreams import Upstream

JSON = "application/vnd.pypi.simple.v1+json"
PATIENCE = 12.0
"""Seconds that a healed upstream may take to be believed again: breakers open for 2, then 4."""
FRESH = "page_life = 0\nstale_for = 0\nnegative_life = 0\n"
"""Settings that ask the upstream for a page at every request."""


def settings(upstream: Upstream, more: str = "", *, index: str = "simple/") -> str:
    """A settings file: proxies over the upstream, for pypi, npm and cargo with a group around them."""
    return f"""
upstreams = {{ pypi = "none", npm = "none", cargo = "none", go = "none" }}
retries = 0
read_timeout = 1
reserve = 0
{more}
[[repositories]]
format = "pypi"
name = "proxy"
kind = "proxy"
upstream = "{upstream.url}{index}"

[[repositories]]
format = "pypi"
name = "all"
kind = "group"
members = ["local", "proxy"]

[[repositories]]
format = "npm"
name = "proxy"
kind = "proxy"
upstream = "{upstream.url}registry/"

[[repositories]]
format = "npm"
name = "all"
kind = "group"
members = ["local", "proxy"]

[[repositories]]
format = "cargo"
name = "proxy"
kind = "proxy"
upstream = "{upstream.url}index/"

[[repositories]]
format = "cargo"
name = "all"
kind = "group"
members = ["local", "proxy"]

[[repositories]]
format = "generic"
name = "proxy"
kind = "proxy"
upstream = "{upstream.url}raw/"
"""


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: str = "") -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return hashlib.shake_256(seed.encode()).digest(size)


def listing(name: str, files: Sequence[Mapping[str, Any]]) -> bytes:
    """A project's page as an upstream has it, in JSON."""
    meta = {"api-version": "1.1"}
    return json.dumps({"meta": meta, "name": name, "versions": [], "files": list(files)}).encode()


def wheel_name(name: str, version: str = "1.0") -> str:
    """The file name of a wheel."""
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


@dataclass(frozen=True)
class Played:
    """A file that an upstream has: its path there, its path at the proxy, its bytes."""

    there: str
    here: str
    data: bytes


def lay_wheel(
    upstream: Upstream, name: str, data: bytes, *, sized: bool = True, said: Mapping[str, Any] | None = None
) -> Played:
    """Put a wheel and its project's page at an upstream; ``said`` are further keys of its row."""
    filename = wheel_name(name)
    there = f"/packages/{name}/{filename}"
    upstream.put(there, data)
    row: dict[str, Any] = {"filename": filename, "url": f"../..{there}", "hashes": {"sha256": sha256(data)}}
    row |= {"size": len(data)} if sized else {}
    upstream.put(f"/simple/{name}/", listing(name, [row | dict(said or {})]), content_type=JSON)
    return Played(there, f"/pypi/proxy/files/{name}/{sha256(data)}/{filename}", data)


def lay_plain(upstream: Upstream, name: str, data: bytes) -> Played:
    """Put a file at a plain upstream."""
    upstream.put(f"/raw/{name}.bin", data)
    return Played(f"/raw/{name}.bin", f"/generic/proxy/{name}.bin", data)


def lay_npm(upstream: Upstream, name: str, data: bytes) -> Played:
    """Put an npm package of one version at an upstream."""
    filename = f"{name}/-/{name}-1.0.0.tgz"
    upstream.put(f"/registry/{filename}", data)
    body = packument(name, {"1.0.0": data}, f"{upstream.url}registry/")
    upstream.put(f"/registry/{name}", body, content_type="application/json")
    return Played(f"/registry/{filename}", f"/npm/proxy/{filename}", data)


def lay_crate(upstream: Upstream, name: str, data: bytes, version: str = "1.0.0") -> Played:
    """Put a crate of one version at an upstream, with the ``config.json`` that says where archives are."""
    there = f"/crates/{name}/{version}/download"
    upstream.put(there, data)
    upstream.put(f"/index/{indexed(name)}", index_file(line(name, version, sha256(data))), content_type="text/plain")
    lay_config(upstream, f"{upstream.url}crates")
    return Played(there, f"/cargo/proxy/api/v1/crates/{name}/{version}/download", data)


def index_file(*lines: Mapping[str, Any]) -> bytes:
    """A crate's index file, with spaces as an upstream may write them."""
    return "".join(f"{json.dumps(each)}\n" for each in lines).encode()


def lay_config(upstream: Upstream, dl: str, **more: object) -> None:
    """Put the ``config.json`` of cargo's index at an upstream."""
    upstream.put("/index/config.json", json.dumps({"dl": dl, **more}).encode(), content_type="application/json")


@dataclass(frozen=True)
class Got:
    """What a client saw: status 0 when the connection ended before an answer; ``whole`` is false
    for a body that did not come to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


def get(server: Running, path: str, headers: Mapping[str, str] | None = None, *, timeout: float = 30) -> Got:
    """GET, with a broken transfer as a value."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Accept": JSON if "/simple/" in path else "*/*"} | dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        try:
            return Got(response.status, found, response.read(), True)
        except http.client.IncompleteRead as error:
            return Got(response.status, found, error.partial, False)
        except ConnectionError:
            return Got(response.status, found, b"", False)
    except (ConnectionError, http.client.HTTPException):
        return Got(0, {}, b"", False)
    finally:
        connection.close()


def get_healed(server: Running, path: str) -> Got:
    """GET until it is a 200, for as long as a breaker may need to trust the upstream again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        got = get(server, path)
        if got.status == 200 or time.monotonic() > deadline:
            return got
        time.sleep(0.3)


def rows(server: Running, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What the database says, read beside the server."""
    with closing(sqlite3.connect(server.data / "reliquary.db", timeout=10)) as connection:
        return connection.execute(query, values).fetchall()


def stored(server: Running, path: str, *, arriving: bool = True) -> str | None:
    """The blob that the proxy's row of a path names, None when it has none.

    Args:
        arriving: a client may have the last byte a moment before the row is written: wait for it.
    """
    key = path.split("/", 3)[3]
    for pause in (0.0, 0.05, 0.2, 0.5, 2.0) if arriving else (0.0,):
        time.sleep(pause)
        found = rows(
            server,
            "SELECT files.blob FROM files JOIN repositories ON repositories.id = files.repository_id"
            " WHERE files.key = ? AND repositories.name = 'proxy'",
            key,
        )
        if found and found[0][0] is not None:
            return str(found[0][0])
    return None


def blobs(data: Path) -> dict[str, int]:
    """Every blob in the store, with its size."""
    return {path.name: path.stat().st_size for path in (data / "blobs").rglob("*") if path.is_file()}


def litter(data: Path) -> list[Path]:
    """What is being written: empty when nothing is under way and nothing was left behind."""
    return [path for folder in ("tmp", "fills") for path in (data / folder).rglob("*") if path.is_file()]


def settle(data: Path) -> list[Path]:
    """What is still being written after a moment to end."""
    deadline = time.monotonic() + 5
    while (found := litter(data)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def age(data: Path, seconds: float = 60) -> None:
    """Let time pass for what lies around."""
    _age(litter(data), seconds)


def age_blobs(data: Path, seconds: float) -> None:
    """Let time pass for every blob: what no row names may be swept then."""
    _age([path for path in (data / "blobs").rglob("*") if path.is_file()], seconds)


def _age(paths: Sequence[Path], seconds: float) -> None:
    past = time.time() - seconds
    for path in paths:
        os.utime(path, (past, past))


def lose(server: Running, path: str) -> None:
    """Delete the blob of a path from the disk, behind the server's back."""
    blob = stored(server, path)
    assert blob is not None
    (server.data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob).unlink()
