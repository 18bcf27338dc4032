"""What is published, changed afterwards: documents that come back, versions and packages that go.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.formats.npm.artefacts import tarball
from tests.formats.npm.asking import delete, escaped, full, publish, put, said, short
from tests.running import Running


def laid(server: Running, name: str, *versions: str) -> dict[str, Any]:
    """A package of these versions; its document as an owner gets it for editing."""
    for version in versions or ("1.0.0",):
        assert publish(server, name, version).status == 201
    return full(server, name, write=True)


def sent_back(server: Running, name: str, document: dict[str, Any], rev: str | None = None) -> int:
    path = escaped(name) if rev is None else f"{escaped(name)}/-rev/{rev}"
    return put(server, path, document).status


@pytest.mark.parametrize("at", ["local", "main"])
def test_a_version_is_deprecated_and_taken_back(server: Running, at: str) -> None:
    name = f"old-{at}"
    document = laid(server, name, "1.0.0", "2.0.0")
    times = full(server, name)["time"]
    document["versions"]["1.0.0"]["deprecated"] = "use 2, größer"
    assert put(server, name, document, to=at).status == 201
    for repository in ("local", "main"):
        for found in (full(server, name, at=repository), short(server, name, at=repository)):
            assert found["versions"]["1.0.0"]["deprecated"] == "use 2, größer"
            assert "deprecated" not in found["versions"]["2.0.0"]
    after = full(server, name)["time"]
    assert {each: after[each] for each in ("created", "1.0.0", "2.0.0")} == {  # 11
        each: times[each] for each in ("created", "1.0.0", "2.0.0")
    }
    assert after["modified"] > times["modified"]  # 12
    document["versions"]["1.0.0"]["deprecated"] = ""
    assert put(server, name, document, to=at).status == 201
    assert "deprecated" not in full(server, name)["versions"]["1.0.0"]


def test_57_deprecated_of_odd_types(server: Running) -> None:
    document = laid(server, "odd-old")
    for value, wanted in (
        (True, "this version is deprecated"),
        (False, None),
        ("x", "x"),
        (None, None),
        ({"a": 1}, None),
        (7, None),
        ("a\0b", "a\ufffdb"),
        ("", None),
    ):
        document["versions"]["1.0.0"]["deprecated"] = value
        assert sent_back(server, "odd-old", document) == 201, value
        assert full(server, "odd-old")["versions"]["1.0.0"].get("deprecated") == wanted


def test_17_of_a_whole_document_only_the_deprecation_counts(server: Running) -> None:
    document = laid(server, "vast", "1.0.0", "2.0.0")
    before = full(server, "vast")
    sent = copy.deepcopy(document)
    for version, manifest in sent["versions"].items():
        manifest["dist"]["tarball"] = f"http://elsewhere.example/vast-{version}.tgz"
        manifest["dist"]["integrity"] = "sha512-evil"
        manifest["scripts"] = {"install": "evil"}
        manifest["dependencies"] = {"evil": "1"}
    sent["versions"]["1.0.0"]["deprecated"] = "old"
    sent["readme"] = "r" * 5_000_000
    sent["dist-tags"] = {"latest": "1.0.0", "evil": "2.0.0"}
    sent["maintainers"] = [{"name": "evil"}]
    sent["time"] = {}
    assert sent_back(server, "vast", sent) == 201
    after = full(server, "vast")
    assert after["versions"]["1.0.0"].pop("deprecated") == "old"
    for found in (before, after):
        found["time"].pop("modified")
        found.pop("_rev")
    assert after == before
    assert sent_back(server, "vast", document) == 201


def test_16_owners_change_without_versions(server: Running) -> None:
    document = laid(server, "owned", "1.0.0", "2.0.0")
    owners = [{"name": "ann", "email": "ann@people.example"}, {"name": "bob", "email": ""}]
    sent = {"_id": "owned", "_rev": document["_rev"], "maintainers": owners}
    assert sent_back(server, "owned", sent, document["_rev"]) == 201
    found = full(server, "owned")
    assert found["maintainers"] == owners
    assert list(found["versions"]) == ["1.0.0", "2.0.0"]
    told = json.loads(server.ask("/npm/main/-/package/owned/collaborators").body)
    assert told == {"ann": "write", "bob": "write"}
    bad: list[object] = [[], "ann", [{}], [{"name": ""}], [{"email": "x"}], [7]]
    for wrong in bad:
        assert sent_back(server, "owned", {"_id": "owned", "maintainers": wrong}, "x") == 400
    # Yarn 1 reads a form without owners and sends its own one alone.
    assert sent_back(server, "owned", {"maintainers": [{"name": "eve"}]}, "undefined") == 409
    assert sent_back(server, "owned", {"maintainers": [{"name": "eve"}]}, document["_rev"]) == 409
    assert full(server, "owned")["maintainers"] == owners


@pytest.mark.parametrize("name", ["kept-by", "@kept/by"])
def test_owners_come_and_go_one_by_one(server: Running, name: str) -> None:
    laid(server, name)
    path = f"-/package/{escaped(name)}/owners"
    assert put(server, path, {"user": "ann"}).status in (200, 201)
    assert [each["name"] for each in full(server, name)["maintainers"]] == ["admin", "ann"]
    assert delete(server, f"{path}/admin").status in (200, 201)
    for at in ("local", "main"):
        assert [each["name"] for each in full(server, name, at=at)["maintainers"]] == ["ann"]
    assert delete(server, f"{path}/ann").status in (400, 403, 409)
    bad: list[object] = [{}, {"user": ""}, {"user": 7}, [], "ann"]
    for wrong in bad:
        assert put(server, path, wrong).status == 400
    assert put(server, path, {"user": "b\0c"}).status in (201, 400)
    owners = [each["name"] for each in full(server, name)["maintainers"]]
    assert "ann" in owners and not any("\0" in each for each in owners)


def test_stars_are_the_askers_own(server: Running) -> None:
    document = laid(server, "starred")
    sent = {"_id": "starred", "_rev": document["_rev"], "users": {"admin": True, "ann": True, "evil": True}}
    assert sent_back(server, "starred", sent) == 201
    assert full(server, "starred")["users"] == {"admin": True}
    assert sent_back(server, "starred", {**sent, "users": {}}) == 201
    assert "users" not in full(server, "starred")


@pytest.mark.parametrize("name", ["gone-one", "@gone/one"])
def test_18_one_version_goes_as_npm_sends_it(server: Running, name: str) -> None:
    laid(server, name, "1.0.0", "2.0.0", "3.0.0-rc.1")
    assert put(server, f"-/package/{escaped(name)}/dist-tags/next", "3.0.0-rc.1").status == 201
    assert put(server, f"-/package/{escaped(name)}/dist-tags/also", "2.0.0").status == 201
    assert put(server, f"-/package/{escaped(name)}/dist-tags/latest", "2.0.0").status == 201
    document = full(server, name, write=True)
    basename = name.rpartition("/")[2]
    path = document["versions"]["2.0.0"]["dist"]["tarball"].removeprefix(f"{server.url}npm/local/")
    assert path == f"{name}/-/{basename}-2.0.0.tgz"
    del document["versions"]["2.0.0"]
    document["dist-tags"] = {"latest": "3.0.0-rc.1"}  # npm may name a prerelease
    assert sent_back(server, name, document, document["_rev"]) == 201
    again = full(server, name, write=True)
    assert delete(server, f"{path}/-rev/{again['_rev']}").status in (200, 404)
    for at in ("local", "main"):
        found = full(server, name, at=at)
        assert list(found["versions"]) == ["1.0.0", "3.0.0-rc.1"]
        assert found["dist-tags"] == {"latest": "1.0.0", "next": "3.0.0-rc.1"}  # 20, 66
        assert "2.0.0" not in found["time"]
        assert server.ask(f"/npm/{at}/{path}").status == 404
        assert server.ask(f"/npm/{at}/{name}/-/{basename}-1.0.0.tgz").body == tarball(name, "1.0.0")
    assert delete(server, f"{path}/-rev/x").status == 404


def test_19_the_last_version_takes_the_package_along(server: Running) -> None:
    for name, drop in (("last-a", True), ("last-b", False)):
        document = laid(server, name)
        if drop:
            assert delete(server, f"{name}/-rev/{document['_rev']}").status == 200
        else:
            assert sent_back(server, name, {**document, "versions": {}}, document["_rev"]) == 201
        for at in ("local", "main"):
            for path in (name, f"{name}?write=true", f"{name}/1.0.0", f"-/package/{name}/dist-tags"):
                assert server.ask(f"/npm/{at}/{path}").status == 404, path
        assert delete(server, f"{name}/-rev/x").status == 404
        assert name not in json.loads(server.ask("/npm/main/").body)


def test_21_other_bytes_never_come_back_under_a_version_that_was_removed(server: Running) -> None:
    laid(server, "back", "1.0.0", "2.0.0")
    assert delete(server, "back/-/back-1.0.0.tgz/-rev/x").status == 200
    other = publish(server, "back", "1.0.0", body=tarball("back", "1.0.0", members={"other": b"x"}))
    assert other.status == 403
    assert said(other).startswith("You cannot publish over the previously published versions: 1.0.0.")
    assert list(full(server, "back")["versions"]) == ["2.0.0"]


def test_a_stale_revision_removes_nothing(server: Running) -> None:
    document = laid(server, "stale", "1.0.0", "2.0.0")
    assert publish(server, "stale", "3.0.0").status == 201
    del document["versions"]["1.0.0"]
    answer = put(server, f"stale/-rev/{document['_rev']}", document)
    assert answer.status == 409
    assert "read it again" in said(answer)
    assert list(full(server, "stale")["versions"]) == ["1.0.0", "2.0.0", "3.0.0"]


def test_a_document_without_rev_removes_nothing(server: Running) -> None:
    document = laid(server, "keeps", "1.0.0", "2.0.0")
    del document["versions"]["1.0.0"]
    assert sent_back(server, "keeps", document) == 201
    assert list(full(server, "keeps")["versions"]) == ["1.0.0", "2.0.0"]


def test_versions_come_only_with_their_tarballs(server: Running) -> None:
    document = laid(server, "adds")
    document["versions"]["2.0.0"] = {**document["versions"]["1.0.0"], "version": "2.0.0"}
    for rev in (None, document["_rev"]):
        assert sent_back(server, "adds", document, rev) == 400
    assert list(full(server, "adds")["versions"]) == ["1.0.0"]
    assert put(server, "never-there", {"name": "never-there", "versions": {}}).status == 404


def test_55_what_is_edited_is_never_cached(server: Running) -> None:
    laid(server, "fresh")
    for at in ("local", "main"):
        answer = server.ask(f"/npm/{at}/fresh?write=true")
        assert answer.header("cache-control") == "no-store"
        assert answer.header("content-type") == "application/json"
        etag = server.ask(f"/npm/{at}/fresh").header("etag") or ""
        confirmed = server.ask(f"/npm/{at}/fresh?write=true", headers={"If-None-Match": etag})
        assert (confirmed.status, len(confirmed.body)) == (200, len(answer.body))
    before = full(server, "fresh", write=True)
    publish(server, "fresh", "2.0.0")
    assert full(server, "fresh", write=True)["_rev"] != before["_rev"]


def test_66_files_are_deleted_one_by_one(server: Running) -> None:
    laid(server, "few", "1.0.0", "2.0.0", "3.0.0")
    for tag, version in (("a", "1.0.0"), ("b", "2.0.0")):
        assert put(server, f"-/package/few/dist-tags/{tag}", version).status == 201
    assert delete(server, "few/-/few-2.0.0.tgz/-rev/x", to="main").status == 200
    assert full(server, "few")["dist-tags"] == {"latest": "3.0.0", "a": "1.0.0"}
    assert delete(server, "few/-/few-3.0.0.tgz/-rev/x").status == 200
    assert full(server, "few")["dist-tags"] == {"latest": "1.0.0", "a": "1.0.0"}
    assert delete(server, "few/-/other-1.0.0.tgz/-rev/x").status == 404
