"""A lock file on an empty cache: a tarball is checked against the manifest of its version, not the whole packument."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.formats.npm.artefacts import dist, manifest, packument, tarball
from tests.running import Running, running
from tests.upstreams import Upstream, playing


@dataclass
class Stage:
    """A server over an upstream that has three packages, each with a manifest of its own but the last."""

    server: Running
    upstream: Upstream

    def get(self, name: str, version: str = "1.0.0") -> int:
        return self.server.ask(f"/npm/upstream/{name}/-/{name}-{version}.tgz").status


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with playing() as upstream:
        for name in ("demo", "lies", "plain"):
            bodies = {version: tarball(name, version) for version in ("1.0.0", "2.0.0")}
            upstream.put(f"/{name}", packument(name, bodies, upstream.url), content_type="application/json")
            for version, body in bodies.items():
                upstream.put(f"/{name}/-/{name}-{version}.tgz", body)
                said = manifest(name, version, dist=dist(body, f"{upstream.url}{name}/-/{name}-{version}.tgz"))
                if name == "lies":
                    said["dist"] = dist(b"other bytes", said["dist"]["tarball"])
                if name != "plain":
                    upstream.put(f"/{name}/{version}", json.dumps(said).encode(), content_type="application/json")
        text = (
            f'upstreams = {{ npm = "{upstream.url}", pypi = "none", cargo = "none", go = "none", generic = "none" }}\n'
        )
        with running(tmp_path / "var", config=text) as server:
            yield Stage(server, upstream)


def test_the_packument_is_not_asked_for(stage: Stage) -> None:
    answer = stage.server.ask("/npm/main/demo/-/demo-1.0.0.tgz")
    assert (answer.status, answer.body) == (200, tarball("demo", "1.0.0"))
    assert (stage.upstream.hits("/demo"), stage.upstream.hits("/demo/1.0.0")) == (0, 1)
    assert stage.server.ask("/npm/main/demo/-/demo-1.0.0.tgz").body == answer.body
    assert stage.upstream.hits("/demo/1.0.0") == 1
    page = json.loads(stage.server.ask("/npm/main/demo").body)
    assert list(page["versions"]) == ["1.0.0", "2.0.0"]
    assert page["versions"]["1.0.0"]["dist"]["integrity"] == dist(tarball("demo", "1.0.0"), "")["integrity"]
    assert stage.server.ask("/npm/main/demo/-/demo-2.0.0.tgz").status == 200
    assert stage.upstream.hits("/demo/2.0.0") == 0  # the packument is known by now


def test_bytes_that_the_manifest_does_not_name_are_not_kept(stage: Stage) -> None:
    with pytest.raises(Exception, match=r"IncompleteRead|Remote end closed|0 bytes read"):
        stage.server.ask("/npm/upstream/lies/-/lies-1.0.0.tgz")
    assert stage.get("lies") == 503


def test_an_upstream_without_such_manifests_is_asked_once(stage: Stage) -> None:
    assert stage.get("plain") == 200
    assert (stage.upstream.hits("/plain/1.0.0"), stage.upstream.hits("/plain")) == (1, 1)
    assert stage.get("demo") == 200
    assert (stage.upstream.hits("/demo/1.0.0"), stage.upstream.hits("/demo")) == (0, 1)


def test_a_version_that_nobody_has_is_not_found(stage: Stage) -> None:
    assert stage.get("demo", "9.9.9") == 404
    assert stage.get("demo", "1.0.0") == 200


def test_a_failing_manifest_leads_to_the_packument(stage: Stage) -> None:
    stage.upstream.fault("/demo/1.0.0", status=500)
    stage.upstream.put("/demo/2.0.0", b"<html>no</html>", content_type="text/html")
    assert stage.get("demo") == 200
    assert stage.upstream.hits("/demo/1.0.0") == 1
