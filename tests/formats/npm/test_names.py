from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats import semver
from reliquary.formats.npm import names
from reliquary.formats.semver import Version

NUMBERS = st.integers(0, 2**53 - 1)
WORDS = st.text("019abXZ-", min_size=1, max_size=6).filter(lambda text: not text.isdigit())
VERSIONS = st.builds(
    Version,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.lists(st.one_of(st.integers(0, 10**18), WORDS), max_size=3).map(tuple),
    st.sampled_from(("", "b", "2026.11", "-")),
)


def written(version: Version) -> str:
    return str(version) + ("+" + version.build if version.build else "")


@pytest.mark.parametrize(
    "name",
    [
        "left-pad",
        "JSONStream",
        "@scope/name",
        "@Scope/_",
        "a" * 214,
        "x",
        "1",
        "constructor",
        "hasOwnProperty",
        "npm",
        "-x",
        "--",
        "nul",
        "@con/aux",
        "it's",
        "a~b!(c)*",
        "@-/x",
        "@_s/x",
        "ui",
        "api",
        "lodash.merge",
    ],
)
def test_names_that_may_be_asked_for(name: str) -> None:
    assert names.valid(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-",
        "@s/-",
        "_x",
        "__proto__",
        ".x",
        ".",
        "..",
        "@s/..",
        "@./x",
        "@s",
        "@s/",
        "@/x",
        "@s/x/y",
        "a/b",
        "@@s/x",
        "node_modules",
        "Node_Modules",
        "favicon.ico",
        "a" * 215,
        "a b",
        "a%2fb",
        "a\\b",
        "a:b",
        "a+b",
        "é",
        "x\n",
        "a\x00",
    ],
)
def test_names_that_nothing_has(name: str) -> None:
    assert not names.valid(name)
    with pytest.raises(Malformed):
        names.check_new(name)


