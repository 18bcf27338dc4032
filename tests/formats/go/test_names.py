from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.go import names


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("example.com/demo", "example.com/demo"),
        ("example.com/Foo/BAR", "example.com/!foo/!b!a!r"),
        ("v1.0.0-RC1", "v1.0.0-!r!c1"),
        ("", ""),
    ],
)
def test_01_escaping_both_ways(plain: str, escaped: str) -> None:
    assert names.escape(plain) == escaped
    assert names.unescape(escaped) == plain


@pytest.mark.parametrize(
    "text", ["A", "example.com/Foo", "!!a", "a!", "!", "example.com/!", "!A", "!1", "!-", "!/a", "!é", "a!!", "! a"]
)
def test_01_what_no_address_spells(text: str) -> None:
    assert names.unescape(text) is None


@given(st.text(st.characters(exclude_characters="!", codec="utf-8")))
def test_01_every_text_comes_back(text: str) -> None:
    assert names.unescape(names.escape(text)) == text


@given(st.text("abAB!/.v1"))
def test_01_every_module_has_one_address(text: str) -> None:
    plain = names.unescape(text)
    assert plain is None or names.escape(plain) == text


def test_02_paths_that_differ_by_case_are_two() -> None:
    assert names.escape("example.com/Demo") != names.escape("example.com/demo")
    assert names.valid_path("example.com/Demo")


@pytest.mark.parametrize("path", ["example.com/a/@v/b", "example.com/@v", "example.com/a/@latest", "example.com/a@v1"])
def test_03_an_at_sign_is_in_no_path(path: str) -> None:
    assert not names.valid_path(path)


@pytest.mark.parametrize("path", ["example.com/list", "example.com/sumdb", "example.com/latest", "example.com/v"])
def test_03_words_of_the_protocol_are_names_like_others(path: str) -> None:
    assert names.valid_path(path)


@pytest.mark.parametrize("version", ["v1.0.0-M3", "v1.0.0-RC.1+incompatible"])
def test_43_the_case_of_a_version(version: str) -> None:
    assert names.unescape(names.escape(version)) == version
    assert names.escape("v1.0.0-M3") == "v1.0.0-!m3"
    assert names.unescape("v1.0.0-M3") is None


GOOD = [
    "example.com",
    "example.com/a",
    "a.b/c-d_e~f.g",
    "1.2/x",
    "x-.y/z",
    "a.b/-c",
    "a.b/c~",
    "a.b/~x",
    "a.b/1~a",
    "a.b/com0",
    "a.b/com10",
    "a.b/console",
    "a.b/v2",
    "a.b/c/v10",
    "a.b/c/v2/d",
    "a.b/c/v1/d",
    "a.b/cv1",
    "a.b/v",
    "a.b/vx",
    "a.b/c.v1",
    "gopkg.in/yaml.v3",
    "gopkg.in/a/b.v0",
    "gopkg.in/yaml.v1",
    "gopkg.in/yaml.v3-unstable",
    "gopkg.in/yaml.v10",
    "gopkg.inn/yaml",
]

BAD = [
    ("", "empty"),
    ("/", "slash too many"),
    ("/example.com", "slash too many"),
    ("example.com/", "slash too many"),
    ("example.com//a", "slash too many"),
    ("-example.com/a", "starts with a dash"),
    ("example/a", "no dot"),
    ("corp", "no dot"),
    ("Example.com/a", "others than a-z"),
    ("exa_mple.com/a", "others than a-z"),
    ("example.com/a b", "others than ASCII"),
    ("example.com/a+b", "others than ASCII"),
    ("example.com/a\n", "others than ASCII"),
    ("example.com\n/a", "others than ASCII"),
    ("example.com/é", "others than ASCII"),
    ("example.com/a\\b", "others than ASCII"),
    ("example.com/%21a", "others than ASCII"),
    ("example.com/.", "a dot at"),
    ("example.com/..", "a dot at"),
    ("example.com/.git", "a dot at"),
    ("example.com/a.", "a dot at"),
    (".example.com/a", "a dot at"),
    ("example.com/con", "Windows reserves"),
    ("example.com/AUX.x/y", "Windows reserves"),
    ("example.com/lpt9.v2", "Windows reserves"),
    ("example.com/a~1", "tilde"),
    ("example.com/a~12.b", "tilde"),
    ("example.com/v0", "major version"),
    ("example.com/v1", "major version"),
    ("example.com/v02", "major version"),
    ("example.com/v1.2", "major version"),
    ("example.com/v2.0", "major version"),
    ("gopkg.in/yaml", "below gopkg.in"),
    ("gopkg.in/yaml/v3", "below gopkg.in"),
    ("gopkg.in/yaml.v03", "below gopkg.in"),
    ("gopkg.in/yaml.v3-beta", "below gopkg.in"),
    ("gopkg.in/yaml.v", "below gopkg.in"),
]


