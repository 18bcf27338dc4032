from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.cargo import lines
from tests.formats.cargo import artefacts
from tests.formats.cargo.artefacts import parse

INDEX = "sparse+https://here.example/cargo/main/"
PUBLIC = "https://code.example/public/index"
CKSUM = artefacts.checksum(artefacts.crate())
WHEN = datetime(2025, 1, 31, 9, 5, 0, 999_999, UTC)


def build(told: dict[str, Any], *, rust_version: str | None = None, links: str | None = None, **more: Any) -> str:
    given: dict[str, Any] = {"cksum": CKSUM, "index_url": INDEX, "published": WHEN} | more
    return lines.build(told, rust_version=rust_version, links=links, **given)


def made(rust_version: str | None = None, links: str | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(build(artefacts.told(**more), rust_version=rust_version, links=links))
    return found


def dep_of(name: str = "leaf", **more: object) -> dict[str, Any]:
    found: dict[str, Any] = made(deps=[artefacts.dep(name, **more)])["deps"][0]
    return found


def line_of(**more: object) -> str:
    return json.dumps(artefacts.line() | more)


def with_dep(**more: object) -> str:
    return line_of(deps=[{"name": "leaf", "req": "^1", **more}])


def test_edge_17_a_line_is_one_compact_object_with_its_members_in_order() -> None:
    line = build(artefacts.told("Leaf_One", "1.1.0+meta", deps=[artefacts.dep()]))
    assert line == (
        '{"name":"Leaf_One","vers":"1.1.0+meta","deps":[{"name":"leaf","req":"^1.0","features":[],"optional":false,'
        '"default_features":true,"target":null,"kind":"normal","registry":null,"package":null}],'
        f'"cksum":"{CKSUM}","features":{{}},"yanked":false,"links":null,"v":1,"rust_version":null,'
        '"pubtime":"2025-01-31T09:05:00Z"}'
    )
    more = made(features={}, features2={"a": []}, rust_version="1.70", links="z")
    assert list(more)[-5:] == ["links", "v", "features2", "rust_version", "pubtime"]


def test_a_line_that_was_made_is_read() -> None:
    line = parse(build(artefacts.told(deps=[artefacts.dep()], features={"a": ["dep:leaf"]})).encode() + b"\n")
    assert line is not None
    assert (line.name, line.vers, line.cksum, line.yanked, line.v) == ("demo", "1.0.0", CKSUM, False, 1)
    assert line.deps == [lines.Dependency(name="leaf", req="^1.0", kind="normal")]
    assert line.features == {"a": ["dep:leaf"]}


def test_edge_18_what_cargo_would_hide_is_refused() -> None:
    with pytest.raises(Malformed, match=r"requirement '1\.0-beta'"):
        build(artefacts.told(deps=[artefacts.dep(version_req="1.0-beta")]))
    with pytest.raises(Malformed, match=r"the rust_version '>=1\.70'"):
        build(artefacts.told(), rust_version=">=1.70")
    with pytest.raises(Malformed, match=r"'1\.0' is not a version"):
        build(artefacts.told(version="1.0"))
    with pytest.raises(Malformed, match="may not have line ends"):
        lines.check(line_of() + "\n")


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_edge_19_pubtime_has_20_characters(zone: timezone) -> None:
    line = json.loads(build(artefacts.told(), published=WHEN.astimezone(zone)))
    assert line["pubtime"] == "2025-01-31T09:05:00Z"
    assert json.loads(build(artefacts.told(), published=datetime(987, 1, 2, tzinfo=UTC)))["pubtime"][:5] == "0987-"


def test_edge_20_features_come_through_as_they_are() -> None:
    features = {"default": ["x"], "x": ["dep:leaf", "leaf?/y"], "c++17": ["leaf/z"], "日本": [], "128bit": ["default"]}
    line = made(features=features, deps=[artefacts.dep(optional=True)])
    assert line["features"] == features
    assert list(line["features"]) == list(features)
    assert "features2" not in line


def test_edge_21_features2_comes_with_its_schema() -> None:
    line = made(features={"a": []}, features2={"b": ["dep:leaf"]})
    assert (line["features"], line["features2"], line["v"]) == ({"a": []}, {"b": ["dep:leaf"]}, 2)
    assert made(features2={})["v"] == 2
    assert made(features2={}, v=1)["v"] == 2
    assert made(v=2)["v"] == 2
    with pytest.raises(Malformed, match="needs a v of 2"):
        lines.check(line_of(features2={}))


def test_edge_22_a_renamed_dependency() -> None:
    dep = dep_of("leaf", explicit_name_in_toml="other_leaf")
    assert (dep["name"], dep["package"]) == ("other_leaf", "leaf")
    assert dep_of("leaf", explicit_name_in_toml=None)["package"] is None
    with pytest.raises(Malformed, match="renames leaf to what is no name"):
        dep_of("leaf", explicit_name_in_toml="other leaf")
    with pytest.raises(Malformed, match=r"is on '\.\./leaf'"):
        dep_of("../leaf", explicit_name_in_toml="leaf")


@pytest.mark.parametrize("index", [INDEX, INDEX[:-1], INDEX[7:], INDEX[7:-1]])
def test_edge_23_the_own_index_becomes_null(index: str) -> None:
    for registry in (None, INDEX, INDEX[:-1], INDEX[7:], INDEX[7:-1]):
        told = artefacts.told(deps=[artefacts.dep(registry=registry)])
        assert json.loads(build(told, index_url=index))["deps"][0]["registry"] is None
    for registry in (PUBLIC, INDEX.replace("main", "local"), "sparse+https://there.example/cargo/main/"):
        told = artefacts.told(deps=[artefacts.dep(registry=registry)])
        assert json.loads(build(told, index_url=index))["deps"][0]["registry"] == registry


def test_edge_24_the_public_registry_is_kept_by_the_address_that_came() -> None:
    assert dep_of(registry=PUBLIC)["registry"] == PUBLIC
    with pytest.raises(Malformed, match=r"sparse\+ ones end in /"):
        dep_of(registry="sparse+https://there.example/index")
    with pytest.raises(Malformed, match="not the URL of an index"):
        dep_of(registry="http://[::1")


def test_edge_25_kinds_and_targets() -> None:
    assert [dep_of(kind=kind)["kind"] for kind in (None, "normal", "dev", "build")] == [
        "normal",
        "normal",
        "dev",
        "build",
    ]
    target = 'cfg(all(target_os = "linux", not(feature = "a\'b")))'
    assert dep_of(target=target)["target"] == target
    assert dep_of(target="x86_64-pc-windows-msvc")["target"] == "x86_64-pc-windows-msvc"
    with pytest.raises(Malformed, match="kind 'peer'; known are"):
        dep_of(kind="peer")
    with pytest.raises(Malformed, match="neither cfg"):
        dep_of(target='cfg(target_os = "linux)')


def test_edge_26_artifacts_and_public_are_kept() -> None:
    more: dict[str, Any] = {"public": True, "artifact": ["bin:a", "cdylib"], "bindep_target": "target", "lib": True}
    dep = dep_of(**more)
    assert {key: dep[key] for key in more} == more
    assert made(deps=[artefacts.dep(**more)])["v"] == 3
    assert "lib" not in dep_of(lib=None)
    assert dep_of(lib=False, public=False)["lib"] is False
    with pytest.raises(Malformed, match="other artifacts than"):
        dep_of(artifact=["exe"])
    with pytest.raises(Malformed, match="for no target"):
        dep_of(artifact=["bin"], bindep_target="")


def test_edge_27_and_28_links_and_rust_version() -> None:
    line = made(rust_version="1.70", links="git2")
    assert (line["rust_version"], line["links"]) == ("1.70", "git2")
    for text in ("^1.70", "1.*", "1.70.0-beta", ""):
        with pytest.raises(Malformed, match="without an operator"):
            made(rust_version=text)
    for text in ("a\0b", "a\ud800"):
        with pytest.raises(Malformed, match="cannot be kept"):
            made(links=text)


def test_what_is_missing_or_null_in_what_was_told() -> None:
    least = {"name": "demo", "vers": "1.0.0"}
    assert json.loads(build(least)) == made()
    dep = {"name": "leaf", "version_req": "^1.0"}
    nulls = dict.fromkeys(("features", "optional", "default_features", "target", "kind", "registry", "lib"))
    for each in (dep, dep | nulls):
        assert json.loads(build(least | {"deps": [each]})) == made(deps=[artefacts.dep()])
    assert dep_of(default_features=False, features=["a", "", "b/c"])["default_features"] is False
    assert dep_of(features=["a", "", "b/c"])["features"] == ["a", "b/c"]
    assert made(unknown=[{}], yanked=True)["yanked"] is False


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"vers": "1.0.0"}, "missing required field `name`"),
        ({"name": "demo"}, "missing required field `vers`"),
        (artefacts.told(deps={}), r"got `object` - at `\$\.deps`"),
        (artefacts.told(deps=[None]), r"at `\$\.deps\[0\]`"),
        (artefacts.told(deps=[{"name": "leaf"}]), "version_req"),
        (artefacts.told(deps=[artefacts.dep(features="a")]), r"deps\[0\]\.features"),
        (artefacts.told(deps=[artefacts.dep(optional="yes")]), r"deps\[0\]\.optional"),
        (artefacts.told(features=[]), "features"),
        (artefacts.told(features={"a": None}), "features"),
        (artefacts.told(features={"a": [1]}), "features"),
        (artefacts.told(keywords="a"), "keywords"),
        (artefacts.told(keywords=[1]), "keywords"),
        (artefacts.told(categories={}), "categories"),
        (artefacts.told(authors=[None]), "authors"),
        (artefacts.told(badges={"a": "b"}), "badges"),
        (artefacts.told(description=1), "description"),
        (artefacts.told(license=["MIT"]), "license"),
        (artefacts.told(rust_version=1.7), "rust_version"),
        (artefacts.told(description="a\0b"), "cannot be kept"),
        (artefacts.told(keywords=["a\0b"]), "cannot be kept"),
        (artefacts.told(badges={"a\0b": {}}), "cannot be kept"),
        (artefacts.told(readme="\ud800"), r"cannot be kept: '\\ud800'"),
        (artefacts.told(features={"\udfff": []}), "cannot be kept"),
        (artefacts.told(deps=[artefacts.dep(target="\0")]), "cannot be kept"),
        (artefacts.told(v=4), "of schema 4; known are 1 to 3"),
        (artefacts.told(v=0), "of schema 0"),
        (artefacts.told(name="../x"), r"'\.\./x' is not the name"),
        (artefacts.told(version="1.0.0-01"), "not a version"),
        (artefacts.told(version="1.0.18446744073709551616"), "not a version"),
        (artefacts.told(features={"-a": []}), "'-a' cannot name a feature"),
        (artefacts.told(features={"dep:a": []}), "cannot name a feature"),
        (artefacts.told(features2={"a/b": []}), "cannot name a feature"),
        (artefacts.told(features={"a": ["b/c/d"]}), "the feature 'a' names 'b/c/d'"),
        (artefacts.told(features={"a": [""]}), "the feature 'a' names ''"),
        (artefacts.told(deps=[artefacts.dep(features=["-a"])]), "asks for the feature '-a'"),
        (artefacts.told(deps=[artefacts.dep(version_req="")]), "requirement ''"),
        (artefacts.told(deps=[artefacts.dep(name="")]), "is on '', which is not the name"),
        (artefacts.told(deps=[artefacts.dep(kind="dev", optional=True)]), "is optional, which no dependency"),
        (artefacts.told(deps=[artefacts.dep()] * 1001), "at most 1000 dependencies, this one has 1001"),
        (artefacts.told(features={f"f{at}": [] for at in range(5001)}), "at most 5000 features, this one has 5001"),
        (artefacts.told(features={"a": ["b" * 1000] * 1100}), "and may have 1048576"),
    ],
)
def test_what_was_told_and_cannot_be(told: dict[str, Any], match: str) -> None:
    with pytest.raises(Malformed, match=match):
        build(told)


