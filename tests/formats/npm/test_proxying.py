"""npm through a proxy: what upstreams do, and what clients see of it.

Numbers in names are items of npm.md, section 8. Every fault of an upstream is met in tests/faults (38, 39, 40).
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.requests import NONE
from tests.faults.playground import get
from tests.formats.npm.artefacts import bundle, dist, integrity, manifest, packument, tarball
from tests.formats.npm.asking import full, short
from tests.running import Running, running
from tests.upstreams import Upstream, playing

FRESH = "page_life = 0\nstale_for = 0\nnegative_life = 0\nretries = 0\nread_timeout = 20\nreserve = 0\n"


def proxy(upstream: Upstream, more: str = "") -> str:
    return f'\n[[repositories]]\nformat = "npm"\nname = "up"\nkind = "proxy"\nupstream = "{upstream.url}r/"\n{more}\n'


def lay(upstream: Upstream, name: str, *versions: str, **more: Any) -> dict[str, bytes]:
    """Put a package at an upstream; its tarballs by version."""
    bodies = {version: tarball(name, version) for version in versions or ("1.0.0",)}
    at = name.replace("/", "%2F")
    upstream.put(f"/r/{at}", packument(name, bodies, f"{upstream.url}r/", **more), content_type="application/json")
    for version, body in bodies.items():
        upstream.put(f"/r/{name}/-/{name.rpartition('/')[2]}-{version}.tgz", body)
    return bodies


def healed(server: Running, path: str, status: int = 200) -> bool:
    """Whether an address answers so before a breaker's patience is at its end."""
    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        if server.ask(path).status == status:
            return True
        time.sleep(0.2)
    return False


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("proxying") / "var", config=NONE + FRESH + proxy(upstream)) as server:
        yield server


@pytest.mark.parametrize("name", ["plain", "@s/scoped", "JSONStream", "x" * 214])
def test_29_names_of_every_kind(server: Running, upstream: Upstream, name: str) -> None:
    bodies = lay(upstream, name, "1.0.0", "2.0.0-" + "b" * 96)
    for found in (full(server, name, at="up"), short(server, name, at="up")):
        assert list(found["versions"]) == list(bodies)
        for version, made in found["versions"].items():
            path = f"npm/up/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
            assert made["dist"]["tarball"] == server.url + path
            assert server.ask(f"/{path}").body == bodies[version]


def test_4_an_upstream_with_addresses_of_its_own(server: Running, upstream: Upstream) -> None:
    body = tarball("odd")
    where = upstream.put("/elsewhere/download/odd/1.0.0/abc", body)
    versions = {"1.0.0": manifest("odd") | {"dist": dist(body, where)}}
    upstream.put("/r/odd", packument("odd", {}, "", versions=versions), content_type="application/json")
    assert server.ask("/npm/up/odd/-/odd-1.0.0.tgz").body == body
    assert full(server, "odd", at="up")["versions"]["1.0.0"]["dist"]["tarball"].endswith("/npm/up/odd/-/odd-1.0.0.tgz")


def test_a_tarball_is_found_before_anybody_asked_for_the_packument(server: Running, upstream: Upstream) -> None:
    bodies = lay(upstream, "@lock/file", "1.0.0")
    for path in ("@lock%2ffile/-/file-1.0.0.tgz", "@lock/file/-/file-1.0.0.tgz", "@lock/file/-/@lock/file-1.0.0.tgz"):
        assert server.ask(f"/npm/up/{path}").body == bodies["1.0.0"]
    assert upstream.hits("/r/@lock/file/-/file-1.0.0.tgz") == 1


def test_39_wrong_bytes_of_the_right_length_are_not_kept(tmp_path: Path) -> None:
    with playing() as upstream:
        body = lay(upstream, "wrong")["1.0.0"]
        upstream.put("/r/wrong/-/wrong-1.0.0.tgz", body[:-1] + bytes([body[-1] ^ 1]))
        with running(tmp_path / "var", config=NONE + FRESH + proxy(upstream)) as server:
            first = get(server, "/npm/up/wrong/-/wrong-1.0.0.tgz")
            assert not (first.status == 200 and first.whole)
            assert len(first.body) < len(body)
            assert server.ask("/npm/up/wrong/-/wrong-1.0.0.tgz").status == 503
            assert "wrong-1.0.0.tgz" in server.log.read_text()
            assert server.ask("/npm/up/wrong").status == 200


