"""``config.json``, who is asked for a token, and what a person or an old client finds at other addresses.

Numbers in names are items of cargo.md, section 8.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.formats.cargo.artefacts import crate
from tests.formats.cargo.conftest import CONFIG, ask, lines, publish, said
from tests.running import Running, basic, running

CLOSED = ("closed", "closed-far", "closed-main")
OPEN = ("local", "far", "main", "small")


@pytest.mark.parametrize("at", [*OPEN, *CLOSED])
def test_9_a_token_is_required_exactly_where_nobody_reads_unasked(server: Running, at: str) -> None:
    place = f"{server.url}cargo/{at}"
    answer = ask(server, "GET", "config.json", at=at)
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert json.loads(answer.body) == {
        "dl": f"{place}/api/v1/crates",
        "api": place,
        "auth-required": at in CLOSED,
    }
    assert server.ask(f"/cargo/{at}/config.json").status == (401 if at in CLOSED else 200)
    assert "no-cache" in (answer.header("cache-control") or "")


def test_8_60_addresses_are_as_the_client_wrote_them(server: Running) -> None:
    found = json.loads(server.ask("/cargo/local/config.json", headers={"Host": "repo.example:8443"}).body)
    assert found["dl"] == "http://repo.example:8443/cargo/local/api/v1/crates"
    answer = server.ask("/cargo/local")
    assert (answer.status, (answer.header("location") or "").endswith("/cargo/local/")) in ((301, True), (308, True))
    page = server.ask("/cargo/local/")
    assert f"sparse+{server.url}cargo/local/".encode() in page.body
    assert (page.header("content-type") or "").startswith("text/html")
    assert server.ask("/cargo/local/", method="HEAD").body == b""


PATHS = {
    "config.json": 200,
    "cl/os/closed_doors": 200,
    "cl/os/nobody": 404,
    "api/v1/crates/closed_doors/1.0.0/download": 200,
    "api/v1/crates/closed_doors/1.0.0/readme": 404,
    "api/v1/crates?q=closed": 200,
    "api/v1/crates/closed_doors": 200,
    "api/v1/crates/closed_doors/versions": 200,
    "api/v1/crates/closed_doors/owners": 200,
    "": 200,
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("at", ["closed", "closed-main"])
def test_10_11_a_token_opens_all_alike(server: Running, at: str, path: str, method: str) -> None:
    publish(server, "closed_doors", to="closed")
    where = f"/cargo/{at}/{path}"
    for headers in ({}, {"Authorization": "rlq_nobody"}, {"Authorization": basic("ann", "wrong")}):
        answer = server.ask(where, method=method, headers=headers)
        assert answer.status == 401
        challenges = [value for name, value in answer.headers if name == "www-authenticate"]
        assert challenges[0] == f'Cargo login_url="{server.url}cargo/{at}/me"'
        assert method == "HEAD" or said(answer)
    for shown in (server.token, f"Bearer {server.token}", basic("__token__", server.token)):
        assert server.ask(where, method=method, headers={"Authorization": shown}).status == PATHS[path]
    # Known, and with no right.
    assert server.ask(where, method=method, headers={"Authorization": basic("ann", "p@ss:w/rd")}).status == 403


@pytest.mark.parametrize("at", [*CLOSED, *OPEN])
def test_10_the_page_of_the_challenge_is_open(server: Running, at: str) -> None:
    answer = server.ask(f"/cargo/{at}/me")
    assert (answer.status, (answer.header("content-type") or "").partition(";")[0]) == (200, "text/html")


def test_12_a_bad_token_is_refused_where_anybody_may_read(server: Running) -> None:
    for path in ("config.json", "no/bo/nobody"):
        answer = server.ask(f"/cargo/local/{path}", headers={"Authorization": "rlq_nobody"})
        assert answer.status == 401
        assert said(answer)


def test_a_token_that_reads_alone_publishes_nothing(server: Running) -> None:
    answer = server.ask("/cargo/closed/api/v1/crates/new", method="PUT", body=b"x" * 9)
    assert answer.status == 401
    assert "login_url" in (answer.header("www-authenticate") or "")


def test_7_config_asks_the_database_nothing(tmp_path: Path) -> None:
    """It is answered when there is nothing left to ask; every request alike looks for other processes' changes."""
    with running(tmp_path / "var", config=CONFIG) as server:
        publish(server, "before")
        with closing(sqlite3.connect(server.data / "reliquary.db", timeout=20)) as held, held:
            tables = held.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            for (table,) in tables.fetchall():
                if table != "changes":
                    held.execute(f'DROP TABLE "{table}"')
        assert server.ask("/cargo/local/api/v1/crates?q=before").status >= 500
        for at in OPEN:
            for method in ("GET", "HEAD"):
                assert server.ask(f"/cargo/{at}/config.json", method=method).status == 200


def test_67_every_way_to_an_archive_stays(server: Running) -> None:
    """A locked build reads the ``dl`` it knows: by group or member, in the crate's case or in small letters."""
    publish(server, "Way_In")
    for at in ("local", "main"):
        for name in ("Way_In", "way_in"):
            answer = server.ask(f"/cargo/{at}/api/v1/crates/{name}/1.0.0/download")
            assert (answer.status, answer.body) == (200, crate("Way_In"))


def test_70_a_repository_that_is_gone_answers_nothing(server: Running) -> None:
    made = b'{"format": "cargo", "name": "brief", "kind": "hosted"}'
    headers = {"Content-Type": "application/json"}
    answer = server.ask("/api/v1/repositories", method="POST", headers=headers, body=made, token=server.token)
    assert answer.status == 201, answer.text
    publish(server, "brief-one", to="brief")
    paths = ("config.json", "br/ie/brief-one", "api/v1/crates/brief-one/1.0.0/download", "api/v1/crates?q=x", "me")
    assert [server.ask(f"/cargo/brief/{path}").status for path in paths] == [200] * len(paths)
    answer = server.ask("/api/v1/repositories/cargo/brief?force=true", method="DELETE", token=server.token)
    assert answer.status == 204, answer.text
    assert [server.ask(f"/cargo/brief/{path}").status for path in paths] == [404] * len(paths)


def test_68_no_success_has_errors(server: Running) -> None:
    publish(server, "joyful")
    for path in ("", "/versions", "/owners", "/reverse_dependencies", "/1.0.0", "/1.0.0/dependencies", "/downloads"):
        told = json.loads(server.ask(f"/cargo/main/api/v1/crates/joyful{path}").body)
        assert "errors" not in told
    assert "errors" not in json.loads(server.ask("/cargo/main/api/v1/crates?q=joyful").body)
    assert lines(server, "joyful")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "api/v1/crates/none", 404),
        ("GET", "api/v1/none", 404),
        ("GET", "api/v1/crates/x/1.0.0/download", 404),
        ("POST", "api/v1/crates/new", 405),
        ("DELETE", "config.json", 405),
        ("PUT", "no/bo/nobody", 405),
        ("GET", "api/v1/crates/a%00b", 400),
        ("GET", "api/v1/crates/../x", 400),
        ("PUT", "api/v1/crates/none/owners", 404),
    ],
)
def test_every_error_is_told_in_json(server: Running, method: str, path: str, status: int) -> None:
    answer = ask(server, method, path, sent=b'{"users":["admin"]}' if method == "PUT" else None)
    assert answer.status == status, answer.text
    assert said(answer)
