from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.cargo.manifest import platform, read, requirement, told
from tests.formats.cargo import artefacts

PUBLIC = "https://git.example/index"
OWN = "sparse+https://repo.example/cargo/local/"
OTHER = "sparse+https://registry.example/"

RICH = """\
[package]
edition = "2021"
rust-version = "1.70"
name = "Leaf_One"
version = "1.2.3-rc.1+build.5"
authors = [
    "A B <a@b.example>",
    "Z",
]
build = "build.rs"
links = "zz"
autolib = false
description = \"""
Two
lines\"""
homepage = "https://home.example"
documentation = "https://docs.example/x"
readme = "docs/READ.md"
keywords = ["b", "a"]
categories = ["command-line-utilities"]
license = "MIT OR Apache-2.0"
license-file = "LICENCE.txt"
repository = "https://git.example/x"
resolver = "2"

[package.metadata.docs.rs]
all-features = true

[badges.maintenance]
status = "actively-developed"

[features]
default = ["std", "opt"]
empty = []
std = ["leaf/f1", "dep:opt2", "opt3?/f2"]

[lib]
name = "Leaf_One"
path = "src/lib.rs"

[dependencies.leaf]
version = ">= 1.0, <3"
registry-index = "sparse+https://repo.example/cargo/local/"
features = ["f2", "f1", "f2"]
default-features = false

[dependencies.opt]
version = "1"
optional = true

[dependencies.leaf_dash]
version = "0.3.7+meta"
package = "leaf-dash"

[dependencies.renamed]
version = "1.x"
registry-index = "sparse+https://registry.example/"
package = "leaf"

[dev-dependencies.leaf-dev]
version = "*"

[dev-dependencies.leaf-path]
path = "../leaf-path"

[build-dependencies.leaf]
version = "3"

[target.'cfg(all(unix, not(target_os = "macos")))'.dependencies.leaf-u]
version = "~1.2"

[target."cfg( windows )".dev-dependencies.other]
version = "=1.2.3-alpha.1"
package = "leaf-y"

[target.x86_64-pc-windows-gnu.build-dependencies.leaf-w]
version = ">1,<=1.2.3"
optional = false
"""


def sent(name: str, requirement: str, **more: object) -> dict[str, Any]:
    return artefacts.dep(name, version_req=requirement, **more)


