"""The JSON API of a real server: what it answers, to whom, and what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import Answer, Running, basic, running

CONFIG = """
upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }
gc_grace = 0

[[repositories]]
format = "generic"
name = "fixed"
kind = "hosted"

[[users]]
name = "robot"

[[grants]]
user = "robot"
repositories = "generic/fixed"
actions = ["read", "publish"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("api") / "var", config=CONFIG) as found:
        yield found


def call(server: Running, method: str, path: str, body: Any = None, *, token: str | None = "") -> Answer:
    """Ask the API, as the administrator unless a token (or None) is given."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    content = None if body is None else json.dumps(body).encode()
    sent = server.token if token == "" else token
    return server.ask(f"/api/v1{path}", method=method, headers=headers, body=content, token=sent)


def value(answer: Answer, status: int = 200) -> Any:
    """The JSON of an answer with this status."""
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    return json.loads(answer.body)


def refused(answer: Answer, status: int, code: str) -> str:
    """The message of a refusal."""
    error = value(answer, status)["error"]
    assert error["code"] == code
    return str(error["message"])


def make_user(server: Running, name: str, **more: Any) -> str:
    """A user of this name; returns a token of theirs."""
    value(call(server, "POST", "/users", {"name": name, **more}), 201)
    return str(value(call(server, "POST", "/tokens", {"name": "test", "user": name}), 201)["token"])


def test_a_repository_is_made_changed_used_and_deleted(server: Running) -> None:
    made = call(server, "POST", "/repositories", {"format": "generic", "name": "team", "kind": "hosted"})
    assert value(made, 201)["kind"] == "hosted"
    assert made.header("location") == "/api/v1/repositories/generic/team"
    assert server.put("/generic/team/a.txt", b"hello").status == 201
    refused(
        call(server, "POST", "/repositories", {"format": "generic", "name": "team", "kind": "hosted"}), 409, "conflict"
    )
    changed = value(call(server, "PATCH", "/repositories/generic/team", {"anonymous_read": False, "overwrite": True}))
    assert (changed["anonymous_read"], changed["options"]) == (False, {"overwrite": True})
    assert server.ask("/generic/team/a.txt").status == 401
    assert server.put("/generic/team/a.txt", b"other").status in (200, 201)
    assert value(call(server, "PATCH", "/repositories/generic/team", {"overwrite": None}))["options"] == {}
    refused(call(server, "DELETE", "/repositories/generic/team"), 409, "not-empty")
    assert call(server, "DELETE", "/repositories/generic/team?force=true").status == 204
    assert server.ask("/generic/team/a.txt").status == 404
    refused(call(server, "GET", "/repositories/generic/team"), 404, "not-found")


def test_wrong_configurations_are_refused_and_change_nothing(server: Running) -> None:
    new = {"format": "generic", "name": "ring", "kind": "group", "members": ["local"]}
    value(call(server, "POST", "/repositories", new), 201)
    value(call(server, "POST", "/repositories", new | {"name": "ring2", "members": ["ring"]}), 201)
    at = "/repositories/generic/ring"
    assert "circle" in refused(call(server, "PATCH", at, {"members": ["ring2"]}), 409, "conflict")
    assert "circle" in refused(call(server, "PATCH", at, {"members": ["ring"]}), 409, "conflict")
    assert "nobody" in refused(call(server, "PATCH", at, {"members": ["nobody"]}), 409, "conflict")
    refused(call(server, "PATCH", at, {"members": ["local", "local"]}), 400, "malformed")
    refused(call(server, "PATCH", at, {"upstream": "http://x.example/"}), 400, "malformed")
    refused(call(server, "PATCH", at, {"page_life": 601}), 422, "invalid")
    refused(call(server, "PATCH", at, {"kind": "hosted"}), 422, "invalid")
    refused(call(server, "POST", "/repositories", new | {"name": "../x"}), 422, "invalid")
    refused(call(server, "POST", "/repositories", new | {"name": "y", "format": "nix"}), 400, "malformed")
    assert value(call(server, "GET", at))["members"] == ["local"]


def test_secrets_of_upstreams_are_never_shown(server: Running) -> None:
    new = {"format": "generic", "name": "far", "kind": "proxy", "upstream": "http://me:s3cret-word@far.example/x"}
    made = call(server, "POST", "/repositories", new)
    assert value(made, 201)["upstream"] == [{"url": "http://far.example/x/", "source": "given", "credentials": True}]
    value(call(server, "PATCH", "/repositories/generic/far", {"page_life": 5}))
    listed = [call(server, "GET", path) for path in ("/upstreams", "/repositories", "/repositories/generic/far")]
    assert all(b"s3cret-word" not in answer.body for answer in [made, *listed])
    assert value(listed[0])[0]["credentials"] is True
    anonymous = value(call(server, "GET", "/repositories/generic/far", token=None))
    assert (anonymous["upstream"], anonymous["rules"], anonymous["options"]) == (None, None, None)


def test_what_is_declared_is_shown_as_such_and_not_editable(server: Running) -> None:
    at = "/repositories/generic/fixed"
    assert value(call(server, "GET", at))["declared"] is True
    refused(call(server, "PATCH", at, {"anonymous_read": False}), 409, "declared")
    refused(call(server, "DELETE", at), 409, "declared")
    assert value(call(server, "GET", "/users/robot"))["declared"] is True
    refused(call(server, "PATCH", "/users/robot", {"admin": True}), 409, "declared")
    refused(call(server, "DELETE", "/users/robot"), 409, "declared")
    refused(call(server, "PUT", "/users/robot/grants", {"grants": []}), 409, "declared")
    assert value(call(server, "GET", "/users/robot/grants"))[0]["declared"] is True


def test_users_see_and_change_only_what_is_theirs(server: Running) -> None:
    ann, bob = make_user(server, "ann"), make_user(server, "bob")
    assert [user["name"] for user in value(call(server, "GET", "/users", token=ann))] == ["ann"]
    assert {token["user"] for token in value(call(server, "GET", "/tokens", token=ann))} == {"ann"}
    refused(call(server, "GET", "/users/bob", token=ann), 403, "forbidden")
    refused(call(server, "PATCH", "/users/bob", {"password": "long enough"}, token=ann), 403, "forbidden")
    refused(call(server, "PATCH", "/users/ann", {"admin": True}, token=ann), 403, "forbidden")
    refused(call(server, "PUT", "/users/ann/grants", {"grants": []}, token=ann), 403, "forbidden")
    refused(call(server, "POST", "/tokens", {"name": "x", "user": "bob"}, token=ann), 403, "forbidden")
    theirs = value(call(server, "GET", "/tokens", token=bob))[0]["id"]
    refused(call(server, "DELETE", f"/tokens/{theirs}", token=ann), 403, "forbidden")
    value(call(server, "PATCH", "/users/ann", {"password": "long enough"}, token=ann))
    by_password = server.ask("/api/v1/whoami", headers={"Authorization": basic("ann", "long enough")})
    assert value(by_password)["user"] == "ann"
    mine = value(call(server, "GET", "/tokens", token=ann))[0]["id"]
    assert call(server, "DELETE", f"/tokens/{mine}", token=ann).status == 204
    refused(call(server, "GET", "/whoami", token=ann), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/repositories", {"format": "generic", "name": "no", "kind": "hosted"}),
        ("PATCH", "/repositories/generic/local", {"overwrite": True}),
        ("DELETE", "/repositories/generic/local", None),
        ("POST", "/users", {"name": "no"}),
        ("DELETE", "/users/admin", None),
        ("GET", "/upstreams", None),
        ("GET", "/jobs", None),
        ("POST", "/jobs", {"kind": "gc"}),
        ("DELETE", "/repositories/generic/local/files/x", None),
    ],
)
def test_administration_is_for_administrators(server: Running, method: str, path: str, body: Any) -> None:
    anonymous = call(server, method, path, body, token=None)
    refused(anonymous, 401, "unauthenticated")
    assert "Basic realm" in (anonymous.header("www-authenticate") or "")
    name = f"no-{method.lower()}-{path.strip('/').replace('/', '-')}"
    refused(call(server, method, path, body, token=make_user(server, name)), 403, "forbidden")
    narrow = {"name": "narrow", "scopes": ["read,publish"]}
    reader = value(call(server, "POST", "/tokens", narrow), 201)["token"]
    refused(call(server, method, path, body, token=reader), 403, "forbidden")


def test_a_token_for_one_repository_administers_that_one_alone(server: Running) -> None:
    new = {"name": "one", "scopes": ["admin:generic/local"], "expires_in": "2h"}
    token = value(call(server, "POST", "/tokens", new), 201)["token"]
    value(call(server, "PATCH", "/repositories/generic/local", {"checks": "strict"}, token=token))
    refused(call(server, "PATCH", "/repositories/pypi/local", {"checks": "strict"}, token=token), 403, "forbidden")
    refused(call(server, "POST", "/users", {"name": "no"}, token=token), 403, "forbidden")
    refused(call(server, "POST", "/tokens", {"name": "wide"}, token=token), 403, "forbidden")


def test_grants_take_effect_with_the_answer(server: Running) -> None:
    token = make_user(server, "grantee")
    put = "/generic/local/acme-1.txt"
    assert server.ask(put, method="PUT", body=b"x", token=token).status == 403
    grants = {"grants": [{"repositories": "generic/*", "actions": ["publish"], "packages": "acme-*"}]}
    value(call(server, "PUT", "/users/grantee/grants", grants))
    assert server.ask(put, method="PUT", body=b"x", token=token).status == 201
    assert server.ask("/generic/local/other.txt", method="PUT", body=b"x", token=token).status == 403
    assert call(server, "DELETE", "/users/grantee").status == 204
    assert server.ask(put, method="PUT", body=b"x", token=token).status == 401


def test_the_last_administrator_stays(server: Running) -> None:
    for method, body in (("DELETE", None), ("PATCH", {"admin": False}), ("PATCH", {"disabled": True})):
        refused(call(server, method, "/users/admin", body), 409, "conflict")


def test_packages_with_versions_files_and_origin(server: Running) -> None:
    assert server.put("/generic/local/pkg/deep/a.bin", b"12345").status == 201
    listed = value(call(server, "GET", "/repositories/generic/main/packages?after=pkg&limit=1"))
    assert listed["packages"] == [{"name": "pkg/deep/a.bin", "repositories": ["generic/local"]}]
    found = value(call(server, "GET", "/repositories/generic/main/packages/pkg/deep/a.bin", token=None))
    file = found["versions"][0]["files"][0]
    assert (file["path"], file["size"], file["stored"]) == ("pkg/deep/a.bin", 5, True)
    assert file["origin"]["publisher"] is None  # people's names are not for everybody
    known = value(call(server, "GET", "/repositories/generic/main/packages/pkg/deep/a.bin"))
    assert known["versions"][0]["files"][0]["origin"]["publisher"] == "admin"
    assert file["origin"]["verified_by"] == "published"
    at = "/repositories/generic/main/files/pkg/deep/a.bin"
    assert call(server, "DELETE", at).status == 204
    refused(call(server, "DELETE", at), 404, "not-found")
    refused(call(server, "GET", "/repositories/generic/main/packages/pkg/deep/a.bin"), 404, "not-found")


def test_names_of_closed_members_stay_hidden(server: Running) -> None:
    new = {"format": "generic", "name": "closed", "kind": "hosted", "anonymous_read": False}
    value(call(server, "POST", "/repositories", new), 201)
    group = {"format": "generic", "name": "open", "kind": "group", "members": ["local", "closed"]}
    value(call(server, "POST", "/repositories", group), 201)
    assert server.put("/generic/closed/hidden-name.txt", b"x").status == 201
    for path in ("/repositories", "/repositories/generic/open", "/repositories/generic/open/packages"):
        answer = call(server, "GET", path, token=None)
        assert answer.status == 200
        assert b"hidden-name" not in answer.body
        assert b"closed" not in answer.body
    refused(call(server, "GET", "/repositories/generic/open/packages/hidden-name.txt", token=None), 404, "not-found")
    refused(call(server, "GET", "/repositories/generic/closed/packages", token=None), 401, "unauthenticated")


def test_a_verb_that_a_format_lacks_writes_no_file(server: Running) -> None:
    at = "/repositories/generic/local/packages/a/versions/1/yank"
    refused(call(server, "PUT", at, {"reason": "x"}), 405, "method-not-allowed")
    assert server.ask("/generic/local/manage/a/1/yank").status == 404


@pytest.mark.parametrize("kind", ["gc", "verify", "refresh", "purge"])
def test_jobs_run_behind_the_answer(server: Running, kind: str) -> None:
    about = {"repository": "generic/main"} if kind in ("refresh", "purge") else {}
    made = call(server, "POST", "/jobs", {"kind": kind, **about})
    job = value(made, 202)
    assert made.header("location") == f"/api/v1/jobs/{job['id']}"
    deadline = time.monotonic() + 20
    while job["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.1)
        job = value(call(server, "GET", f"/jobs/{job['id']}"))
    assert (job["state"], job["error"], job["by"]) == ("done", None, "admin")


def test_jobs_that_cannot_work_are_refused(server: Running) -> None:
    refused(call(server, "POST", "/jobs", {"kind": "purge"}), 400, "malformed")
    refused(call(server, "POST", "/jobs", {"kind": "purge", "repository": "generic/none"}), 404, "not-found")
    refused(call(server, "POST", "/jobs", {"kind": "dance"}), 422, "invalid")
    refused(call(server, "POST", "/jobs", {"kind": "gc", "repair": True}), 400, "malformed")
    refused(call(server, "POST", "/jobs", {"kind": "verify", "dry_run": True}), 400, "malformed")
    for number in ("0", "99999999999999999999", "x", "-1"):
        refused(call(server, "GET", f"/jobs/{number}"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 422),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 422),
        (b"\xff", {"Content-Type": "application/json"}, 422),
        (b'{"name": "\\ud800"}', {"Content-Type": "application/json"}, 422),
        (b'{"name": "x", "more": 1}', {"Content-Type": "application/json"}, 422),
        (b"null", {"Content-Type": "application/json"}, 422),
        (b'{"name": "x"}', {"Content-Type": "text/plain"}, 415),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', {"Content-Type": "application/json"}, 413),
    ],
)
def test_bad_bodies_are_refused_in_json(server: Running, body: bytes, headers: dict[str, str], status: int) -> None:
    for path in ("/users", "/tokens"):
        answer = server.ask(f"/api/v1{path}", method="POST", headers=headers, body=body, token=server.token)
        assert "message" in value(answer, status)["error"]


@pytest.mark.parametrize("expires", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2001-01-01T00:00:00Z"])
def test_odd_times_are_refused(server: Running, expires: str) -> None:
    refused(call(server, "POST", "/tokens", {"name": "x", "expires": expires}), 400, "malformed")


def test_unknown_addresses_and_methods(server: Running) -> None:
    refused(call(server, "GET", "/nothing"), 404, "not-found")
    refused(call(server, "GET", ""), 404, "not-found")
    wrong = call(server, "DELETE", "/whoami")
    refused(wrong, 405, "method-not-allowed")
    assert wrong.header("allow") == "GET, HEAD"
    head = call(server, "HEAD", "/whoami")
    assert (head.status, head.body) == (200, b"")
    refused(
        call(server, "GET", "/repositories?limit=%zz&a=" + "b" * 10, token="rlq_" + "x" * 43), 401, "unauthenticated"
    )


def test_the_description_is_complete(server: Running) -> None:
    described = value(call(server, "GET", "/openapi.json", token=None))
    assert described["openapi"] == "3.1.0"
    text = json.dumps(described)
    names = set(described["components"]["schemas"])
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= names
    assert described["paths"]["/users"]["post"]["responses"].keys() == {"201", "default"}
    assert described["servers"][0]["url"] == f"{server.url}api/v1"
    ids = [each["operationId"] for path in described["paths"].values() for each in path.values()]
    assert len({*ids}) == len(ids)
