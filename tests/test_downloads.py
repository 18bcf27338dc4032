"""Downloads are counted: once for each client that took a file, at the repository whose file it is."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from reliquary.app import World, flush, open_world
from reliquary.cli import init
from reliquary.formats.base import Call
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.settings import Settings
from reliquary.types import Action, RepositorySpec
from tests.catalog.build import new_file, touched
from tests.faults.forks import Forks
from tests.faults.playground import lay_plain, lay_wheel, noise, settings, sha256, wheel_name
from tests.formats.pypi.artefacts import wheel
from tests.running import Running, running, start
from tests.test_workers import Line, workers
from tests.upstreams import playing

NONE = 'upstreams = { pypi = "none", npm = "none" }\n'
WHEEL = wheel_name("demo")
WAYS = ("ready", "small", "streamed")
"""How an answer is made: found by the request's bytes, from a body in memory, from a file."""


def counts(data: Path) -> dict[tuple[str, str], int]:
    """What a server that has stopped left: downloads of each file that was downloaded, by repository and file name."""
    query = (
        "SELECT repositories.name, files.filename, files.downloads FROM files"
        " JOIN repositories ON repositories.id = files.repository_id WHERE files.downloads != 0"
    )
    with closing(sqlite3.connect(data / "reliquary.db")) as connection:
        return {(name, filename): number for name, filename, number in connection.execute(query)}


def put(server: Running, path: str, body: bytes) -> None:
    assert server.put(path, body).status == 201
    time.sleep(1.1)  # within the second of a change no answer is kept ready


def lay(server: Running, way: str) -> tuple[str, str, bytes]:
    """Publish a file that is answered in this way: its path with a place for the repository, its name, its bytes."""
    if way == "ready":
        body = wheel("demo", "1.0")
        put(server, f"/pypi/local/{WHEEL}", body)
        return f"/pypi/{{}}/files/demo/{sha256(body)}/{WHEEL}", WHEEL, body
    body = noise(1_000_000 if way == "streamed" else 1000)
    put(server, "/generic/local/pkg/a.bin", body)
    return "/generic/{}/pkg/a.bin", "a.bin", body


@pytest.mark.parametrize("way", WAYS)
def test_a_burst_is_counted_whole_at_the_member(tmp_path: Path, way: str) -> None:
    with running(tmp_path / "var", config=NONE) as server:
        path, filename, body = lay(server, way)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for number in range(50):
            connection.request("GET", path.format("main" if number % 2 else "local"))
            response = connection.getresponse()
            assert (response.status, response.read() == body) == (200, True)
        connection.close()
    assert counts(tmp_path / "var") == {("local", filename): 50}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_download_is_not_counted(tmp_path: Path, way: str) -> None:
    with running(tmp_path / "var", config=NONE) as server:
        places, filename, body = lay(server, way)
        path, size = places.format("main"), len(body)
        etag = server.ask(path).header("etag") or ""  # 1: the whole
        for _ in range(2):
            assert server.ask(path, headers={"If-None-Match": etag}).status == 304
            assert server.ask(path, headers={"If-None-Match": etag, "X-Unknown": "1"}).status == 304
            assert server.ask(path, method="HEAD").status == 200
            assert server.ask(path, headers={"Range": "bytes=10-19"}).body == body[10:20]
            assert server.ask(path, headers={"Range": "bytes=-5"}).body == body[-5:]
            assert server.ask(path, headers={"Range": f"bytes={size}-"}).status == 416
            assert server.ask(path, headers={"If-Match": '"other"'}).status == 412
        assert server.ask(path, headers={"Range": "bytes=0-9"}).status == 206  # 2: the first range
        assert server.ask(path, headers={"If-None-Match": '"other"'}).status == 200  # 3: the whole
        assert server.ask(path + "x").status == 404
        assert server.ask("/pypi/main/simple/").status == 200
    assert counts(tmp_path / "var") == {("local", filename): 3}


