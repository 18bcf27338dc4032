"""Every request asks the one authorizer, with the very object that is served."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from reliquary.access.may import Access
from reliquary.app import App, World
from reliquary.cli import init
from reliquary.formats.base import Call, Format
from reliquary.settings import load
from reliquary.types import Action, Actor, RepositorySpec
from tests.contracts.requests import NONE, WHEEL, archive, boxed, built, indexed, packed
from tests.formats.cargo.artefacts import body as framed
from tests.formats.cargo.artefacts import crate, told, toml
from tests.formats.npm.artefacts import document, published
from tests.running import basic

pytestmark = pytest.mark.anyio
Asked = tuple[Action, str, str | None]
DIGEST = hashlib.sha256(archive("demo")).hexdigest()
WHEEL_DIGEST = hashlib.sha256(built("demo")).hexdigest()
SDIST = f"files/demo/{DIGEST}/demo-1.0.tar.gz"
SIDECAR = f"files/demo/{WHEEL_DIGEST}/{WHEEL}.metadata"
UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n'
    b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\ndemo\r\n--b--\r\n'
)
CALL = b"<methodCall><methodName>changelog_last_serial</methodName></methodCall>"


READABLE = crate("demo", manifest=toml("demo", "1.0.0", readme="README.md"), files={"README.md": b"# demo"})


class Recorder(Access):
    """The authorizer, remembering what it was asked."""

    asked: list[Asked]

    def require(self, actor: Actor, action: Action, repository: RepositorySpec, package: str | None = None) -> None:
        self.asked.append((action, repository.name, package))
        super().require(actor, action, repository, package)


class Client:
    """Speaks ASGI to an application in this process."""

    def __init__(self, app: App, world: World, recorder: Recorder, token: str) -> None:
        self._app = app
        self.world = world
        self.recorder = recorder
        self._token = token

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, list[Asked]]:
        """Status, and what the authorizer was asked meanwhile."""
        headers = [(b"host", b"127.0.0.1"), (b"authorization", basic("__token__", self._token).encode())]
        headers += [(b"content-length", str(len(body)).encode()), (b"content-type", kind.encode())]
        raw, _, query = path.partition("?")
        scope: dict[str, Any] = {"type": "http", "method": method, "path": raw, "raw_path": raw.encode()}
        scope |= {"query_string": query.encode(), "headers": headers, "root_path": "", "client": ("127.0.0.1", 1)}
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        self.recorder.asked = []
        await self._app(scope, receive, send)
        return int(sent[0]["status"]), self.recorder.asked


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Client]:
    (folder / "settings.toml").write_text(NONE)
    settings = load(folder / "settings.toml", {}, data=folder / "var")
    await init.prepare(settings, {})
    app = App(settings)
    await app.start()
    try:
        world = app.live.world
        recorder = Recorder(await world.context.catalog.accounts.snapshot(), world.state.specs())
        world.state.access = recorder
        client = Client(app, world, recorder, (folder / "var" / "admin.token").read_text().strip())
        for path, body in ((WHEEL, built("demo")), ("demo-1.0.tar.gz", archive("demo"))):
            assert (await client.ask("PUT", f"/pypi/local/{path}", body))[0] == 201
        assert (await client.ask("PUT", "/generic/local/near/x.bin", b"x"))[0] == 201
        assert (await client.ask("PUT", "/npm/local/demo-1.0.0.tgz", packed("demo")))[0] == 201
        assert (await client.ask("PUT", "/cargo/local/demo-1.0.0.crate", READABLE))[0] == 201
        yield client
    finally:
        await app.stop()


PAGES = [
    "/pypi/{}/simple/",
    "/pypi/{}/simple/demo/",
    "/pypi/{}/simple",
    "/generic/{}/",
    "/generic/{}/near/",
    "/npm/{}/demo",
    f"/cargo/{{}}/{indexed('demo')}",
]
FILES = [
    (f"/pypi/{{}}/{SDIST}", "demo"),
    (f"/pypi/{{}}/{SIDECAR}", "demo"),
    ("/generic/{}/near/x.bin", "near/x.bin"),
    ("/npm/{}/demo/-/demo-1.0.0.tgz", "demo"),
    ("/cargo/{}/api/v1/crates/demo/1.0.0/download", "demo"),
    ("/cargo/{}/api/v1/crates/demo/1.0.0/readme", "demo"),
]
DUMP = b'{"demo": ["1.0.0"]}'
QUERIES = [
    ("/pypi/{}/", "GET", "pypi/demo/json", b"", "demo", 200),
    ("/pypi/{}/", "GET", "pypi/demo/1.0/json", b"", "demo", 200),
    ("/pypi/{}/", "GET", "packages/source/d/demo/demo-1.0.tar.gz", b"", "demo", 302),
    ("/pypi/{}/", "GET", "integrity/demo/1.0/demo-1.0.tar.gz/provenance", b"", "demo", 404),
    ("/pypi/{}/", "POST", "pypi", CALL, None, 200),
    ("/npm/{}/", "GET", "", b"", None, 200),
    ("/npm/{}/", "GET", "demo?write=true", b"", "demo", 200),
    ("/npm/{}/", "GET", "demo/1.0.0", b"", "demo", 200),
    ("/npm/{}/", "GET", "-/package/demo/dist-tags", b"", "demo", 200),
    ("/npm/{}/", "GET", "-/package/demo/collaborators", b"", "demo", 200),
    ("/npm/{}/", "GET", "-/package/demo/visibility", b"", "demo", 200),
    ("/npm/{}/", "GET", "-/v1/search?text=demo", b"", None, 200),
    ("/npm/{}/", "GET", "-/npm/v1/keys", b"", None, 200),
    ("/npm/{}/", "POST", "-/npm/v1/security/advisories/bulk", DUMP, None, 200),
    ("/npm/{}/", "POST", "-/npm/v1/security/audits", DUMP, None, 200),
    ("/cargo/{}/", "GET", "", b"", None, 200),
    ("/cargo/{}/", "GET", "config.json", b"", None, 200),
    ("/cargo/{}/", "GET", "api/v1/crates?q=demo", b"", None, 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/versions", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/downloads", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/reverse_dependencies", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/owners", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/owner_user", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/owner_team", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/1.0.0", b"", "demo", 200),
    ("/cargo/{}/", "GET", "api/v1/crates/demo/1.0.0/dependencies", b"", "demo", 200),
]
OWNERS = b'{"_id": "demo", "maintainers": [{"name": "ann"}]}'
OPEN = ["-/ping", "-/whoami", "-/npm/v1/user", "-/npm/v1/tokens", "-/user/org.couchdb.user:admin", "-/v1/done/x"]
"""Questions about the asker's account, which need no right to what is in a repository."""
NEW = framed(told("demo", "2.0.0"), boxed("demo", "2.0.0"))
DEPRECATED = json.dumps(
    {"name": "demo", "versions": {"1.0.0": {**document()["versions"]["1.0.0"], "deprecated": "old"}}}
).encode()
VERBS = [
    ("/pypi/{}/", "POST", "", UPLOAD, Action.PUBLISH, "demo", 400),
    ("/pypi/{}/", "POST", "legacy/", UPLOAD, Action.PUBLISH, "demo", 400),
    ("/pypi/{}/", "PUT", "demo-2.0.tar.gz", archive("demo", "2.0"), Action.PUBLISH, "demo", 201),
    ("/pypi/{}/", "PUT", "manage/demo/status", b'{"status": "active"}', Action.ADMIN, "demo", 204),
    ("/pypi/{}/", "PUT", "manage/demo/1.0/yank", b"", Action.DELETE, "demo", 200),
    ("/pypi/{}/", "DELETE", "manage/demo/1.0/yank", b"", Action.DELETE, "demo", 200),
    ("/pypi/{}/", "DELETE", SDIST, b"", Action.DELETE, "demo", 204),
    ("/pypi/{}/", "DELETE", "manage/demo/1.0", b"", Action.DELETE, "demo", 204),
    ("/npm/{}/", "PUT", "demo", published("demo", "2.0.0"), Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "PUT", "demo-3.0.0.tgz", packed("demo", "3.0.0"), Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "PUT", "demo", DEPRECATED, Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "PUT", "demo/-rev/1-x", OWNERS, Action.PUBLISH, "demo", 409),
    ("/npm/{}/", "PUT", "-/package/demo/owners", b'{"user": "ann"}', Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "DELETE", "-/package/demo/owners/ann", b"", Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "PUT", "manage/demo/1.0.0/yank", b"old", Action.PUBLISH, "demo", 204),
    ("/npm/{}/", "DELETE", "manage/demo/1.0.0/yank", b"", Action.PUBLISH, "demo", 204),
    ("/npm/{}/", "PUT", "demo/next", b'"1.0.0"', Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "PUT", "-/package/demo/dist-tags/more", b'"1.0.0"', Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "PUT", "-/package/demo/dist-tags", b'{"next": "1.0.0"}', Action.PUBLISH, "demo", 201),
    ("/npm/{}/", "DELETE", "-/package/demo/dist-tags/next", b"", Action.PUBLISH, "demo", 200),
    ("/npm/{}/", "POST", "-/package/demo/access", b"{}", Action.ADMIN, "demo", 403),
    ("/npm/{}/", "DELETE", "demo/-/demo-2.0.0.tgz/-rev/1-x", b"", Action.DELETE, "demo", 200),
    ("/npm/{}/", "DELETE", "manage/demo/3.0.0", b"", Action.DELETE, "demo", 204),
    ("/npm/{}/", "DELETE", "demo/-rev/1-x", b"", Action.DELETE, "demo", 200),
    ("/cargo/{}/", "PUT", "api/v1/crates/new", NEW, Action.PUBLISH, "demo", 200),
    ("/cargo/{}/", "PUT", "demo-3.0.0.crate", boxed("demo", "3.0.0"), Action.PUBLISH, "demo", 201),
    ("/cargo/{}/", "DELETE", "api/v1/crates/demo/1.0.0/yank", b"", Action.PUBLISH, "demo", 200),
    ("/cargo/{}/", "PUT", "api/v1/crates/demo/1.0.0/unyank", b"", Action.PUBLISH, "demo", 200),
    ("/cargo/{}/", "PUT", "api/v1/crates/demo/owners", b'{"users": ["admin"]}', Action.PUBLISH, "demo", 200),
    ("/cargo/{}/", "DELETE", "api/v1/crates/demo/owners", b'{"users": ["ann"]}', Action.PUBLISH, "demo", 404),
    ("/cargo/{}/", "PUT", "manage/demo/2.0.0/yank", b"old", Action.PUBLISH, "demo", 200),
    ("/cargo/{}/", "DELETE", "manage/demo/2.0.0/yank", b"", Action.PUBLISH, "demo", 200),
    ("/cargo/{}/", "DELETE", "manage/demo/2.0.0", b"", Action.DELETE, "demo", 204),
    ("/generic/{}/", "PUT", "near/y.bin", b"y", Action.PUBLISH, "near/y.bin", 201),
    ("/generic/{}/", "DELETE", "near/x.bin", b"", Action.DELETE, "near/x.bin", 204),
]


