"""The API's own verbs on npm packages, and what is asked for at odd addresses."""

from __future__ import annotations

import json

from tests.formats.npm.artefacts import tarball
from tests.formats.npm.asking import full, publish
from tests.running import Running

API = "/api/v1/repositories/npm/local/"


def ask(server: Running, method: str, path: str, body: object = None) -> int:
    sent = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if sent else {}
    return server.ask(API + path, method=method, body=sent, headers=headers, token=server.token).status


def test_a_version_is_yanked_and_taken_back(server: Running) -> None:
    for name in ("yanked", "@team/yanked"):
        assert publish(server, name, "1.0.0").status == 201
        at = f"packages/{name}/versions/1.0.0/yank"
        assert ask(server, "PUT", at, {"reason": "it breaks"}) == 204
        assert full(server, name)["versions"]["1.0.0"]["deprecated"] == "it breaks"
        assert ask(server, "DELETE", at) == 204
        assert "deprecated" not in full(server, name)["versions"]["1.0.0"]
        assert ask(server, "PUT", f"packages/{name}/versions/9.0.0/yank", {"reason": "x"}) == 404


def test_a_version_and_a_file_are_deleted(server: Running) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        assert publish(server, "@team/less", version).status == 201
    assert ask(server, "DELETE", "packages/@team/less/versions/3.0.0") == 204
    assert ask(server, "DELETE", "packages/@team/less/versions/3.0.0") == 404
    assert ask(server, "DELETE", "files/@team/less/-/less-2.0.0.tgz") == 204
    left = full(server, "@team/less")
    assert (list(left["versions"]), left["dist-tags"]) == (["1.0.0"], {"latest": "1.0.0"})


def test_the_api_shows_where_a_version_came_from(server: Running) -> None:
    assert publish(server, "shown", "1.0.0").status == 201
    answer = server.ask(f"{API}packages/shown", token=server.token)
    assert answer.status == 200
    (version,) = json.loads(answer.body)["versions"]
    assert version["version"] == "1.0.0"
    assert [file["filename"] for file in version["files"]] == ["shown-1.0.0.tgz"]
    assert version["files"][0]["origin"]["publisher"] == "admin"


def test_a_package_may_be_called_manage(server: Running) -> None:
    assert publish(server, "manage", "1.0.0").status == 201
    assert list(full(server, "manage")["versions"]) == ["1.0.0"]
    assert server.ask("/npm/local/manage/1.0.0").status == 200
    assert server.ask("/npm/local/manage/-/manage-1.0.0.tgz").status == 200
    gone = server.ask("/npm/local/manage/-rev/x", method="DELETE", token=server.token)
    assert gone.status == 200


def test_a_document_at_the_address_of_a_tarball_is_a_publish_like_any_other(server: Running) -> None:
    assert publish(server, "odd.tgz", "1.0.0", body=tarball("odd.tgz", "1.0.0")).status == 201
    assert list(full(server, "odd.tgz")["versions"]) == ["1.0.0"]
