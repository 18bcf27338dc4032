"""Lines of docs/security.md that a running server shows, beside those tested where they belong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.contracts.requests import FORMATS, archive, boxed, indexed, packed, town
from tests.formats.cargo.artefacts import crate
from tests.formats.npm.artefacts import tarball
from tests.formats.pypi.artefacts import sdist
from tests.running import Running
from tests.upstreams import Upstream

SECRET = "admin.token"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Upstream]]:
    with town(tmp_path_factory.mktemp("security")) as found:
        yield found


@pytest.mark.parametrize(
    "root",
    [
        "/",
        "/generic/main/",
        "/generic/upstream/",
        "/pypi/main/",
        "/pypi/main/files/",
        "/npm/main/",
        "/npm/main/-/",
        "/cargo/main/",
        "/cargo/main/api/v1/crates/",
        "/cargo/main/de/mo/",
        "/_blobs",
    ],
)
def test_line_23_no_path_leads_out(city: tuple[Running, Upstream], root: str) -> None:
    server = city[0]
    for climb in (
        "../",
        "..%2F",
        "%2e%2e/",
        "%2e%2e%2f",
        "..;/",
        "..%5c",
        "..\\",
        "%252e%252e%252f",
        "%c0%ae%c0%ae/",
        "//..%2F",
    ):
        for name in (SECRET, "reliquary.db", "etc/passwd"):
            for path in (root + climb * 3 + name, root + climb + "var/" + name):
                answer = server.ask(path)
                assert answer.status in (400, 404), path
                assert server.token.encode() not in answer.body
                assert b"root:" not in answer.body
    assert server.ask(root + "a%00b").status in (400, 404)


def test_line_24_names_that_begin_alike_are_not_alike(city: tuple[Running, Upstream]) -> None:
    server = city[0]
    assert server.put("/generic/local/data/a/x", b"one").status == 201
    assert server.put("/generic/local/data/ab/x", b"two").status == 201
    listing = server.ask("/generic/local/data/a/?format=json").text
    assert listing.count('"name"') == 1
    folders = server.ask("/generic/local/data/?format=json").text
    assert folders.index('"a"') < folders.index('"ab"')
    assert server.ask("/generic/local/data/a").status == 404


@pytest.mark.parametrize("format", FORMATS)
def test_line_12_a_name_never_comes_back_with_other_bytes(city: tuple[Running, Upstream], format: str) -> None:
    server = city[0]
    path, gone = {
        "pypi": ("/pypi/local/back-1.0.tar.gz", "/pypi/local/manage/back/1.0"),
        "generic": ("/generic/local/back/file", "/generic/local/back/file"),
        "npm": ("/npm/local/back-1.0.0.tgz", "/npm/local/back/-rev/1"),
        "cargo": ("/cargo/local/back-1.0.0.crate", "/cargo/local/manage/back/1.0.0"),
    }[format]
    body, other = archive("back"), sdist("back", "1.0", members={"back-1.0/other": b"other"})
    if format == "npm":
        body, other = packed("back"), tarball("back", members={"other": b"other"})
    if format == "cargo":
        body, other = boxed("back"), crate("back", files={"other": b"other"})
    assert server.put(path, body).status == 201
    assert server.ask(gone, method="DELETE", token=server.token).status == (200 if format == "npm" else 204)
    assert server.put(path, other).status == (403 if format == "npm" else 409)
    assert server.put(path, body).status == 201


def test_line_16_an_answer_for_one_name_is_not_stored_under_another(city: tuple[Running, Upstream]) -> None:
    server, upstream = city
    upstream.fault("/simple/alias/", redirect=f"{upstream.url}simple/outer/")
    upstream.fault("/registry/alias", redirect=f"{upstream.url}registry/outer")
    upstream.fault(f"/index/{indexed('alias')}", redirect=f"{upstream.url}index/{indexed('outer')}")
    try:
        for path in (
            indexed("alias"),
            "api/v1/crates/alias/1.0.0/download",
            "ou/te/Outer",
            "Ou/te/outer",
            "ou/ut/outer",
        ):
            assert server.ask(f"/cargo/upstream/{path}").status in (404, 503), path
        page = server.ask("/pypi/upstream/simple/alias/")
        assert page.status in (200, 404, 503)
        assert b"/files/alias/" not in page.body
        for path in ("alias", "alias/-/alias-1.0.0.tgz", "alias/latest", "Outer", "OUTER"):
            assert server.ask(f"/npm/upstream/{path}").status in (404, 503), path
        for name in ("Outer", "OUTER", "o.uter"):
            assert server.ask(f"/pypi/upstream/simple/{name}/").status == 301
    finally:
        upstream.heal()
    assert server.ask("/pypi/upstream/simple/outer/").text.count("outer-1.0.tar.gz</a>") == 1
    assert server.ask("/npm/upstream/outer/-/outer-1.0.0.tgz").body == packed("outer")
    assert server.ask("/cargo/upstream/api/v1/crates/outer/1.0.0/download").body == boxed("outer")


def test_line_21_an_upstream_commands_nothing(city: tuple[Running, Upstream]) -> None:
    server, upstream = city
    bad = {
        "X-Accel-Redirect": "/_blobs/x",
        "Set-Cookie": "a=b",
        "Location": "https://evil.example/",
        "Content-Encoding": "",
    }
    upstream.put("/plain/far/told.bin", b"told", headers=bad)
    for _ in range(2):
        answer = server.ask("/generic/upstream/far/told.bin")
        assert (answer.status, answer.body) == (200, b"told")
        for name in ("x-accel-redirect", "set-cookie", "location"):
            assert answer.header(name) is None


def test_line_29_no_line_is_injected_into_an_index_or_a_header(city: tuple[Running, Upstream]) -> None:
    server = city[0]
    for name in ("a%0Ab", "a%0d%0aX-Evil:%201", "a%E2%80%A8b%0A"):
        assert server.put(f"/generic/local/lines/{name}", b"x").status == 400
        assert server.ask(f"/pypi/main/simple/{name}").status == 400
    reason = b'x\r\nX-Evil: 1\n</a><script>alert(1)</script>" onclick="y'
    assert server.put("/pypi/local/manage/demo/1.0/yank", reason).status == 200
    page = server.ask("/pypi/local/simple/demo/")
    assert page.header("x-evil") is None
    assert "<script>" not in page.text
    assert '" onclick="' not in page.text
    assert server.ask("/pypi/local/manage/demo/1.0/yank", method="DELETE", token=server.token).status == 200


def test_line_35_a_login_takes_no_spaces(city: tuple[Running, Upstream]) -> None:
    server = city[0]
    for text in (f" {server.token}x", server.token[:-1], server.token.upper(), server.token + "\u00a0"):
        sent = text.encode("utf-8").decode("latin-1")
        assert server.ask("/generic/main/", headers={"Authorization": f"Bearer {sent}"}).status == 401


def test_line_43_probes_ask_no_upstream_and_every_blob_is_what_its_name_says(city: tuple[Running, Upstream]) -> None:
    server, upstream = city
    upstream.forget()
    for path in ("/healthz", "/readyz", "/metrics"):
        for method in ("GET", "HEAD"):
            answer = server.ask(path, method=method)
            assert (answer.status, answer.header("cache-control")) == (200, "no-store")
    assert upstream.hits() == 0
    blobs = [path for path in (server.data / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) > 10
    for blob in blobs:
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