def deps(**tables: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told(read(artefacts.toml("demo", "1.0.0", **tables).encode()), own={OWN})["deps"]
    return found


def dependency(**said: object) -> dict[str, Any]:
    [found] = deps(dependencies={"leaf": {"version": "1", **said}})
    return found


def test_20_22_23_24_25_what_cargo_sends_of_a_packed_manifest() -> None:
    found = told(read(RICH.encode()), default_registry=PUBLIC, own={OWN}, readme="# read\n")
    assert found == {
        "name": "Leaf_One",
        "vers": "1.2.3-rc.1+build.5",
        "deps": [
            sent("leaf", ">=1.0, <3", default_features=False, features=["f2", "f1", "f2"]),
            sent("leaf-dash", "^0.3.7", registry=PUBLIC, explicit_name_in_toml="leaf_dash"),
            sent("opt", "^1", registry=PUBLIC, optional=True),
            sent("leaf", "1.*", registry=OTHER, explicit_name_in_toml="renamed"),
            sent("leaf-dev", "*", registry=PUBLIC, kind="dev"),
            sent("leaf", "^3", registry=PUBLIC, kind="build"),
            sent("leaf-y", "=1.2.3-alpha.1", registry=PUBLIC, kind="dev", target="cfg(windows)")
            | {"explicit_name_in_toml": "other"},
            sent("leaf-u", "~1.2", registry=PUBLIC, target='cfg(all(unix, not(target_os = "macos")))'),
            sent("leaf-w", ">1, <=1.2.3", registry=PUBLIC, kind="build", target="x86_64-pc-windows-gnu"),
        ],
        "features": {"default": ["std", "opt"], "empty": [], "std": ["leaf/f1", "dep:opt2", "opt3?/f2"]},
        "authors": ["A B <a@b.example>", "Z"],
        "description": "Two\nlines",
        "documentation": "https://docs.example/x",
        "homepage": "https://home.example",
        "readme": "# read\n",
        "readme_file": "docs/READ.md",
        "keywords": ["b", "a"],
        "categories": ["command-line-utilities"],
        "license": "MIT OR Apache-2.0",
        "license_file": "LICENCE.txt",
        "repository": "https://git.example/x",
        "badges": {"maintenance": {"status": "actively-developed"}},
        "links": "zz",
        "rust_version": "1.70",
    }


def test_a_manifest_that_says_little() -> None:
    text = '[package]\nname = "demo"\nversion = "1.0.0"\nreadme = false\n'
    expected = artefacts.told("demo", "1.0.0", description=None, license=None)
    found = told(read(text.encode()))
    assert found == expected
    assert [*found] == [*expected]
    assert told(read(text.encode()), readme="x", readme_file="README")["readme_file"] == "README"


@pytest.mark.parametrize(
    ("index", "default", "registry"),
    [
        (None, None, None),
        (None, PUBLIC, PUBLIC),
        (None, OWN, None),
        (OWN, PUBLIC, None),
        (OTHER, PUBLIC, OTHER),
        (OTHER, None, OTHER),
        (OWN.rstrip("/"), None, OWN.rstrip("/")),
    ],
)
def test_23_24_which_registry_is_sent(index: str | None, default: str | None, registry: str | None) -> None:
    said = {"version": "1"} | ({} if index is None else {"registry-index": index})
    manifest = read(artefacts.toml("demo", "1.0.0", dependencies={"leaf": said}).encode())
    [found] = told(manifest, default_registry=default, own={OWN})["deps"]
    assert found == sent("leaf", "^1", **({} if registry is None else {"registry": registry}))


def test_old_spellings() -> None:
    old = {"leaf": {"version": "1", "default_features": False}}
    text = 'dependencies = {leaf = "1"}\ndev_dependencies = {dev = "1"}\n'
    text += f'build_dependencies = {{made = "1"}}\n{artefacts.toml("demo", "1.0.0", target={"cfg(unix)": {}})}'
    assert told(read(text.encode()))["deps"] == [
        sent("leaf", "^1"),
        sent("dev", "^1", kind="dev"),
        sent("made", "^1", kind="build"),
    ]
    assert deps(dependencies=old) == [sent("leaf", "^1", default_features=False)]
    both = {"leaf": {"version": "1", "default_features": False, "default-features": True}}
    assert deps(dependencies=both) == [sent("leaf", "^1")]
    tables = 'dev-dependencies = {a = "1"}\ndev_dependencies = {b = "1"}\n' + artefacts.toml("demo", "1.0.0")
    assert told(read(tables.encode()))["deps"] == [sent("a", "^1", kind="dev")]


def test_dependencies_without_a_version() -> None:
    assert deps(**{"dev-dependencies": {"leaf": {"path": "x"}, "other": {}}}) == []
    assert deps(target={"cfg(unix)": {"dev-dependencies": {"leaf": {"git": "x"}}}}) == []
    assert deps(dependencies={"leaf": {}}) == [sent("leaf", "*")]
    for place in ("path", "git"):
        with pytest.raises(Malformed, match="has no version, only a place"):
            deps(dependencies={"leaf": {place: "x"}})
        with pytest.raises(Malformed, match="has no version, only a place"):
            deps(target={"cfg(unix)": {"build-dependencies": {"leaf": {place: "x"}}}})


def test_22_a_package_under_its_own_name_is_not_renamed() -> None:
    assert dependency(package="leaf") == sent("leaf", "^1")
    assert dependency(package="Leaf") == sent("Leaf", "^1", explicit_name_in_toml="leaf")


def test_26_artifacts_and_public_ones_are_kept() -> None:
    triple = "x86_64-unknown-linux-gnu"
    assert dependency(artifact="bin", target=triple) == sent("leaf", "^1", artifact=["bin"], bindep_target=triple)
    assert dependency(artifact=["bin:a", "cdylib"], lib=True) == sent(
        "leaf", "^1", artifact=["bin:a", "cdylib"], lib=True
    )
    assert dependency(target=triple, lib=True, artifact=[]) == sent("leaf", "^1")
    assert dependency(public=True) == sent("leaf", "^1", public=True)
    assert dependency(public=False) == sent("leaf", "^1")


# Both columns are those of cargo 1.95.
@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1", "^1"),
        ("1.2", "^1.2"),
        (" 1.2.3 ", "^1.2.3"),
        ("1.2.3-alpha.1+b", "^1.2.3-alpha.1"),
        ("1.2.3+a.01", "^1.2.3"),
        ("1.2.3-0a", "^1.2.3-0a"),
        ("18446744073709551615", "^18446744073709551615"),
        ("*", "*"),
        (" x", "*"),
        ("X ", "*"),
        ("1.*", "1.*"),
        ("1.x.X", "1.*"),
        ("1.2.*", "1.2.*"),
        ("^1.*", "^1"),
        ("=1.x", "=1"),
        (">=1.*.*", ">=1"),
        (">= 1.2.*", ">=1.2"),
        ("~ 1", "~1"),
        ("> 1 , < 2", ">1, <2"),
        ("1.*, <2", "1.*, <2"),
        ("<=1.2.3-beta,>0", "<=1.2.3-beta, >0"),
        (",".join(["1"] * 32), ", ".join(["^1"] * 32)),
    ],
)
def test_requirements(text: str, written: str) -> None:
    assert requirement(text) == written
    assert requirement(written) == written


