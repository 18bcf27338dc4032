"""What each address of a module proxy is. Numbers in names are items of go.md, section 8."""

from __future__ import annotations

import pytest

from reliquary.errors import Malformed
from reliquary.formats import go
from reliquary.formats.base import Call, FileKey, Match, PageKey
from reliquary.types import Action

PATH = "example.com/Foo"
DATABASE = "sumdb/sums.example/log"


def match(path: str, method: str = "GET") -> Match | None:
    return go.FORMAT.match(method, tuple(path.split("/")), {})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_five_addresses_of_a_module(method: str) -> None:
    escaped = "example.com/!foo"
    assert match(f"{escaped}/@v/list", method) == PageKey(f"{escaped}/@v/list", PATH, PATH)
    assert match(f"{escaped}/@latest", method) == PageKey(f"{escaped}/@latest", PATH, PATH)
    for ending, shown in (("zip", True), ("mod", False), ("info", False)):
        found = match(f"{escaped}/@v/v1.0.0-!m3.{ending}", method)
        key = FileKey(f"{escaped}/@v/v1.0.0-!m3.{ending}", PATH, PATH, listed=shown, version="v1.0.0-M3")
        assert found == key
        assert go.FORMAT.locate(key, "https://up.example/p/") == f"https://up.example/p/{key.path}"


@pytest.mark.parametrize("module", ["example.com/list", "example.com/sumdb", "example.com/x/@v/y", "gopkg.in/yaml.v3"])
def test_3_7_what_modules_are_called_confuses_nobody(module: str) -> None:
    found = match(f"{module}/@v/list")
    if "@v" in module:
        assert found is None
    else:
        assert isinstance(found, PageKey)
        assert found.scope == module


@pytest.mark.parametrize(
    "path",
    [
        "example.com/Foo/@v/list",
        "example.com/!!foo/@v/list",
        "example.com/foo!/@v/list",
        "example.com/!Foo/@v/v1.0.0.zip",
        "example.com/foo/@v/v1.0.0-M3.zip",
        "corp/x/@v/list",
        "example.com/foo/v1/@v/list",
        "example.com/foo/v02/@v/list",
        "example.com/foo/@v/v1.0.0+meta.zip",
        "example.com/foo/@v/v2.0.0.zip",
        "example.com/foo/v2/@v/v1.0.0.mod",
        "example.com/foo/v2/@v/v2.0.0+incompatible.mod",
        "example.com/foo/@v/master.zip",
        "example.com/foo/@v/v1.0.0.ziphash",
        "example.com/foo/@v/v1.0.0.lock",
        "example.com/foo/@v/v1.0.0",
        "example.com/foo/@v/",
        "example.com/foo/@v",
        "example.com/foo/@v/a/b.info",
        "@v/list",
        "@latest",
        "",
        "example.com/foo",
    ],
)
def test_1_5_6_42_what_cannot_be_is_not_here(path: str) -> None:
    assert match(path) is None


def test_an_encoded_slash_makes_no_further_element() -> None:
    assert go.FORMAT.match("GET", ("example.com/foo", "@v", "list"), {}) is None


@pytest.mark.parametrize(
    ("module", "version"),
    [
        ("example.com/foo", "v2.0.0+incompatible"),
        ("example.com/foo", "v0.0.0-20250101000000-0123456789ab"),
        ("gopkg.in/yaml.v3", "v3.0.1"),
        ("gopkg.in/yaml.v3-unstable", "v3.0.1"),
        ("gopkg.in/yaml.v1", "v0.0.0-20250101000000-0123456789ab"),
    ],
)
def test_5_7_versions_that_a_module_may_have(module: str, version: str) -> None:
    assert isinstance(match(f"{module}/@v/{version}.info"), FileKey)


@pytest.mark.parametrize("asked", ["master", "0123abc", "release-branch.go1.21", "!main", "v2.0.0", "v1.0.0+meta"])
def test_9_a_branch_or_a_commit_is_a_page_of_its_own(asked: str) -> None:
    found = match(f"example.com/foo/@v/{asked}.info")
    assert isinstance(found, PageKey)
    assert (found.name, found.scope) == ("example.com/foo", found.path)
    manner = go.FORMAT.manner(found)
    assert (manner.max_age, manner.prompt, manner.immutable) == (60, True, False)


@pytest.mark.parametrize("asked", ["v1", "v1.2", "latest", "upgrade", "patch", "!!x", "Main", "a b", "é", ""])
def test_10_what_the_client_resolves_itself_is_never_asked(asked: str) -> None:
    assert match(f"example.com/foo/@v/{asked}.info") is None


