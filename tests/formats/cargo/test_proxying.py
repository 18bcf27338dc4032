"""Crates through a proxy and through groups: what upstreams do, and whose a name is.

Numbers in names are items of cargo.md, section 8. Every fault of an upstream is met in tests/faults (51, 52).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any

import pytest

from reliquary.formats.cargo import names
from tests.contracts.requests import NONE
from tests.formats.cargo.artefacts import body, checksum, crate, line, told
from tests.formats.cargo.conftest import ask, blobs, download, index, lines, publish, said, versions
from tests.running import Answer, Running, running
from tests.upstreams import Upstream, playing

FRESH = "page_life = 0\nstale_for = 0\nnegative_life = 0\nretries = 0\nread_timeout = 20\nreserve = 0\n"
REPOSITORIES = """
[[repositories]]
format = "cargo"
name = "up"
kind = "proxy"
upstream = "{url}r/"

[[repositories]]
format = "cargo"
name = "denied"
kind = "proxy"
upstream = "{url}r/"
rules = [{{ verdict = "deny", pattern = "evil-*" }}]

[[repositories]]
format = "cargo"
name = "all"
kind = "group"
members = ["local", "up"]

[[repositories]]
format = "cargo"
name = "merged"
kind = "group"
members = ["local", "up"]
rules = [{{ verdict = "allow", pattern = "shared*" }}]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        config = {"dl": f"{upstream.url}files/{{crate}}/{{version}}.crate", "api": f"{upstream.url}api/"}
        upstream.put("/r/config.json", json.dumps(config).encode(), content_type="application/json")
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Hosted ``local`` and the proxy ``up`` in the groups ``all`` and, where a rule opens names, ``merged``."""
    config = NONE + FRESH + REPOSITORIES.format(url=upstream.url)
    with running(tmp_path_factory.mktemp("proxying") / "var", config=config) as server:
        yield server


def there(name: str) -> str:
    """Where the upstream has a crate's index file."""
    return f"/r/{names.index_path(name.lower())}"


def lay(
    upstream: Upstream, name: str, *numbers: str, more: Mapping[str, Any] | None = None, seed: bytes = b"upstream's"
) -> dict[str, bytes]:
    """Put a crate at the upstream, whose lines have spaces; its archives by version."""
    made = {version: crate(name, version, files={"seed": seed}) for version in numbers or ("1.0.0",)}
    rows = [json.dumps({**line(name, version, checksum(each)), **(more or {})}) for version, each in made.items()]
    upstream.put(there(name), "".join(f"{row}\n" for row in rows).encode(), content_type="text/plain")
    for version, each in made.items():
        upstream.put(f"/files/{name}/{version}.crate", each)
    return made


def through(server: Running, name: str, version: str = "1.0.0") -> Answer:
    """Publish through the group."""
    return publish(server, name, version, to="all")


@pytest.mark.parametrize("at", ["up", "all"])
@pytest.mark.parametrize("name", ["q", "qr", "Qrs", "Pass_On", "x" * 64])
def test_2_50_index_files_and_archives_are_the_upstream_s(
    server: Running, upstream: Upstream, name: str, at: str
) -> None:
    odd = {"zz": {"é": [1.5, None]}, "v": 7, "rust_version": "1.70", "pubtime": "2025-01-31T09:05:00.5Z"}
    made = lay(upstream, name, "1.0.0", "1.1.0+meta", more=odd)
    answer = index(server, name, at=at)
    assert answer.body.decode() == "".join(
        json.dumps({**line(name, version, checksum(each)), **odd}) + "\n" for version, each in made.items()
    )
    assert index(server, name, at=at, If_None_Match=answer.header("etag") or "").status == 304
    for version, each in made.items():
        for spelled in (name, name.lower()):
            found = download(server, spelled, version, at=at)
            assert (found.status, found.body) == (200, each)
    assert upstream.hits(f"/files/{name}/1.0.0.crate") == 1


def test_a_proxy_s_config_is_our_own(server: Running) -> None:
    for at in ("up", "all"):
        place = f"{server.url}cargo/{at}"
        found = json.loads(server.ask(f"/cargo/{at}/config.json").body)
        assert found == {"dl": f"{place}/api/v1/crates", "api": place, "auth-required": False}


