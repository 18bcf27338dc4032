"""Yanking, deleting, and what caches see of it: validators of index files, conditions, ranges.

Numbers in names are items of cargo.md, section 8.
"""

from __future__ import annotations

import json

import pytest

from tests.contracts.requests import blob
from tests.formats.cargo.artefacts import checksum, crate, dep
from tests.formats.cargo.conftest import ask, blobs, download, index, lines, publish, said, versions
from tests.running import Answer, Running

API = "/api/v1/repositories/cargo/local/"


def yank(server: Running, name: str, version: str = "1.0.0", *, at: str = "local") -> Answer:
    return ask(server, "DELETE", f"api/v1/crates/{name}/{version}/yank", at=at)


def unyank(server: Running, name: str, version: str = "1.0.0", *, at: str = "local", **headers: str) -> Answer:
    """As cargo sends it: a PUT that says its body is empty."""
    sent = {"Authorization": server.token, "Content-Length": "0", **headers}
    return server.ask(f"/cargo/{at}/api/v1/crates/{name}/{version}/unyank", method="PUT", headers=sent)


def manage(server: Running, method: str, path: str, body: object = None) -> int:
    """Our own API."""
    sent = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if sent else {}
    return server.ask(API + path, method=method, body=sent, headers=headers, token=server.token).status


def hit(server: Running, name: str, *, at: str = "local") -> list[str]:
    """The greatest versions that a search for a crate finds."""
    found = json.loads(server.ask(f"/cargo/{at}/api/v1/crates?q={name}").body)["crates"]
    return [each["max_version"] for each in found if each["name"] == name]


@pytest.mark.parametrize("at", ["local", "main"])
def test_44_47_a_yank_flips_one_word_and_back(server: Running, at: str) -> None:
    name = f"Yank_{at}"
    deps = [dep("leaf", target='cfg(target_os = "linux")', kind="dev")]
    for version in ("1.0.0", "1.1.0+b", "2.0.0"):
        publish(server, name, version, deps=deps, features={"yanked": [], "a": ["dep:leaf"]})
    before = index(server, name, at=at)
    answer = yank(server, name, "1.1.0+b", at=at)
    assert (answer.status, json.loads(answer.body)) == (200, {"ok": True})
    after = index(server, name, at=at)
    assert after.header("etag") != before.header("etag")
    rows, were = after.body.splitlines(), before.body.splitlines()
    assert (rows[0], rows[2]) == (were[0], were[2])
    assert rows[1] == were[1].replace(b'"yanked":false', b'"yanked":true')
    assert download(server, name, "1.1.0+b", at=at).status == 200
    again = yank(server, name, "1.1.0+b", at=at)
    assert (again.status, index(server, name, at=at).header("etag")) == (200, after.header("etag"))
    answer = unyank(server, name, "1.1.0+b", at=at)
    assert (answer.status, json.loads(answer.body)) == (200, {"ok": True})
    back = index(server, name, at=at)
    assert (back.body, back.header("etag")) == (before.body, before.header("etag"))


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}, {"Accept": "application/json"}], ids=str)
def test_43_an_empty_put_takes_a_yank_back(server: Running, headers: dict[str, str]) -> None:
    publish(server, "empty-put")
    yank(server, "empty-put")
    assert unyank(server, "empty-put", **headers).status == 200
    assert not lines(server, "empty-put")[0]["yanked"]


@pytest.mark.parametrize("spelled", ["Case_Y", "case_y", "CASE_Y"])
def test_a_yank_takes_any_case(server: Running, spelled: str) -> None:
    publish(server, "Case_Y")
    assert yank(server, spelled).status == 200
    assert [line["yanked"] for line in lines(server, "Case_Y")] == [True]
    assert unyank(server, spelled).status == 200


def test_a_yank_counts_in_searches(server: Running) -> None:
    for version in ("1.0.0", "2.0.0"):
        publish(server, "sought", version)
    yank(server, "sought", "2.0.0")
    assert hit(server, "sought") == ["1.0.0"]
    unyank(server, "sought", "2.0.0")
    assert hit(server, "sought") == ["2.0.0"]


@pytest.mark.parametrize("path", ["nobody/1.0.0", "here/9.9.9", "here/1.0.0+x"])
def test_yanking_what_is_not_there(server: Running, path: str) -> None:
    publish(server, "here")
    for answer in (yank(server, *path.split("/")), unyank(server, *path.split("/"))):
        assert answer.status == 404
        assert "does not have a version" in said(answer)
    assert ask(server, "DELETE", f"manage/{path}").status == 404


