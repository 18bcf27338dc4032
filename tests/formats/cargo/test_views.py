"""Crates and versions as the public registry's API tells them, and what a summary keeps of a crate."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from reliquary.errors import NotHere
from reliquary.formats.cargo import summary, views
from tests.formats.cargo.artefacts import line, parse
from tests.formats.cargo.fakes import Run, Shelved, answer, read

API = "api/v1/crates"
HERE = "/cargo/main/api/v1/crates"

ABOUT = {
    "description": "a leaf",
    "homepage": "https://leaf.example/",
    "license": "MIT OR Apache-2.0",
    "keywords": ["Tree", "green"],
    "categories": ["network::http"],
}


def dep(name: str, **more: Any) -> dict[str, Any]:
    """A dependency of an index line."""
    usual = {"features": [], "optional": False, "default_features": True, "target": None, "kind": "normal"}
    return {"name": name, "req": "^1.0", **usual, **more}


@pytest.fixture
def shelved() -> Shelved:
    found = Shelved()
    found.publish("Leaf_One", "1.0.0", {"description": "old"})
    found.publish(
        "Leaf_One", "1.1.0+meta", ABOUT, features={"a": ["b"]}, features2={"c": ["dep:d"]}, rust_version="1.70"
    )
    found.publish("Leaf_One", "2.0.0-rc.1", yanked=True)
    found.counts = {f"{API}/leaf_one/1.0.0/download": 3, f"{API}/leaf_one/1.1.0+meta/download": 4}
    return found


def ask(run: Run, shelved: Shelved, path: str) -> Any:
    return read(answer(run, shelved, f"{API}/{path}"))


@pytest.mark.parametrize("spelled", ["Leaf_One", "leaf_one", "LEAF-ONE", "leaf-one"])
def test_a_crate_is_found_however_it_is_spelled(shelved: Shelved, spelled: str) -> None:
    crate = ask(views.crate, shelved, spelled)["crate"]
    assert (crate["id"], crate["name"]) == ("Leaf_One", "Leaf_One")


def test_a_crate(shelved: Shelved) -> None:
    found = ask(views.crate, shelved, "leaf_one")
    crate = found["crate"]
    assert {
        name: crate[name] for name in ("max_version", "max_stable_version", "newest_version", "default_version")
    } == {
        "max_version": "1.1.0+meta",
        "max_stable_version": "1.1.0+meta",
        "newest_version": "1.1.0+meta",
        "default_version": "1.1.0+meta",
    }
    assert (crate["description"], crate["homepage"], crate["repository"]) == ("a leaf", "https://leaf.example/", None)
    assert (crate["keywords"], crate["categories"]) == (["Tree", "green"], ["network::http"])
    assert (crate["downloads"], crate["recent_downloads"]) == (7, None)
    assert (crate["created_at"], crate["updated_at"]) == ("2026-01-02T03:04:05Z", "2026-01-04T03:04:05Z")
    assert crate["links"]["reverse_dependencies"] == f"{HERE}/Leaf_One/reverse_dependencies"
    assert [each["num"] for each in found["versions"]] == ["2.0.0-rc.1", "1.1.0+meta", "1.0.0"]
    assert crate["versions"] == [each["id"] for each in found["versions"]]
    assert [each["id"] for each in found["keywords"]] == ["tree", "green"]
    assert [each["slug"] for each in found["categories"]] == ["network::http"]


def test_what_is_not_wanted_is_left_out(shelved: Shelved) -> None:
    bare = ask(views.crate, shelved, "leaf_one?include=")
    assert (bare["versions"], bare["keywords"], bare["categories"], bare["crate"]["versions"]) == (None,) * 4
    some = ask(views.crate, shelved, "leaf_one?include=keywords,versions")
    assert len(some["versions"]) == 3 and some["keywords"] and some["categories"] is None


def test_a_version(shelved: Shelved) -> None:
    version = ask(views.version, shelved, "leaf_one/1.1.0+meta")["version"]
    assert isinstance(version.pop("id"), int)
    assert version["published_by"].pop("id") < 2**31
    assert version == {
        "crate": "Leaf_One",
        "num": "1.1.0+meta",
        "dl_path": f"{HERE}/Leaf_One/1.1.0+meta/download",
        "readme_path": None,
        "links": {
            "dependencies": f"{HERE}/Leaf_One/1.1.0+meta/dependencies",
            "version_downloads": f"{HERE}/Leaf_One/1.1.0+meta/downloads",
        },
        "created_at": "2026-01-03T03:04:05Z",
        "updated_at": "2026-01-03T03:04:05Z",
        "downloads": 4,
        "features": {"a": ["b"], "c": ["dep:d"]},
        "yanked": False,
        "yank_message": None,
        "lib_links": None,
        "license": "MIT OR Apache-2.0",
        "description": "a leaf",
        "homepage": "https://leaf.example/",
        "documentation": None,
        "repository": None,
        "crate_size": 1234,
        "checksum": "0" * 64,
        "rust_version": "1.70",
        "published_by": {"login": "anna", "name": "anna", "kind": "user", "url": "", "avatar": None},
        "audit_actions": [],
    }


def test_a_readme_is_named_where_there_is_one(shelved: Shelved) -> None:
    held = shelved.packages["leaf-one"]
    held.append(replace(held[0], key=f"{API}/leaf_one/1.0.0/readme", listed=False))
    told = {each["num"]: each["readme_path"] for each in ask(views.versions, shelved, "leaf_one/versions")["versions"]}
    assert told == {"2.0.0-rc.1": None, "1.1.0+meta": None, "1.0.0": f"{HERE}/Leaf_One/1.0.0/readme"}


def test_versions_stand_by_precedence_or_by_date(shelved: Shelved) -> None:
    shelved.publish("Leaf_One", "0.9.5")
    found = ask(views.versions, shelved, "leaf_one/versions")
    assert [each["num"] for each in found["versions"]] == ["2.0.0-rc.1", "1.1.0+meta", "1.0.0", "0.9.5"]
    assert found["meta"]["total"] == 4
    dated = ask(views.versions, shelved, "leaf_one/versions?sort=date&per_page=2")
    assert [each["num"] for each in dated["versions"]] == ["0.9.5", "2.0.0-rc.1"]
    assert dated["meta"]["total"] == 4
    assert ask(views.crate, shelved, "leaf_one")["crate"]["newest_version"] == "0.9.5"


def test_every_version_has_its_own_id(shelved: Shelved) -> None:
    ids = [each["id"] for each in ask(views.versions, shelved, "leaf_one/versions")["versions"]]
    assert len(set(ids)) == 3 and all(0 <= each < 2**31 for each in ids)
    again = [each["id"] for each in ask(views.versions, shelved, "LEAF-one/versions")["versions"]]
    assert again == ids


@pytest.mark.parametrize("path", ["nothing", "nothing/1.0.0", "nothing/1.0.0/dependencies", "nothing/downloads"])
def test_an_unknown_crate_is_not_here(shelved: Shelved, path: str) -> None:
    runs: dict[int, Run] = {1: views.crate, 2: views.version, 3: views.dependencies}
    run = views.downloads if path.endswith("downloads") else runs[len(path.split("/"))]
    with pytest.raises(NotHere, match="crate `nothing` does not exist"):
        answer(run, shelved, f"{API}/{path}")


def test_an_unknown_version_is_not_here(shelved: Shelved) -> None:
    with pytest.raises(NotHere, match=r"crate `Leaf_One` does not have a version `3\.0\.0`"):
        answer(views.version, shelved, f"{API}/leaf-one/3.0.0")
    assert ask(views.version, shelved, "leaf-one/1.1.0")["version"]["num"] == "1.1.0+meta"  # its identity


def test_a_crate_without_versions_is_not_here(shelved: Shelved) -> None:
    shelved.packages["leaf-one"] = []
    with pytest.raises(NotHere, match="crate `leaf_one` does not exist"):
        answer(views.crate, shelved, f"{API}/leaf_one")


def test_dependencies(shelved: Shelved) -> None:
    deps = [
        dep("serde", features=["derive"], optional=True, default_features=False),
        dep("alias", package="Real_Name", kind="build", target="cfg(windows)"),
        {"name": "short", "req": "*"},
        dep("tested", kind="dev"),
    ]
    shelved.publish("tree", deps=deps)
    found = ask(views.dependencies, shelved, "tree/1.0.0/dependencies")["dependencies"]
    of = ask(views.version, shelved, "tree/1.0.0")["version"]["id"]
    assert {each["version_id"] for each in found} == {of}
    assert len({each["id"] for each in found}) == 4
    told = [{key: value for key, value in each.items() if key not in ("id", "version_id")} for each in found]
    usual = {
        "optional": False,
        "default_features": True,
        "features": [],
        "target": None,
        "kind": "normal",
        "downloads": 0,
    }
    assert told == [
        {
            **usual,
            "crate_id": "serde",
            "req": "^1.0",
            "features": ["derive"],
            "optional": True,
            "default_features": False,
        },
        {**usual, "crate_id": "Real_Name", "req": "^1.0", "kind": "build", "target": "cfg(windows)"},
        {**usual, "crate_id": "short", "req": "*"},
        {**usual, "crate_id": "tested", "req": "^1.0", "kind": "dev"},
    ]


def test_downloads_by_day_are_not_kept(shelved: Shelved) -> None:
    found = ask(views.downloads, shelved, "leaf_one/downloads")
    assert found == {"version_downloads": [], "meta": {"extra_downloads": []}}


def test_reverse_dependencies(shelved: Shelved) -> None:
    shelved.publish("tree", "1.0.0", deps=[dep("other")])
    shelved.publish("tree", "2.0.0", {"description": "grows"}, deps=[dep("leaf", package="leaf-one", req="=1.0.0")])
    shelved.publish("tree", "3.0.0-alpha", deps=[])
    shelved.publish("bush", deps=[dep("Leaf_One", kind="build", features=["a"])])
    shelved.publish("moss", deps=[dep("leaf_one", kind="dev"), dep("leaf_one_more")])
    shelved.publish("fern", "1.0.0", deps=[dep("leaf_one")], yanked=True)
    shelved.publish("fern", "1.1.0")
    found = ask(views.reverse_dependencies, shelved, "leaf_one/reverse_dependencies")
    assert found["meta"] == {"total": 2}
    assert [(each["crate"], each["num"]) for each in found["versions"]] == [("bush", "1.0.0"), ("tree", "2.0.0")]
    assert [(each["crate_id"], each["req"], each["kind"]) for each in found["dependencies"]] == [
        ("Leaf_One", "^1.0", "build"),
        ("Leaf_One", "=1.0.0", "normal"),
    ]
    assert [each["version_id"] for each in found["dependencies"]] == [each["id"] for each in found["versions"]]
    assert found["versions"][1]["id"] == ask(views.version, shelved, "tree/2.0.0")["version"]["id"]
    second = ask(views.reverse_dependencies, shelved, "leaf_one/reverse_dependencies?per_page=1&page=2")
    assert [each["crate"] for each in second["versions"]] == ["tree"]
    assert second["meta"] == {"total": 2}


def test_of_several_ways_to_depend_the_plainest_is_told(shelved: Shelved) -> None:
    deps = [dep("leaf_one", target="cfg(any())"), dep("leaf_one", kind="build"), dep("leaf_one", req="^2")]
    shelved.publish("tree", deps=deps)
    found = ask(views.reverse_dependencies, shelved, "leaf_one/reverse_dependencies")
    assert [(each["req"], each["kind"], each["target"]) for each in found["dependencies"]] == [("^2", "normal", None)]
    assert found["meta"] == {"total": 1}


def test_a_proxied_crate_is_known_by_its_lines_alone() -> None:
    shelved = Shelved()
    shelved.mirror("Far_Off", line("Far_Off", "1.0.0", "1" * 64), line("Far_Off", "1.0.1", "2" * 64, links="z"))
    crate = ask(views.crate, shelved, "far-off")["crate"]
    assert (crate["name"], crate["max_version"], crate["description"]) == ("Far_Off", "1.0.1", None)
    assert (crate["created_at"], crate["updated_at"], crate["downloads"]) == (None, None, 0)
    version = ask(views.version, shelved, "far_off/1.0.1")["version"]
    assert (version["checksum"], version["lib_links"]) == ("2" * 64, "z")
    unknown = ("created_at", "license", "published_by", "crate_size", "description", "rust_version")
    assert [version[name] for name in unknown] == [None] * 6


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"deps":3,"features":[],"yanked":"x","name":7}'])
def test_lines_of_any_kind_are_answered(text: str) -> None:
    shelved = Shelved()
    shelved.mirror("odd", line("odd", "1.0.0", "1" * 64))
    shelved.packages["odd"] = [replace(shelved.packages["odd"][0], data={"line": text})]
    assert ask(views.crate, shelved, "odd")["versions"][0]["features"] == {}
    assert ask(views.dependencies, shelved, "odd/1.0.0/dependencies") == {"dependencies": []}


# What a summary keeps


@pytest.mark.parametrize(
    ("versions", "wanted"),
    [
        ("1.0.0 1.2.0 1.1.0", ("1.2.0", "1.2.0", "1.1.0")),
        ("1.0.0 2.0.0-a.1 2.0.0-a.10 2.0.0-a.9", ("2.0.0-a.10", "1.0.0", "2.0.0-a.9")),
        ("1.0.0 1.0.0-a", ("1.0.0", "1.0.0", "1.0.0-a")),
        ("1.0.0-a 1.0.0-b!", ("1.0.0-a", None, "1.0.0-a")),
        ("1.0.0! 1.1.0!", ("1.1.0", "1.1.0", "1.1.0")),
        ("1.0.0+a-b", ("1.0.0+a-b", "1.0.0+a-b", "1.0.0+a-b")),
        ("0.1.0 0.2.0!", ("0.1.0", "0.1.0", "0.1.0")),
    ],
)
def test_the_versions_a_crate_is_known_by(versions: str, wanted: tuple[str, str | None, str]) -> None:
    told = [(each.rstrip("!"), each.endswith("!")) for each in versions.split()]
    found = summary.newest(told)
    assert found is not None and (found.highest, found.stable, found.latest) == wanted


def test_there_is_no_summary_without_versions() -> None:
    assert summary.newest([]) is None
    assert summary.of("nothing", []) is None


def test_a_summary_is_the_same_of_every_kind_of_line() -> None:
    told = line("demo", "1.0.0", deps=[dep("Serde_X", optional=True), dep("t", kind="dev"), dep("a", package="b")])
    text = json.dumps(told).encode()
    parsed = parse(text)
    assert parsed is not None
    raw = msgspec.Raw(json.dumps(told["deps"]).encode())
    found = {summary.of("demo", [("1.0.0", False, deps)]) for deps in (told["deps"], raw, parsed.deps)}
    assert len(found) == 1
    assert json.loads(found.pop() or "") == {
        "name": "demo",
        "max_version": "1.0.0",
        "max_stable": "1.0.0",
        "newest": "1.0.0",
        "yanked": False,
        "description": "",
        "keywords": [],
        "categories": [],
        "deps": ["serde-x", "b"],
        "needs": [{"req": "^1.0", "optional": True}, {"req": "^1.0"}],
    }


def test_a_summary_is_text_that_every_database_keeps() -> None:
    about = {"description": "\ud800 \0" + "x" * 5000, "keywords": ["\udfff", 3], "categories": "none"}
    fact = summary.of("demo", [("1.0.0", False, None)], about)
    assert fact is not None and "\0" not in fact and len(fact) < 2000
    assert json.loads(fact)["keywords"] == ["?"]


def test_a_summary_of_hundreds_of_versions_is_cheap() -> None:
    deps = msgspec.Raw(json.dumps([dep(f"d{number}") for number in range(15)]).encode())
    told = [(f"1.{number // 10}.{number % 10}", number % 9 == 0, deps) for number in range(300)]
    spent = []
    for _ in range(20):
        begun = time.process_time()
        summary.of("demo", told)
        spent.append(time.process_time() - begun)
    assert min(spent) < 0.003  # 0.6 ms on the machine it was written on
