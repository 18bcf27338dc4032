"""cargo's addresses: index files, archives, readmes, the web API, and what leads nowhere.

Numbers in names are items of cargo.md, section 8.
"""

from __future__ import annotations

import pytest

from reliquary.errors import Malformed, ReliquaryError
from reliquary.formats.base import Call, FileKey, Match, PageKey
from reliquary.formats.cargo import FORMAT, change, config, keys, login, names, owners, publish, search, views
from reliquary.types import Action
from reliquary.web.paths import split


def match(path: str, method: str = "GET") -> Match | None:
    """What a raw path below a repository leads to."""
    return FORMAT.match(method, split(path.encode()) if path else (), {})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "lower"),
    [
        ("1/a", "a"),
        ("2/ab", "ab"),
        ("3/a/abc", "abc"),
        ("3/1/1-a", "1-a"),
        ("ab/cd/abcd", "abcd"),
        ("le/af/leaf_one", "leaf_one"),
        ("le/af/leaf-one", "leaf-one"),
        ("--/__/--__", "--__"),
        ("%6Ce/af/leaf%5Fone", "leaf_one"),
        ("xx/xx/" + "x" * 128, "x" * 128),
    ],
)
def test_1_2_index_files(method: str, path: str, lower: str) -> None:
    found = match(path, method)
    assert isinstance(found, PageKey)
    assert (found.scope, found.name) == (lower, lower.replace("_", "-"))
    assert found.path == f"{names.folder(lower)}/{lower}"
    assert FORMAT.pages(found.scope) == [found]


@pytest.mark.parametrize(
    "path",
    [
        "aa/bb/serde", "Se/rd/Serde", "se/rd/Serde", "SE/RD/serde", "1/A", "2/aB", "3/A/Abc", "1/ab", "2/a", "2/abc",
        "3/ab/abc", "3/abc", "3/b/abc", "ab/c/abc", "a/b/ab", "se/rd/serde/", "se/rd/serde/x", "se/rd", "se", "serde",
        "1", "1/", "3/a/", "se//serde", "%C3%A9/t/%C3%A9t%C3%A9", "1/%C3%A9", "2/%C3%A9", "3/%C3%A9/%C3%A9ab",
        "se/rd/serd%C3%A9", "1/%E2%84%AA", "se/rd/se.rde", "se/rd/se%20rde", "se/rd/se%2Frde", "1/.", "2/..",
        "se%2Frd/serde", "xx/xx/" + "x" * 129, "config.json/", "Config.json", "config", "api", "api/v1",
        "api/v2/crates", "favicon.ico", "robots.txt",
    ],
)  # fmt: skip
def test_64_69_every_other_path_is_none(path: str) -> None:
    try:
        assert match(path) is None
    except ReliquaryError as error:
        assert error.status in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path", ["se/rd/serde", "1/a", "config.json", "api/v1/crates/serde/1.0.0/download", "api/v1/crates/serde/1.0.0", ""]
)
def test_what_is_read_is_only_read(method: str, path: str) -> None:
    assert match(path, method) is None


@pytest.mark.parametrize("word", ["download", "readme"])
@pytest.mark.parametrize("version", ["1.0.0", "1.1.0+meta", "1.1.0%2Bmeta", "0.0.1-alpha.1", "1.0.0-a+b.c"])
def test_3_archives_and_readmes_in_any_case(word: str, version: str) -> None:
    found = match(f"api/v1/crates/Leaf_One/{version}/{word}")
    told = version.replace("%2B", "+")
    assert found == FileKey(f"api/v1/crates/leaf_one/{told}/{word}", "leaf_one", "leaf-one", listed=word == "download")
    assert isinstance(found, FileKey)
    assert FORMAT.manner(found).immutable


