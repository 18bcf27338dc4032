"""Security audits over HTTP: passed on where an upstream has them, else answered at once.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping

import pytest

from reliquary.types import NOTHING
from tests.contracts.requests import config
from tests.running import Answer, Running, running
from tests.upstreams import Upstream, playing

BULK, QUICK = "-/npm/v1/security/advisories/bulk", "-/npm/v1/security/audits/quick"
HOLE = {"id": 1, "title": "a hole", "severity": "high", "vulnerable_versions": "<2.0.0", "url": "http://x.example/1"}
ASKED = json.dumps({"demo": ["1.0.0"]}).encode()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Upstream]]:
    with playing() as upstream:
        text = config(upstream, "retries = 0\nread_timeout = 1\n")
        with running(tmp_path_factory.mktemp("audit") / "var", config=text) as server:
            yield server, upstream


def answers(upstream: Upstream, path: str, value: object) -> None:
    """Let an upstream answer a POST."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    upstream.fault(f"/registry/{path}", raw=head.encode() + body)


def ask(
    server: Running, path: str, body: bytes = ASKED, at: str = "main", headers: Mapping[str, str] = NOTHING
) -> Answer:
    return server.ask(f"/npm/{at}/{path}", method="POST", body=body, headers=headers)


@pytest.mark.parametrize("at", ["upstream", "main"])
def test_advisories_of_an_upstream_are_passed_on(town: tuple[Running, Upstream], at: str) -> None:
    server, upstream = town
    answers(upstream, BULK, {"demo": [HOLE]})
    found = ask(server, BULK, at=at)
    assert (found.status, json.loads(found.body)) == (200, {"demo": [HOLE]})
    answers(upstream, QUICK, {"advisories": {"1": HOLE}, "metadata": {}})
    assert json.loads(ask(server, QUICK, b'{"name": "x"}', at=at).body)["advisories"] == {"1": HOLE}


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
def test_51_a_packed_question_is_unpacked(town: tuple[Running, Upstream], coding: str) -> None:
    server, upstream = town
    answers(upstream, BULK, {"demo": [HOLE]})
    packed = ask(server, BULK, gzip.compress(ASKED), headers={"Content-Encoding": coding})
    assert json.loads(packed.body) == {"demo": [HOLE]}
    assert ask(server, BULK, b"no gzip", headers={"Content-Encoding": coding}).status == 400


def test_51_an_unpacked_question_has_a_limit(town: tuple[Running, Upstream]) -> None:
    bomb = gzip.compress(b'{"a": ["' + b"1" * 40_000_000 + b'"]}')
    assert len(bomb) < 100_000
    begun = time.monotonic()
    assert ask(town[0], BULK, bomb, headers={"Content-Encoding": "gzip"}).status == 413
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("value", [b"", b"[]", b"7", {"demo": 7}, {"demo": None}, b'{"demo": [', {"a": {"b": 1}}])
def test_an_upstream_that_answers_oddly(town: tuple[Running, Upstream], value: object) -> None:
    server, upstream = town
    answers(upstream, BULK, value)
    found = ask(server, BULK)
    assert (found.status, found.body) == (200, b"{}")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}'])
@pytest.mark.parametrize("path", [BULK, QUICK, "-/npm/v1/security/audits"])
def test_a_question_that_is_none(town: tuple[Running, Upstream], path: str, body: bytes) -> None:
    assert ask(town[0], path, body).status == 400


def test_a_hosted_repository_asks_nobody(town: tuple[Running, Upstream]) -> None:
    server, upstream = town
    upstream.forget()
    for path in (BULK, QUICK, "-/npm/v1/security/audits"):
        assert ask(server, path, at="local").status == 200
    assert upstream.hits() == 0


def test_47_credentials_are_not_passed_on(town: tuple[Running, Upstream]) -> None:
    server, upstream = town
    answers(upstream, BULK, {})
    upstream.forget()
    sent = {"Authorization": f"Bearer {server.token}", "Cookie": "a=b", "npm-session": "secret", "X-Own": "x"}
    assert ask(server, BULK, headers=sent).status == 200
    (asked,) = upstream.requests
    assert not {"authorization", "cookie", "npm-session", "x-own"} & set(asked.headers)
    assert server.token not in str(asked.headers)


DOWN: list[dict[str, object]] = [{"status": 404}, {"html": True}, {"delay": 5}, {"status": 500}, {"down": True}]


@pytest.mark.parametrize("fault", DOWN, ids=str)
@pytest.mark.parametrize("path", [BULK, QUICK])
def test_51_without_an_upstream_the_answer_is_quick_and_empty(
    town: tuple[Running, Upstream], fault: dict[str, object], path: str
) -> None:
    server, upstream = town
    upstream.fault(f"/registry/{path}", **fault)
    begun = time.monotonic()
    answer = ask(server, path)
    assert time.monotonic() - begun < 4
    assert answer.status == 200
    found = json.loads(answer.body)
    assert found == {} if path == BULK else found["advisories"] == {} and found["actions"] == []
    if path == QUICK:
        assert set(found["metadata"]["vulnerabilities"].values()) == {0}