NO_REQUIREMENTS = [
    "",
    " ",
    ",",
    "1,",
    ",1",
    "1,,2",
    "*.1",
    "*,1",
    "1,*",
    "1.*.3",
    "1 2",
    ">1 <2",
    "01",
    "1.02",
    "1.2.3-01",
    "1.2.3-",
    "1.2.3-a..b",
    "1.2.3+",
    "1.2.3+a+b",
    "1.2+b",
    "1.2-a",
    "1.2.x-a",
    "1.2.3-*",
    "==1",
    "=>1",
    "v1",
    "1.",
    "1.2.",
    "1.2.3.4",
    "=",
    ">=",
    "1\t",
    "1\n",
    "1٣",
    "18446744073709551616",
]


@pytest.mark.parametrize("text", [*NO_REQUIREMENTS, ",".join(["1"] * 33), "9" * 900_000])
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(Malformed, match="is not a version requirement"):
        requirement(text)
    with pytest.raises(Malformed):
        dependency(version=text)


# Both columns are those of cargo 1.95.
@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("x.json", "x.json"),
        ("cfg", "cfg"),
        ("cfg( unix )", "cfg(unix)"),
        ("cfg(all())", "cfg(all())"),
        ("cfg( all( unix,not( windows ) , ) )", "cfg(all(unix, not(windows)))"),
        ('cfg(any(target_os="linux" , target_os = "a  b"))', 'cfg(any(target_os = "linux", target_os = "a  b"))'),
        ('cfg(a = "x\\y")', 'cfg(a = "x\\y")'),
        ('cfg(a = "ü")', 'cfg(a = "ü")'),
        ('cfg(any(r#true, r#cfg="1",r#any))', 'cfg(any(true, r#cfg = "1", r#any))'),
        ("cfg(any(not(all())))", "cfg(any(not(all())))"),
    ],
)
def test_25_platforms(text: str, written: str) -> None:
    assert platform(text) == written
    assert platform(written) == written


NO_PLATFORMS = [
    "",
    "a b",
    "foo/bar",
    " cfg(unix)",
    "cfg (unix)",
    "CFG(unix)",
    "cfg(unix",
    "cfg(unix))",
    "cfg()",
    "cfg(unix,)",
    "cfg(unix, windows)",
    "cfg(not())",
    "cfg(not(a,b))",
    "cfg(not(a,))",
    "cfg(all)",
    "cfg(all(a b))",
    "cfg(all(,))",
    "cfg(all(a,,b))",
    "cfg(a=b)",
    "cfg(a=)",
    'cfg(a="b)',
    'cfg(a="b" c)',
    "cfg(\tunix)",
    "cfg(ünix)",
    "cfg(r#all(a))",
    "cfg(1a)",
    "cfg(a-b)",
    'cfg(not(a)="x")',
    'cfg(="x")',
    'cfg("x")',
    'cfg(any = "x")',
    "cfg((a))",
]