@pytest.mark.parametrize(
    "path",
    [
        "x/1.0.0/other", "x/v1.0.0/download", "x/latest/download", "x//download", "x/1.0.0/download/more",
        "x/1.0%2F0/download", "x/1" + "0" * 300 + "/download", "x%2Fy/1.0.0/download", "%C3%A9/1.0.0/download",
        "x/+1/download", "x/%20/readme", "x/1.0.0/download/", "x/1.0.0/", "x/owners/", "/owners",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_version(path: str) -> None:
    try:
        assert match(f"api/v1/crates/{path}") is None
    except ReliquaryError as error:
        assert error.status == 400


CALLS = (
    ("GET", "", config.root, Action.READ, None),
    ("GET", "config.json", config.config, Action.READ, None),
    ("HEAD", "config.json", config.config, Action.READ, None),
    ("GET", "me", login.me, Action.READ, None),
    ("POST", "me", login.take, Action.READ, None),
    ("GET", "api/v1/crates", search.search, Action.READ, None),
    ("HEAD", "api/v1/crates", search.search, Action.READ, None),
    ("PUT", "api/v1/crates/new", publish.put, Action.PUBLISH, None),
    ("PUT", "demo-1.0.0.crate", publish.bare, Action.PUBLISH, None),
    ("PUT", "api/v1/trusted_publishing/tokens", login.exchange, Action.READ, None),
    ("DELETE", "api/v1/trusted_publishing/tokens", login.exchange, Action.READ, None),
    ("GET", "api/v1/crates/Leaf_One", views.crate, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/new", views.crate, Action.READ, "new"),
    ("GET", "api/v1/crates/Leaf_One/versions", views.versions, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/downloads", views.downloads, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/reverse_dependencies", views.reverse_dependencies, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/1.0.0+x", views.version, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/1.0.0/dependencies", views.dependencies, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/owners", owners.owners, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/owner_user", owners.owner_user, Action.READ, "leaf-one"),
    ("GET", "api/v1/crates/Leaf_One/owner_team", owners.owner_team, Action.READ, "leaf-one"),
    ("PUT", "api/v1/crates/Leaf_One/owners", owners.add, Action.PUBLISH, "leaf-one"),
    ("DELETE", "api/v1/crates/Leaf_One/owners", owners.remove, Action.PUBLISH, "leaf-one"),
    ("DELETE", "api/v1/crates/Leaf_One/1.0.0/yank", change.yank, Action.PUBLISH, "leaf-one"),
    ("PUT", "api/v1/crates/Leaf_One/1.0.0/unyank", change.unyank, Action.PUBLISH, "leaf-one"),
    ("PUT", "manage/Leaf_One/1.0.0/yank", change.yank, Action.PUBLISH, "leaf-one"),
    ("DELETE", "manage/Leaf_One/1.0.0/yank", change.unyank, Action.PUBLISH, "leaf-one"),
    ("DELETE", "manage/Leaf_One/1.0.0", change.delete, Action.DELETE, "leaf-one"),
)


@pytest.mark.parametrize(
    ("method", "path", "run", "action", "name"), CALLS, ids=[f"{row[0]} {row[1]}" for row in CALLS]
)
def test_verbs_and_queries(method: str, path: str, run: object, action: Action, name: str | None) -> None:
    found = match(path, method)
    assert isinstance(found, Call)
    assert (found.run, found.action, found.name) == (run, action, name)
    assert found.open == (path == "me" or "trusted_publishing" in path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "api/v1/crates/new"), ("PUT", "api/v1/crates"), ("POST", "api/v1/crates"),
        ("DELETE", "api/v1/crates/x"), ("DELETE", "manage/x"), ("PUT", "a/b-1.0.0.crate"),
        ("PUT", "api/v1/crates/x/1.0.0/yank"), ("DELETE", "api/v1/crates/x/1.0.0/unyank"), ("GET", "manage/x/1.0.0"),
        ("GET", "api/v1/crates/x/1.0.0/yank"), ("POST", "api/v1/crates/x/owners"),
        ("PUT", "manage/x/1.0.0"), ("DELETE", "manage/x%2Fy/1.0.0"), ("PUT", "demo-1.0.0.zip"),
        ("GET", "demo-1.0.0.crate"), ("DELETE", "me"), ("GET", "api/v1/trusted_publishing/tokens"), ("GET", "me/"),
    ],
)  # fmt: skip
def test_other_methods_lead_nowhere(method: str, path: str) -> None:
    assert match(path, method) is None


@pytest.mark.parametrize("name", ["a", "a1", "abc", "A_b-C", "x" * 64, "nul-x", "core2", "tests", "com10", "c"])
def test_names_of_new_crates(name: str) -> None:
    names.check_new(name)
    assert names.valid(name)


@pytest.mark.parametrize(
    "name",
    ["", "1a", "-a", "_a", "a b", "a.b", "a/b", "é", "aé", "a\n", "x" * 65, "x" * 200_000, "nul", "NUL", "Con", "com1",
     "LPT9", "aux", "prn", "std", "core", "Alloc", "test", "proc-macro", "proc_macro", "\u212a", "a\x00", "\ud800"],
)  # fmt: skip
def test_names_that_no_new_crate_has(name: str) -> None:
    with pytest.raises(Malformed) as caught:
        names.check_new(name)
    assert len(caught.value.message) < 1000
    assert caught.value.message.isascii()


@pytest.mark.parametrize(
    ("spelled", "normal"), [("Leaf_One", "leaf-one"), ("leaf-one", "leaf-one"), ("a__b", "a--b"), ("X", "x")]
)
def test_5_a_package_s_name_in_every_spelling(spelled: str, normal: str) -> None:
    assert FORMAT.normalise(spelled) == names.normal(spelled) == normal
    assert keys.page(spelled).name == keys.crate(spelled, "1.0.0").name == normal
    assert keys.page(spelled).scope == keys.crate(spelled, "1.0.0").scope == spelled.lower()


@pytest.mark.parametrize(
    ("lower", "found"),
    [
        ("demo", ["demo"]),
        ("a_b", ["a_b", "a-b"]),
        ("a-b_c", ["a-b_c", "a-b-c", "a_b-c", "a_b_c"]),
        ("-a", ["-a", "_a"]),
        (
            "a-b-c-d",
            ["".join((*"a", one, *"b", two, *"c", three, *"d")) for one in "-_" for two in "-_" for three in "-_"],
        ),
        ("a-b_c-d-e", ["a-b_c-d-e", "a-b-c-d-e", "a_b_c_d_e"]),
    ],
)
def test_6_spellings_that_may_be_taken_for_one_another(lower: str, found: list[str]) -> None:
    assert names.spellings(lower, names.ASKED) == found
    assert {names.normal(each) for each in found} == {names.normal(lower)}
    assert len(names.spellings("a-b_c-d-e")) == 16
    assert len(names.spellings("-_" * 32)) == 3
