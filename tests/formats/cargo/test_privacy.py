"""What a group's members may learn of each other's names, in whatever spelling."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from reliquary.formats.cargo import names
from tests.contracts.requests import NONE
from tests.formats.cargo.artefacts import checksum, crate, line
from tests.formats.cargo.conftest import ask, download, index, publish, said, versions
from tests.running import Running, running
from tests.upstreams import Upstream, playing

CONFIG = """
page_life = 0
stale_for = 0
negative_life = 0
retries = 0
reserve = 0

[[repositories]]
format = "cargo"
name = "up"
kind = "proxy"
upstream = "{url}r/"

[[repositories]]
format = "cargo"
name = "inner"
kind = "group"
members = ["up"]
rules = [{{ verdict = "owned", pattern = "inside-*" }}]

[[repositories]]
format = "cargo"
name = "all"
kind = "group"
members = ["local", "inner"]
rules = [{{ verdict = "owned", pattern = "acme-*" }}, {{ verdict = "deny", pattern = "denied-*" }}]

[[repositories]]
format = "cargo"
name = "silent"
kind = "proxy"
upstream = "{silent}"

[[repositories]]
format = "cargo"
name = "slow"
kind = "group"
members = ["local", "silent"]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        config = {"dl": f"{upstream.url}files/{{crate}}/{{version}}.crate"}
        upstream.put("/r/config.json", json.dumps(config).encode(), content_type="application/json")
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        config = CONFIG.format(url=upstream.url, silent=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with running(tmp_path_factory.mktemp("privacy") / "var", config=NONE + config) as server:
            yield server


def lay(upstream: Upstream, name: str, version: str = "1.0.0", *, text: str | None = None) -> None:
    made = crate(name, version)
    row = json.dumps(line(name, version, checksum(made))) if text is None else text
    upstream.put(f"/r/{names.index_path(name)}", f"{row}\n".encode(), content_type="text/plain")
    upstream.put(f"/files/{name}/{version}.crate", made)


@pytest.mark.parametrize("name", ["acme-secret_thing", "denied-thing", "inside-thing"])
def test_a_name_that_rules_keep_is_told_to_no_upstream(server: Running, upstream: Upstream, name: str) -> None:
    assert publish(server, name, to="all").status == 200
    assert sum(upstream.hits(f"/r/{names.index_path(each)}") for each in names.spellings(name)) == 0
    free = name.replace("acme", "free").replace("denied", "free").replace("inside", "free-in")
    assert publish(server, free, to="all").status == 200
    assert upstream.hits(f"/r/{names.index_path(free)}") == 1


def test_nobody_outside_blocks_a_name_that_is_ours(server: Running, upstream: Upstream) -> None:
    lay(upstream, "acme_core")
    lay(upstream, "free_core")
    assert publish(server, "acme-core", to="all").status == 200
    assert "known as `free_core`" in said(publish(server, "free-core", to="all"))


@pytest.mark.parametrize("name", ["q_r-s", "a-b_c-d_e", "m_n-o_p-q_r-s"])
def test_a_published_name_hides_every_spelling(server: Running, upstream: Upstream, name: str) -> None:
    lay(upstream, name)
    assert versions(server, name, at="all") == ["1.0.0"]
    assert download(server, name, at="all").status == 200
    ours = name.replace("_", "-")
    assert publish(server, ours, to="local").status == 200
    assert index(server, name, at="all").status == download(server, name, at="all").status == 404
    assert versions(server, ours, at="all") == ["1.0.0"]


def test_a_name_of_countless_spellings_must_be_of_one_kind(server: Running, upstream: Upstream) -> None:
    mixed = "a-b_c-d_e-f_g-h_i-j"
    lay(upstream, mixed)
    assert index(server, mixed, at="all").status == 404
    assert "write one of the two" in said(publish(server, mixed, to="all"))
    assert publish(server, mixed.replace("_", "-"), to="all").status == 200


def test_a_silent_upstream_does_not_keep_a_publisher_waiting(server: Running) -> None:
    begun = time.monotonic()
    assert publish(server, "pa-ti-en-ce", to="slow").status == 200
    assert time.monotonic() - begun < 25


def test_a_plus_that_json_spells_otherwise(server: Running, upstream: Upstream) -> None:
    made = crate("plus", "1.0.0+b1")
    row = json.dumps(line("plus", "1.0.0+b1", checksum(made))).replace("+", "\\u002b")
    lay(upstream, "plus", "1.0.0+b1", text=row)
    assert download(server, "plus", "1.0.0+b1", at="up").body == made
    assert versions(server, "plus", at="up") == ["1.0.0+b1"]


def test_numbers_of_any_size_are_passed_on(server: Running, upstream: Upstream) -> None:
    row = json.dumps({**line("vast", "1.0.0", checksum(crate("vast"))), "links": 10**30, "v": 2**70})
    lay(upstream, "vast", text=row)
    assert index(server, "vast", at="up").text == f"{row}\n"
    for path in ("vast", "vast/versions", "vast/1.0.0", "vast/1.0.0/dependencies"):
        assert ask(server, "GET", f"api/v1/crates/{path}", at="up").status == 200


def test_the_api_knows_a_crate_as_it_is_spelled(server: Running, upstream: Upstream) -> None:
    lay(upstream, "under_score")
    assert versions(server, "under_score", at="all") == ["1.0.0"]
    for asked in ("under_score", "Under_Score"):
        shown = server.ask(f"/api/v1/repositories/cargo/all/packages/{asked}", token=server.token)
        assert shown.status == 200, shown.text
        assert [each["version"] for each in json.loads(shown.body)["versions"]] == ["1.0.0"]