@pytest.mark.parametrize(
    "text", [*NO_PLATFORMS, "cfg(" + "not(" * 5000 + "a" + ")" * 5000 + ")", "cfg(" + "all(" * 200_000 + ")"]
)
def test_25_what_is_no_platform(text: str) -> None:
    with pytest.raises(Malformed, match="is not a"):
        platform(text)
    with pytest.raises(Malformed):
        deps(target={text: {"dependencies": {"leaf": "1"}}})


@pytest.mark.parametrize(
    ("tables", "where"),
    [
        ({"dependencies": 1}, "dependencies"),
        ({"dependencies": {"leaf": 1}}, "dependencies"),
        ({"dependencies": {"leaf": {"version": 1}}}, "version"),
        ({"dependencies": {"leaf": {"version": "1", "features": "x"}}}, "features"),
        ({"dependencies": {"leaf": {"version": "1", "features": [1]}}}, "features"),
        ({"dependencies": {"leaf": {"version": "1", "optional": "yes"}}}, "optional"),
        ({"dependencies": {"leaf": {"version": "1", "default-features": 0}}}, "default-features"),
        ({"dependencies": {"leaf": {"version": "1", "package": ["x"]}}}, "package"),
        ({"dependencies": {"leaf": {"version": "1", "registry-index": False}}}, "registry-index"),
        ({"target": {"cfg(unix)": []}}, "target"),
        ({"target": {"cfg(unix)": {"dev-dependencies": {"leaf": 1}}}}, "dev-dependencies"),
        ({"features": {"a": "b"}}, "features"),
        ({"features": [["a"]]}, "features"),
        ({"badges": {"a": {"b": 1}}}, "badges"),
        ({"authors": "me"}, "authors"),
        ({"keywords": [1]}, "keywords"),
        ({"description": ["x"]}, "description"),
        ({"license": {"workspace": True}}, "license"),
        ({"rust_version": 1}, "rust-version"),
    ],
)
def test_fields_of_other_types(tables: dict[str, object], where: str) -> None:
    with pytest.raises(Malformed, match=rf"not as cargo package writes it: .*{where}"):
        deps(**tables)


KEYS = st.sampled_from(
    [
        "package",
        "project",
        "dependencies",
        "dev-dependencies",
        "dev_dependencies",
        "build-dependencies",
        "target",
        "features",
        "badges",
        "name",
        "version",
        "authors",
        "readme",
        "rust-version",
        "links",
        "default-features",
        "default_features",
        "optional",
        "artifact",
        "registry-index",
        "path",
        "git",
        "leaf",
        "cfg(unix)",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.datetimes()
    | st.text(string.printable, max_size=8)
    | st.sampled_from(["1", "demo", "1.0.0", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.booleans())
def test_any_tables_are_malformed_or_told_as_json(tables: dict[str, Any], named: bool) -> None:
    if named:
        tables |= {"package": {"name": "demo", "version": "1.0.0"}}
    try:
        found = told(tables, default_registry=PUBLIC)
    except Malformed:
        return
    assert json.loads(json.dumps(found)) == found
    for each in found["deps"]:
        assert requirement(each["version_req"]) == each["version_req"]


@given(st.text("01.*xX^~=<>, -+ab", max_size=20))
def test_a_requirement_written_once_stays_as_it_is(text: str) -> None:
    try:
        written = requirement(text)
    except Malformed:
        return
    assert requirement(written) == written


@given(
    st.text('ab()=", r#', max_size=20)
    | st.lists(st.sampled_from(["all(", "not(", "a", ")", ",", '="x"', " "])).map("".join)
)
def test_a_platform_written_once_stays_as_it_is(text: str) -> None:
    try:
        written = platform(f"cfg({text})")
    except Malformed:
        return
    assert platform(written) == written