def test_how_each_kind_is_kept() -> None:
    kinds = {
        "example.com/foo/@v/list": (False, 60, "text/plain; charset=utf-8"),
        "example.com/foo/@latest": (False, 60, "application/json"),
        "example.com/foo/@v/v1.0.0.info": (True, 0, "application/json"),
        "example.com/foo/@v/v1.0.0.mod": (True, 0, "text/plain; charset=utf-8"),
        "example.com/foo/@v/v1.0.0.zip": (True, 0, "application/zip"),
        f"{DATABASE}/supported": (False, 3600, "text/plain; charset=utf-8"),
        f"{DATABASE}/latest": (False, 60, "text/plain; charset=utf-8"),
        f"{DATABASE}/lookup/example.com/foo@v1.0.0": (True, 0, "text/plain; charset=utf-8"),
        f"{DATABASE}/tile/8/0/x001/234.p/7": (True, 0, "application/octet-stream"),
        f"{DATABASE}/tile/8/data/000": (True, 0, "text/plain; charset=utf-8"),
    }
    for path, expected in kinds.items():
        found = match(path)
        assert isinstance(found, PageKey | FileKey), path
        manner = go.FORMAT.manner(found)
        assert (manner.immutable, manner.max_age, manner.offers[0].content_type) == expected, path


def test_36_38_a_database_s_records_are_as_private_as_the_module() -> None:
    asked = f"{DATABASE}/lookup/example.com/!foo@v1.0.0-!m3"
    assert match(asked) == FileKey(asked, DATABASE, PATH, listed=False, version="v1.0.0-M3")
    assert match(f"{DATABASE}/tile/8/1/000") == FileKey(f"{DATABASE}/tile/8/1/000", DATABASE, "", listed=False)


@pytest.mark.parametrize(
    "path",
    [
        "sumdb/supported",
        "sumdb/lookup/example.com/foo@v1.0.0",
        f"{DATABASE}/lookup/example.com/foo@master",
        f"{DATABASE}/lookup/example.com/foo",
        f"{DATABASE}/lookup/Example.com/foo@v1.0.0",
        f"{DATABASE}/lookup",
        f"{DATABASE}/tile/8/0/1234",
        f"{DATABASE}/tile/9/0/000",
        f"{DATABASE}/tile/8/0/000.p/257",
        f"{DATABASE}/tile/8/0/x000/001",
        f"{DATABASE}/supported/more",
        f"{DATABASE}/other",
        "sumdb",
    ],
)
def test_36_what_a_database_does_not_have(path: str) -> None:
    assert match(path) is None


@pytest.mark.parametrize(
    ("method", "path", "action", "name"),
    [
        ("PUT", "example.com/!foo/@v/v1.0.0.zip", Action.PUBLISH, PATH),
        ("PUT", "example.com/!foo/@v/v1.0.0.mod", Action.PUBLISH, PATH),
        ("PUT", "example.com/!foo/@v/v1.0.0.info", Action.PUBLISH, PATH),
        ("PUT", "upload", Action.PUBLISH, None),
        ("PUT", "v1.0.0.zip", Action.PUBLISH, None),
        ("PUT", "any.zip", Action.PUBLISH, None),
        ("DELETE", "example.com/!foo/@v/v1.0.0.zip", Action.DELETE, PATH),
        ("DELETE", "manage/example.com/!foo/@v/v1.0.0", Action.DELETE, PATH),
        ("DELETE", "manage/example.com/Foo/v1.0.0", Action.DELETE, PATH),
        ("PUT", "manage/example.com/Foo/v1.0.0/yank", Action.PUBLISH, PATH),
        ("DELETE", "manage/example.com/!foo/@v/v1.0.0/yank", Action.PUBLISH, PATH),
    ],
)
def test_what_changes_something(method: str, path: str, action: Action, name: str | None) -> None:
    found = match(path, method)
    assert isinstance(found, Call)
    assert (found.action, found.name, found.open) == (action, name, False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "example.com/foo/@v/v1.0.0.zip"),
        ("PUT", "example.com/foo/@v/list"),
        ("PUT", "example.com/foo/@latest"),
        ("PUT", "other"),
        ("DELETE", "example.com/foo/@v/v1.0.0.mod"),
        ("DELETE", "upload"),
        ("DELETE", "manage/v1.0.0"),
        ("PUT", "manage/example.com/foo/v1.0.0"),
        ("GET", "manage/example.com/foo/v1.0.0"),
        ("GET", "upload"),
    ],
)
def test_what_changes_nothing(method: str, path: str) -> None:
    assert match(path, method) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "segments",
    [(), ("",), ("manage",), ("manage", ""), ("manage", "yank"), ("sumdb",), ("sumdb", ""), ("@v",), ("x", "")],
)
def test_what_is_cut_short_is_nothing(method: str, segments: tuple[str, ...]) -> None:
    assert go.FORMAT.match(method, segments, {}) is None


def test_a_put_to_no_module_s_place_is_told_so() -> None:
    with pytest.raises(Malformed, match="names no module path"):
        match("example.com/Foo/@v/v1.0.0.zip", "PUT")