def test_40_41_65_what_is_missing_and_what_is_down(server: Running, upstream: Upstream) -> None:
    assert server.ask("/npm/up/late").status == 404
    lay(upstream, "late")
    assert server.ask("/npm/up/late").status == 200
    before = server.ask("/npm/up/late")
    upstream.fault("/r/late", status=500)
    stale = server.ask("/npm/up/late")
    assert (stale.status, stale.body, stale.header("etag")) == (200, before.body, before.header("etag"))
    lay(upstream, "never")
    upstream.fault("/r/never", status=500)
    answer = server.ask("/npm/up/never")
    assert (answer.status, answer.header("cache-control")) == (503, "no-store")
    assert int(answer.header("retry-after") or 0) > 0
    upstream.heal()
    assert healed(server, "/npm/up/never")


def test_41_a_name_that_nobody_has_is_asked_for_once(tmp_path: Path) -> None:
    with playing() as upstream, running(tmp_path / "var", config=NONE + proxy(upstream)) as server:
        for _ in range(5):
            for accept in ("application/vnd.npm.install-v1+json", "application/json"):
                assert server.ask("/npm/up/pnpm", headers={"Accept": accept}).status == 404
            assert server.ask("/npm/up/pnpm/-/pnpm-1.0.0.tgz").status == 404
            assert server.ask("/npm/up/pnpm/latest").status == 404
        assert upstream.hits("/r/pnpm") == 1


@pytest.mark.parametrize("gone", ["unlisted", "deleted"])
def test_42_a_version_that_goes_upstream_stays_where_it_was_fetched(
    server: Running, upstream: Upstream, gone: str
) -> None:
    name = f"gone-{gone}"
    bodies = lay(upstream, name, "1.0.0", "2.0.0", "3.0.0")
    assert server.ask(f"/npm/up/{name}/-/{name}-1.0.0.tgz").body == bodies["1.0.0"]
    if gone == "unlisted":
        lay(upstream, name, "3.0.0")
    else:
        upstream.remove(f"/r/{name}")
    for version in ("1.0.0", "2.0.0"):
        upstream.remove(f"/r/{name}/-/{name}-{version}.tgz")
    for found in (full(server, name, at="up"), short(server, name, at="up")):
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            answer = server.ask(f"/npm/up/{name}/-/{name}-{version}.tgz")
            if version in found["versions"] and (version != "2.0.0" or gone == "unlisted"):
                assert answer.body == bodies[version], version
        assert "1.0.0" in found["versions"]
        assert set(found["dist-tags"].values()) <= set(found["versions"])


def test_a_deprecation_upstream_shows_on_what_is_here(server: Running, upstream: Upstream) -> None:
    bodies = lay(upstream, "ages")
    assert server.ask("/npm/up/ages/-/ages-1.0.0.tgz").body == bodies["1.0.0"]
    for message in ("old", None):
        said = manifest("ages") | {"dist": dist(bodies["1.0.0"], f"{upstream.url}r/ages/-/ages-1.0.0.tgz")}
        said |= {"deprecated": message} if message else {}
        upstream.put(
            "/r/ages", packument("ages", bodies, "", versions={"1.0.0": said}), content_type="application/json"
        )
        assert full(server, "ages", at="up")["versions"]["1.0.0"].get("deprecated") == message
        assert short(server, "ages", at="up")["versions"]["1.0.0"].get("deprecated") == message


def test_47_credentials_stay_where_they_belong(server: Running, upstream: Upstream) -> None:
    lay(upstream, "private")
    upstream.forget()
    sent = {"Authorization": f"Bearer {server.token}", "Cookie": "a=b", "npm-session": "x", "npm-auth-type": "web"}
    for path in ("private", "private/-/private-1.0.0.tgz", "private/latest", "-/npm/v1/keys"):
        server.ask(f"/npm/up/{path}", headers=sent)
    assert len(upstream.requests) >= 3
    for request in upstream.requests:
        assert not {"authorization", "cookie", "npm-session", "npm-auth-type"} & set(request.headers)


