"""Proxied projects over time, their older addresses, and groups around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.playground import (
    FRESH,
    JSON,
    Played,
    get,
    get_healed,
    lay_wheel,
    listing,
    noise,
    settings,
    sha256,
    stored,
    wheel_name,
)
from tests.formats.pypi.artefacts import wheel
from tests.formats.pypi.proxying import page, the_file
from tests.running import Running, running
from tests.upstreams import Upstream, playing


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("proxied") / "var", config=settings(upstream, FRESH)) as server:
        yield server


def lay(upstream: Upstream, name: str, **said: Any) -> Played:
    return lay_wheel(upstream, name, wheel(name.replace("-", "_"), members={"a": noise(300, name)}), said=said)


def test_what_upstream_says_carries_over(server: Running, upstream: Upstream) -> None:
    link = "https://index.example/integrity/said/1.0/x/provenance"
    said = {"yanked": 'bad "<build>"', "requires-python": ">=3.*", "upload-time": "2024-01-02T03:04:05.678901Z"}
    lay(upstream, "said", **said, provenance=link)
    file = the_file(server, "said")
    assert {name: file[name] for name in said} == said
    assert file["provenance"] == link
    lay(upstream, "said", yanked=False)
    assert the_file(server, "said")["yanked"] is False


def test_a_quarantined_project_offers_nothing(server: Running, upstream: Upstream) -> None:
    lay(upstream, "held")
    body = json.loads(listing("held", [])) | {"project-status": {"status": "quarantined", "reason": "malware"}}
    upstream.put("/simple/held/", json.dumps(body).encode(), content_type=JSON)
    found = page(server, "held")
    assert (found["files"], found["project-status"]["status"]) == ([], "quarantined")


def test_a_project_that_vanished_is_still_served_and_flagged(server: Running, upstream: Upstream) -> None:
    played = lay(upstream, "vanished")
    never = lay(upstream, "never-asked")
    assert get(server, the_file(server, "vanished")["path"]).body == played.data
    upstream.remove("/simple/vanished/")
    upstream.remove("/simple/never-asked/")
    upstream.remove(played.there)
    for repository in ("proxy", "all"):
        got = get(server, f"/pypi/{repository}/simple/vanished/")
        assert (got.status, len(json.loads(got.body)["files"])) == (200, 1)
        assert got.headers["warning"].startswith("110")
        assert get(server, the_file(server, "vanished", repository)["path"]).body == played.data
    assert get(server, "/pypi/proxy/simple/never-asked/").status == 404
    assert get(server, never.here).status == 404
    lay(upstream, "vanished")
    assert "warning" not in get(server, "/pypi/proxy/simple/vanished/").headers


def test_a_file_newer_than_the_page_we_have_is_found(upstream: Upstream, tmp_path: Path) -> None:
    lay(upstream, "newer")
    with running(tmp_path / "var", config=settings(upstream, "negative_life = 0")) as server:
        assert len(page(server, "newer")["files"]) == 1
        data = wheel("newer", "2.0")
        filename = wheel_name("newer", "2.0")
        row = {"filename": filename, "url": "/w/" + filename, "hashes": {"sha256": sha256(data)}, "size": len(data)}
        upstream.put("/simple/newer/", listing("newer", [row]), content_type=JSON)
        upstream.put("/w/" + filename, data)
        got = get(server, f"/pypi/proxy/files/newer/{sha256(data)}/{filename}")
        assert (got.status, got.body) == (200, data), "a lock file made elsewhere may know more than our page"


def test_addresses_stay_over_restarts_and_reordered_members(upstream: Upstream, tmp_path: Path) -> None:
    played = lay(upstream, "stays")
    with running(tmp_path / "var", config=settings(upstream)) as server:
        path = the_file(server, "stays", "all")["path"]
        assert get(server, path).body == played.data
    turned = settings(upstream).replace('["local", "proxy"]', '["proxy", "local"]')
    with running(tmp_path / "var", config=turned) as server:
        assert the_file(server, "stays", "all")["path"] == path
        assert get(server, path).body == played.data


def test_an_unknown_name_is_404_and_a_dead_upstream_503(server: Running, upstream: Upstream) -> None:
    assert get(server, "/pypi/proxy/simple/no-such-name/").status == 404
    assert get(server, f"/pypi/proxy/files/no-such-name/{'a' * 64}/x-1.0.tar.gz").status == 404
    upstream.stop()
    try:
        assert get(server, "/pypi/proxy/simple/other-name/").status == 503
        assert get(server, "/pypi/all/simple/other-name/").status == 503
        assert get(server, f"/pypi/all/files/other-name/{'a' * 64}/x-1.0.tar.gz").status == 503
    finally:
        upstream.resume()
    lay(upstream, "other-name")
    assert get_healed(server, "/pypi/proxy/simple/other-name/").status == 200


def test_an_offline_proxy_says_404_and_serves_what_it_has(upstream: Upstream, tmp_path: Path) -> None:
    played = lay(upstream, "here")
    with running(tmp_path / "var", config=settings(upstream)) as server:
        assert get(server, played.here).body == played.data
    upstream.forget()
    with running(tmp_path / "var", config=settings(upstream, "offline = true")) as server:
        assert get(server, played.here).body == played.data
        assert the_file(server, "here")["path"] == played.here
        assert get(server, "/pypi/proxy/simple/elsewhere/").status == 404
    assert upstream.hits() == 0


# Groups


def test_a_local_name_hides_the_upstreams(server: Running, upstream: Upstream) -> None:
    theirs = lay(upstream, "ours")
    mine = wheel("ours", "3.0")
    assert server.put("/pypi/all/ours-3.0-py3-none-any.whl", mine).status == 201
    assert the_file(server, "ours", "all")["filename"] == "ours-3.0-py3-none-any.whl"
    there = theirs.here.replace("/pypi/proxy/", "/pypi/all/")
    for path in (there, there + ".metadata"):
        assert get(server, path).status == 404
    assert stored(server, theirs.here, arriving=False) is None, "a hidden name is not cached either"
    assert get(server, the_file(server, "ours", "all")["path"]).body == mine


def test_a_rule_merges_and_the_first_member_gives_url_and_hash(upstream: Upstream, tmp_path: Path) -> None:
    theirs = lay(upstream, "merged")
    row = {"filename": wheel_name("merged", "2.0"), "url": "/w/m2", "hashes": {"sha256": "b" * 64}, "size": 1}
    same = {"filename": wheel_name("merged"), "url": f"../..{theirs.there}", "hashes": {"sha256": sha256(theirs.data)}}
    upstream.put("/simple/merged/", listing("merged", [same | {"size": len(theirs.data)}, row]), content_type=JSON)
    config = settings(upstream).replace(
        'members = ["local", "proxy"]',
        'members = ["local", "proxy"]\nrules = [{ verdict = "allow", pattern = "merged" }]',
    )
    mine = wheel("merged", members={"mine.py": b"1"})
    with running(tmp_path / "var", config=config) as server:
        assert server.put(f"/pypi/local/{wheel_name('merged')}", mine).status == 201
        found = {file["filename"]: file for file in page(server, "merged", "all")["files"]}
        assert found.keys() == {wheel_name("merged"), wheel_name("merged", "2.0")}
        first = found[wheel_name("merged")]
        assert first["hashes"] == {"sha256": sha256(mine)} and first["size"] == len(mine)
        assert page(server, "merged", "all")["versions"] == ["1.0", "2.0"]
        assert get(server, f"/pypi/all/files/merged/{sha256(mine)}/{wheel_name('merged')}").body == mine


def test_a_denied_name_is_nowhere(upstream: Upstream, tmp_path: Path) -> None:
    played = lay(upstream, "bad-name")
    config = settings(upstream).replace(
        f'upstream = "{upstream.url}simple/"',
        f'upstream = "{upstream.url}simple/"\nrules = [{{ verdict = "deny", pattern = "bad-*" }}]',
    )
    upstream.forget()
    with running(tmp_path / "var", config=config) as server:
        for path in ("/pypi/proxy/simple/bad-name/", "/pypi/all/simple/bad-name/", played.here):
            assert get(server, path).status == 404
    assert upstream.hits() == 0


def test_a_dead_member_is_never_silent(tmp_path: Path) -> None:
    with playing() as one, playing() as other:
        for upstream, version in ((one, "1.0"), (other, "2.0")):
            row = {"filename": wheel_name("both", version), "url": "x.whl", "hashes": {"sha256": version[0] * 64}}
            upstream.put("/simple/both/", listing("both", [row | {"size": 1}]), content_type=JSON)
        config = settings(one, FRESH)
        for name, partial in (("loose", "true"), ("tight", "false")):
            config += f'[[repositories]]\nformat = "pypi"\nname = "{name}"\nkind = "group"\n'
            config += f'members = ["proxy", "second"]\npartial = {partial}\n'
        config += (
            f'[[repositories]]\nformat = "pypi"\nname = "second"\nkind = "proxy"\nupstream = "{other.url}simple/"\n'
        )
        other.stop()
        with running(tmp_path / "var", config=config) as server:
            assert get(server, "/pypi/tight/simple/both/").status == 503
            got = get(server, "/pypi/loose/simple/both/")
            assert [file["filename"] for file in json.loads(got.body)["files"]] == [wheel_name("both")]
            assert got.headers["warning"].startswith("199")
            other.resume()
            whole = get_healed(server, "/pypi/tight/simple/both/")
            assert len(json.loads(whole.body)["files"]) == 2
            assert "warning" not in get(server, "/pypi/loose/simple/both/").headers


# Beside the simple API


def test_the_list_of_projects_is_the_upstreams_and_the_groups_a_union(server: Running, upstream: Upstream) -> None:
    names = [{"name": name} for name in ("zebra", "Made.Up", "aard_vark")]
    upstream.put(
        "/simple/", json.dumps({"meta": {"api-version": "1.1"}, "projects": names}).encode(), content_type=JSON
    )
    found = json.loads(get(server, "/pypi/proxy/simple/").body)["projects"]
    assert [each["name"] for each in found] == ["aard-vark", "made-up", "zebra"]
    assert server.put("/pypi/all/local_one-1.0-py3-none-any.whl", wheel("local_one")).status == 201
    merged = [each["name"] for each in json.loads(get(server, "/pypi/all/simple/").body)["projects"]]
    assert merged == sorted(merged) and {"aard-vark", "local-one", "made-up", "zebra"} <= set(merged)
    upstream.stop()
    try:
        stale = get(server, "/pypi/proxy/simple/")
        assert (stale.status, json.loads(stale.body)["projects"]) == (200, found)
    finally:
        upstream.resume()


def test_project_json_is_the_upstreams_with_our_addresses(server: Running, upstream: Upstream) -> None:
    assert get_healed(server, "/pypi/proxy/simple/said/").status == 200
    played = lay(upstream, "legacy")
    file = {
        "filename": wheel_name("legacy"),
        "url": f"https://files.example/{wheel_name('legacy')}",
        "digests": {"sha256": sha256(played.data)},
    }
    document = {"info": {"name": "legacy"}, "releases": {"1.0": [file]}, "urls": [file], "last_serial": 7}
    upstream.put("/pypi/legacy/json", json.dumps(document).encode(), content_type="application/json")
    got = get(server, "/pypi/proxy/pypi/legacy/json")
    assert (got.status, got.headers["x-pypi-last-serial"]) == (200, "7")
    found = json.loads(got.body)
    for each in (found["urls"][0], found["releases"]["1.0"][0]):
        assert each["url"] == f"http://127.0.0.1:{server.port}{played.here}"
    assert b"files.example" not in got.body
    assert get(server, "/pypi/proxy/pypi/nothing/json").status == 404


def test_a_foreign_file_of_project_json_points_nowhere_else(server: Running, upstream: Upstream) -> None:
    """An address that we do not know is not handed out: clients would leave the proxy by it."""
    lay(upstream, "stray")
    file = {
        "filename": "stray-9.0.tar.gz",
        "url": "https://files.example/stray-9.0.tar.gz",
        "digests": {"sha256": "9" * 64},
    }
    document = {"info": {"name": "stray"}, "releases": {"9.0": [file]}, "urls": [file], "last_serial": 7}
    upstream.put("/pypi/stray/json", json.dumps(document).encode(), content_type="application/json")
    got = get(server, "/pypi/proxy/pypi/stray/json")
    assert got.status == 200
    assert b"files.example" not in got.body


def test_provenance_is_passed_through(server: Running, upstream: Upstream) -> None:
    body = b'{"version": 1, "attestation_bundles": []}'
    path = f"integrity/proven/1.0/{wheel_name('proven')}/provenance"
    lay(upstream, "proven")
    kind = "application/vnd.pypi.integrity.v1+json"
    upstream.put(f"/{path}", body, content_type=kind)
    for repository in ("proxy", "all"):
        got = get(server, f"/pypi/{repository}/{path}")
        assert (got.status, got.body, got.headers["content-type"]) == (200, body, kind)
    assert get(server, f"/pypi/proxy/{path.replace('1.0', '2.0')}").status == 404
