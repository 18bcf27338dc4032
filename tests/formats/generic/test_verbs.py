"""Plain files over HTTP: put, get, delete, checksums, listings, and proxying a folder."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, running
from tests.upstreams import Upstream, playing

BODY = b"some bytes of a file"
OVER = '[[repositories]]\nformat = "generic"\nname = "over"\nkind = "hosted"\noverwrite = true\n'
REUSE = '[[repositories]]\nformat = "generic"\nname = "reuse"\nkind = "hosted"\nreuse_filenames = true\n'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Running]:
    none = 'npm = "none", cargo = "none", go = "none", pypi = "none"'
    config = f'upstreams = {{ {none}, generic = "{upstream.url}pub/" }}\n{OVER}{REUSE}'
    with running(tmp_path_factory.mktemp("generic") / "var", config=config) as server:
        yield server


def test_put_is_201_then_200_then_409(server: Running) -> None:
    path = "/generic/local/put/a.txt"
    first = server.put(path, BODY)
    assert (first.status, hashlib.sha256(BODY).hexdigest() in first.text) == (201, True)
    assert server.put(path, BODY).status == 200
    refused = server.put(path, b"other")
    assert refused.status == 409
    assert server.ask(path).body == BODY
    assert server.ask(path).header("etag") == f'"{hashlib.sha256(BODY).hexdigest()}"'


def test_overwriting_where_the_repository_allows_it(server: Running) -> None:
    path = "/generic/over/put/a.txt"
    assert server.put(path, BODY).status == 201
    old = server.ask(path)
    assert server.put(path, b"other bytes").status in (200, 201)
    new = server.ask(path)
    assert new.body == b"other bytes"
    assert new.header("etag") != old.header("etag")
    assert server.ask(path, headers={"If-None-Match": old.header("etag") or ""}).status == 200
    listing = json.loads(server.ask("/generic/over/put/?format=json").body)
    assert [(file["name"], file["size"]) for file in listing["files"]] == [("a.txt", 11)]


def test_delete_is_204_then_404_and_the_name_stays_taken(server: Running) -> None:
    """A name that was given to some bytes is never given to others, unless the repository allows it."""
    for name, again in (("local", 409), ("reuse", 201)):
        path = f"/generic/{name}/gone/a.txt"
        assert server.put(path, BODY).status == 201
        gone = server.ask(path, method="DELETE", token=server.token)
        assert (gone.status, gone.body) == (204, b"")
        assert server.ask(path).status == 404
        assert server.ask(path, method="DELETE", token=server.token).status == 404
        assert server.ask(f"/generic/{name}/gone/").status == 404
        assert "gone" not in server.ask(f"/generic/{name}/").text
        assert server.put(path, b"other").status == again
        if again == 409:
            assert server.put(path, BODY).status == 201


def _digests(body: bytes) -> list[tuple[str, str]]:
    def packed(algorithm: str) -> str:
        return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()

    return [
        ("X-Checksum-Sha256", hashlib.sha256(body).hexdigest()),
        ("X-Checksum-Sha256", hashlib.sha256(body).hexdigest().upper()),
        ("X-Checksum-Sha1", hashlib.sha1(body).hexdigest()),
        ("X-Checksum-Md5", hashlib.md5(body).hexdigest()),
        ("Content-MD5", packed("md5")),
        ("Repr-Digest", f"sha-256=:{packed('sha256')}:"),
        ("Repr-Digest", f"sha-512=:{packed('sha512')}:, sha-256=:{packed('sha256')}:"),
        ("Content-Digest", f"sha-512=:{packed('sha512')}:"),
        ("Repr-Digest", "unknown=:AAAA:"),
    ]


@pytest.mark.parametrize("at", range(9))
def test_checksums_that_clients_send_are_compared(server: Running, at: int) -> None:
    header, value = _digests(BODY)[at]
    path = f"/generic/local/sums/{at}"
    answer = server.ask(path, method="PUT", body=BODY, headers={header: value}, token=server.token)
    assert answer.status == 201
    if "unknown" in value:
        return
    wrong = f"/generic/local/sums/wrong-{at}"
    refused = server.ask(wrong, method="PUT", body=BODY + b"!", headers={header: value}, token=server.token)
    assert refused.status == 400
    assert server.ask(wrong).status == 404


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Checksum-Sha256", "zz"),
        ("X-Checksum-Sha256", ""),
        ("Content-MD5", "!!!"),
        ("Repr-Digest", "sha-256=:####:"),
        ("Repr-Digest", "sha-256=:A:"),
        ("Repr-Digest", "sha-256=abc"),
        ("Content-Digest", "sha-512=:"),
    ],
)
def test_broken_checksums_store_nothing(server: Running, header: str, value: str) -> None:
    path = "/generic/local/sums/broken"
    answer = server.ask(path, method="PUT", body=BODY, headers={header: value}, token=server.token)
    assert answer.status == 400
    assert server.ask(path).status == 404


def test_checksums_that_disagree_with_each_other_are_refused(server: Running) -> None:
    sent = {"X-Checksum-Sha256": "0" * 64, "Repr-Digest": _digests(BODY)[5][1]}
    answer = server.ask("/generic/local/sums/two", method="PUT", body=BODY, headers=sent, token=server.token)
    assert answer.status == 400


def test_listings(server: Running) -> None:
    for path in ("list/b.txt", "list/a <1>.txt", "list/sub/deep/c.txt", "list/\u00e9.txt"):
        quoted = path.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E").replace("\u00e9", "%C3%A9")
        assert server.put(f"/generic/local/{quoted}", BODY).status == 201
    html = server.ask("/generic/local/list/")
    assert html.text.index("Index of") < html.text.index('href="../"') < html.text.index("sub/")
    assert 'href="./a%20%3C1%3E.txt"' in html.text
    assert "a &lt;1&gt;.txt" in html.text
    document = json.loads(server.ask("/generic/local/list/", headers={"Accept": "application/json"}).body)
    assert document["path"] == "/list/"
    assert [folder["name"] for folder in document["folders"]] == ["sub"]
    assert sorted(file["name"] for file in document["files"]) == ["a <1>.txt", "b.txt", "\u00e9.txt"]
    digest = hashlib.sha256(BODY).hexdigest()
    assert {(file["size"], file["sha256"]) for file in document["files"]} == {(len(BODY), digest)}
    inner = json.loads(server.ask("/generic/local/list/sub/?format=json").body)
    assert ([folder["name"] for folder in inner["folders"]], inner["files"]) == (["deep"], [])


def test_line_28_foreign_files_run_nothing_on_our_origin(server: Running) -> None:
    for name, kind in (("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.tar.gz", "application/octet-stream")):
        assert server.put(f"/generic/local/active/{name}", b"<script>alert(1)</script>").status == 201
        answer = server.ask(f"/generic/local/active/{name}")
        assert answer.header("content-type") == kind
        assert (answer.header("content-security-policy") or "").startswith("sandbox")
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("content-encoding") is None


def test_a_folder_cannot_be_put(server: Running) -> None:
    for path in ("/generic/local/", "/generic/local/folder/"):
        assert server.put(path, BODY).status == 400
        assert server.ask(path, method="DELETE", token=server.token).status in (404, 405)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_curl_uploads_and_downloads(server: Running, tmp_path: Path) -> None:
    source, target = tmp_path / "file.bin", tmp_path / "back.bin"
    source.write_bytes(BODY * 100_000)
    url = f"{server.url}generic/main/curl/file.bin"
    sent = subprocess.run(
        ["curl", "-fsS", "-u", f"__token__:{server.token}", "-T", str(source), url], capture_output=True, check=False
    )
    assert sent.returncode == 0, sent.stderr
    with target.open("wb") as half:
        half.write(source.read_bytes()[:777])
    got = subprocess.run(["curl", "-fsS", "-C", "-", "-o", str(target), url], capture_output=True, check=False)
    assert got.returncode == 0, got.stderr
    assert target.read_bytes() == source.read_bytes()


def test_any_http_folder_can_be_proxied(server: Running, upstream: Upstream) -> None:
    links = '<a href="../">../</a><a href="a%20b.bin">a b.bin</a><a href="sub/">sub/</a><a href="?C=M">M</a>'
    links += '<a href="https://elsewhere.example/x">x</a><a href="/other/y">y</a><a href="..%2fz">z</a>'
    page = f"<html><head><title>Index of /pub/far/</title></head><body>{links}</body></html>"
    upstream.put("/pub/far/", page.encode(), content_type="text/html")
    upstream.put("/pub/far/a%20b.bin", BODY)
    upstream.put("/pub/far/unlisted.bin", b"not listed")
    for name in ("upstream", "main"):
        root = f"/generic/{name}/far/"
        document = json.loads(server.ask(f"{root}?format=json").body)
        assert document["files"][0]["name"] == "a b.bin"
        assert {file["name"] for file in document["files"]} <= {"a b.bin", "unlisted.bin"}  # what is here is listed
        assert [folder["name"] for folder in document["folders"]] == ["sub"]
        assert server.ask(f"{root}a%20b.bin").body == BODY
        assert server.ask(f"{root}unlisted.bin").body == b"not listed"
        assert server.ask(f"{root}nothing.bin").status == 404
        assert server.ask(f"{root}a%20b.bin", headers={"Range": "bytes=5-9"}).body == BODY[5:10]
    assert upstream.hits("/pub/far/a%20b.bin", "GET") == 1


def test_line_19_no_foreign_page_is_sent_on(server: Running, upstream: Upstream) -> None:
    evil = '<a href="x.bin" onclick="evil()">x.bin</a><script src="https://evil.example/"></script>'
    page = f"<html><head><title>Index of /pub/evil/</title></head><body>{evil}</body></html>"
    upstream.put(
        "/pub/evil/", page.encode(), content_type="text/html", headers={"Set-Cookie": "a=b", "X-Accel-Redirect": "/x"}
    )
    answer = server.ask("/generic/upstream/evil/")
    assert answer.status == 200
    assert b"x.bin" in answer.body
    for trace in (b"script", b"evil.example", b"onclick", upstream.host.encode()):
        assert trace not in answer.body
    assert (answer.header("set-cookie"), answer.header("x-accel-redirect")) == (None, None)


def test_line_18_credentials_of_callers_do_not_go_upstream(server: Running, upstream: Upstream) -> None:
    upstream.put("/pub/own/file", BODY, headers={"Set-Cookie": "a=b", "X-Accel-Redirect": "/etc/passwd"})
    upstream.forget()
    answer = server.ask(
        "/generic/upstream/own/file", headers={"Cookie": "secret=1", "X-Secret": "2"}, token=server.token
    )
    assert answer.body == BODY
    assert (answer.header("set-cookie"), answer.header("x-accel-redirect")) == (None, None)
    for request in upstream.requests:
        assert not {"authorization", "cookie", "x-secret", "x-forwarded-for"} & set(request.headers)


def test_line_15_no_request_names_an_upstream(server: Running, upstream: Upstream) -> None:
    upstream.put("/secret", b"inside")
    upstream.forget()
    for path in (
        f"{upstream.url}secret",
        f"/generic/upstream/{upstream.url}secret",
        f"/generic/upstream/?url={upstream.url}secret",
        f"/generic/upstream/@{upstream.host}/secret",
        "/generic/upstream/..%2fsecret",
        "/generic/upstream/%2fsecret",
    ):
        assert server.ask(path).status in (200, 400, 404, 503)
        assert b"inside" not in server.ask(path).body
    assert upstream.hits("/secret") == 0
    assert server.ask(upstream.host, method="CONNECT").status in (400, 404, 405)


def test_line_20_an_error_page_is_never_a_file(server: Running, upstream: Upstream) -> None:
    upstream.put("/pub/err/file", BODY)
    for fault in ({"status": 500}, {"status": 403}, {"lie": 50}, {"cut": 5}):
        upstream.fault("/pub/err/file", **fault)
        try:
            answer = server.ask("/generic/upstream/err/file")
        except (OSError, ValueError) as error:
            assert "cut" in fault or "lie" in fault, error
        except http.client.HTTPException as error:
            assert type(error).__name__ == "IncompleteRead"
        else:
            assert answer.status == 503
    upstream.heal()
