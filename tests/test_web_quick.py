"""Answers that are kept ready: the same as the ordinary ones, and never older than the truth."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.formats.pypi.artefacts import wheel
from tests.running import Answer, Running, running

NONE = 'upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
PAGE = "/pypi/main/simple/demo/"
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("quick") / "var", config=NONE) as server:
        publish(server, 0)
        time.sleep(1.1)  # within the second of a change no answer is kept
        yield server


def publish(server: Running, number: int) -> None:
    version = f"1.{number}"
    assert server.put(f"/pypi/local/demo-{version}-py3-none-any.whl", wheel("demo", version)).status == 201


def warm(server: Running, headers: dict[str, str] | None = None) -> None:
    for _ in range(3):
        assert server.ask(PAGE, headers=headers).status == 200


def undated(answer: Answer) -> list[tuple[str, str]]:
    return [pair for pair in answer.headers if pair[0] != "date"]


def test_a_ready_answer_is_the_ordinary_one(server: Running) -> None:
    ordinary = server.ask(PAGE, headers={"X-Unknown": "1"})
    warm(server)
    ready = server.ask(PAGE)
    assert undated(ready) == undated(ordinary)
    assert (ready.status, ready.reason, ready.body) == (200, "OK", ordinary.body)


def test_variants_and_conditions_are_not_mixed_up(server: Running) -> None:
    warm(server)
    warm(server, JSON)
    html, json = server.ask(PAGE), server.ask(PAGE, headers=JSON)
    assert html.body.startswith(b"<!DOCTYPE") and json.body.startswith(b"{")
    assert html.header("etag") != json.header("etag")
    same = {**JSON, "If-None-Match": json.header("etag") or ""}
    unchanged = server.ask(PAGE, headers=same)
    assert (unchanged.status, unchanged.body, unchanged.header("etag")) == (304, b"", json.header("etag"))
    assert (
        server.ask(PAGE, headers={**JSON, "If-None-Match": '"other", W/' + (json.header("etag") or "")}).status == 304
    )
    assert server.ask(PAGE, headers={**JSON, "If-None-Match": '"other"'}).status == 200
    head = server.ask(PAGE, method="HEAD", headers=JSON)
    assert (head.status, head.body, head.header("content-length")) == (200, b"", str(len(json.body)))


def test_credentials_are_always_looked_at(server: Running) -> None:
    warm(server)
    assert server.ask(PAGE, headers={"Authorization": "Bearer rlq_wrong"}).status == 401
    assert server.ask(PAGE, headers={"Host": "bad host"}).status == 400


def test_a_publish_is_seen_by_the_very_next_request(server: Running) -> None:
    for number in range(1, 8):
        warm(server)
        publish(server, number)
        assert f"demo-1.{number}-".encode() in server.ask(PAGE).body


def test_requests_in_one_packet_are_answered_in_order(server: Running) -> None:
    warm(server)
    get = f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
    post = f"POST {PAGE}x HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 5\r\n\r\nhello"
    last = f"GET {PAGE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall((get + get + post + get + last).encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", received)
    assert [statuses[0], statuses[1], statuses[3], statuses[4]] == [b"200"] * 4
    assert len(statuses) == 5 and statuses[2] in (b"404", b"405")


# Small files


def link(server: Running, version: str) -> str:
    found = re.search(rf'href="([^"#]*demo-{re.escape(version)}-[^"#]*\.whl)', server.ask(PAGE).text)
    assert found is not None
    return "/pypi/main/simple/demo/" + found[1] if not found[1].startswith("/") else found[1]


def normal(path: str) -> str:
    """A path without its ``..``."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def test_a_small_file_that_is_ready_is_the_ordinary_one(server: Running) -> None:
    path = normal(link(server, "1.0"))
    ordinary = server.ask(path, headers={"X-Unknown": "1"})
    for _ in range(3):
        ready = server.ask(path)
        assert ready.body == ordinary.body == wheel("demo", "1.0")
        assert sorted(ready.headers)[1:] == sorted(ordinary.headers)[1:]
    etag = ordinary.header("etag") or ""
    unchanged = server.ask(path, headers={"If-None-Match": etag})
    assert (unchanged.status, unchanged.body, unchanged.header("etag")) == (304, b"", etag)
    part = server.ask(path, headers={"Range": "bytes=1-4"})
    assert (part.status, part.body) == (206, ordinary.body[1:5])
    assert server.ask(path, method="HEAD").body == b""


def test_a_file_that_was_deleted_is_not_ready_any_more(server: Running) -> None:
    publish(server, 70)
    time.sleep(1.1)
    path = normal(link(server, "1.70"))
    for _ in range(3):
        assert server.ask(path).status == 200
    gone = path.replace("/pypi/main/", "/pypi/local/")
    assert server.ask(gone, method="DELETE", token=server.token).status in (200, 204)
    assert server.ask(path).status == 404


def test_a_closed_file_is_never_ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    text = NONE + '[[repositories]]\nformat = "pypi"\nname = "closed"\nkind = "hosted"\nanonymous_read = false\n'
    with running(tmp_path_factory.mktemp("closed") / "var", config=text) as server:
        body = wheel("demo", "1.0")
        assert server.put("/pypi/closed/demo-1.0-py3-none-any.whl", body).status == 201
        time.sleep(1.1)
        path = f"/pypi/closed/files/demo/{hashlib.sha256(body).hexdigest()}/demo-1.0-py3-none-any.whl"
        for _ in range(3):
            assert server.ask(path, token=server.token).body == body
        assert server.ask(path).status == 401


def test_a_computed_answer_is_ready_until_the_configuration_changes(server: Running) -> None:
    path = "/cargo/local/config.json"
    answers = [server.ask(path) for _ in range(3)]
    ordinary = server.ask(path, headers={"X-Other": "1"})
    for answer in answers:
        assert (answer.status, answer.body) == (200, ordinary.body)
        assert sorted(undated(answer)) == sorted(undated(ordinary))
    assert b"http://other.example/cargo/local" in server.ask(path, headers={"Host": "other.example"}).body
    closed = {"anonymous_read": False}
    made = server.ask(
        "/api/v1/repositories/cargo/local",
        method="PATCH",
        body=json.dumps(closed).encode(),
        headers={"Content-Type": "application/json"},
        token=server.token,
    )
    assert made.status == 200, made.text
    assert server.ask(path).status == 401
    assert json.loads(server.ask(path, token=server.token).body)["auth-required"] is True