def test_a_client_that_leaves_and_comes_back_is_one_download(tmp_path: Path) -> None:
    body = noise(20_000_000)
    with running(tmp_path / "var", config=NONE) as server:
        put(server, "/generic/local/pkg/a.bin", body)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(b"GET /generic/main/pkg/a.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(100)
            time.sleep(0.3)
        rest = server.ask("/generic/main/pkg/a.bin", headers={"Range": "bytes=100-"})
        assert (rest.status, rest.body == body[100:]) == (206, True)
    assert counts(tmp_path / "var") == {("local", "a.bin"): 1}


def test_the_first_download_of_a_proxied_file_counts_too(tmp_path: Path) -> None:
    with playing() as upstream:
        demo = lay_wheel(upstream, "demo", noise(3000))
        plain, wrong = lay_plain(upstream, "plain", noise(300_000)), lay_wheel(upstream, "wrong", noise(3000, "w"))
        upstream.put(wrong.there, noise(3000, "other"))
        with running(tmp_path / "var", config=settings(upstream)) as server:
            for path in (demo.here, demo.here.replace("/proxy/", "/all/"), plain.here, plain.here, plain.here):
                assert server.ask(path).status == 200
            with pytest.raises(http.client.IncompleteRead):
                server.ask(wrong.here)
    assert counts(tmp_path / "var") == {("proxy", WHEEL): 2, ("proxy", "plain.bin"): 3}


def test_two_workers_add_up(tmp_path: Path) -> None:
    with Forks() as forks, ExitStack() as stack:
        server = start(tmp_path / "var", config="workers = 2\n" + NONE, by=forks.spawn)
        stack.callback(server.stop)
        put(server, "/generic/local/pkg/a.bin", b"12345")
        lines = [stack.enter_context(closing(Line(server, pid))) for pid in workers(server)]
        for line, times in zip(lines, (20, 30), strict=True):
            for _ in range(times):
                assert line.ask("/generic/main/pkg/a.bin") == (200, b"12345")
        server.stop()
        assert counts(tmp_path / "var") == {("local", "a.bin"): 50}


def test_the_api_tells_counts_of_the_file_that_is_shown(tmp_path: Path) -> None:
    text = NONE + "\n".join(
        f'[[repositories]]\nformat = "generic"\nname = "{name}"\nkind = "{kind}"\n{more}'
        for name, kind, more in (("second", "hosted", ""), ("both", "group", 'members = ["local", "second"]\n'))
    )
    with running(tmp_path / "var", config=text) as server:
        for name in ("local", "second"):
            put(server, f"/generic/{name}/pkg/a.bin", name.encode())
        for path in ("both", "both", "local", "second"):
            assert server.ask(f"/generic/{path}/pkg/a.bin").status == 200
    with running(tmp_path / "var", config=text) as server:
        for repository, count in (("both", 3), ("local", 3), ("second", 1)):
            shown = server.ask(f"/api/v1/repositories/generic/{repository}/packages/pkg/a.bin")
            [version] = json.loads(shown.body)["versions"]
            assert [file["downloads"] for file in version["files"]] == [count]


# What formats are told


async def never(_: Incoming, __: Shelf) -> Reply:
    raise AssertionError("it is not called here")


async def permit(_: RepositorySpec, __: Action, ___: str) -> None:
    """Everybody may."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two hosted repositories and a cache, and groups of them."""
    declared = [
        {"format": "pypi", "name": "second", "kind": "hosted"},
        {"format": "pypi", "name": "cache", "kind": "proxy", "upstream": "none"},
        {"format": "pypi", "name": "inner", "kind": "group", "members": ["second", "cache"]},
        {"format": "pypi", "name": "all", "kind": "group", "members": ["local", "inner"]},
        {
            "format": "pypi",
            "name": "denied",
            "kind": "group",
            "members": ["inner"],
            "rules": [{"verdict": "deny", "pattern": "demo*"}],
        },
    ]
    given = Settings.model_validate(
        {"data": tmp_path / "var", "upstreams": {"pypi": "none"}, "reserve": 0, "repositories": declared}
    )
    await init.prepare(given, {})
    opened = await open_world(given)
    yield opened
    await opened.close()


async def told(world: World, repository: str, name: str, *, about: str | None) -> dict[str, int]:
    found = world.state.estate.get("pypi", repository)
    assert found is not None
    shelf = await found.shelf(None, permit, Call(Action.READ, never, name=about))
    return dict(await shelf.downloads(name))


@pytest.mark.anyio
@pytest.mark.parametrize("about", ["demo-x", None])
async def test_shelves_add_up_what_members_answer_for(world: World, about: str | None) -> None:
    ids = {spec.name: spec.id for spec in world.state.specs() if spec.format == "pypi"}
    catalog, names = world.context.catalog, ("local", "second", "cache")
    for name in names:
        for key in ("one", "two"):
            file = new_file(f"{key}.whl", "demo-x", key=key, content=key)
            await catalog.files.add(ids[name], [file], touched=touched("demo-x"))
    for times, name in enumerate(names, 1):
        for _ in range(times):
            world.context.downloaded(ids[name], "one")
    world.context.downloaded(ids["second"], "two")
    assert await told(world, "local", "Demo.X", about=about) == {}
    await flush(world.context)
    assert world.context.downloads == {}
    assert await told(world, "local", "Demo.X", about=about) == {"one": 1}
    assert await told(world, "cache", "Demo_X", about=about) == {"one": 3}
    # Whose name it is answers for it: the cache's file is not given here.
    assert await told(world, "inner", "demo-x", about=about) == {"one": 2, "two": 1}
    assert await told(world, "all", "demo-x", about=about) == {"one": 3, "two": 1}
    if about is None:
        assert await told(world, "denied", "demo-x", about=None) == {}
    await flush(world.context)
    assert await told(world, "all", "demo-x", about=about) == {"one": 3, "two": 1}


@pytest.mark.anyio
async def test_a_count_that_could_not_be_written_is_written_later(world: World) -> None:
    local = next(spec.id for spec in world.state.specs() if spec.title == "pypi/local")
    catalog = world.context.catalog
    await catalog.files.add(local, [new_file("one.whl", "demo", key="one", content="x")], touched=touched("demo"))
    world.context.downloaded(local, "one")
    with closing(sqlite3.connect(world.settings.data / "reliquary.db")) as connection:
        connection.execute("ALTER TABLE files RENAME TO away")
        connection.commit()
        with pytest.raises(Exception, match="files"):
            await flush(world.context)
        connection.execute("ALTER TABLE away RENAME TO files")
        connection.commit()
    world.context.downloaded(local, "one")
    await flush(world.context)
    assert await catalog.files.downloads(local, "demo") == {"one": 2}
