"""Request bodies over HTTP: limits before and while reading, codings, cuts, floods."""

from __future__ import annotations

import gzip
import hashlib
import socket
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.contracts.requests import NONE, archive, blob, steady
from tests.formats.cargo.artefacts import body as framed
from tests.formats.cargo.artefacts import told
from tests.running import Running, basic, running

LIMIT = 200_000
CLOSED = f"""
[[repositories]]
format = "generic"
name = "small"
kind = "hosted"
upload_limit = {LIMIT}

[[repositories]]
format = "pypi"
name = "small"
kind = "hosted"
upload_limit = {LIMIT}

[[repositories]]
format = "npm"
name = "small"
kind = "hosted"
upload_limit = {LIMIT}

[[repositories]]
format = "cargo"
name = "small"
kind = "hosted"
upload_limit = {LIMIT}
"""
PUTS = [
    pytest.param("/generic/small/x.bin", id="generic"),
    pytest.param("/pypi/small/demo-1.0.tar.gz", id="pypi"),
    pytest.param("/npm/small/demo-1.0.0.tgz", id="npm"),
    pytest.param("/cargo/small/demo-1.0.0.crate", id="cargo-bare"),
    pytest.param("/cargo/small/api/v1/crates/new", id="cargo"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("bodies") / "var", config=NONE + CLOSED) as server:
        yield server


def sized(path: str, size: int) -> bytes:
    """A body that a format reads to its end; it begins as gzip does, which npm takes for a tarball."""
    packed = b"\x1f\x8b" + blob("sized", size)
    return framed(told(), packed) if path.endswith("/new") else packed


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def exchange(server: Running, raw: bytes, patience: float = 1.0) -> bytes:
    """Everything the server says to these bytes, until it hangs up or falls silent."""
    with connect(server) as client:
        client.sendall(raw)
        return everything(client, patience)


def everything(client: socket.socket, patience: float = 1.0) -> bytes:
    client.settimeout(patience)
    pieces = []
    try:
        while piece := client.recv(65_536):
            pieces.append(piece)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(pieces)


def head(server: Running, method: str, path: str, *lines: str, token: bool = True) -> bytes:
    known = [f"Authorization: {basic('__token__', server.token)}"] if token else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *known, *lines, "", ""]).encode()


def left_behind(server: Running) -> tuple[list[str], int]:
    """Files of the data folder that are neither blobs nor the database, and rows that name files."""
    folders = (server.data / name for name in ("tmp", "fills"))
    files = [str(path) for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]
    with closing(sqlite3.connect(server.data / "reliquary.db")) as database:
        (rows,) = database.execute("select count(*) from files").fetchone()
    return files, rows


def blobs(server: Running) -> set[str]:
    return {path.name for path in (server.data / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", PUTS)
@pytest.mark.parametrize(
    ("status", "lines", "token"),
    [
        (b"401", ("Content-Length: 1000",), False),
        (b"401", ("Content-Length: 1000", "Authorization: Basic eDp5"), False),
        (b"413", (f"Content-Length: {LIMIT * 20}",), True),
        (b"415", ("Content-Length: 1000", "Content-Encoding: br"), True),
    ],
)
def test_a_refusal_comes_before_the_body(
    server: Running, path: str, status: bytes, lines: tuple[str, ...], token: bool
) -> None:
    # A wrong password takes its time on a busy machine; the server hangs up after each of these answers.
    answer = exchange(server, head(server, "PUT", path, "Expect: 100-continue", *lines, token=token), 10)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"100 Continue" not in answer
    # Whether the body still comes is not known, so no other request may follow.
    assert b"connection: close" in answer.lower()


def test_an_expected_body_is_asked_for(server: Running) -> None:
    with connect(server) as client:
        client.sendall(head(server, "PUT", "/generic/small/expected", "Expect: 100-continue", "Content-Length: 5"))
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"hello")
        assert everything(client).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("path", PUTS)
def test_too_large_is_413_whatever_the_length_says(server: Running, path: str) -> None:
    before, had = left_behind(server), blobs(server)
    body = sized(path, LIMIT)
    known = server.put(path, body)
    assert known.status == 413
    chunked = head(server, "PUT", path, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    unknown = exchange(server, chunked)
    assert unknown.startswith(b"HTTP/1.1 413 ")
    packed = server.put(path, gzip.compress(body), Content_Encoding="gzip")
    assert packed.status == 413
    for answer in (known, packed):
        assert answer.header("connection") == "close"
        assert answer.header("cache-control") == "no-store"
    assert (left_behind(server), blobs(server)) == (before, had)


def test_a_file_of_just_the_limit_is_taken(server: Running) -> None:
    assert server.put("/generic/small/just", blob("just", LIMIT)).status == 201


def test_a_gzip_body_is_unpacked(server: Running) -> None:
    packed = gzip.compress(b"plain text")
    for coding in ("gzip", "x-gzip", "GZip"):
        assert server.put(f"/generic/small/{coding}", packed, Content_Encoding=coding).status == 201
        assert server.ask(f"/generic/small/{coding}").body == b"plain text"
    assert server.put("/generic/small/as-is", packed, Content_Encoding="identity").status == 201
    assert server.ask("/generic/small/as-is").body == packed


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "x" * 500])
def test_other_codings_are_415(server: Running, coding: str) -> None:
    answer = server.put("/generic/local/coded", b"x", Content_Encoding=coding)
    assert answer.status == 415
    assert server.ask("/generic/local/coded").status == 404


