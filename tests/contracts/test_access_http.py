"""Who gets what over HTTP: closed repositories, bad credentials, scopes of tokens, groups."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reliquary.access.accounts import Accounts
from reliquary.access.passwords import Passwords
from reliquary.access.tokens import parse_scope
from reliquary.catalog.engine import Catalog
from reliquary.cli import init
from reliquary.settings import load
from reliquary.types import Actor
from tests.contracts.requests import (
    FORMATS,
    WHEEL,
    archive,
    boxed,
    built,
    config,
    indexed,
    lay,
    nothing_inside,
    packed,
    simple,
    steady,
)
from tests.running import Answer, Running, basic, running
from tests.upstreams import playing

ROOT = Actor("admin", admin=True)

LAYOUT = """
[[repositories]]
format = "{format}"
name = "closed"
kind = "hosted"
anonymous_read = false

[[repositories]]
format = "{format}"
name = "open"
kind = "hosted"

[[repositories]]
format = "{format}"
name = "shut"
kind = "proxy"
anonymous_read = false

[[repositories]]
format = "{format}"
name = "mixed"
kind = "group"
members = ["closed", "open", "shut"]

[[repositories]]
format = "{format}"
name = "inner"
kind = "group"
members = ["closed", "open"]
anonymous_read = false

[[repositories]]
format = "{format}"
name = "outer"
kind = "group"
members = ["mixed", "inner"]
"""
PEOPLE = """
[[users]]
name = "reader"
password = "a long pass word"

[[users]]
name = "maker"
password = "another pass word"

[[users]]
name = "stranger"
password = "a third pass word"

[[grants]]
user = "reader"
actions = ["read"]

