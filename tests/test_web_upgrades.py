from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.running import Running, running

OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
NONE = 'upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("offers") / "var", config=NONE) as made:
        yield made


def _answer(talk: socket.socket) -> tuple[int, bytes]:
    """One answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += talk.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    size = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    while len(body) < size:
        body += talk.recv(65_536)
    assert len(body) == size
    return int(lines[0].split()[1]), body


def _put(server: Running, path: str, body: bytes, offer: str = OFFER) -> bytes:
    lines = ("Host: 127.0.0.1", f"Authorization: {server.token}", f"Content-Length: {len(body)}")
    return f"PUT {path} HTTP/1.1\r\n{offer}".encode() + "\r\n".join((*lines, "", "")).encode()


@pytest.mark.parametrize("cut", ["one packet", "head, then body", "every byte"])
def test_an_offer_of_http2_leaves_the_body_alone(server: Running, cut: str) -> None:
    body = b"bytes with \r\nUpgrade: h2c\r\n\r\n in them"
    path = f"/generic/local/{cut.replace(' ', '-')}"
    whole = _put(server, path, body) + body
    cuts = [len(whole) - len(body)] if cut == "head, then body" else []
    if cut == "every byte":  # of a head in pieces the offer is not taken out, so it is not made
        whole = _put(server, path, body, "") + body
        cuts = list(range(1, len(whole)))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk:
        talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            talk.sendall(whole[start:stop])
        assert _answer(talk)[0] == 201
        talk.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{OFFER}\r\n".encode())
        assert _answer(talk) == (200, body)


def test_ready_answers_are_given_to_those_who_offer(server: Running) -> None:
    server.put("/generic/local/ready", b"ready")
    asked = f"GET /generic/local/?format=json HTTP/1.1\r\nHost: 127.0.0.1\r\ncargo-protocol: version=1\r\n{OFFER}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk:
        answers = []
        for _ in range(4):
            talk.sendall(asked.encode())
            answers.append(_answer(talk))
    assert answers[0][0] == 200
    assert all(answer == answers[0] for answer in answers)
    assert "Upgrade" not in server.log.read_text()


def test_only_offers_in_a_head_are_taken_out(server: Running) -> None:
    """A head that ends in the next packet: what looks like an offer there is in the body."""
    body = b"\r\nupgrade: h2c\r\n\r\n"
    whole = _put(server, "/generic/local/split-head", body, "") + body
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk:
        talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at = len(whole) - len(body) - 1
        talk.sendall(whole[:at])
        time.sleep(0.2)
        talk.sendall(whole[at:])
        assert _answer(talk)[0] == 201
    assert server.ask("/generic/local/split-head").body == body


def test_a_header_in_two_packets_keeps_its_line_end(server: Running) -> None:
    head = b"GET /generic/local/?format=json HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: h2c"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk:
        talk.sendall(head)
        time.sleep(0.2)
        talk.sendall(b".evil.example\r\n\r\n")
        assert _answer(talk)[0] == 200