def test_47_an_upstreams_login_goes_to_no_other_host(tmp_path: Path) -> None:
    with playing() as upstream, playing() as other:
        body = tarball("far")
        where = other.put("/far-1.0.0.tgz", body)
        versions = {"1.0.0": manifest("far") | {"dist": dist(body, where)}}
        upstream.put("/r/far", packument("far", {}, "", versions=versions), content_type="application/json")
        lay(upstream, "near")
        text = NONE + FRESH + proxy(upstream).replace("http://", "http://user:secret@")
        with running(tmp_path / "var", config=text) as server:
            assert server.ask("/npm/up/near/-/near-1.0.0.tgz").status == 200
            assert all("authorization" in request.headers for request in upstream.requests)
            server.ask("/npm/up/far/-/far-1.0.0.tgz")
            assert not any("authorization" in request.headers for request in other.requests)
            assert "secret" not in server.log.read_text() + server.ask("/npm/up/far").text


def test_34_35_what_a_rule_hides_is_not_given(tmp_path: Path) -> None:
    rules = 'rules = [{ verdict = "deny", pattern = "bad" }, { verdict = "deny", pattern = "@evil/*" }]'
    with playing() as upstream:
        for name in ("bad", "@evil/x", "good"):
            lay(upstream, name)
        with running(tmp_path / "var", config=NONE + FRESH + proxy(upstream, rules)) as server:
            for name in ("bad", "@evil/x", "@evil%2fx"):
                base = name.replace("%2f", "/").rpartition("/")[2]
                for path in ("", f"/-/{base}-1.0.0.tgz", "/1.0.0", "/latest", "?write=true"):
                    assert server.ask(f"/npm/up/{name}{path}").status == 404, (name, path)
                assert server.ask(f"/npm/up/-/package/{name}/dist-tags").status == 404
            assert server.ask("/npm/up/good/-/good-1.0.0.tgz").status == 200
            assert not [each for each in upstream.requests if "bad" in each.path or "evil" in each.path]


def test_64_a_new_upstream_address_holds_for_versions_already_listed(tmp_path: Path) -> None:
    with playing() as one, playing() as two:
        lay(one, "moved", "1.0.0")
        bodies = lay(two, "moved", "1.0.0")
        with running(tmp_path / "var", config=NONE + FRESH + proxy(one)) as server:
            assert server.ask("/npm/up/moved").status == 200
        one.stop()
        with running(tmp_path / "var", config=NONE + FRESH + proxy(two)) as server:
            assert list(full(server, "moved", at="up")["versions"]) == ["1.0.0"]
            assert server.ask("/npm/up/moved/-/moved-1.0.0.tgz").body == bodies["1.0.0"]
            assert two.hits("/r/moved/-/moved-1.0.0.tgz") == 1


@pytest.mark.parametrize("lie", [-20, 20, 0])
def test_61_a_packed_packument_whose_length_is_wrong(server: Running, upstream: Upstream, lie: int) -> None:
    name = f"packed{lie}"
    body = gzip.compress(packument(name, {"1.0.0": tarball(name)}, f"{upstream.url}r/"))
    upstream.put(f"/r/{name}", body, content_type="application/json", headers={"content-encoding": "gzip"})
    upstream.fault(f"/r/{name}", lie=lie)
    answer = server.ask(f"/npm/up/{name}")
    assert answer.status == (503 if lie else 200)
    upstream.heal()
    assert healed(server, f"/npm/up/{name}")
    assert list(full(server, name, at="up")["versions"]) == ["1.0.0"]