@pytest.mark.parametrize("path", GOOD)
def test_paths_that_are_taken(path: str) -> None:
    names.check_path(path)
    assert names.valid_path(path)


@pytest.mark.parametrize(("path", "why"), BAD)
def test_paths_that_are_refused(path: str, why: str) -> None:
    assert not names.valid_path(path)
    with pytest.raises(Malformed, match=why):
        names.check_path(path)


def test_42_a_path_without_a_host_is_refused() -> None:
    with pytest.raises(Malformed, match=r"'corp/x' is no module path: its first element has no dot"):
        names.check_path("corp/x")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("example.com/a", ("example.com/a", "")),
        ("example.com/a/v2", ("example.com/a", "/v2")),
        ("example.com/a/v2/v3", ("example.com/a/v2", "/v3")),
        ("example.com/a/v1", ("example.com/a/v1", "")),
        ("example.com/a/v02", ("example.com/a/v02", "")),
        ("example.com/v2/a", ("example.com/v2/a", "")),
        ("v2", ("v2", "")),
        ("gopkg.in/yaml.v3", ("gopkg.in/yaml", ".v3")),
        ("gopkg.in/yaml.v0", ("gopkg.in/yaml", ".v0")),
        ("gopkg.in/yaml.v3-unstable", ("gopkg.in/yaml", ".v3-unstable")),
        ("gopkg.in/yaml", ("gopkg.in/yaml", "")),
        ("example.com/yaml.v3", ("example.com/yaml.v3", "")),
    ],
)
def test_07_the_major_version_of_a_path(path: str, parts: tuple[str, str]) -> None:
    assert names.split_prefix_version(path) == parts


@pytest.mark.parametrize(
    ("patterns", "path", "covered"),
    [
        ("corp.example", "corp.example/a/b", True),
        ("corp.example", "corp.example", True),
        ("corp.example", "corp.example.org/a", False),
        ("corp.example", "xcorp.example/a", False),
        ("*.corp.example", "git.corp.example/a", True),
        ("*.corp.example", "corp.example/a", False),
        ("corp.example/team", "corp.example/team/a", True),
        ("corp.example/team", "corp.example/teams", False),
        ("corp.example/team/", "corp.example/team", True),
        ("corp.example/*/x", "corp.example/a/x/y", True),
        ("corp.example/*/x", "corp.example/a/b/x", False),
        ("corp.example/a", "corp.example", False),
        ("other.example,,corp.example/", "corp.example/a", True),
        ("", "corp.example/a", False),
        (",", "corp.example/a", False),
        ("/", "corp.example/a", False),
        ("*", "corp.example/a", True),
        ("corp.exampl?", "corp.example/a", True),
        ("corp?example", "corp/example", False),
        ("corp.[a-f]xample", "corp.example/a", True),
        ("corp.[^a-d]xample", "corp.example/a", True),
        ("corp.[^a-f]xample", "corp.example/a", False),
        (r"corp.e\xample", "corp.example/a", True),
        ("corp.[e", "corp.[e", False),
        ("corp.[]", "corp.]", False),
        ("corp.[^]", "corp.^", False),
        ("[", "[", False),
        ("[,corp.example", "corp.example/a", True),
        ("corp.[f-e]xample", "corp.example/a", False),
        ("CORP.example", "corp.example/a", False),
        ("corp.example ", "corp.example/a", False),
        ("corp.(e)xample", "corp.example/a", False),
    ],
)
def test_38_patterns_of_private_paths(patterns: str, path: str, covered: bool) -> None:
    assert names.matches_prefix(path, patterns) is covered


@given(st.text("ab*?[]^-\\/.,(){}|+$é", max_size=12), st.text("ab-]./^\\", max_size=8))
def test_no_pattern_is_too_odd(patterns: str, path: str) -> None:
    assert names.matches_prefix(path, patterns) in (True, False)


def test_a_pattern_of_stars_does_not_tire() -> None:
    began = time.process_time()
    assert not names.matches_prefix("a" * 2000, "*" * 5000 + "b")
    assert time.process_time() - began < 2
