"""Upstreams as people write them down, and indexes as other servers lay them out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.playground import FRESH, get, noise, settings, sha256, stored, wheel_name
from tests.formats.pypi.artefacts import metadata, wheel
from tests.formats.pypi.proxying import page, the_file
from tests.running import Running, running
from tests.upstreams import Upstream, playing

DATA = wheel("demo", members={"data.bin": noise(500)})
FILE = wheel_name("demo")
HASH = f"#sha256={sha256(DATA)}"


def html(*links: str, head: str = "") -> bytes:
    """A project's page as static servers have it."""
    return (
        f"<!DOCTYPE html><html><head>{head}<title>Links for demo</title></head><body>{''.join(links)}</body>".encode()
    )


def link(href: str, text: str = FILE, **attributes: str) -> str:
    """An anchor."""
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<a href="{href}"{more}>{text}</a><br/>'


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


LAYOUTS = {
    # the address written down: (where the page lies, the link on it, where the file lies)
    "simple/": ("/simple/demo/", "../../packages/" + FILE, "/packages/" + FILE),
    "simple": ("/simple/demo/", "../../packages/" + FILE, "/packages/" + FILE),
    "": ("/simple/demo/", "/packages/" + FILE, "/packages/" + FILE),
    "pypi": ("/simple/demo/", "/packages/" + FILE, "/packages/" + FILE),
    "pypi/team": ("/pypi/team/simple/demo/", "../../files/" + FILE, "/pypi/team/files/" + FILE),
    "whl/cu128": ("/whl/cu128/demo/", "/whl/cu128/" + FILE, "/whl/cu128/" + FILE),
    "root/index/+simple/": ("/root/index/+simple/demo/", "../../+f/abc/" + FILE, "/root/index/+f/abc/" + FILE),
    "api/pypi/all/simple": ("/api/pypi/all/simple/demo/", "../../x/y/../" + FILE, "/api/pypi/all/x/" + FILE),
}


def test_roots_and_their_links(upstream: Upstream, tmp_path: Path) -> None:
    config = settings(upstream)
    for number, (index, (where, href, file)) in enumerate(LAYOUTS.items()):
        upstream.put(where, html(link(href + HASH)), content_type="text/html")
        upstream.put(file, DATA)
        config += f'[[repositories]]\nformat = "pypi"\nname = "r{number}"\nkind = "proxy"\n'
        config += f'upstream = "{upstream.url}{index}"\n'
    with running(tmp_path / "var", config=config) as server:
        for number, (index, (where, _, file)) in enumerate(LAYOUTS.items()):
            upstream.put(where, html(link(LAYOUTS[index][1] + HASH)), content_type="text/html")
            upstream.forget()
            row = the_file(server, "demo", f"r{number}")
            assert row["url"] == f"../../files/demo/{sha256(DATA)}/{FILE}", index
            assert get(server, row["path"]).body == DATA, index
            assert [request.path for request in upstream.requests] == [where, file], index


@pytest.fixture(scope="module")
def shared() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(shared: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("roots") / "var", config=settings(shared, FRESH)) as server:
        yield server


def lay(upstream: Upstream, name: str, body: bytes, content_type: str = "text/html") -> None:
    upstream.put(f"/simple/{name}/", body, content_type=content_type)


def test_a_base_element_moves_relative_links(server: Running, shared: Upstream) -> None:
    lay(shared, "based", html(link("f/based-1.0-py3-none-any.whl"), head='<base href="/other/place/">'))
    shared.put("/other/place/f/based-1.0-py3-none-any.whl", DATA)
    assert get(server, the_file(server, "based")["path"]).body == DATA


def test_files_on_another_host_are_fetched_there_without_our_credentials(shared: Upstream, tmp_path: Path) -> None:
    with playing() as files:
        there = files.put("/f/" + FILE, DATA)
        lay(shared, "demo", html(link(there + HASH)))
        config = settings(shared).replace(
            f'upstream = "{shared.url}simple/"',
            f'upstream = {{ url = "{shared.url}simple/", username = "us", password = "secret-word" }}',
        )
        shared.forget()
        with running(tmp_path / "var", config=config) as server:
            assert get(server, the_file(server, "demo")["path"]).body == DATA
            assert b"secret-word" not in server.log.read_bytes()
        assert [request.headers.get("authorization") for request in files.requests] == [None]
        assert all("authorization" in request.headers for request in shared.requests)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream", ""])