def test_attestations_and_keys_of_an_upstream(server: Running, upstream: Upstream) -> None:
    told = json.dumps({"attestations": [{"predicateType": "x", "bundle": bundle()}]}).encode()
    upstream.put("/r/-/npm/v1/attestations/@s/sure@1.0.0", told, content_type="application/json")
    body = tarball("@s/sure")
    said = dist(body, f"{upstream.url}r/@s/sure/-/sure-1.0.0.tgz")
    said["attestations"] = {"url": f"{upstream.url}r/-/npm/v1/attestations/@s/sure@1.0.0", "provenance": {"a": 1}}
    versions = {"1.0.0": manifest("@s/sure") | {"dist": said}}
    upstream.put("/r/@s%2Fsure", packument("@s/sure", {}, "", versions=versions), content_type="application/json")
    made = full(server, "@s/sure", at="up")["versions"]["1.0.0"]["dist"]
    assert made["attestations"] == {
        "url": f"{server.url}npm/up/-/npm/v1/attestations/@s/sure@1.0.0",
        "provenance": {"a": 1},
    }
    assert server.ask("/npm/up/-/npm/v1/attestations/@s/sure@1.0.0").body == told
    key = {"keyid": "SHA256:up", "keytype": "x", "scheme": "x", "key": "abc", "expires": None}
    upstream.put("/r/-/npm/v1/keys", json.dumps({"keys": [key]}).encode(), content_type="application/json")
    assert key in json.loads(server.ask("/npm/up/-/npm/v1/keys").body)["keys"]