def test_a_bomb_is_stopped_early(server: Running) -> None:
    machine = zlib.compressobj(9, wbits=31)
    bomb = b"".join([machine.compress(bytes(1_048_576)) for _ in range(300)]) + machine.flush()
    before, begun = left_behind(server), time.monotonic()
    assert server.put("/generic/local/bomb", bomb, Content_Encoding="gzip").status == 413
    assert time.monotonic() - begun < 10
    assert left_behind(server) == before


@pytest.mark.parametrize(
    "body", [b"no gzip at all", gzip.compress(b"cut" * 100)[:-5], gzip.compress(b"x") + b"tail", b""]
)
def test_broken_gzip_is_400(server: Running, body: bytes) -> None:
    before = left_behind(server)
    assert server.put("/generic/local/broken", body, Content_Encoding="gzip").status == 400
    assert left_behind(server) == before


@pytest.mark.parametrize("path", PUTS)
@pytest.mark.parametrize("lines", ["Content-Length: 150000", "Transfer-Encoding: chunked"])
def test_a_cut_upload_leaves_nothing(server: Running, path: str, lines: str) -> None:
    before, had = left_behind(server), blobs(server)
    with connect(server) as client:
        body = sized(path, 150_000)[:100_000]
        client.sendall(head(server, "PUT", path, lines) + (b"30d40\r\n" if "chunked" in lines else b"") + body)
        time.sleep(0.3)
    deadline = time.monotonic() + 10
    while left_behind(server) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (left_behind(server), blobs(server)) == (before, had)
    assert server.ask(path).status in (404, 405)


def form(parts: int) -> tuple[bytes, str]:
    one = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'
    return one * parts + b"--b--\r\n", "multipart/form-data; boundary=b"


def test_line_30_a_form_of_ten_thousand_parts_is_refused_quickly(server: Running) -> None:
    body, kind = form(10_000)
    begun = time.monotonic()
    answer = server.ask("/pypi/local/", method="POST", body=body, headers={"Content-Type": kind}, token=server.token)
    assert answer.status == 413
    assert time.monotonic() - begun < 5


def test_line_30_one_huge_field_is_refused(server: Running) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name=":action"\r\n\r\n' + b"x" * 3_000_000 + b"\r\n--b--\r\n"
    sent = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = server.ask("/pypi/local/", method="POST", body=body, headers=sent, token=server.token)
    assert answer.status == 413


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", ""])
def test_a_form_that_is_none_is_400(server: Running, kind: str) -> None:
    sent = {"Content-Type": kind} if kind else {}
    answer = server.ask("/pypi/local/", method="POST", body=b"x", headers=sent, token=server.token)
    assert answer.status == 400


