"""Every request asks the one authorizer, with the very object that is served."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reliquary.access.may import Access
from reliquary.app import App, World
from reliquary.cli import init
from reliquary.settings import load
from reliquary.types import Action, Actor, RepositorySpec
from tests.contracts.requests import NONE, WHEEL, archive, built
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
        yield client
    finally:
        await app.stop()


PAGES = ["/pypi/{}/simple/", "/pypi/{}/simple/demo/", "/pypi/{}/simple", "/generic/{}/", "/generic/{}/near/"]
FILES = [(f"/pypi/{{}}/{SDIST}", "demo"), (f"/pypi/{{}}/{SIDECAR}", "demo"), ("/generic/{}/near/x.bin", "near/x.bin")]
QUERIES = [
    ("GET", "pypi/demo/json", b"", "demo", 200),
    ("GET", "pypi/demo/1.0/json", b"", "demo", 200),
    ("GET", "packages/source/d/demo/demo-1.0.tar.gz", b"", "demo", 302),
    ("GET", "integrity/demo/1.0/demo-1.0.tar.gz/provenance", b"", "demo", 404),
    ("POST", "pypi", CALL, None, 200),
]
VERBS = [
    ("/pypi/{}/", "POST", "", UPLOAD, Action.PUBLISH, "demo", 400),
    ("/pypi/{}/", "POST", "legacy/", UPLOAD, Action.PUBLISH, "demo", 400),
    ("/pypi/{}/", "PUT", "demo-2.0.tar.gz", archive("demo", "2.0"), Action.PUBLISH, "demo", 201),
    ("/pypi/{}/", "PUT", "manage/demo/status", b'{"status": "active"}', Action.ADMIN, "demo", 204),
    ("/pypi/{}/", "PUT", "manage/demo/1.0/yank", b"", Action.DELETE, "demo", 200),
    ("/pypi/{}/", "DELETE", "manage/demo/1.0/yank", b"", Action.DELETE, "demo", 200),
    ("/pypi/{}/", "DELETE", SDIST, b"", Action.DELETE, "demo", 204),
    ("/pypi/{}/", "DELETE", "manage/demo/1.0", b"", Action.DELETE, "demo", 204),
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
            for method, path, body, package, wanted in QUERIES:
                status, asked = await client.ask(method, f"/pypi/{name}/{path}", body)
                assert status == wanted, path
                assert (Action.READ, name, package) in asked, path
                assert (Action.READ, "local", package or "") in asked, path


@pytest.mark.parametrize("name", ["local", "main"])
async def test_line_2_verbs_ask_for_the_group_and_the_owner(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path) as client:
        for root, method, path, body, action, package, wanted in VERBS:
            status, asked = await client.ask(method, root.format(name) + path, body, "multipart/form-data; boundary=b")
            assert status == wanted, path
            assert (action, name, package) in asked, path
            assert (action, "local", package) in asked, path
            assert {each[0] for each in asked} <= {action, Action.READ}


async def test_every_call_of_a_format_is_among_the_samples(tmp_path: Path) -> None:
    """A new verb or query fails here until it is sampled above."""
    from reliquary.formats import generic, pypi
    from reliquary.formats.base import Call

    seen = {
        match.run
        for format, root in ((pypi.FORMAT, "/pypi/{}/"), (generic.FORMAT, "/generic/{}/"))
        for method, path in [
            *((each[1], each[2]) for each in VERBS if each[0] == root),
            *((each[0], each[1]) for each in QUERIES if root == "/pypi/{}/"),
        ]
        if isinstance(match := format.match(method, tuple(path.split("/")) if path else (), {}), Call)
    }
    modules = (pypi.legacy, pypi.manage, pypi.publish, pypi.rpc, generic.verbs)
    known = {
        value
        for module in modules
        for word, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and list(getattr(value, "__annotations__", {})) == ["incoming", "shelf", "return"]
        and not word.startswith("_")
    }
    assert known
    assert known - seen == set()
