"""Publishing modules. Numbers in names are items of go.md, section 8."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reliquary.formats.go.names import escape
from tests.contracts.requests import NONE
from tests.formats.cargo.conftest import blobs, together
from tests.formats.go.artefacts import gomod, h1, h1_of, module_zip
from tests.formats.go.conftest import LIMIT, get, latest, listed, place, publish, send
from tests.running import Answer, Running, environment, running, spawn

OTHER = {"demo.go": b"package demo\n\nfunc Two() int { return 2 }\n"}


def test_a_published_version_is_there_at_once_with_its_three_files(server: Running) -> None:
    path, version = "corp.example.com/First", "v1.0.0-M3"
    body = module_zip(path, version)
    assert listed(server, path, at="main") == ["404"]
    answer = send(server, "PUT", place(path, version), body)
    assert answer.status == 201
    assert answer.text == (f"{path} {version} {h1(body)}\n{path} {version}/go.mod {h1_of({'go.mod': gomod(path)})}\n")
    for at in ("local", "main"):
        assert listed(server, path, at=at) == [version]
        assert latest(server, path, at=at) == version
        found = get(server, place(path, version), at=at)
        assert (found.status, found.body, found.header("content-type")) == (200, body, "application/zip")
        assert found.header("cache-control") == "public, max-age=31536000, immutable"
        mod = get(server, place(path, version, "mod"), at=at)
        assert (mod.body, mod.header("content-type")) == (gomod(path), "text/plain; charset=utf-8")
        info = get(server, place(path, version, "info"), at=at)
        assert json.loads(info.body)["Version"] == version
        assert json.loads(info.body)["Time"].endswith("Z")
        assert info.header("content-type") == "application/json"
        assert get(server, f"{escape(path)}/@latest", at=at).body == info.body


def test_34_ranges_heads_and_conditions(server: Running) -> None:
    path = "corp.example.com/ranged"
    publish(server, path)
    whole = get(server, place(path, "v1.0.0"))
    part = get(server, place(path, "v1.0.0"), Range="bytes=4-9")
    assert (part.status, part.body) == (206, whole.body[4:10])
    head = server.ask(f"/go/local/{place(path, 'v1.0.0')}", method="HEAD")
    assert (head.status, head.header("content-length"), head.body) == (200, str(len(whole.body)), b"")
    for address in (place(path, "v1.0.0"), f"{path}/@v/list", f"{path}/@latest"):
        tag = get(server, address).header("etag")
        assert tag
        assert get(server, address, If_None_Match=tag).status == 304


def test_4_encoded_bytes_reach_the_same_file(server: Running) -> None:
    path, version = "corp.example.com/Coded~x", "v2.0.0+incompatible"
    assert publish(server, path, version).status == 201
    address = place(path, version)
    for coded in (address, address.replace("!", "%21"), address.replace("+", "%2B"), address.replace("~", "%7E")):
        assert get(server, coded).status == 200, coded


def test_2_case_makes_two_modules(server: Running) -> None:
    publish(server, "corp.example.com/Case", "v1.0.0")
    publish(server, "corp.example.com/case", "v1.1.0")
    assert listed(server, "corp.example.com/Case") == ["v1.0.0"]
    assert listed(server, "corp.example.com/case") == ["v1.1.0"]
    assert get(server, "corp.example.com/Case/@v/list").status == 404


@pytest.mark.parametrize("address", ["upload", "v1.0.0.zip", "", "corp.example.com-x@v1.0.0.zip"])
def test_a_zip_tells_itself_what_it_is(server: Running, address: str) -> None:
    path = f"corp.example.com/own/{len(address)}"
    body = module_zip(path, "v1.0.0")
    if not address:
        address = "some.zip"  # what curl -T adds to an address with a final slash
    assert send(server, "PUT", address, body, at="main").status == 201
    assert get(server, place(path, "v1.0.0")).body == body
    assert send(server, "PUT", address, body).status == 200


def test_nexus_s_address_must_name_the_version(server: Running) -> None:
    answer = send(server, "PUT", "v1.0.1.zip", module_zip("corp.example.com/nexus", "v1.0.0"))
    assert (answer.status, listed(server, "corp.example.com/nexus")) == (400, ["404"])
    assert "'v1.0.1'" in answer.text


def test_47_the_same_content_again_changes_nothing(server: Running) -> None:
    path = "corp.example.com/again"
    assert publish(server, path).status == 201
    before, there = get(server, place(path, "v1.0.0")), blobs(server)
    assert publish(server, path).status == 200
    again = publish(server, path, stored=True)
    assert (again.status, again.text) == (200, publish(server, path).text)
    after = get(server, place(path, "v1.0.0"))
    assert (after.body, after.header("etag")) == (before.body, before.header("etag"))
    assert blobs(server) == there


def test_other_content_is_refused_with_both_hashes(server: Running) -> None:
    path = "corp.example.com/other"
    publish(server, path)
    there, other = blobs(server), module_zip(path, "v1.0.0", files=OTHER)
    answer = send(server, "PUT", place(path, "v1.0.0"), other)
    assert (answer.status, answer.header("content-type")) == (409, "text/plain; charset=utf-8")
    assert h1(module_zip(path)) in answer.text
    assert h1(other) in answer.text
    assert len(answer.body) <= 648
    assert blobs(server) == there


@pytest.mark.parametrize("other", [False, True], ids=["same", "other"])
def test_of_two_at_once_one_is_new(server: Running, other: bool) -> None:
    path = f"corp.example.com/race/{other}"
    second = module_zip(path, "v1.0.0", files=OTHER) if other else module_zip(path, "v1.0.0", stored=True)
    bodies = [module_zip(path, "v1.0.0"), second]

    def sent(body: bytes) -> Answer:
        return send(server, "PUT", place(path, "v1.0.0"), body)

    answers = together(*(lambda body=body: sent(body) for body in bodies * 3))
    statuses = sorted(answer.status for answer in answers)
    assert statuses == ([200, 200, 201, 409, 409, 409] if other else [200] * 5 + [201])
    assert get(server, place(path, "v1.0.0")).body in bodies
    assert listed(server, path) == ["v1.0.0"]


REFUSED = {
    "another version": ("v1.0.1", module_zip("corp.example.com/bad", "v1.0.0")),
    "another path": ("v1.0.0", module_zip("corp.example.com/worse", "v1.0.0")),
    "go.mod of another": ("v1.0.0", module_zip("corp.example.com/bad", "v1.0.0", mod=gomod("corp.example.com/fork"))),
    "no zip": ("v1.0.0", b"PK and nothing more"),
    "nested go.mod": ("v1.0.0", module_zip("corp.example.com/bad", files={"sub/GO.MOD": b""})),
    "two by case": ("v1.0.0", module_zip("corp.example.com/bad", files={"a.go": b"", "A.go": b""})),
    "v2": ("v2.0.0", module_zip("corp.example.com/bad", "v2.0.0")),
    "no version": ("v1.0", module_zip("corp.example.com/bad", "v1.0")),
    "meta": ("v1.0.0+meta", module_zip("corp.example.com/bad", "v1.0.0+meta")),
    "incompatible with go.mod": (
        "v2.0.0+incompatible",
        module_zip("corp.example.com/bad", "v2.0.0+incompatible", mod=gomod("corp.example.com/bad")),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_5_6_23_24_what_is_no_module_is_refused(server: Running, why: str) -> None:
    version, body = REFUSED[why]
    there = blobs(server)
    answer = send(server, "PUT", place("corp.example.com/bad", version), body)
    assert answer.status == 400, answer.text
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert 0 < answer.text.count("\n") <= 8
    assert listed(server, "corp.example.com/bad") == ["404"]
    assert blobs(server) == there


def test_42_a_path_without_a_host_is_refused(server: Running) -> None:
    assert send(server, "PUT", "upload", module_zip("corp/x", "v1.0.0")).status == 400
    assert send(server, "PUT", "corp/x/@v/v1.0.0.zip", module_zip("corp/x", "v1.0.0")).status == 400


def test_a_zip_past_the_limit_is_refused(server: Running) -> None:
    path = "corp.example.com/large"
    answer = publish(server, path, to="small", files={"a": bytes(range(256)) * 200}, stored=True)
    assert answer.status == 413
    assert str(LIMIT) in answer.text


def test_jfrog_s_small_files_are_compared_with_the_zip(server: Running) -> None:
    path = "corp.example.com/jf"
    mod, info = place(path, "v1.0.0", "mod"), place(path, "v1.0.0", "info")
    assert send(server, "PUT", mod, gomod(path)).status == 409
    assert send(server, "PUT", info, b'{"Version": "v1.0.0"}').status == 409
    assert listed(server, path) == ["404"]
    publish(server, path)
    before = get(server, info).body
    assert send(server, "PUT", mod, gomod(path)).status == 200
    assert send(server, "PUT", mod, gomod("corp.example.com/fork")).status == 409
    assert send(server, "PUT", info, b'{"Version": "v1.0.0", "Time": "2020-01-01T00:00:00Z"}').status == 200
    assert send(server, "PUT", info, b'{"Version": "v1.0.1"}').status == 409
    assert send(server, "PUT", info, b"nothing").status == 400
    assert (get(server, mod).body, get(server, info).body) == (gomod(path), before)


def test_a_module_without_a_go_mod_gets_one(server: Running) -> None:
    path = "corp.example.com/bare"
    assert publish(server, path, "v1.0.0", mod=None).status == 201
    assert publish(server, path, "v2.0.0+incompatible").status == 201
    assert get(server, place(path, "v1.0.0", "mod")).body == f"module {path}\n".encode()
    assert latest(server, path) == "v2.0.0+incompatible"


def test_a_module_of_commits_alone_has_an_empty_list(server: Running) -> None:
    path, version = "corp.example.com/commits", "v0.0.0-20250101000000-0123456789ab"
    publish(server, path, version)
    assert (listed(server, path), latest(server, path)) == ([], version)


def test_13_41_lists_are_in_the_order_of_versions(server: Running) -> None:
    path = "corp.example.com/many"
    for version in ("v1.10.0", "v1.9.0", "v1.10.0-rc.1", "v0.1.0"):
        assert publish(server, path, version).status == 201
    assert listed(server, path, at="main") == ["v0.1.0", "v1.9.0", "v1.10.0-rc.1", "v1.10.0"]
    assert latest(server, path, at="main") == "v1.10.0"


def test_9_branches_of_hosted_modules_are_not_here(server: Running) -> None:
    path = "corp.example.com/branch"
    publish(server, path)
    for at in ("local", "main"):
        answer = get(server, f"{path}/@v/master.info", at=at)
        assert (answer.status, answer.header("content-type")) == (404, "text/plain; charset=utf-8")


def test_a_hidden_version_is_had_by_name_alone(server: Running) -> None:
    path = "corp.example.com/hidden"
    for version in ("v1.0.0", "v1.1.0"):
        publish(server, path, version)
    for _ in range(2):
        assert send(server, "PUT", f"manage/{path}/@v/v1.1.0/yank", b"broken").status == 200
    assert (listed(server, path), latest(server, path)) == (["v1.0.0"], "v1.0.0")
    assert get(server, place(path, "v1.1.0")).status == 200
    api = f"/api/v1/repositories/go/local/packages/{path}/versions/v1.1.0/yank"
    assert server.ask(api, method="DELETE", token=server.token).status == 204
    assert listed(server, path) == ["v1.0.0", "v1.1.0"]
    assert send(server, "PUT", f"manage/{path}/v9.0.0/yank").status == 404


@pytest.mark.parametrize("how", ["zip", "manage", "api"])
def test_a_deleted_version_is_gone_with_its_files(server: Running, how: str) -> None:
    path = f"corp.example.com/Gone/{how}"
    for version in ("v1.0.0", "v1.1.0"):
        publish(server, path, version)
    if how == "api":
        api = f"/api/v1/repositories/go/local/packages/{path}/versions/v1.1.0"
        assert server.ask(api, method="DELETE", token=server.token).status == 204
    else:
        address = place(path, "v1.1.0") if how == "zip" else f"manage/{path}/v1.1.0"
        assert send(server, "DELETE", address).status == 204
        assert send(server, "DELETE", address).status == 404
    assert (listed(server, path, at="main"), latest(server, path, at="main")) == (["v1.0.0"], "v1.0.0")
    for ending in ("zip", "mod", "info"):
        assert get(server, place(path, "v1.1.0", ending)).status == 404
    refused = publish(server, path, "v1.1.0", files=OTHER)
    assert refused.status == 409
    assert "deleted" in refused.text
    assert publish(server, path, "v1.1.0").status == 201


def test_who_is_asked_for_what(server: Running) -> None:
    path = "corp.example.com/rights"
    body = module_zip(path)
    for address in (place(path, "v1.0.0"), "upload", "x.zip"):
        answer = server.ask(f"/go/local/{address}", method="PUT", body=body)
        assert answer.status == 401
        assert (answer.header("www-authenticate") or "").startswith("Basic")
    publish(server, path, to="closed")
    for address in (f"{path}/@v/list", place(path, "v1.0.0"), "corp.example.com/none/@v/list"):
        assert server.ask(f"/go/closed/{address}").status == 401
    known = send(server, "GET", f"{path}/@v/list", at="closed")
    assert (known.status, known.header("cache-control")) == (200, "private, max-age=0, must-revalidate")
    assert send(server, "PUT", place(path, "v1.0.0"), body, at="far").status == 405


def test_zips_are_imported(tmp_path: Path) -> None:
    folder, data, log = tmp_path / "zips", tmp_path / "var", tmp_path / "log"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}@v1.0.0.zip").write_bytes(module_zip(f"corp.example.com/{name}", "v1.0.0"))
    (folder / "other.zip").write_bytes(b"no module")
    config = tmp_path / "settings.toml"
    config.write_text(NONE)
    words = ["import", str(folder), "--data", str(data), "--config", str(config)]
    assert spawn(words, environment(), log).wait(60) == 0, log.read_text()
    settings = ["--data", str(data), "--config", str(config)]
    told = ["package", "delete", "go/local", "corp.example.com/two", "v1.0.0", "--yes", *settings]
    assert spawn(told, environment(), log).wait(60) == 0, log.read_text()
    with running(data, config=NONE) as server:
        assert listed(server, "corp.example.com/one") == ["v1.0.0"]
        assert listed(server, "corp.example.com/two") == ["404"]
