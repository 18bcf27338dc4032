"""METADATA beside proxied wheels (PEP 658): honest, missing and lying upstreams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.playground import (
    FRESH,
    JSON,
    get,
    get_healed,
    lay_wheel,
    listing,
    lose,
    noise,
    settings,
    settle,
    sha256,
    stored,
)
from tests.formats.pypi.artefacts import metadata, sdist, wheel
from tests.formats.pypi.proxying import page, the_file
from tests.running import Running, running
from tests.upstreams import Upstream, playing


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("sidecars") / "var", config=settings(upstream, FRESH)) as server:
        yield server


def release(name: str) -> tuple[bytes, bytes]:
    """A wheel and its METADATA."""
    raw = metadata(name, extra="Requires-Python: >=3.7\n")
    return wheel(name, meta=raw, members={"data.bin": noise(2000, name)}), raw


def test_an_honest_sidecar_is_passed_on_checked_and_kept(server: Running, upstream: Upstream) -> None:
    data, raw = release("honest")
    played = lay_wheel(upstream, "honest", data, said={"core-metadata": {"sha256": sha256(raw)}})
    upstream.put(played.there + ".metadata", raw)
    file = the_file(server, "honest")
    assert file["core-metadata"] == {"sha256": sha256(raw)}
    upstream.forget()
    for repository in ("proxy", "all"):
        got = get(server, the_file(server, "honest", repository)["path"] + ".metadata")
        assert (got.status, got.body) == (200, raw)
        assert got.headers["etag"] == f'"{sha256(raw)}"'
        assert "immutable" in got.headers["cache-control"]
    assert upstream.hits(played.there + ".metadata") == 1
    assert upstream.hits(played.there) == 0, "the wheel was not needed"
    part = get(server, file["path"] + ".metadata", {"Range": "bytes=0-8"})
    assert (part.status, part.body) == (206, raw[:9])


@pytest.mark.parametrize("lie", ["missing", "other-bytes"])
def test_a_sidecar_that_upstream_does_not_have_is_made_of_the_wheel(
    server: Running, upstream: Upstream, lie: str
) -> None:
    name = f"claims-{lie}"
    data, raw = release(name.replace("-", "_"))
    played = lay_wheel(upstream, name, data, said={"core-metadata": {"sha256": sha256(raw)}})
    if lie == "other-bytes":
        upstream.put(played.there + ".metadata", b"Metadata-Version: 2.1\nName: liar\nVersion: 1\n")
    path = the_file(server, name)["path"] + ".metadata"
    got = get(server, path)
    assert (got.status, got.body) == (200, raw)
    assert the_file(server, name)["core-metadata"] == {"sha256": sha256(raw)}
    assert get(server, played.here).body == data


def test_a_digest_that_is_a_lie_is_corrected_by_the_wheel(server: Running, upstream: Upstream) -> None:
    data, raw = release("lied")
    lie = b"Metadata-Version: 2.1\nName: liar\nVersion: 1\n"
    played = lay_wheel(upstream, "lied", data, said={"core-metadata": {"sha256": sha256(lie)}})
    upstream.put(played.there + ".metadata", lie)
    path = the_file(server, "lied")["path"]
    assert get(server, path + ".metadata").body == lie, "nothing is known yet that contradicts it"
    assert get(server, path).body == data
    assert stored(server, path)
    for _ in range(2):  # the page is asked for anew each time
        assert the_file(server, "lied")["core-metadata"] == {"sha256": sha256(raw)}
        got = get(server, path + ".metadata")
        assert (got.body, got.headers["etag"]) == (raw, f'"{sha256(raw)}"')
    assert the_file(server, "lied", "all")["core-metadata"] == {"sha256": sha256(raw)}


def test_a_digest_that_nothing_matches_is_corrected_when_asked_for(server: Running, upstream: Upstream) -> None:
    data, raw = release("nothing")
    lay_wheel(upstream, "nothing", data, said={"core-metadata": {"sha256": "a" * 64}})
    path = the_file(server, "nothing")["path"]
    got = get(server, path + ".metadata")
    assert got.status in (200, 404)
    file = the_file(server, "nothing")
    assert file["core-metadata"] == {"sha256": sha256(raw)}
    assert get(server, path + ".metadata").body == raw


def test_a_wheel_without_metadata_is_no_longer_advertised(server: Running, upstream: Upstream) -> None:
    data = wheel("hollow", drop=("METADATA",))
    lay_wheel(upstream, "hollow", data, said={"core-metadata": {"sha256": "a" * 64}})
    path = the_file(server, "hollow")["path"]
    assert get(server, path + ".metadata").status == 404
    for _ in range(2):
        assert the_file(server, "hollow")["core-metadata"] is False
    assert get(server, path).body == data


@pytest.mark.parametrize("said", [None, True, False], ids=["silent", "true", "false"])
def test_metadata_is_advertised_once_the_wheel_is_here(server: Running, upstream: Upstream, said: bool | None) -> None:
    name = f"later{said}".lower()
    data, raw = release(name)
    lay_wheel(upstream, name, data, sized=False, said={} if said is None else {"core-metadata": said})
    file = the_file(server, name)
    assert "size" not in file
    assert get(server, file["path"]).body == data
    assert settle(server.data) == []
    for _ in range(2):
        known = the_file(server, name)
        assert known["core-metadata"] == {"sha256": sha256(raw)}
        assert known["size"] == len(data)
        assert known["requires-python"] == ">=3.7"
        assert get(server, known["path"] + ".metadata").body == raw


def test_what_was_learned_survives_eviction(server: Running, upstream: Upstream) -> None:
    data, raw = release("evicted")
    played = lay_wheel(upstream, "evicted", data)
    path = the_file(server, "evicted")["path"]
    assert get(server, path).body == data
    lose(server, path)
    lose(server, path + ".metadata")
    upstream.forget()
    assert the_file(server, "evicted")["core-metadata"] == {"sha256": sha256(raw)}
    got = get_healed(server, path + ".metadata")
    assert (got.status, got.body) == (200, raw)
    assert get(server, path).body == data
    assert stored(server, path) == sha256(data)
    assert upstream.hits(played.there) == 1


def test_source_distributions_have_no_sidecar(server: Running, upstream: Upstream) -> None:
    data = sdist("plain")
    row: dict[str, object] = {
        "filename": "plain-1.0.tar.gz",
        "url": "plain-1.0.tar.gz",
        "hashes": {"sha256": sha256(data)},
    }
    row |= {"size": len(data), "core-metadata": {"sha256": "a" * 64}}
    upstream.put("/simple/plain/", listing("plain", [row]), content_type=JSON)
    upstream.put("/simple/plain/plain-1.0.tar.gz", data)
    file = the_file(server, "plain")
    assert file["core-metadata"] is False
    assert get(server, file["path"] + ".metadata").status == 404
    got = get(server, file["path"], {"Accept-Encoding": "gzip"})
    assert got.body == data
    assert "content-encoding" not in got.headers
    assert got.headers["content-type"] == "application/octet-stream"
    assert get(server, file["path"] + ".metadata").status == 404


def test_an_odd_dist_info_folder_is_found(server: Running, upstream: Upstream) -> None:
    raw = metadata("Odd.Name")
    data = wheel("Odd.Name", folder="Odd.Name-1.0.dist-info", meta=raw)
    lay_wheel(upstream, "odd-name", data)
    file = the_file(server, "odd-name")
    assert get(server, file["path"]).body == data
    assert stored(server, file["path"])
    known = the_file(server, "odd-name")
    assert known["core-metadata"] == {"sha256": sha256(raw)}
    assert get(server, known["path"] + ".metadata").body == raw


def test_sidecars_of_hosted_wheels_show_in_the_group(server: Running) -> None:
    raw = metadata("house")
    data = wheel("house", meta=raw)
    assert server.put("/pypi/all/house-1.0-py3-none-any.whl", data).status == 201
    for repository in ("local", "all"):
        file = the_file(server, "house", repository)
        assert file["core-metadata"] == {"sha256": sha256(raw)}
        assert get(server, file["path"] + ".metadata").body == raw
    assert page(server, "house", "all")["files"][0]["size"] == len(data)