def test_line_30_a_flood_of_headers_is_refused(server: Running) -> None:
    lines = [f"X-Flood: {at}" for at in range(5000)]
    for path in ("/generic/main/", "/pypi/main/simple/"):
        answer = exchange(server, head(server, "GET", path, *lines))
        assert answer.startswith(b"HTTP/1.1 400 ")
    assert server.ask("/healthz").status == 200


def test_line_30_a_head_without_end_is_cut_off(server: Running) -> None:
    with connect(server) as client:
        client.sendall(b"GET /generic/main/ HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        sent = 0
        with pytest.raises(OSError):
            while sent < 50_000_000:
                sent += client.send(b"x" * 65_536)
                time.sleep(0.001)
        assert sent < 20_000_000
    assert server.ask("/healthz").status == 200


def test_line_30_long_lists_take_linear_time(server: Running) -> None:
    server.put("/generic/local/lists", b"0123456789")
    long = {
        "Range": "bytes=" + "0-1," * 9000,
        "If-None-Match": '"a",' * 9000,
        "Accept": "a/b," * 9000,
        "Accept-Encoding": "x," * 9000,
        "Cookie": "a=b;" * 9000,
        "If-Match": "*",
    }
    begun = time.monotonic()
    for name, value in long.items():
        for path in ("/generic/local/lists", "/pypi/main/simple/"):
            assert server.ask(path, headers={name: value}).status in (200, 406)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -5",),
        ("Content-Length: 5x",),
        ("Transfer-Encoding: chunked, x",),
    ],
)
def test_line_31_doubtful_framing_is_refused(server: Running, lines: tuple[str, ...]) -> None:
    raw = head(server, "PUT", "/generic/local/framed", *lines) + b"5\r\nhello\r\n0\r\n\r\n"
    answer = exchange(server, raw)
    assert b"HTTP/1.1 2" not in answer
    assert server.ask("/generic/local/framed").status == 404


@pytest.mark.parametrize(
    "chunks", [b"5\nhello\n0\n\n", b"5\r\nhelloXX0\r\n\r\n", b"zz\r\nhello\r\n", b"-5\r\nhello\r\n"]
)
def test_line_31_bad_chunks_store_nothing(server: Running, chunks: bytes) -> None:
    before = left_behind(server)
    answer = exchange(server, head(server, "PUT", "/generic/local/chunked", "Transfer-Encoding: chunked") + chunks)
    assert b"HTTP/1.1 2" not in answer
    deadline = time.monotonic() + 5
    while left_behind(server) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_behind(server) == before


def test_reason_phrases_say_what_is_wrong(server: Running) -> None:
    """twine and apt show nothing else."""
    first = server.put("/pypi/local/demo-3.0.tar.gz", archive("demo", "3.0"))
    assert first.reason == "Created"
    answer = server.put("/pypi/local/demo-3.0.tar.gz", archive("demo", "3.0")[:-1] + b"x")
    assert answer.status in (400, 409)
    assert answer.reason not in ("Bad Request", "Conflict")
    again = server.ask("/pypi/local/simple/")
    assert again.reason == "OK"


def test_the_next_request_of_a_connection_has_its_own_answer(server: Running) -> None:
    """A phrase, an error or a refused body must not leak into what follows."""
    two = head(server, "GET", "/pypi/local/simple/nobody/") + head(server, "GET", "/healthz", "Connection: close")
    answer = exchange(server, two)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 200 OK" in answer


def test_equal_bytes_are_one_blob(server: Running) -> None:
    body = blob("same")
    for path in ("/generic/local/one", "/generic/small/two", "/generic/local/three"):
        answer = server.put(path, body)
        assert answer.status == 201
    assert hashlib.sha256(body).hexdigest() in blobs(server)
    first, second = server.ask("/generic/local/one"), server.ask("/generic/small/two")
    assert first.header("etag") == second.header("etag")
    assert dict(steady(first)).keys() == dict(steady(second)).keys()


def test_a_data_folder_without_strays(server: Running) -> None:
    """After all of the above: nothing temporary is left."""
    files, rows = left_behind(server)
    assert files == []
    assert rows > 0