def resident(server: Running) -> int:
    """Bytes of memory that the server has."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def vast(name: str, count: int, filler: int, tags: Mapping[str, str]) -> bytes:
    """A packument of many versions that are not small."""
    text = "words that pack well " * (filler // 21)
    one = manifest(name, "VERSION", filler=text) | {"dist": dist(b"x", f"http://registry.example/{name}/-/VERSION.tgz")}
    made = json.dumps(one).encode()
    versions = b",".join(b'"%d.0.0":%b' % (at, made.replace(b"VERSION", b"%d.0.0" % at)) for at in range(count))
    return b'{"name":"%b","dist-tags":%b,"versions":{%b}}' % (name.encode(), json.dumps(tags).encode(), versions)


def test_60_a_packument_of_a_hundred_megabytes(tmp_path: Path) -> None:
    tags = {"latest": "9.0.0", **{f"tag-{at}": "1.0.0" for at in range(30_000)}}
    body = vast("vast", 2500, 40_000, tags)
    assert len(body) > 100_000_000
    with playing() as upstream:
        upstream.put("/r/vast", gzip.compress(body, 1), content_type="application/json",
                     headers={"content-encoding": "gzip"})  # fmt: skip
        lay(upstream, "small")
        text = NONE + FRESH.replace("page_life = 0\nstale_for = 0\n", "") + proxy(upstream)
        with running(tmp_path / "var", config=text) as server:
            assert server.ask("/npm/up/small").status == 200
            before = resident(server)
            found = json.loads(
                gzip.decompress(server.ask("/npm/up/vast", headers={"Accept-Encoding": "gzip"}, timeout=60).body)
            )
            assert len(found["versions"]) == 2500
            assert len(found["dist-tags"]) == 30_001
            brief = short(server, "vast", at="up")
            assert len(brief["versions"]) == 2500
            assert (resident(server) - before) / len(body) < 5


def test_60_a_document_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    with playing() as upstream:
        upstream.fault("/r/bomb", bomb=300_000_000)
        with running(tmp_path / "var", config=NONE + FRESH + proxy(upstream)) as server:
            before = resident(server)
            assert server.ask("/npm/up/bomb", timeout=60).status == 503
            assert resident(server) - before < 300_000_000


def test_digests_of_what_is_served_are_those_of_the_index(server: Running, upstream: Upstream) -> None:
    lay(upstream, "sums", "1.0.0", "2.0.0")
    for version, made in full(server, "sums", at="up")["versions"].items():
        body = server.ask(f"/npm/up/sums/-/sums-{version}.tgz").body
        assert made["dist"]["integrity"] == integrity(body)


def dated(upstream: Upstream, name: str, moment: str, *versions: str) -> None:
    """Put a packument that says when it was changed."""
    lay(upstream, name, *versions)
    body = json.loads(packument(name, {each: tarball(name, each) for each in versions}, f"{upstream.url}r/"))
    body["time"]["modified"] = moment
    upstream.put(f"/r/{name}", json.dumps(body).encode(), content_type="application/json")


def test_43_an_older_packument_does_not_replace_a_newer_one(server: Running, upstream: Upstream) -> None:
    dated(upstream, "lagging", "2026-02-02T00:00:00.000Z", "1.0.0", "2.0.0")
    assert list(full(server, "lagging", at="up")["versions"]) == ["1.0.0", "2.0.0"]
    dated(upstream, "lagging", "2026-01-01T00:00:00.000Z", "1.0.0")
    assert list(full(server, "lagging", at="up")["versions"]) == ["1.0.0", "2.0.0"]
    dated(upstream, "lagging", "2026-03-03T00:00:00.000Z", "1.0.0", "3.0.0")
    assert list(full(server, "lagging", at="up")["versions"]) == ["1.0.0", "3.0.0"]


def test_a_packument_from_the_future_holds_nothing_up(server: Running, upstream: Upstream) -> None:
    dated(upstream, "future", "9999-01-01T00:00:00.000Z", "1.0.0")
    assert list(full(server, "future", at="up")["versions"]) == ["1.0.0"]
    dated(upstream, "future", "2026-03-03T00:00:00.000Z", "1.0.0", "2.0.0")
    assert list(full(server, "future", at="up")["versions"]) == ["1.0.0", "2.0.0"]


def test_no_address_of_the_upstream_is_left(server: Running, upstream: Upstream) -> None:
    body = tarball("twice")
    where = upstream.put("/r/twice/-/twice-1.0.0.tgz", body)
    said = {"download": where, **dist(body, where)}
    versions = {"1.0.0": manifest("twice") | {"dist": said, "maintainers": 5}}
    times = {"1.0.0": "0001-01-01T00:00:00+14:00"}
    document = packument("twice", {}, "", versions=versions, time=times, maintainers=5)
    upstream.put("/r/twice", document, content_type="application/json")
    found = full(server, "twice", at="up")["versions"]["1.0.0"]["dist"]
    assert found["tarball"] == f"{server.url}npm/up/twice/-/twice-1.0.0.tgz"
    assert server.ask("/npm/up/twice/-/twice-1.0.0.tgz").body == body


def test_keys_of_an_odd_form_are_left_out(server: Running, upstream: Upstream) -> None:
    upstream.put("/r/-/npm/v1/keys", b'{"keys":5}', content_type="application/json")
    assert server.ask("/npm/up/-/npm/v1/keys").status == 200


@pytest.mark.parametrize("path", ["?limit=%C2%B2", "-/v1/search?text=x&size=%C2%B2&from=%C2%B2"])
def test_numbers_of_other_scripts_are_none(server: Running, path: str) -> None:
    assert server.ask(f"/npm/up/{path}").status == 200


@pytest.mark.parametrize(
    ("path", "body"), [("advisories/bulk", b"[]"), ("advisories/bulk", b'{"a":1}'), ("audits/quick", b"{")]
)
def test_an_audit_that_cannot_be_read_is_refused(server: Running, path: str, body: bytes) -> None:
    assert server.ask(f"/npm/up/-/npm/v1/security/{path}", method="POST", body=body).status == 400


def test_pages_for_many_hosts_leave_nothing_behind(server: Running, upstream: Upstream) -> None:
    lay(upstream, "hosts")
    for at in range(300):
        assert server.ask("/npm/up/hosts", headers={"Host": f"h{at}.example"}).status == 200
    before = sum(1 for path in (server.data / "blobs").rglob("*") if path.is_file())
    for at in range(300, 320):
        answer = server.ask("/npm/up/hosts", headers={"Host": f"h{at}.example"})
        assert f"http://h{at}.example/npm/up/hosts/-/hosts-1.0.0.tgz" in answer.text
    assert sum(1 for path in (server.data / "blobs").rglob("*") if path.is_file()) == before