@pytest.mark.parametrize("name", ["left-pad", "@scope/name", "a" * 214, "x", "0", "@s/_x", "@my.org/x", "events"])
def test_new_names(name: str) -> None:
    names.check_new(name)
    assert names.valid(name)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("JSONStream", "lower case"),
        ("@Scope/name", "lower case"),
        ("-x", "begins with -"),
        ("_x", "begins with _"),
        ("it's", "not a package name"),
        ("@s/a~b", "not a package name"),
        ("x" * 215, "at most 214"),
        ("favicon.ico", "choose another"),
    ],
)
def test_old_names_are_given_to_nothing_new(name: str, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        names.check_new(name)


def test_versions_in_the_order_of_the_specification() -> None:
    texts = ["0.9.9", "1.0.0-0", "1.0.0-9", "1.0.0-10", "1.0.0--", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta"]
    texts += ["1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]
    parsed = [names.parse(text) for text in texts]
    for one, other in itertools.pairwise(parsed):
        assert one is not None
        assert other is not None
        assert one < other
    assert semver.ascending(random.Random(7).sample(texts, len(texts))) == texts


@given(st.lists(VERSIONS, max_size=8))
def test_order_is_the_same_for_texts_and_versions(versions: list[Version]) -> None:
    texts = [written(version) for version in versions]
    assert semver.ascending(texts) == [written(version) for version in sorted(versions)]
    assert [names.parse(text) for text in texts] == versions


@given(VERSIONS)
def test_identity_drops_the_build(version: Version) -> None:
    text = written(version)
    bare = text.partition("+")[0] if version.build else text
    assert names.parse(text) == version == names.parse(bare)
    assert hash(version) == hash(names.parse(bare))
    for prefix in ("", "v", "=", " = v", "  "):
        assert names.normal(prefix + text + " ") == bare == str(version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "1.0.0 ",
        "01.0.0",
        "1.0.0-01",
        "1.0.0-",
        "1.0.0-a..b",
        "1.0.0+",
        "1.0.0.0",
        "1.0.0alpha",
        "9007199254740992.0.0",
        "1.0.0-é",
        "1.0.٣",
        "1.0.0\n",
        "1.0.0-" + "a" * 251,
        "-1.0.0",
        "x",
    ],
)
def test_no_versions(text: str) -> None:
    assert names.parse(text) is None


def test_the_parts_of_a_version() -> None:
    version = names.parse("1.2.3-beta.11.x-1+build.007")
    assert version == Version(1, 2, 3, ("beta", 11, "x-1"))
    assert version is not None
    assert (version.major, version.minor, version.patch) == (1, 2, 3)
    assert (version.prerelease, version.build) == (("beta", 11, "x-1"), "build.007")
    assert names.parse("9007199254740991.0.0-" + "a" * 230) is not None


@pytest.mark.parametrize(
    ("text", "strict", "loose"),
    [
        ("01.02.03", None, "1.2.3"),
        ("1.2.3beta", None, "1.2.3-beta"),
        ("v1.2.3-01", None, "1.2.3-1"),
        ("1.2", None, None),
        ("v 1.2.3+x", "1.2.3", "1.2.3"),
        ("1" * 300, None, None),
    ],
)
def test_versions_that_npm_mends(text: str, strict: str | None, loose: str | None) -> None:
    assert names.normal(text) == strict
    assert names.normal(text, loose=True) == loose


@pytest.mark.parametrize(
    "tag",
    [
        "",
        " ",
        "1",
        "1.x",
        "^2",
        "*",
        ">=1 <2",
        "x",
        "X",
        "v1",
        "v1.2",
        "1.0.0",
        "~1",
        "~>1.2",
        "=1",
        "1 - 2",
        "1||2",
        "||",
        "> 1",
        "1.2.*",
        "1.2.3-beta",
        "1.2.3beta",
        "01",
        "1.2.3+x",
        "+0",
        "1.x || >=2.5.0 || 5.0.0 - 7.2.3",
        "1.0.0<*",
    ],
)
def test_ranges_are_no_tags(tag: str) -> None:
    assert names.is_range(tag)
    with pytest.raises(Malformed, match="range"):
        names.check_tag(tag)


@pytest.mark.parametrize(
    "tag",
    ["latest", "next", "beta", "v", "v1-lts", "cjs", "release/2", "1.0.0.0", "rc.1", "xx", "__proto__", "é", "1a"],
)
def test_tags(tag: str) -> None:
    assert not names.is_range(tag)
    names.check_tag(tag)


@pytest.mark.parametrize(
    "tag", ["a b", "a\nb", "..", "a/../b", "a//b", "/a", "a\\b", "a%2fb", "x" * 215, "\ud800", "."]
)
def test_what_cannot_be_a_tag(tag: str) -> None:
    with pytest.raises(Malformed, match=r"address|at most"):
        names.check_tag(tag)


@given(st.sampled_from(("p", "@s/p", "p-1.0.0", "@s/p-2")), VERSIONS)
def test_the_names_of_tarballs(name: str, version: Version) -> None:
    text = written(version)
    filename = names.tarball(name, text)
    assert "/" not in filename
    for form in (filename, filename.replace("+", "%2B"), filename.replace("+", "%2b"), f"{name}-{text}.tgz"):
        assert names.version_of(name, form) == text


@pytest.mark.parametrize(
    ("name", "filename", "version"),
    [
        ("@s/p", "p-1.0.0.tgz", "1.0.0"),
        ("@s/p", "@s/p-1.0.0.tgz", "1.0.0"),
        ("@s/p", "@t/p-1.0.0.tgz", None),
        ("p", "p-01.0.0beta.tgz", "01.0.0beta"),
        ("p", "q-1.0.0.tgz", None),
        ("p", "p-1.0.0.tar.gz", None),
        ("p", "p-1.0.0", None),
        ("p", "p-x-1.0.0.tgz", None),
        ("p", "p-1.0.0/../x.tgz", None),
        ("p", "p-" + "1" * 300 + ".0.0.tgz", None),
        ("p", "-1.0.0.tgz", None),
    ],
)
def test_the_version_in_a_file_name(name: str, filename: str, version: str | None) -> None:
    assert names.version_of(name, filename) == version


@pytest.mark.parametrize(
    ("versions", "latest"),
    [
        ([], None),
        (["nonsense", "1.0"], None),
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["1.0.0-rc.2", "1.0.0-rc.10"], "1.0.0-rc.10"),
        (["1.9.0", "1.10.0", "junk", "1.2.0"], "1.10.0"),
    ],
)
def test_what_latest_should_be(versions: list[str], latest: str | None) -> None:
    assert semver.best(versions) == latest


def test_what_is_no_version_stands_first() -> None:
    assert semver.ascending(["1.0.0", "b", "0.0.0-0", "a"]) == ["b", "a", "0.0.0-0", "1.0.0"]