def test_as_much_as_may_be() -> None:
    deps = [artefacts.dep(f"d{at}") for at in range(1000)]
    features = {f"f{at}": ["f0"] for at in range(5000)}
    line = build(artefacts.told(deps=deps, features=features))
    found = parse(line.encode())
    assert found is not None
    assert (len(found.deps), len(found.features)) == (1000, 5000)


@pytest.mark.parametrize(
    "text",
    [
        line_of(),
        line_of(deps=[{"name": "leaf", "req": "*"}]),
        line_of(yanked=None, links=None, v=None, features2=None, rust_version=None, pubtime=None),
        line_of(unknown={"a": [1]}),
        line_of(v=4294967295),
        with_dep(target=None, kind=None, registry=None, package=None, public=None, artifact=None, bindep_target=None),
    ],
)
def test_lines_that_cargo_reads(text: str) -> None:
    lines.check(text)
    assert parse(text.encode()) is not None
    assert parse(f" {text}\r\n".encode()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\ufeff" + line_of(),
        line_of() * 2,
        line_of()[:-1] + ",}",
        *(line_of(**{key: value}) for key in ("name", "vers", "cksum", "deps", "features") for value in (None, 1)),
        *(line_of(vers=vers) for vers in ("1", "v1.0.0", "1.0.0-01", "1.0.0 ", "1.0.18446744073709551616")),
        line_of(name="../x"),
        line_of(deps={}),
        line_of(deps=[None]),
        line_of(features=[]),
        line_of(features={"a": "b"}),
        line_of(features2=[], v=2),
        line_of(yanked="false"),
        line_of(links=1),
        *(line_of(v=v) for v in (-1, 2.0, "2", True, 2**32)),
        *(line_of(rust_version=text) for text in ("^1.70", "1.*", "1.70.0-beta", "", 1.7)),
        *(
            line_of(pubtime=text)
            for text in ("2025-01-31T09:05:00.0Z", "2025-01-31T09:05:00+00:00", "2025-02-30T09:05:00Z")
        ),
        line_of(deps=[{"name": "leaf"}]),
        line_of(deps=[{"req": "1"}]),
        *(with_dep(**{key: None}) for key in ("req", "features", "optional", "default_features", "lib")),
        *(with_dep(**{key: 1}) for key in ("name", "target", "kind", "registry", "package", "public", "artifact")),
        with_dep(artifact="bin"),
        with_dep(bindep_target=[]),
        line_of()[:-1] + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_lines_that_cargo_hides(text: str) -> None:
    assert parse(text.encode()) is None
    with pytest.raises(Malformed):
        lines.check(text)


def test_lines_that_are_kept_of_others_but_not_made_here() -> None:
    """Of what an upstream says the deeper meaning is cargo's business."""
    for text in (
        with_dep(req="1.0-beta"),
        with_dep(kind="peer"),
        with_dep(target="cfg()"),
        with_dep(registry="x"),
        line_of(features={"-a": [""]}),
        line_of(cksum=""),
        line_of(features2={}),
        line_of()[:-1] + ',"name":"demo"}',
        line_of(links="a\0b"),
    ):
        assert parse(text.encode()) is not None
        with pytest.raises(Malformed):
            lines.check(text)


def test_what_is_no_line_in_utf8() -> None:
    assert parse(line_of(links="?").encode().replace(b'"?"', b'"\xff"')) is None
    assert parse(b"\xff") is None
    with pytest.raises(Malformed):
        lines.check(line_of() + "\ud800")


def test_yanking_changes_one_word() -> None:
    line = build(artefacts.told(deps=[artefacts.dep()], features={"yanked": []}))
    yanked = lines.with_yanked(line, True)
    assert yanked == line.replace('"yanked":false', '"yanked":true')
    assert lines.with_yanked(yanked, True) == yanked
    assert lines.with_yanked(yanked, False) == line
    assert lines.with_yanked(line, False) == line


@pytest.mark.parametrize(
    ("line", "yanked"),
    [
        ('{"name": "a", "yanked": false, "x": 1.50}', '{"name": "a", "yanked": true, "x": 1.50}'),
        ('{ "yanked" : null }\n', '{ "yanked" : true }\n'),
        (
            '{"a":{"yanked":false},"b":[{"yanked":false}]}',
            '{"a":{"yanked":false},"b":[{"yanked":false}],"yanked":true}',
        ),
        (
            '{"yanked":false,"z":"\\"yanked\\":false}","é":"\\u00e9"}',
            '{"yanked":true,"z":"\\"yanked\\":false}","é":"\\u00e9"}',
        ),
        ('{"a":"yanked","b":false,"yanked":false}', '{"a":"yanked","b":false,"yanked":true}'),
        ('{"\\u0079anked":false}', '{"\\u0079anked":true}'),
        ('{"a":1}\r\n', '{"a":1,"yanked":true}\r\n'),
        ('{"yanked":false,"yanked":true}', '{"yanked":true,"yanked":true}'),
    ],
)
def test_yanking_a_line_as_any_index_writes_it(line: str, yanked: str) -> None:
    assert lines.with_yanked(line, True) == yanked
    assert lines.with_yanked(line, False) == line.replace("true}", "false}") if '"yanked":true' in line else line


def test_yanking_what_is_no_line() -> None:
    with pytest.raises(Malformed, match="one JSON object"):
        lines.with_yanked("", True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("yanked"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60)
@given(
    st.dictionaries(st.text(max_size=8), JSON, min_size=1, max_size=6),
    st.booleans(),
    st.integers(0, 6),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_yanking_any_object(members: dict[str, Any], was: bool, at: int, indent: int | None, plain: bool) -> None:
    members.pop("yanked", None)
    items = list(members.items())
    line = json.dumps(dict([*items[:at], ("yanked", was), *items[at:]]), indent=indent, ensure_ascii=plain)
    turned = lines.with_yanked(line, not was)
    assert json.loads(turned) == members | {"yanked": not was}
    assert lines.with_yanked(turned, was) == line
    assert abs(len(turned) - len(line)) == 1


@pytest.mark.parametrize("use", [parse, lambda text: lines.with_yanked(text.decode(), True)])
def test_edge_50_unknown_members_break_nothing(use: Callable[[bytes], object]) -> None:
    text = b'{"name": "demo", "vers": "1.0.0", "deps": [], "cksum": "x", "later": {"a": [1.0, "\\/"]}, "yanked": false}'
    found = use(text)
    if isinstance(found, str):
        assert found.encode() == text.replace(b"false}", b"true}")
    else:
        assert isinstance(found, lines.Line)
        assert (found.name, found.yanked) == ("demo", False)