def test_a_wrong_content_type_is_seen_through(server: Running, shared: Upstream, kind: str) -> None:
    name = f"typed-{kind.partition('/')[2] or 'none'}"
    body = html(link(f"{wheel_name(name)}#sha256={'b' * 64}", wheel_name(name)))
    lay(shared, name, body, content_type=kind)
    got = get(server, f"/pypi/proxy/simple/{name}/")
    assert got.status in (200, 503)
    if kind != "text/plain":
        assert got.status == 200


def test_an_html_index_says_1_0_until_sizes_are_known(server: Running, shared: Upstream) -> None:
    raw = metadata("bare", extra="Requires-Python: >=3.8\n")
    data = wheel("bare", meta=raw)
    files = [f"bare-{version}-py3-none-any.whl" for version in ("1.0", "2.0")]
    lay(shared, "bare", html(*(link(f"/w/{name}", name) for name in files)))
    shared.put(f"/w/{files[0]}", data)
    shared.forget()
    first = page(server, "bare")
    assert first["meta"]["api-version"] == "1.0" and "versions" not in first
    assert all("size" not in file and "upload-time" not in file for file in first["files"])
    assert all(file["hashes"] == {} for file in first["files"])
    assert shared.hits() == 1, "not one request for a file"
    address = first["files"][0]["url"].removeprefix("../../")
    assert "/u-" in address
    got = get(server, f"/pypi/proxy/{address}")
    assert got.body == data
    assert stored(server, f"/pypi/proxy/{address}")
    for _ in range(2):
        one, other = page(server, "bare")["files"]
        assert one["url"] == first["files"][0]["url"], "an address stays what it was"
        assert (one["size"], one["hashes"]) == (len(data), {"sha256": sha256(data)})
        assert one["core-metadata"] == {"sha256": sha256(raw)} and one["requires-python"] == ">=3.8"
        assert "size" not in other
    again = get(server, f"/pypi/proxy/{address}")
    assert (again.body, again.headers["etag"]) == (data, got.headers["etag"])


def test_md5_alone_is_checked(server: Running, shared: Upstream) -> None:
    name, good = "old-hash", noise(3000, "md5")
    md5 = hashlib.md5(good).hexdigest()
    lay(shared, name, html(link(f"/w/{wheel_name(name)}#md5={md5}", wheel_name(name))))
    shared.put(f"/w/{wheel_name(name)}", good)
    row = the_file(server, name)
    assert row["hashes"] == {"md5": md5}
    assert get(server, row["path"]).body == good
    deadline = time.monotonic() + 5  # a client may have the last byte a moment before the row is written
    while the_file(server, name)["hashes"] != {"sha256": sha256(good)}:
        assert time.monotonic() < deadline
    lay(shared, "old-lie", html(link(f"/w/{wheel_name('old-lie')}#md5={'0' * 32}", wheel_name("old-lie"))))
    shared.put(f"/w/{wheel_name('old-lie')}", good)
    path = the_file(server, "old-lie")["path"]
    assert not get(server, path).whole
    assert get(server, path).status == 503


def test_new_bytes_of_another_md5_under_the_same_address(server: Running, shared: Upstream) -> None:
    """A nightly build: the page names other bytes at the address it had before."""
    old, new = noise(2000, "old"), noise(2500, "new")
    where = f"/w/{wheel_name('nightly')}"
    etags = []
    for data in (old, new):
        shared.put(where, data)
        md5 = hashlib.md5(data).hexdigest()
        lay(shared, "nightly", html(link(f"{where}#md5={md5}", wheel_name("nightly"))))
        got = get(server, the_file(server, "nightly")["path"])
        assert got.body == data
        etags.append(got.headers["etag"])
    assert etags[0] != etags[1]


def test_new_bytes_under_an_old_name_get_an_address_of_their_own(server: Running, shared: Upstream) -> None:
    old, new = wheel("renewed", members={"a": b"1"}), wheel("renewed", members={"a": b"2"})
    where, paths = f"/w/{wheel_name('renewed')}", []
    for data in (old, new):
        shared.put(where, data)
        lay(shared, "renewed", html(link(f"{where}#sha256={sha256(data)}", wheel_name("renewed"))))
        row = the_file(server, "renewed")
        assert row["hashes"] == {"sha256": sha256(data)}
        paths.append(row["path"])
        assert get(server, row["path"]).body == data
        assert stored(server, row["path"])
    assert [get(server, path).body for path in paths] == [old, new], "old lock files still work"
    assert get(server, paths[0] + ".metadata").status == 200
    shared.stop()
    try:
        assert [get(server, path).body for path in paths] == [old, new]
    finally:
        shared.resume()
