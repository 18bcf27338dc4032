"""Search: what is here first, then what upstreams find. Numbers in names are items of cargo.md, section 8."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reliquary.formats.cargo import search
from reliquary.formats.verbs import Reply
from tests.contracts.requests import NONE
from tests.formats.cargo.artefacts import body, crate, dep, line, told, toml
from tests.formats.cargo.fakes import Shelved, answer, read
from tests.running import Running, running
from tests.upstreams import Upstream, playing


@pytest.fixture
def shelved() -> Shelved:
    found = Shelved()
    found.publish("needle", about={"description": "sews"})
    found.publish("Needle_Case", about={"keywords": ["Sewing", "box"], "categories": ["tools::sewing"]})
    found.publish("thread", about={"keywords": ["needle"], "description": 'a "thin" line'})
    found.publish("cloth", about={"description": "takes a Needle"})
    found.publish("stone", about={"categories": ["tools"]})
    found.mirror("far-off", line("far-off", "2.0.0", "1" * 64), line("far-off", "2.1.0-a", "2" * 64))
    return found


def ask(shelved: Shelved, query: str) -> Any:
    return read(answer(search.search, shelved, f"api/v1/crates?{query}"))


def found(shelved: Shelved, query: str) -> list[str]:
    return [each["name"] for each in ask(shelved, query)["crates"]]


def upstream(*names: str, total: int | None = None) -> Callable[[dict[str, str]], Reply]:
    """One that finds these, as the public registry answers, in pages."""

    def told(query: dict[str, str]) -> Reply:
        size, page = int(query["per_page"]), int(query["page"])
        part = names[(page - 1) * size : page * size]
        crates = [
            {"id": name, "name": name, "max_version": "1.0.0", "description": None, "downloads": 7} for name in part
        ]
        return Reply(200, json.dumps({"crates": crates, "meta": {"total": total or len(names)}}).encode())

    return told


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("q=needle", ["needle", "Needle_Case", "thread", "cloth"]),
        ("q=NEEDLE", ["needle", "Needle_Case", "thread", "cloth"]),
        ("q=needle-case", ["Needle_Case"]),
        ("q=needle_case", ["Needle_Case"]),
        ("q=needle+box", ["Needle_Case"]),
        ("q=sewing", ["Needle_Case"]),
        ("q=%22thin%22", ["thread"]),
        ("q=%22thick%22", []),
        ("q=max_version", []),
        ("keyword=SEWING", ["Needle_Case"]),
        ("keyword=sew", []),
        ("category=tools", ["Needle_Case", "stone"]),
        ("category=tool", []),
        ("q=needle&category=tools", ["Needle_Case"]),
        ("q=far", ["far-off"]),
        ("q=%5C", []),
    ],
)
def test_what_fits_best_stands_first(shelved: Shelved, query: str, wanted: list[str]) -> None:
    assert found(shelved, query) == wanted
    assert ask(shelved, query)["meta"]["total"] == len(wanted)


def test_46_a_question_for_nothing_lists_all_by_name(shelved: Shelved) -> None:
    shelved.upstreams = [upstream("much", "more")]
    everything = ["cloth", "far-off", "needle", "Needle_Case", "stone", "thread"]
    assert found(shelved, "q=") == found(shelved, "") == everything
    assert shelved.asked == []
    assert found(shelved, "per_page=4&page=2") == everything[4:]
    assert ask(shelved, "per_page=4&page=9") == {"crates": [], "meta": {"total": 6}}


def test_46_a_description_may_be_null(shelved: Shelved) -> None:
    told = {each["name"]: each for each in ask(shelved, "")["crates"]}
    assert (told["needle"]["description"], told["Needle_Case"]["description"]) == ("sews", None)
    assert (told["far-off"]["max_version"], told["far-off"]["max_stable_version"]) == ("2.1.0-a", "2.0.0")
    assert (told["far-off"]["created_at"], told["needle"]["created_at"]) == (None, "2026-01-02T03:04:05Z")


@pytest.mark.parametrize(
    ("query", "size"), [("", 10), ("&per_page=3", 3), ("&per_page=5000", 100), ("&per_page=x", 10)]
)
def test_46_a_page_has_at_most_a_hundred(query: str, size: int) -> None:
    shelved = Shelved()
    for number in range(120):
        shelved.publish(f"crate{number:03}")
    assert found(shelved, f"q=crate{query}") == [f"crate{number:03}" for number in range(size)]
    assert ask(shelved, f"q=crate{query}")["meta"]["total"] == 120


def test_the_exact_name_is_marked(shelved: Shelved) -> None:
    told = {each["name"]: each["exact_match"] for each in ask(shelved, "q=NEEDLE-case")["crates"]}
    assert told == {"Needle_Case": True}
    assert [each["exact_match"] for each in ask(shelved, "q=needle")["crates"]] == [True, False, False, False]


def test_results_may_be_put_in_another_order(shelved: Shelved) -> None:
    shelved.publish("needle", "1.1.0")
    shelved.counts = {"api/v1/crates/cloth/1.0.0/download": 5, "api/v1/crates/thread/1.0.0/download": 9}
    assert found(shelved, "q=needle&sort=alpha") == ["cloth", "needle", "Needle_Case", "thread"]
    assert found(shelved, "q=needle&sort=downloads") == ["thread", "cloth", "needle", "Needle_Case"]
    assert found(shelved, "q=needle&sort=recent-updates")[0] == "needle"
    assert sum(each["downloads"] for each in ask(shelved, "q=needle")["crates"]) == 14


def test_upstreams_stand_behind_and_each_name_comes_once(shelved: Shelved) -> None:
    shelved.upstreams = [upstream("needle-case", "pin", "secret", total=50), upstream("PIN", "nail")]
    shelved.hidden = {"secret"}
    told = ask(shelved, "q=needle")
    assert [each["name"] for each in told["crates"]] == ["needle", "Needle_Case", "thread", "cloth", "pin", "nail"]
    assert told["meta"]["total"] == 4 + 52 - 2  # one is here as well, one may not be had
    last = told["crates"][-1]
    assert (last["max_version"], last["downloads"], last["description"]) == ("1.0.0", 7, None)
    assert last["links"]["versions"] == "/cargo/main/api/v1/crates/nail/versions"
    assert shelved.asked == ["api/v1/crates?q=needle&per_page=10&page=1"]


def test_pages_follow_each_other_into_upstreams(shelved: Shelved) -> None:
    shelved.upstreams = [upstream(*(f"pin{number:03}" for number in range(300)), "needle_case")]
    whole = ["needle", "Needle_Case", "thread", "cloth", *(f"pin{number:03}" for number in range(300))]
    for size in (3, 10, 25, 70, 100):
        pages = [found(shelved, f"q=needle&per_page={size}&page={page}") for page in range(1, 304 // size + 2)]
        assert [name for page in pages for name in page] == whole


def test_filters_are_passed_on(shelved: Shelved) -> None:
    shelved.upstreams = [upstream()]
    ask(shelved, "keyword=a+b&category=c%3A%3Ad&sort=downloads&per_page=7")
    assert shelved.asked == ["api/v1/crates?keyword=a+b&category=c%3A%3Ad&sort=downloads&per_page=7&page=1"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"crates":{}}',
        b'{"crates":[1,{},{"name":"x"},{"name":"../x","max_version":"1.0.0"},{"name":"x","max_version":null}]}',
        b'{"crates":[{"name":"\\ud800","max_version":"1.0.0"}]}',
        b"[" * 100_000,
    ],
)
def test_an_upstream_that_answers_oddly_is_left_out(shelved: Shelved, body: bytes) -> None:
    shelved.upstreams = [lambda query: Reply(200, body), upstream("pin")]
    assert found(shelved, "q=stone") == ["stone", "pin"]


def test_what_an_upstream_says_of_the_wrong_kind_is_unknown(shelved: Shelved) -> None:
    odd = {"name": "pin", "max_version": "1.0.0", "description": 7, "downloads": -1, "links": {"versions": "/else"}}
    shelved.upstreams = [lambda query: Reply(200, json.dumps({"crates": [odd], "meta": {"total": "many"}}).encode())]
    told = ask(shelved, "q=pin")
    assert told["meta"]["total"] == 1
    assert (told["crates"][0]["description"], told["crates"][0]["downloads"]) == (None, None)
    assert told["crates"][0]["links"]["versions"].startswith("/cargo/main/")


def test_texts_that_are_no_unicode_are_looked_for(shelved: Shelved) -> None:
    shelved.upstreams = [upstream("pin")]
    assert found(shelved, "q=\ud800" + "x" * 5000) == ["pin"]
    assert len(shelved.asked[0]) < 600


# Against a server


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Upstream]]:
    """`secret-user` is published here and needs `far_leaf`, which an upstream has."""
    with playing() as upstream:
        config = {"dl": f"{upstream.url}dl", "api": f"{upstream.url}web"}
        upstream.put("/index/config.json", json.dumps(config).encode(), content_type="application/json")
        index = json.dumps(line("far_leaf")).encode() + b"\n"
        upstream.put("/index/fa/r_/far_leaf", index, content_type="text/plain")
        crates = [{"name": name, "max_version": "3.0.0"} for name in ("far_leaf", "Secret_User", "leaf_more")]
        found = json.dumps({"crates": crates, "meta": {"total": 30}}).encode()
        upstream.put("/web/api/v1/crates", found, content_type="application/json")
        none = ", ".join(f'{name} = "none"' for name in ("pypi", "npm", "generic"))
        settings = f'upstreams = {{ {none}, cargo = "{upstream.url}index/" }}\n'
        with running(tmp_path_factory.mktemp("cargo") / "var", config=settings) as server:
            _publish(server, "secret-user", deps=[dep("far_leaf", version_req="^1")], keywords=["leaf"])
            assert server.ask("/cargo/main/fa/r_/far_leaf").status == 200
            upstream.forget()
            yield server, upstream


def _publish(server: Running, name: str, **more: Any) -> None:
    sent = body(told(name, "1.0.0", **more), crate(name, "1.0.0", manifest=toml(name, "1.0.0")))
    answer = server.put("/cargo/local/api/v1/crates/new", sent)
    assert answer.status == 200, answer.text


def _get(server: Running, path: str) -> Any:
    answer = server.ask(f"/cargo/main/api/v1/crates{path}")
    assert (answer.status, answer.header("content-type")) == (200, "application/json"), answer.text
    return json.loads(answer.body)


def test_members_of_a_group_are_searched_together(town: tuple[Running, Upstream]) -> None:
    told = _get(town[0], "?q=leaf")
    # What the proxy has kept, what is published, and what the upstream finds beside them; its own Secret_User is not
    # to be had here.
    names = [(each["name"], each["max_version"]) for each in told["crates"]]
    assert names == [("far_leaf", "1.0.0"), ("secret-user", "1.0.0"), ("leaf_more", "3.0.0")]
    assert told["meta"]["total"] == 2 + 30 - 2


def test_no_upstream_learns_who_depends_on_its_crates(town: tuple[Running, Upstream]) -> None:
    server, upstream = town
    told = _get(server, "/far_leaf/reverse_dependencies")
    assert [each["crate"] for each in told["versions"]] == ["secret-user"]
    assert [(each["crate_id"], each["req"]) for each in told["dependencies"]] == [("far_leaf", "^1")]
    asked = _get(server, "/secret-user/1.0.0/dependencies")
    assert [each["crate_id"] for each in asked["dependencies"]] == ["far_leaf"]
    assert asked["dependencies"] == told["dependencies"]
    assert not [request.path for request in upstream.requests if "secret" in request.path]


def test_downloads_are_told_of_versions_crates_and_results(tmp_path: Path) -> None:
    path = "/secret-user/1.0.0"
    with running(tmp_path / "var", config=NONE) as server:
        _publish(server, "secret-user")
        version = _get(server, path)["version"]
        assert version["downloads"] == 0
        assert server.ask(version["dl_path"]).status == 200
    with running(tmp_path / "var", config=NONE) as server:  # counts are written now and then, and at the end
        assert _get(server, path)["version"]["downloads"] == 1
        assert _get(server, "/Secret_User")["crate"]["downloads"] == 1
        assert _get(server, "?q=secret-user")["crates"][0]["downloads"] == 1
