"""What pages say when an upstream says little, and what is passed through."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.clients.samples import Sample, offer
from tests.running import Running
from tests.upstreams import Upstream

pytestmark = pytest.mark.client


def page(server: Running, repository: str, name: str) -> dict[str, Any]:
    answer = server.ask(f"/pypi/{repository}/simple/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def refresh(server: Running, repository: str, name: str) -> None:
    """Have the page confirmed with the upstream now, as happens by itself after some minutes."""
    asked = {"kind": "refresh", "repository": f"pypi/{repository}", "name": name}
    sent = {"Content-Type": "application/json"}
    body = json.dumps(asked).encode()
    job = server.ask("/api/v1/jobs", method="POST", headers=sent, body=body, token=server.token)
    deadline = time.monotonic() + 20
    while (state := json.loads(job.body)["state"]) in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.05)
        job = server.ask(f"/api/v1/jobs/{json.loads(job.body)['id']}", token=server.token)
    assert state == "done"


def test_an_upstream_that_tells_all(server: Running, upstream: Upstream) -> None:
    good, bad = Sample("told"), Sample("told", "2.0")
    offer(upstream, good, bad, yanked=("2.0",))
    for repository in ("upstream", "main"):
        found = page(server, repository, "told")
        assert found["meta"]["api-version"] == "1.4"
        assert sorted(found["versions"]) == ["1.0", "2.0"]
        one, two = sorted(found["files"], key=lambda file: str(file["filename"]))
        assert one["size"] == len(good.wheel)
        assert one["upload-time"] == "2026-01-02T03:04:05.678900Z"
        assert one["requires-python"] == ">=3.8"
        assert one["core-metadata"] == one["dist-info-metadata"]
        assert (one["yanked"], two["yanked"]) == (False, "broken")


def test_an_upstream_that_tells_little_is_learned_of_by_downloads(server: Running, upstream: Upstream) -> None:
    first, second = Sample("untold"), Sample("untold", "2.0")
    offer(upstream, first, second)
    upstream.forget()
    found = page(server, "bare", "untold")
    assert found["meta"]["api-version"] == "1.0"
    assert "versions" not in found
    assert not any({"size", "upload-time"} & file.keys() or file["core-metadata"] for file in found["files"])
    assert upstream.hits() == 1
    for sample in (first, second):
        address = f"/pypi/bare/files/untold/{sample.digest}/{sample.filename}"
        assert server.ask(address).body == sample.wheel
        assert server.ask(f"{address}.metadata").body == sample.metadata
    refresh(server, "bare", "untold")
    found = page(server, "bare", "untold")
    assert found["meta"]["api-version"] == "1.4"
    assert {file["size"] for file in found["files"]} == {len(first.wheel), len(second.wheel)}
    assert all(file["core-metadata"] and file["requires-python"] == ">=3.8" for file in found["files"])
    assert not any("upload-time" in file for file in found["files"])