def test_an_archive_is_found_before_anybody_asked_for_the_index(server: Running, upstream: Upstream) -> None:
    made = lay(upstream, "Locked", "1.0.0", "2.0.0")
    head = server.ask("/cargo/up/api/v1/crates/Locked/1.0.0/download", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert download(server, "locked", "1.0.0", at="all").body == made["1.0.0"]
    missing = download(server, "Locked", "3.0.0", at="up")
    assert (missing.status, upstream.hits("/files/Locked/3.0.0.crate")) == (404, 0)
    assert said(missing)


def test_66_upstreams_are_asked_by_name_and_only_where_files_are(server: Running, upstream: Upstream) -> None:
    lay(upstream, "polite")
    upstream.forget()
    assert download(server, "polite", at="up").status == 200
    assert {request.path for request in upstream.requests} <= {
        there("polite"),
        "/r/config.json",
        "/files/polite/1.0.0.crate",
    }
    for request in upstream.requests:
        assert "reliquary" in request.headers["user-agent"].lower()
        assert "authorization" not in request.headers


def test_53_a_yank_upstream_is_seen(server: Running, upstream: Upstream) -> None:
    lay(upstream, "withdrawn", "1.0.0", "1.1.0")
    before = index(server, "withdrawn", at="all")
    assert download(server, "withdrawn", at="all").status == 200
    lay(upstream, "withdrawn", "1.0.0", "1.1.0", more={"yanked": True})
    after = index(server, "withdrawn", at="all", If_None_Match=before.header("etag") or "")
    assert after.status == 200
    assert [row["yanked"] for row in map(json.loads, after.body.splitlines())] == [True, True]
    assert after.header("etag") != before.header("etag")
    lay(upstream, "withdrawn", "1.0.0", "1.1.0")
    assert index(server, "withdrawn", at="all").header("etag") == before.header("etag")
    assert download(server, "withdrawn", at="all").status == 200
    assert upstream.hits("/files/withdrawn/1.0.0.crate") == 1


def test_54_a_crate_that_is_deleted_upstream(server: Running, upstream: Upstream) -> None:
    """The index says so; what a lock file knows is still had, so that no build breaks because an author left."""
    made = lay(upstream, "deleted")
    assert download(server, "deleted", at="up").body == made["1.0.0"]
    upstream.remove(there("deleted"))
    upstream.remove("/files/deleted/1.0.0.crate")
    for at in ("up", "all", "up"):
        assert index(server, "deleted", at=at).status == 404
        assert download(server, "deleted", at=at).body == made["1.0.0"]
    lay(upstream, "deleted")
    for at in ("up", "all"):
        assert versions(server, "deleted", at=at) == ["1.0.0"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_52_an_ill_upstream_leaves_what_is_here(server: Running, upstream: Upstream, status: int) -> None:
    name = f"ill-{status}"
    lay(upstream, name)
    before = index(server, name, at="up")
    upstream.fault(there(name), status=status)
    try:
        answer = index(server, name, at="up")
        assert (answer.status, answer.body, answer.header("etag")) == (200, before.body, before.header("etag"))
        assert said(index(server, f"{name}-unknown", at="up"))
    finally:
        upstream.heal()


def test_51_forged_bytes_are_not_kept(server: Running, upstream: Upstream) -> None:
    lay(upstream, "forged")
    forged = crate("forged", files={"seed": b"another's"})
    upstream.put("/files/forged/1.0.0.crate", forged)
    had = blobs(server)
    for _ in range(2):
        try:
            answer = download(server, "forged", at="up")
        except (HTTPException, OSError):
            continue
        assert answer.status == 503, "it may be put right, so cargo tries again"
        assert said(answer)
    assert checksum(forged) not in blobs(server) - had
    assert upstream.hits("/files/forged/1.0.0.crate") == 1, "it is left alone for a while"


def test_70_what_a_rule_keeps_out_has_neither_index_nor_archive(server: Running, upstream: Upstream) -> None:
    for name in ("evil-one", "Evil_Two"):
        lay(upstream, name)
        assert download(server, name, at="up").status == 200
        for answer in (index(server, name, at="denied"), download(server, name, at="denied")):
            assert answer.status in (403, 404)
            assert said(answer)


# --- whose a name is ---


def test_6_a_name_that_the_upstream_has_in_another_spelling(server: Running, upstream: Upstream) -> None:
    for name, others in (("Serde_Like", ("serde-like", "serde_like", "Serde-Like")), ("plainname", ("PlainName",))):
        lay(upstream, name)
        for other in others:
            answer = through(server, other)
            assert answer.status == 409, other
            assert f"`{name}`" in said(answer)
            assert other.lower() == name.lower() or index(server, other, at="all").status == 404
        assert lines(server, name, at="local") == []
        assert versions(server, name, at="all") == ["1.0.0"]


def test_6_a_name_that_the_upstream_has_in_a_mixed_spelling(server: Running, upstream: Upstream) -> None:
    lay(upstream, "one_two-three")
    for other in ("one-two-three", "One_Two-Three", "one_two_three"):
        answer = through(server, other)
        assert answer.status == 409, other
        assert "`one_two-three`" in said(answer)


def test_6_the_very_name_of_the_upstream_is_published_with_a_warning(server: Running, upstream: Upstream) -> None:
    lay(upstream, "Taken_Over", "1.0.0", "9.0.0")
    answer = through(server, "Taken_Over", "2.0.0")
    assert answer.status == 200
    told = json.loads(answer.body)
    assert "errors" not in told
    (word,) = told["warnings"]["other"]
    assert "`Taken_Over`" in word
    assert json.loads(through(server, "Taken_Over", "2.1.0").body)["warnings"]["other"] == []
    assert versions(server, "Taken_Over", at="all") == ["2.0.0", "2.1.0"]
    assert versions(server, "Taken_Over", at="up") == ["1.0.0", "9.0.0"]


def test_publishing_does_not_wait_for_an_upstream_that_is_down(server: Running, upstream: Upstream) -> None:
    upstream.fault("*", down=True)
    try:
        assert through(server, "unasked").status == 200
        assert versions(server, "unasked", at="all") == ["1.0.0"]
        assert download(server, "unasked", at="all").status == 200
    finally:
        upstream.heal()


@pytest.mark.parametrize("own", ["own-a", "Own_B", "own-crate-c", "Own_Crate-D"])
def test_5_55_a_hosted_name_hides_the_upstream_s_in_every_spelling(
    server: Running, upstream: Upstream, own: str
) -> None:
    spelled = names.spellings(own.lower())
    for name in spelled:
        lay(upstream, name, "9.9.9")
        assert index(server, name, at="all").status == 200
    assert publish(server, own, "1.0.0").status == 200
    for name in spelled:
        assert versions(server, name, at="up") == ["9.9.9"]
        assert versions(server, name, at="all") == (["1.0.0"] if name == own.lower() else [])
        assert download(server, name, "9.9.9", at="all").status == 404
        assert server.ask(f"/cargo/all/api/v1/crates/{name}/9.9.9").status == 404
    assert download(server, own, "1.0.0", at="all").body == crate(own, "1.0.0")
    assert ask(server, "DELETE", f"manage/{own}/1.0.0").status == 204
    for name in spelled:
        assert index(server, name, at="all").status == 404, "the name stays its owner's"


def test_55_56_where_a_rule_opens_a_name_each_version_comes_from_its_member(
    server: Running, upstream: Upstream
) -> None:
    theirs = lay(upstream, "shared-one", "0.9.0", "1.0.0", "2.0.0")
    assert publish(server, "shared-one", "1.0.0").status == 200
    assert publish(server, "shared-one", "1.5.0").status == 200
    own = {version: crate("shared-one", version) for version in ("1.0.0", "1.5.0")}
    found = {row["vers"]: row["cksum"] for row in lines(server, "shared-one", at="merged")}
    assert len(lines(server, "shared-one", at="merged")) == len(found) == 4
    assert found == {version: checksum(each) for version, each in {**theirs, **own}.items()}
    for version, each in {**theirs, **own}.items():
        assert download(server, "shared-one", version, at="merged").body == each
    assert versions(server, "shared-one", at="all") == ["1.0.0", "1.5.0"]


def test_55_spellings_of_an_opened_name_are_not_mixed(server: Running, upstream: Upstream) -> None:
    lay(upstream, "shared_two", "2.0.0")
    assert publish(server, "shared-two", "1.0.0").status == 200
    for name in ("shared-two", "shared_two"):
        for row in lines(server, name, at="merged"):
            assert row["name"].lower() == name
            made = download(server, name, row["vers"], at="merged")
            assert checksum(made.body) == row["cksum"]


def test_16_the_404_before_a_publish_is_not_remembered(server: Running, upstream: Upstream) -> None:
    for _ in range(3):
        assert index(server, "soon-here", at="all").status == 404
    assert publish(server, "soon-here").status == 200
    assert versions(server, "soon-here", at="all") == ["1.0.0"]
    for _ in range(3):
        assert index(server, "soon-there", at="all").status == 404
    assert through(server, "soon-there").status == 200
    assert versions(server, "soon-there", at="all") == ["1.0.0"]


def test_yanks_go_to_the_owner_alone(server: Running, upstream: Upstream) -> None:
    lay(upstream, "not-ours")
    assert index(server, "not-ours", at="all").status == 200
    answer = ask(server, "DELETE", "api/v1/crates/not-ours/1.0.0/yank", at="all")
    assert answer.status == 404
    assert ask(server, "DELETE", "manage/not-ours/1.0.0", at="all").status == 404
    assert [row["yanked"] for row in lines(server, "not-ours", at="all")] == [False]


def test_an_upstream_that_tells_not_where_its_files_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    with playing() as upstream:
        lay(upstream, "lost-files")
        config = NONE + FRESH + REPOSITORIES.format(url=upstream.url)
        with running(tmp_path_factory.mktemp("lost") / "var", config=config) as server:
            assert versions(server, "lost-files", at="up") == ["1.0.0"]
            answer = download(server, "lost-files", at="up")
            assert answer.status in (404, 502, 503)
            assert said(answer)


def test_4_build_metadata_beside_the_upstream_s(server: Running, upstream: Upstream) -> None:
    """Two builds of one version in two members: a group that mixes them has both, each from its own."""
    theirs = lay(upstream, "shared-build", "1.0.7")
    sent = body(told("shared-build", "1.0.7+x"), crate("shared-build", "1.0.7+x"))
    assert ask(server, "PUT", "api/v1/crates/new", at="merged", sent=sent).status == 200
    for row in lines(server, "shared-build", at="merged"):
        made = download(server, "shared-build", row["vers"], at="merged")
        assert checksum(made.body) == row["cksum"]
    assert download(server, "shared-build", "1.0.7", at="up").body == theirs["1.0.7"]
