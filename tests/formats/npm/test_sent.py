"""What real clients send when they publish odd packages is read, looked into and agreed on."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reliquary.formats.npm.document import split
from reliquary.formats.npm.inspect import agree, look
from tests.clients.npm.clients import CLIENTS
from tests.clients.npm.samples import Sample
from tests.clients.npm.tools import Home

pytestmark = pytest.mark.client


@dataclass
class Sink:
    """A registry that has the dependencies, not the packages, and keeps what is put into it."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)


def packument(url: str, samples: list[Sample]) -> dict[str, Any]:
    tarballs = {each.version: {"tarball": f"{url}{each.name}/-/{each.filename}"} for each in samples}
    versions = {each.version: {**each.manifest, "dist": tarballs[each.version]} for each in samples}
    return {"name": samples[0].name, "dist-tags": {"latest": samples[-1].version}, "versions": versions}


@contextmanager
def sinking() -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, _, filename = self.path.strip("/").partition("/-/")
            samples = {each.filename: each for each in (Sample(name), Sample(name, "2.0.0"))}
            if name not in DEPENDENCIES:
                self.answer(404, b'{"error": "not found"}')
            elif filename:
                self.answer(200, samples[filename].tarball)
            else:
                self.answer(200, json.dumps(packument(sink.url, list(samples.values()))).encode())

        def do_PUT(self) -> None:
            sink.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(201, b'{"ok": true, "success": true, "id": "x", "rev": "1-0"}')

        def answer(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


DEPENDENCIES = ("a", "b", "c", "d", "dep")
BASE: Mapping[str, Any] = {"version": "1.0.0", "license": "MIT", "main": "index.js"}
SCRIPTS = {"install": "node_modules/.bin/true", "postinstall": " ./node_modules/.bin/true ", "test": "true"}
PACKAGES: Mapping[str, tuple[dict[str, Any], Mapping[str, str]]] = {
    "both": ({"dependencies": {"a": "^1", "b": ">=2 <3"}, "optionalDependencies": {"b": ">=2 <3", "c": "*"}}, {}),
    "@s/only-optional": ({"optionalDependencies": {"c": "1.x"}, "peerDependencies": {"d": "*"}}, {}),
    "bundles": (
        {"dependencies": {"dep": "1.0.0"}, "bundledDependencies": ["dep"], "bin": "index.js"},
        {"node_modules/dep/package.json": '{"name":"dep","version":"1.0.0"}'},
    ),
    "scripts": ({"scripts": SCRIPTS, "bin": {"x": "./index.js"}}, {}),
    "gyp": ({}, {"binding.gyp": "{}"}),
    "gyp-left-out": ({"files": ["index.js"]}, {"binding.gyp": "{}"}),
    "gyp-refused": ({"gypfile": False}, {"binding.gyp": "{}"}),
    "git": (
        {"dependencies": {"a": "user/repo", "b": "https://github.com/user/repo#v1", "c": "git@gitlab.com:g/p.git"}},
        {},
    ),
    "odd": (
        {"engines": ["node >= 6"], "scripts": {"preinstall": ""}, "homepage": "not an address", "keywords": "a, b"},
        {"README": "plain", "readme.markdown": "# marked", "server.js": "", "AUTHORS": "Ann <ann@team.example>"},
    ),
}
UNABLE = (("yarn1", "bundles"), ("pnpm10", "bundles"), ("yarn", "git"))
"""Clients that do not bundle in such a folder, and one that asks the git host before it publishes."""

SENDING = [(client, name) for client in CLIENTS for name in PACKAGES if (client, name) not in UNABLE]
VERSIONS = {"git": "v1.0.0", "both": "=1.0.0", "odd": "1.0.0+build.5"}


def lay(folder: Path, name: str, version: str) -> None:
    manifest, files = PACKAGES[name]
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, **BASE, "version": version, **manifest}))
    for path, text in {"index.js": "#!/usr/bin/env node\n", "README.md": f"# {name}\n", **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def read(body: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    taken: dict[str, bytes] = {}

    async def take(filename: str, data: AsyncIterator[bytes]) -> None:
        taken[filename] = b"".join([chunk async for chunk in data])

    return asyncio.run(split(chunks(), take)), taken


def published(client: str, name: str, place: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest and the tarball that a client sends of a package."""
    with sinking() as sink:
        made = CLIENTS[client](Home(place / "home"), sink.url, "token")
        version = VERSIONS.get(name, "1.0.0") if client in ("npm", "npm11") else "1.0.0"
        lay(place / "package", name, version)
        for path, text in made.local().items():
            (place / "package" / path).write_text(text)
        made.prepare(place / "package")
        extra = ["--new-version", "1.0.0"] if client == "yarn1" else []
        ran = made.run(*made.upload, *extra, "--access", "public", cwd=place / "package")
        assert len(sink.bodies) == 1, ran.output
    document, taken = read(sink.bodies[0])
    ((version, manifest),) = document["versions"].items()
    ((_, tarball),) = taken.items()
    return manifest, tarball


def check(client: str, name: str, place: Path) -> None:
    manifest, data = published(client, name, place)
    tarball = look(io.BytesIO(data))
    agree(manifest, tarball)
    assert (tarball.name, tarball.version) == (name, "1.0.0")
    assert tarball.has_install_script is (name in ("scripts", "gyp"))
    assert tarball.readme == f"# {name}\n"


@pytest.mark.parametrize("name", ["both", "scripts", "gyp-left-out", "git"])
def test_npm(name: str, tmp_path: Path) -> None:
    check("npm", name, tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize(("client", "name"), SENDING)
def test_every_client(client: str, name: str, tmp_path: Path) -> None:
    check(client, name, tmp_path)
