"""Search over HTTP: what is here first, then what upstreams find; each name once, in pages.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.requests import config
from tests.formats.npm.artefacts import packument, tarball
from tests.formats.npm.asking import delete, publish, said
from tests.running import Running, running
from tests.upstreams import Upstream, playing

THERE = "/registry/-/v1/search"


def result(name: str, version: object = "1.0.0") -> dict[str, Any]:
    """A result of an upstream's search."""
    score = {"final": 0.5, "detail": {"quality": 0.5, "popularity": 0.5, "maintenance": 0.5}}
    return {"package": {"name": name, "version": version, "links": {}}, "score": score, "searchScore": 1.0}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Upstream]]:
    with playing() as upstream:
        body = packument("fetched", {"1.0.0": tarball("fetched")}, f"{upstream.url}registry/", keywords=["needle"])
        upstream.put("/registry/fetched", body, content_type="application/json")
        found = {"objects": [result("needle-there"), result("needle-here"), result("broken", None)], "total": 40}
        upstream.put(THERE, json.dumps(found).encode(), content_type="application/json")
        with running(tmp_path_factory.mktemp("search") / "var", config=config(upstream)) as server:
            publish(server, "needle-here", "1.0.0", description="Finds hay", keywords=["Straw", "stack"])
            publish(server, "@team/other", "2.0.0", description="a needle in words", author={"name": "Ann Onymous"})
            publish(server, "hay", "1.0.0", keywords=["needle"])
            publish(server, "removed-needle")
            assert delete(server, "removed-needle/-rev/x").status == 200
            yield server, upstream


def search(server: Running, query: str, at: str = "main") -> dict[str, Any]:
    answer = server.ask(f"/npm/{at}/-/v1/search?{query}")
    assert (answer.status, answer.header("content-type")) == (200, "application/json"), answer.text
    found: dict[str, Any] = json.loads(answer.body)
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [each["package"]["name"] for each in found["objects"]]


def test_46_members_are_merged_and_each_name_comes_once(town: tuple[Running, Upstream]) -> None:
    found = search(town[0], "text=needle")
    assert names(found) == ["needle-here", "hay", "@team/other", "needle-there"]
    assert found["total"] == 3 + 40 - 2 + 1  # pnpm could not read the broken one; one is here as well
    for each in found["objects"]:
        assert set(each) >= {"package", "score", "searchScore"}
        assert isinstance(each["package"]["version"], str)


def test_46_pages_follow_each_other(town: tuple[Running, Upstream]) -> None:
    whole = names(search(town[0], "text=needle"))
    for size in (1, 2, 3):
        paged = [
            name
            for start in range(0, 4, size)
            for name in names(search(town[0], f"text=needle&size={size}&from={start}"))
        ]
        assert paged == whole
    assert names(search(town[0], "text=needle&from=400")) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("needle-here", ["needle-here"]),
        ("NEEDLE-HERE", ["needle-here"]),
        ("hay%20finds", ["needle-here"]),
        ("keywords:straw", ["needle-here"]),
        ("keywords:nothing", []),
        ("author:ann%20onymous", []),
        ("onymous", ["@team/other"]),
        ("scope:team", ["@team/other"]),
        ("maintainer:admin%20words", ["@team/other"]),
        ("removed-needle", []),
        ("%5Bconstructor", []),
    ],
)
def test_what_is_published_is_found(town: tuple[Running, Upstream], text: str, wanted: list[str]) -> None:
    assert names(search(town[0], f"text={text}", "local")) == wanted


def test_a_result_has_what_clients_show(town: tuple[Running, Upstream]) -> None:
    (found,) = search(town[0], "text=needle-here", "local")["objects"]
    package = found["package"]
    assert (package["name"], package["version"], package["description"]) == ("needle-here", "1.0.0", "Finds hay")
    assert package["keywords"] == ["Straw", "stack"]
    assert package["publisher"]["username"] == "admin"
    assert package["maintainers"] == [{"username": "admin", "email": ""}]
    assert package["date"].endswith("Z")
    assert package["links"] == {}
    assert set(found["score"]) == {"final", "detail"}


@pytest.mark.parametrize("query", ["", "text=", "text=%20", "size=5"])
def test_a_search_for_nothing(town: tuple[Running, Upstream], query: str) -> None:
    answer = town[0].ask(f"/npm/main/-/v1/search?{query}")
    assert answer.status == 400
    assert json.loads(answer.body)["code"] == "ERR_TEXT_MISSING"
    assert "text" in said(answer)


@pytest.mark.parametrize("query", ["size=0", "size=-1", "size=x", "size=99999999999999", "from=x", "from=-1"])
def test_odd_numbers(town: tuple[Running, Upstream], query: str) -> None:
    assert search(town[0], f"text=needle&{query}")["total"] == 42


def test_the_size_of_a_page_is_bounded_and_weights_are_passed_on(town: tuple[Running, Upstream]) -> None:
    server, upstream = town
    upstream.forget()
    search(server, "text=a%26b&size=9999&quality=0.1&evil=1")
    (asked,) = [request.path for request in upstream.requests if request.path.startswith(THERE)]
    assert asked == f"{THERE}?text=a%26b&size=250&from=0&quality=0.1"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"<html>", b'{"objects": 7}', b'{"objects": [7, {}, {"package": {}}], "total": "x"}',
     b'{"objects": null, "total": -5}'],
)  # fmt: skip
def test_an_upstream_that_answers_oddly_hides_nothing(town: tuple[Running, Upstream], body: bytes) -> None:
    server, upstream = town
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    upstream.fault(THERE, raw=head + body)
    try:
        found = search(server, "text=needle")
        assert names(found)[:3] == ["needle-here", "hay", "@team/other"]
        assert found["total"] >= 3
    finally:
        upstream.heal()


def test_the_root_lists_names_in_pages(town: tuple[Running, Upstream]) -> None:
    server = town[0]
    answer = server.ask("/npm/local/", headers={"Accept": "application/json"})
    assert answer.header("content-type") == "application/json"
    whole = json.loads(answer.body)
    assert whole == {
        "@team/other": f"{server.url}npm/local/@team%2fother",
        "hay": f"{server.url}npm/local/hay",
        "needle-here": f"{server.url}npm/local/needle-here",
    }
    pages: dict[str, str] = {}
    path = "/npm/local/?limit=2"
    while path:
        answer = server.ask(path)
        pages |= json.loads(answer.body)
        link = answer.header("link") or ""
        path = link.partition(">")[0].removeprefix(f"<{server.url.rstrip('/')}")
    assert pages == whole
    html = server.ask("/npm/local/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (html.header("content-type") or "").startswith("text/html")


def test_what_a_proxy_keeps_is_found_without_its_upstream(town: tuple[Running, Upstream]) -> None:
    server, upstream = town
    assert server.ask("/npm/upstream/fetched").status == 200
    upstream.fault(THERE, status=500)
    try:
        for at in ("upstream", "main"):
            assert "fetched" in names(search(server, "text=fetched", at))
    finally:
        upstream.heal()