def test_who_may_not_yank(server: Running) -> None:
    publish(server, "guarded-yank")
    path = "/cargo/local/api/v1/crates/guarded-yank/1.0.0/yank"
    for headers in ({}, {"Authorization": "rlq_nobody"}):
        answer = server.ask(path, method="DELETE", headers=headers)
        assert answer.status in (401, 403)
        assert said(answer)
    assert not lines(server, "guarded-yank")[0]["yanked"]


@pytest.mark.parametrize("at", ["local", "main"])
def test_48_a_deleted_version_is_gone_for_good(server: Running, at: str) -> None:
    name = f"Gone_{at}"
    for version in ("1.0.0", "2.0.0"):
        publish(server, name, version, made=crate(name, version, files={"README.md": b"# me\n"}))
    assert ask(server, "DELETE", f"manage/{name}/2.0.0", at=at).status == 204
    assert (versions(server, name), versions(server, name, at="main")) == (["1.0.0"], ["1.0.0"])
    assert hit(server, name) == ["1.0.0"]
    for word in ("download", "readme"):
        for each in ("local", "main"):
            assert server.ask(f"/cargo/{each}/api/v1/crates/{name}/2.0.0/{word}").status == 404
    for version in ("2.0.0", "2.0.0+x"):
        answer = publish(server, name, version, made=crate(name, version, files={"other": b""}), to=at)
        assert answer.status == 409, version
        assert "was deleted" in said(answer)
    assert versions(server, name) == ["1.0.0"]
    assert publish(server, name, "2.0.1").status == 200


def test_48_a_crate_without_versions_is_no_crate(server: Running) -> None:
    publish(server, "All-Gone")
    assert ask(server, "DELETE", "manage/all-gone/1.0.0").status == 204
    for path in ("al/l-/all-gone", "api/v1/crates/all-gone", "api/v1/crates/all-gone/1.0.0/download"):
        for at in ("local", "main"):
            assert server.ask(f"/cargo/{at}/{path}").status == 404, path
    assert hit(server, "All-Gone") == []
    answer = publish(server, "All-Gone", made=crate("All-Gone", files={"other": b""}))
    assert (answer.status, index(server, "All-Gone").status) == (409, 404)
    # Nothing is left that a lock file could mean: the name may be spelled anew.
    assert publish(server, "all_gone", "1.0.1").status == 200
    assert (hit(server, "all_gone"), index(server, "All-Gone").status) == (["1.0.1"], 404)


@pytest.mark.parametrize("name", ["api-crate", "Api_Crate2"])
def test_our_own_api_knows_crates(server: Running, name: str) -> None:
    for version in ("1.0.0", "2.0.0+b"):
        publish(server, name, version)
    for at in (f"packages/{name}/versions/2.0.0+b/yank", f"packages/{name}/versions/2.0.0%2Bb/yank"):
        assert manage(server, "PUT", at, {"reason": "it breaks"}) == 204
        assert [line["yanked"] for line in lines(server, name)] == [False, True]
        assert manage(server, "DELETE", at) == 204
        assert [line["yanked"] for line in lines(server, name)] == [False, False]
    answer = server.ask(f"{API}packages/{name}", token=server.token)
    told = json.loads(answer.body)
    assert (told["name"], [each["version"] for each in told["versions"]]) == (
        name.lower().replace("_", "-"),
        ["1.0.0", "2.0.0+b"],
    )
    (file,) = told["versions"][0]["files"]
    assert file["digests"]["sha256"] == checksum(crate(name))
    assert file["origin"]["publisher"] == "admin"
    assert manage(server, "DELETE", f"packages/{name}/versions/1.0.0") == 204
    assert manage(server, "DELETE", f"packages/{name}/versions/1.0.0") == 404
    assert manage(server, "PUT", f"packages/{name}/versions/1.0.0/yank", {"reason": ""}) == 404
    assert versions(server, name) == ["2.0.0+b"]


# --- what caches see ---


def test_13_14_304_is_for_the_very_same_bytes(server: Running) -> None:
    publish(server, "cached", "1.0.0", deps=[dep(f"leaf{at}") for at in range(30)])
    plain = index(server, "cached")
    etag = plain.header("etag") or ""
    assert etag.startswith('"') and etag.endswith('"') and etag.isascii() and '"' not in etag[1:-1]
    assert "max-age=0" in (plain.header("cache-control") or "")
    for known in (etag, f"W/{etag}", f'"x", {etag}'):
        answer = index(server, "cached", If_None_Match=known)
        assert (answer.status, answer.body, answer.header("etag")) == (304, b"", etag)
    for other in (f'"{etag[1:9]}"', etag.upper() + "x", '"x"'):
        assert index(server, "cached", If_None_Match=other).status == 200
    packed = index(server, "cached", Accept_Encoding="deflate, gzip")
    assert packed.header("content-encoding") == "gzip"
    mark = packed.header("etag") or ""
    assert mark.startswith('"')
    assert index(server, "cached", Accept_Encoding="deflate, gzip", If_None_Match=mark).status == 304
    assert "accept-encoding" in (packed.header("vary") or "").lower()