[[grants]]
user = "maker"
repositories = "*/closed"
actions = ["read", "publish", "delete"]
packages = "demo*"
"""
SCOPES = {
    "read": "read",
    "publish": "publish",
    "delete": "delete",
    "all": "read,publish,delete,admin",
    "elsewhere": "read,publish,delete,admin:*/open",
    "others": "read,publish,delete:*:other*",
}
FILE, SIDE = "demo-1.0.tar.gz", f"{WHEEL}.metadata"
DIGEST = hashlib.sha256(archive("demo")).hexdigest()
WHEEL_DIGEST = hashlib.sha256(built("demo")).hexdigest()


@dataclass
class Town:
    server: Running
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("access")
    with playing() as upstream:
        lay(upstream, "hidden")
        upstream.put("/simple/", simple("all", {}), content_type="text/html")
        text = config(upstream, "".join(LAYOUT.format(format=format) for format in FORMATS) + PEOPLE)
        (folder / "first.toml").write_text(text)
        tokens = asyncio.run(_tokens(folder))
        with running(folder / "var", config=text) as server:
            _fill(server)
            yield Town(server, tokens)


async def _tokens(folder: Path) -> dict[str, str]:
    """Tokens of every scope, an expired one, a revoked one, and one of a disabled user."""
    settings = load(folder / "first.toml", {}, data=folder / "var")
    await init.prepare(settings, {})
    catalog = await Catalog.open(settings.database)
    try:
        accounts = Accounts(catalog, Passwords())
        texts = {}
        for name, scope in SCOPES.items():
            texts[name], _ = await accounts.create_token(ROOT, name, scopes=[parse_scope(scope)])
        then = datetime.now(UTC) - timedelta(days=9)
        old = Accounts(catalog, Passwords(), now=lambda: then)
        texts["expired"], _ = await old.create_token(ROOT, "old", expires=then + timedelta(days=1))
        texts["revoked"], row = await accounts.create_token(ROOT, "gone")
        await accounts.revoke_token(ROOT, row.id)
        await accounts.create_user(ROOT, "left", "the fourth pass word")
        texts["disabled"], _ = await accounts.create_token(ROOT, "left", user="left")
        await accounts.disable_user(ROOT, "left")
        return texts
    finally:
        await catalog.close()


def _fill(server: Running) -> None:
    for name, project in (("closed", "demo"), ("open", "public")):
        assert server.put(f"/pypi/{name}/{project}-1.0.tar.gz", archive(project)).status == 201
        assert server.put(f"/generic/{name}/{project}/x.bin", project.encode()).status == 201
        assert server.put(f"/npm/{name}/{project}-1.0.0.tgz", packed(project)).status == 201
        assert server.put(f"/cargo/{name}/{project}-1.0.0.crate", boxed(project)).status == 201
    assert server.put(f"/pypi/closed/{WHEEL}", built("demo")).status == 201


def reads(format: str, name: str = "demo") -> list[str]:
    """Paths of every key kind and query that is got, for a project that is there or made up: what lists projects
    first, then what is of this one."""
    if format == "cargo":
        crates = "api/v1/crates"
        return [
            crates,
            indexed(name),
            f"{crates}/{name}",
            *(f"{crates}/{name}/{word}" for word in ("versions", "downloads", "reverse_dependencies")),
            *(f"{crates}/{name}/{word}" for word in ("owners", "owner_user", "owner_team")),
            f"{crates}/{name}/1.0.0",
            *(f"{crates}/{name}/1.0.0/{word}" for word in ("dependencies", "readme", "download")),
        ]
    if format == "generic":
        return ["", f"{name}/", f"{name}/?format=json", f"{name}/x.bin"]
    if format == "npm":
        return [
            "",
            name,
            f"{name}?write=true",
            f"{name}/1.0.0",
            f"{name}/latest",
            f"{name}/-/{name}-1.0.0.tgz",
            f"-/package/{name}/dist-tags",
            f"-/package/{name}/collaborators",
            f"-/package/{name}/visibility",
            f"-/npm/v1/attestations/{name}@1.0.0",
        ]
    return [
        "simple/",
        "simple",
        f"simple/{name}/",
        f"simple/{name}",
        f"files/{name}/{DIGEST}/{name}-1.0.tar.gz",
        f"files/{name}/{WHEEL_DIGEST}/{name}-1.0-py3-none-any.whl.metadata",
        f"integrity/{name}/1.0/{name}-1.0.tar.gz/provenance",
        f"pypi/{name}/json",
        f"pypi/{name}/1.0/json",
        f"packages/source/{name[0]}/{name}/{name}-1.0.tar.gz",
    ]


def writes(format: str, name: str = "demo") -> list[tuple[str, str]]:
    """Every verb, and every query that is posted."""
    if format == "cargo":
        return [
            ("PUT", "api/v1/crates/new"),
            ("PUT", f"{name}-2.0.0.crate"),
            ("DELETE", f"api/v1/crates/{name}/1.0.0/yank"),
            ("PUT", f"api/v1/crates/{name}/1.0.0/unyank"),
            ("PUT", f"api/v1/crates/{name}/owners"),
            ("DELETE", f"api/v1/crates/{name}/owners"),
            ("PUT", f"manage/{name}/1.0.0/yank"),
            ("DELETE", f"manage/{name}/1.0.0/yank"),
            ("DELETE", f"manage/{name}/1.0.0"),
        ]
    if format == "generic":
        return [("PUT", f"{name}/new.bin"), ("DELETE", f"{name}/x.bin")]
    if format == "npm":
        return [
            ("PUT", name),
            ("PUT", f"{name}-2.0.0.tgz"),
            ("PUT", f"{name}/-rev/1-x"),
            ("PUT", f"{name}/next"),
            ("PUT", f"-/package/{name}/dist-tags"),
            ("POST", f"-/package/{name}/dist-tags"),
            ("PUT", f"-/package/{name}/dist-tags/next"),
            ("DELETE", f"-/package/{name}/dist-tags/next"),
            ("PUT", f"-/package/{name}/owners"),
            ("DELETE", f"-/package/{name}/owners/ann"),
            ("POST", f"-/package/{name}/access"),
            ("POST", "-/npm/v1/security/advisories/bulk"),
            ("POST", "-/npm/v1/security/audits"),
            ("POST", "-/npm/v1/security/audits/quick"),
            ("DELETE", f"{name}/-/{name}-1.0.0.tgz/-rev/1-x"),
            ("PUT", f"manage/{name}/1.0.0/yank"),
            ("DELETE", f"manage/{name}/1.0.0/yank"),
            ("DELETE", f"manage/{name}/1.0.0"),
            ("DELETE", f"{name}/-rev/1-x"),
        ]
    return [
        ("POST", ""),
        ("POST", "legacy/"),
        ("POST", "simple/"),
        ("POST", "pypi"),
        ("PUT", f"{name}-2.0.tar.gz"),
        ("PUT", f"manage/{name}/status"),
        ("PUT", f"manage/{name}/1.0/yank"),
        ("DELETE", f"manage/{name}/1.0/yank"),
        ("DELETE", f"manage/{name}/1.0"),
        ("DELETE", f"files/{name}/{DIGEST}/{name}-1.0.tar.gz"),
    ]


def samples(format: str, name: str = "demo") -> list[tuple[str, str]]:
    of_all = ["", "config.json"] if format == "cargo" else []
    gets = [(method, path) for path in [*of_all, *reads(format, name)] for method in ("GET", "HEAD")]
    return [*gets, *writes(format, name), ("OPTIONS", reads(format, name)[-1])]


def _ask(server: Running, method: str, path: str, authorization: str | None = None) -> Answer:
    body = b"x" if method in ("PUT", "POST") else None
    return server.ask(path, method=method, body=body, headers={"Authorization": authorization} if authorization else {})


def _challenged(answer: Answer) -> None:
    assert answer.status == 401
    challenges = (answer.header("www-authenticate") or "").split(", ")
    assert challenges[-1].startswith("Basic realm=")
    assert all(each.startswith(("Basic realm=", "Bearer realm=", "Cargo login_url=")) for each in challenges)
    assert b"one-time pass" not in answer.body.lower()  # npm would ask people for one
    assert answer.header("cache-control") == "no-store"
    assert nothing_inside(answer)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["closed", "shut", "inner"])
def test_line_5_a_closed_repository_says_401_to_everything(town: Town, format: str, name: str) -> None:
    for (method, real), (_, made_up) in zip(samples(format), samples(format, "nope"), strict=True):
        answer = _ask(town.server, method, f"/{format}/{name}/{real}")
        other = _ask(town.server, method, f"/{format}/{name}/{made_up}")
        _challenged(answer)
        assert other.status == 401
        assert other.body.replace(b"nope", b"demo") == answer.body, real
        lengths = [pair for pair in steady(other) if pair[0] != "content-length"]
        assert lengths == [pair for pair in steady(answer) if pair[0] != "content-length"]


@pytest.mark.parametrize("format", FORMATS)
def test_line_1_every_spelling_of_a_closed_repository_meets_the_gate(town: Town, format: str) -> None:
    path = reads(format)[-1]
    for name in ("%63losed", "c%6Cosed", "close%64", "%63%6c%6f%73%65%64"):
        _challenged(town.server.ask(f"/{format}/{name}/{path}"))
    for name in ("CLOSED", "Closed", "closed%20", "closed%00", "clo%C5%BFed", "open%2f..%2fclosed", "open/../closed"):
        assert town.server.ask(f"/{format}/{name}/{path}").status in (400, 404)


@pytest.mark.parametrize("name", ["closed", "open", "mixed"])
@pytest.mark.parametrize("format", FORMATS)
def test_bad_credentials_are_401_on_public_repositories_too(town: Town, format: str, name: str) -> None:
    bad = [
        basic("admin", "wrong"),
        basic("nobody", "wrong"),
        basic("__token__", "rlq_" + "x" * 43),
        "Bearer rlq_" + "y" * 43,
        "Basic !!!",
        "Basic",
        "nonsense",
        "Bearer " + "z" * 20_000,
        *(f"Bearer {town.tokens[kind]}" for kind in ("expired", "revoked", "disabled")),
        basic("left", "the fourth pass word"),
    ]
    for authorization in bad:
        _challenged(_ask(town.server, "GET", f"/{format}/{name}/{reads(format)[0]}", authorization))


def test_the_words_of_a_bad_login_do_not_tell_who_exists(town: Town) -> None:
    answers = {
        _ask(town.server, "GET", "/pypi/open/simple/", basic(user, "wrong pass word")).body
        for user in ("admin", "reader", "left", "nobody")
    }
    assert len(answers) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_known_but_not_allowed_is_403(town: Town, format: str) -> None:
    stranger = basic("stranger", "a third pass word")
    for method, path in samples(format):
        answer = _ask(town.server, method, f"/{format}/closed/{path}", stranger)
        assert answer.status == 403, (method, path)
        assert answer.header("www-authenticate") is None
        assert answer.header("cache-control") == "no-store"
    for (method, real), (_, made_up) in zip(samples(format), samples(format, "nope"), strict=True):
        answer = _ask(town.server, method, f"/{format}/closed/{real}", stranger)
        other = _ask(town.server, method, f"/{format}/closed/{made_up}", stranger)
        assert other.body.replace(b"nope", b"demo") == answer.body


@pytest.mark.parametrize("format", FORMATS)
def test_a_password_opens_what_is_granted(town: Town, format: str) -> None:
    reader = basic("reader", "a long pass word")
    for name in ("closed", "inner"):
        assert _ask(town.server, "GET", f"/{format}/{name}/{reads(format)[0]}", reader).status == 200
    for method, path in writes(format):
        if path != "pypi" and "security" not in path:  # questions that are posted
            assert _ask(town.server, method, f"/{format}/closed/{path}", reader).status == 403


def _publish(town: Town, format: str, name: str, token: str, at: int, project: str = "demo") -> int:
    if format == "generic":
        path, body = f"/generic/{name}/{project}/{token}-{at}", b"x"
    elif format == "npm":
        path, body = f"/npm/{name}/{project}-{at}.0.0.tgz", packed(project, f"{at}.0.0")
    elif format == "cargo":
        path, body = f"/cargo/{name}/{project}-{at}.0.0.crate", boxed(project, f"{at}.0.0")
    else:
        path, body = f"/pypi/{name}/{project}-{at}.0.tar.gz", archive(project, f"{at}.0")
    return town.server.ask(path, method="PUT", body=body, token=town.tokens[token]).status


def _victim(town: Town, format: str, token: str) -> str:
    """The address at which something that was just published can be deleted."""
    name = f"victim{token}"
    there, body, gone = {
        "generic": (f"demo/{name}", b"x", f"demo/{name}"),
        "pypi": (f"{name}-1.0.tar.gz", archive(name), f"manage/{name}/1.0"),
        "npm": (f"{name}-1.0.0.tgz", packed(name), f"{name}/-rev/1-x"),
        "cargo": (f"{name}-1.0.0.crate", boxed(name), f"manage/{name}/1.0.0"),
    }[format]
    assert town.server.put(f"/{format}/closed/{there}", body).status == 201
    return f"/{format}/closed/{gone}"


@pytest.mark.parametrize("format", FORMATS)
def test_line_6_a_token_does_what_its_scope_says(town: Town, format: str) -> None:
    page = f"/{format}/closed/{reads(format)[0]}"
    for at, (token, read, publish, delete) in enumerate(
        [
            ("read", 200, 403, 403),
            ("publish", 403, 201, 403),
            ("delete", 403, 403, 204),
            ("all", 200, 201, 204),
            ("elsewhere", 403, 403, 403),
            ("others", 200, 403, 403),
        ]
    ):
        assert town.server.ask(page, token=town.tokens[token]).status == read, token
        assert _publish(town, format, "closed", token, 20 + at) == publish, token
        answer = town.server.ask(_victim(town, format, token), method="DELETE", token=town.tokens[token])
        assert answer.status == (200 if (format, delete) == ("npm", 204) else delete), token


def test_line_6_verbs_of_pypi_need_their_own_right(town: Town) -> None:
    yank, status = "/pypi/closed/manage/demo/1.0/yank", "/pypi/closed/manage/demo/status"
    for token in ("read", "publish", "elsewhere", "others"):
        for method, path in (("PUT", yank), ("DELETE", yank), ("PUT", status)):
            answer = town.server.ask(path, method=method, body=b"{}", token=town.tokens[token])
            assert answer.status == 403, (token, path)
    assert town.server.ask(yank, method="PUT", body=b"", token=town.tokens["delete"]).status == 200
    assert town.server.ask(yank, method="DELETE", token=town.tokens["delete"]).status == 200
    sent = b'{"status": "active"}'
    assert town.server.ask(status, method="PUT", body=sent, token=town.tokens["delete"]).status == 403
    assert town.server.ask(status, method="PUT", body=sent, token=town.tokens["all"]).status == 204


@pytest.mark.parametrize("name", ["closed", "shut", "inner"])
def test_cargo_is_told_where_to_log_in(town: Town, name: str) -> None:
    """cargo.md 9, 10: a token is sent once config.json was 401, and only then; the challenge comes first."""
    wanted = f'Cargo login_url="{town.server.url}cargo/{name}/me"'
    for path in ("config.json", indexed("demo"), indexed("nope"), "api/v1/crates/new", "api/v1/crates/demo/owners"):
        for method in ("GET", "PUT") if "api" in path else ("GET", "HEAD"):
            challenges = [
                value
                for key, value in _ask(town.server, method, f"/cargo/{name}/{path}").headers
                if key == "www-authenticate"
            ]
            assert challenges[0] == wanted and challenges[1].startswith("Basic realm="), path
    assert b'"auth-required":true' in town.server.ask(f"/cargo/{name}/config.json", token=town.server.token).body
    assert b'"auth-required":false' in town.server.ask("/cargo/open/config.json", token=town.server.token).body
    assert town.server.ask(f"/cargo/{name}/me").status == 200


def test_cargo_sends_the_bare_token(town: Town) -> None:
    """cargo.md 11, 12: on index, download, search and API alike; a wrong one is refused on all of them."""
    for path in ("config.json", *reads("cargo")):
        for method in ("GET", "HEAD"):
            there = _ask(town.server, method, f"/cargo/closed/{path}", town.tokens["read"]).status
            assert there == (404 if path.endswith("/readme") else 200), path
            _challenged(_ask(town.server, method, f"/cargo/closed/{path}", town.tokens["revoked"]))
            _challenged(_ask(town.server, method, f"/cargo/open/{path}", "anything"))
    for method, path in writes("cargo"):
        for token in (town.tokens["expired"], "anything"):
            answer = _ask(town.server, method, f"/cargo/open/{path}", token)
            assert answer.status in (401, 403), path
            assert b'{"errors":[{"detail":"' in answer.body
        assert _ask(town.server, method, f"/cargo/closed/{path}", town.tokens["read"]).status == 403


@pytest.mark.parametrize("format", FORMATS)
def test_package_patterns_bind_publishing(town: Town, format: str) -> None:
    maker = basic("maker", "another pass word")
    for project, status in (("demox", 201), ("public", 403)):
        path = {
            "generic": f"{project}/y.bin",
            "pypi": f"{project}-7.0.tar.gz",
            "npm": f"{project}-7.0.0.tgz",
            "cargo": f"{project}-7.0.0.crate",
        }[format]
        made = {"npm": packed, "cargo": boxed}.get(format)
        body = made(project, "7.0.0") if made is not None else archive(project, "7.0")
        answer = town.server.ask(f"/{format}/closed/{path}", method="PUT", body=body, headers={"Authorization": maker})
        assert answer.status == status
        answer = town.server.ask(f"/{format}/open/{path}", method="PUT", body=body, headers={"Authorization": maker})
        assert answer.status == 403


@pytest.mark.parametrize("group", ["mixed", "outer"])
@pytest.mark.parametrize("format", FORMATS)
def test_line_3_a_public_group_shows_nothing_of_closed_members(town: Town, format: str, group: str) -> None:
    for token in (None, town.server.token):
        for name in ("demo", "hidden"):
            for path in reads(format, name)[1:]:
                answer = town.server.ask(f"/{format}/{group}/{path}", token=token)
                if path not in ("simple", f"simple/{name}"):
                    assert answer.status == 404, path
                    assert nothing_inside(answer)
        for path in reads(format)[:1]:
            answer = town.server.ask(f"/{format}/{group}/{path}", token=token)
            assert answer.status == 200
            assert b"public" in answer.body
            assert b"demo" not in answer.body
            assert b"hidden" not in answer.body


def test_line_3_queries_of_a_group_show_nothing_of_closed_members(town: Town) -> None:
    call = b"<?xml version='1.0'?><methodCall><methodName>list_packages_with_serial</methodName></methodCall>"
    for group in ("mixed", "outer"):
        answer = town.server.ask(f"/pypi/{group}/pypi", method="POST", body=call)
        assert answer.status == 200
        assert b"public" in answer.body
        assert b"demo" not in answer.body


@pytest.mark.parametrize("format", FORMATS)
def test_a_page_never_varies_by_viewer(town: Town, format: str) -> None:
    reader = basic("reader", "a long pass word")
    for group in ("mixed", "inner", "outer"):
        page = f"/{format}/{group}/{reads(format)[0]}"
        seen = {
            (answer.header("etag"), answer.body)
            for answer in (
                town.server.ask(page, token=town.server.token),
                town.server.ask(page, headers={"Authorization": reader}),
                *([] if group == "inner" else [town.server.ask(page)]),
            )
        }
        assert len(seen) == 1, group


@pytest.mark.parametrize("format", FORMATS)
def test_line_10_forwarded_addresses_grant_nothing(town: Town, format: str) -> None:
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "X-Forwarded-User", "X-Reliquary-Accel"):
        for value in ("127.0.0.1", "for=127.0.0.1", "admin"):
            answer = town.server.ask(f"/{format}/closed/{reads(format)[0]}", headers={name: value})
            assert answer.status == 401


def test_line_2_a_digest_alone_opens_nothing(town: Town) -> None:
    """The bytes are here, and named by a closed repository: an open one knows nothing of them."""
    for path in (f"files/demo/{DIGEST}/{FILE}", f"files/public/{DIGEST}/{FILE}", f"files/demo/{WHEEL_DIGEST}/{SIDE}"):
        assert town.server.ask(f"/pypi/open/{path}").status == 404
    for path in (DIGEST, f"sha256/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"):
        for root in ("/", "/_blobs/", "/blobs/", "/generic/open/"):
            assert town.server.ask(root + path).status == 404


def test_line_5_the_home_page_names_no_closed_repository(town: Town) -> None:
    home = town.server.ask("/").text
    assert "open" in home
    for name in ("closed", "shut", "inner"):
        assert f"/{name}/" not in home
    assert "/closed/" in town.server.ask("/", token=town.server.token).text


def test_line_36_no_secret_is_logged(town: Town) -> None:
    text = town.server.log.read_text()
    for secret in (*town.tokens.values(), town.server.token, "a long pass word", "another pass word", "wrong pass"):
        assert secret not in text
    assert (town.server.data / "admin.token").stat().st_mode & 0o077 == 0