async def test_line_2_reads_ask_with_what_is_served(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for name in ("local", "main"):
            for path in PAGES:
                status, asked = await client.ask("GET", path.format(name))
                assert status in (200, 301)
                assert (Action.READ, name, None) in asked, path
            for path, package in FILES:
                for method in ("GET", "HEAD"):
                    status, asked = await client.ask(method, path.format(name))
                    assert status == 200
                    assert asked == [(Action.READ, name, None), (Action.READ, "local", package)], path


async def test_line_2_queries_ask_for_the_group_and_the_owner(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for name in ("local", "main"):
            for root, method, path, body, package, wanted in QUERIES:
                status, asked = await client.ask(method, root.format(name) + path, body)
                assert status == wanted, path
                assert (Action.READ, name, package) in asked, path
                assert (Action.READ, "local", package or "") in asked, path


async def test_questions_about_an_account_ask_for_nothing_here(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for path in OPEN:
            status, asked = await client.ask("GET", f"/npm/local/{path}")
            assert status in (200, 404), path
            assert set(asked) <= {(Action.READ, "local", None)}, path
        for method, path in CARGO_ACCOUNTS:
            status, asked = await client.ask(method, f"/cargo/local/{path}")
            assert status < 500, path
            assert set(asked) <= {(Action.READ, "local", None)}, path


@pytest.mark.parametrize("name", ["local", "main"])
async def test_line_2_verbs_ask_for_the_group_and_the_owner(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path) as client:
        for root, method, path, body, action, package, wanted in VERBS:
            status, asked = await client.ask(method, root.format(name) + path, body, "multipart/form-data; boundary=b")
            assert status == wanted, path
            assert (action, name, package) in asked, path
            assert (action, "local", package) in asked, path
            assert {each[0] for each in asked} <= {action, Action.READ}


ACCOUNTS = [
    *(("GET", path) for path in OPEN),
    ("PUT", "-/user/org.couchdb.user:admin"),
    ("DELETE", "-/user/token/x"),
    ("POST", "-/npm/v1/user"),
    ("POST", "-/npm/v1/tokens"),
    ("DELETE", "-/npm/v1/tokens/token/x"),
    ("POST", "-/v1/login"),
]
"""Calls of npm that are about the asker; what they do is tested in tests/formats/npm/test_accounts.py."""
CARGO_ACCOUNTS = [
    ("GET", "me"),
    ("POST", "me"),
    ("PUT", "api/v1/trusted_publishing/tokens"),
    ("DELETE", "api/v1/trusted_publishing/tokens"),
]
"""The same of cargo, in tests/formats/cargo/test_login.py."""


def _match(format: Format, method: str, address: str) -> object:
    path, _, query = address.partition("?")
    return format.match(method, tuple(path.split("/")) if path else (), dict(parse_qsl(query)))


async def test_every_call_of_a_format_is_among_the_samples(tmp_path: Path) -> None:
    """A new verb or query fails here until it is sampled above."""
    from reliquary.formats import cargo, generic, npm, pypi
    from reliquary.formats.cargo import change as cargo_change
    from reliquary.formats.cargo import config, login, owners
    from reliquary.formats.cargo import publish as cargo_publish
    from reliquary.formats.cargo import search as cargo_search
    from reliquary.formats.cargo import views as cargo_views
    from reliquary.formats.npm import accounts, audit, change, publish, search, signatures, tags, views

    asked = [(root, method, path) for root, method, path, *_ in VERBS]
    asked += [(root, method, path) for root, method, path, *_ in QUERIES]
    asked += [("/npm/{}/", method, path) for method, path in ACCOUNTS]
    asked += [("/cargo/{}/", method, path) for method, path in CARGO_ACCOUNTS]
    seen = {
        match.run
        for format in (pypi.FORMAT, generic.FORMAT, npm.FORMAT, cargo.FORMAT)
        for root, method, path in asked
        if root.startswith(f"/{format.name}/") and isinstance(match := _match(format, method, path), Call)
    }
    modules = [pypi.legacy, pypi.manage, pypi.publish, pypi.rpc, generic.verbs]
    modules += [accounts, audit, change, publish, search, signatures, tags, views]
    modules += [cargo_change, config, login, owners, cargo_publish, cargo_search, cargo_views]
    known = {
        value
        for module in modules
        for word, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and getattr(value, "__annotations__", {}) == {"incoming": "Incoming", "shelf": "Shelf", "return": "Reply"}
        and not word.startswith("_")
    }
    assert known
    assert known - seen == set()