def test_15_two_changes_within_a_second_are_both_seen(server: Running) -> None:
    seen = set()
    for at in range(5):
        publish(server, "hasty", f"1.0.{at}")
        answer = index(server, "hasty", If_None_Match='"old"')
        seen.add(answer.header("etag"))
        assert answer.body.count(b"\n") == at + 1
    assert len(seen) == 5


def test_an_etag_is_of_the_content(server: Running) -> None:
    publish(server, "steady")
    first = [index(server, "steady", at=at).header("etag") for at in ("local", "main")]
    for _ in range(2):
        yank(server, "steady")
        assert [index(server, "steady", at=at).header("etag") for at in ("local", "main")] != first
        unyank(server, "steady")
        assert [index(server, "steady", at=at).header("etag") for at in ("local", "main")] == first


@pytest.mark.parametrize("path", ["ra/ng/ranged", "api/v1/crates/ranged/1.0.0/download"])
@pytest.mark.parametrize("at", ["local", "main"])
def test_65_head_and_range(server: Running, path: str, at: str) -> None:
    publish(server, "ranged", made=crate("ranged", files={"x": blob("ranged")}))
    whole = server.ask(f"/cargo/{at}/{path}")
    head = server.ask(f"/cargo/{at}/{path}", method="HEAD")
    same = ("etag", "content-length", "content-type", "cache-control", "last-modified")
    assert (head.status, head.body) == (200, b"")
    assert [head.header(each) for each in same] == [whole.header(each) for each in same]
    part = server.ask(f"/cargo/{at}/{path}", headers={"Range": "bytes=3-9"})
    if "download" in path:
        assert (part.status, part.body) == (206, whole.body[3:10])
        assert part.header("content-range") == f"bytes 3-9/{len(whole.body)}"
        known = {"If-None-Match": whole.header("etag") or ""}
        assert server.ask(f"/cargo/{at}/{path}", headers=known).status == 304
    else:
        # The whole of a page is a right answer to a Range; a part of a changing one helps nobody.
        assert (part.status, part.body) in ((200, whole.body), (206, whole.body[3:10]))


@pytest.mark.parametrize(
    "path",
    ["aa/bb/clean", "CL/EA/clean", "cl/ea/Clean", "cl/ea/clean/", "cl/ea/%C3%A9t%C3%A9", "1/%C3%A9",
     "3/%E2%82%AC/%E2%82%ACab", "1/clean", "cl/ea/clean%20", "cl/ea/cl_an", "cl%2Fea/clean", "cl/ea"],
)  # fmt: skip
def test_59_64_69_what_is_no_index_file_is_404(server: Running, path: str) -> None:
    publish(server, "clean")
    for at in ("local", "main", "far"):
        answer = server.ask(f"/cargo/{at}/{path}")
        assert answer.status == 404, answer.text
        assert said(answer)
    assert index(server, "clean").status == 200


def test_2_short_names(server: Running) -> None:
    for name, path in (("q", "1/q"), ("Qr", "2/qr"), ("q-s", "3/q/q-s"), ("QRst", "qr/st/qrst")):
        assert publish(server, name).status == 200
        for at in ("local", "main"):
            answer = server.ask(f"/cargo/{at}/{path}")
            assert (answer.status, json.loads(answer.body)["name"]) == (200, name)
            assert download(server, name, at=at).body == crate(name)


def test_62_names_that_differ_in_separators_alone_share_no_bytes(server: Running) -> None:
    had = blobs(server)
    publish(server, "sep-one", made=crate("sep-one", files={"x": b"1"}))
    assert server.ask("/cargo/local/se/p_/sep_one").status == 404
    assert server.ask("/cargo/local/api/v1/crates/sep_one/1.0.0/download").status == 404
    assert checksum(crate("sep-one", files={"x": b"1"})) in blobs(server) - had


@pytest.mark.parametrize("at", ["local", "main", "closed"])
def test_57_an_offer_of_h2c_changes_nothing(server: Running, at: str) -> None:
    publish(server, "upgraded", to="closed" if at == "closed" else "local")
    headers = {
        "Authorization": server.token, "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA", "cargo-protocol": "version=1", "accept": "text/plain",
    }  # fmt: skip
    for path in ("config.json", "up/gr/upgraded", "api/v1/crates/upgraded/1.0.0/download"):
        assert server.ask(f"/cargo/{at}/{path}", headers=headers).status == 200
    assert "upgrade" not in server.log.read_text().lower()
