from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.go.gomod import LARGEST, LINES, LONGEST, GoMod, Retraction, check, read
from tests.formats.go import artefacts

STAMP = "20200102030405-abcdefabcdef"


def told(text: str) -> GoMod:
    return read(text.encode())


def refused(text: str, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        told(text)


def test_what_a_go_mod_says() -> None:
    data = artefacts.gomod(
        "example.com/demo/v2",
        go="1.21.3",
        toolchain="go1.22.1",
        deprecated="use example.com/demo/v3",
        require={"example.com/leaf": "v1.0.0", "example.com/old": "v2.0.0+incompatible"},
        retract=["v2.0.0 // published by accident", "[v2.1.0, v2.1.9]"],
    )
    assert read(data) == GoMod(
        module="example.com/demo/v2",
        go="1.21.3",
        toolchain="go1.22.1",
        requires=(("example.com/leaf", "v1.0.0"), ("example.com/old", "v2.0.0+incompatible")),
        retractions=(
            Retraction("v2.0.0", "v2.0.0", "published by accident"),
            Retraction("v2.1.0", "v2.1.9"),
        ),
        deprecated="use example.com/demo/v3",
    )


@pytest.mark.parametrize("text", ["", "\n", "// nothing\n", "go 1.21\n", "\r\n\r\n", "unknown x y z\n"])
def test_a_go_mod_without_a_module(text: str) -> None:
    assert told(text).module is None


def test_blocks_hold_one_directive_a_line() -> None:
    found = told(
        "module ( // here\n\texample.com/a\n) // there\n\nrequire (\n\n\t// for b\n\ta.b/b v1.0.0 // indirect\n"
        "\ta.b/c/v2 v2.0.0\n)\nrequire ( )\nretract (\n\tv1.0.0\n\t[v1.1.0,v1.2.0]\n)\n"
        "exclude (\n\tnot read at all\n)\nunknown (\n\twhat ever\n)\nrequire x (\n\tpassed over\n)\n"
    )
    assert found.module == "example.com/a"
    assert found.requires == (("a.b/b", "v1.0.0"), ("a.b/c/v2", "v2.0.0"))
    assert [(each.low, each.high) for each in found.retractions] == [("v1.0.0", "v1.0.0"), ("v1.1.0", "v1.2.0")]


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("module example.com/a", "example.com/a"),
        ("module\texample.com/a\r\n", "example.com/a"),
        ("  module  example.com/a  // x", "example.com/a"),
        ("module example.com/a//x", "example.com/a"),
        ('module "example.com/a"', "example.com/a"),
        ('module "example.com/a b"', "example.com/a b"),
        (r'module "example\x2ecom/\u0061\U00000062\143"', "example.com/abc"),
        (r'module "a\\b\"c\t"', 'a\\b"c\t'),
        (r'module "\xc3\xa9\377"', "é\ufffd"),
        ('module "a//b"', "a//b"),
        ("module é", "é"),
        ('module ab"', None),
        ("module a'b", None),
        ("module `example.com/a`", None),
        (r'module "\q"', None),
        (r'module "\400"', None),
        (r'module "\ud800"', None),
        (r'module "\U00110000"', None),
        (r'module "\x4"', None),
        (r'module "\'"', None),
        ("module", None),
        ("module a b", None),
        ("module (", None),
        ("module (\na b\n)", None),
        ("module (\na\nb\n)", None),
        ("module a\nmodule a", None),
    ],
)
def test_how_a_module_is_named(text: str, module: str | None) -> None:
    if module is None:
        refused(text, "line [1-3] of the go.mod: ")
    else:
        assert told(text).module == module


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("\ufeffmodule a", r"line 1 .* unexpected character in '\\ufeffmodule'"),
        ("module a\n\x00", "line 2 .* unexpected character"),
        ("module a\x0bb", "line 1 .* unexpected character"),
        ("module a\u00a0b", "line 1 .* unexpected character"),
        ("\n\n/* x */", "line 3 .* written with //"),
        ("a/*b", "line 1 .* written with //"),
        ('module "a', "line 1 .* without an end"),
        ('module "a\n"', "line 1 .* without an end"),
        ("replace `a", "line 1 .* without an end"),
        ("\nretract (\nv1.0.0\n", "line 2 .* no end"),
        ("\nexclude (\nv1.0.0\n", "line 2 .* no end"),
        ("retract (\n) x", "line 2 .* closing parenthesis"),
        ("go 1.21\ngo 1.22", "line 2 .* second go"),
        ("go", "line 1 .* one version"),
        ("go 1.21 1.22", "line 1 .* one version"),
        ("go 1", "line 1 .* no version of Go"),
        ("go v1.21", "line 1 .* no version of Go"),
        ("go go1.21", "line 1 .* no version of Go"),
        ("go 1.021", "line 1 .* no version of Go"),
        ("require a.b/c", "line 1 .* a module path and a version"),
        ("require a.b/c v1.0.0 v1.1.0", "line 1 .* a module path and a version"),
        ("require (\na.b/c v1.0.0\na.b/d master\n)", "line 3 .* 'master' is no version"),
        ("require a.b/c v2.0.0", "line 1 .* can have no version"),
        ("require a.b/c/v2 v1.0.0", "line 1 .* can have no version"),
        ("require a.b/c/v1 v1.0.0", "line 1 .* can have no version"),
        ("ignore", "line 1 .* one folder"),
        ("x" * (LONGEST + 1), "line 1 .* characters"),
        ("\n" * 70_000 + "go", "line 70001 "),
        ("\n" * LINES, f"line {LINES + 1} .* more than {LINES} lines"),
    ],
)
def test_what_is_refused(text: str, match: str) -> None:
    refused(text, match)


@pytest.mark.parametrize(
    ("said", "go"),
    [
        ("1.21", "1.21"),
        ("1.21.0", "1.21.0"),
        ("1.21rc2", "1.21rc2"),
        ("1.9", "1.9"),
        ("1.21.x", "1.21"),
        ("v1.21x", "1.21"),
        ("1.21-custom", "1.21"),
    ],
)
def test_versions_of_go(said: str, go: str) -> None:
    assert told(f"go {said}\n").go == go


@pytest.mark.parametrize(
    ("said", "toolchain"),
    [("go1.22.1", "go1.22.1"), ("go1.22.1-custom", "go1.22.1-custom"), ("default", "default"), ("x", None), ("", None)],
)
def test_toolchains(said: str, toolchain: str | None) -> None:
    assert told(f"toolchain {said}\n").toolchain == toolchain


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "deprecated"),
    [
        ("// Deprecated: use b.\nmodule a\n", "use b."),
        ("//Deprecated:use b.\nmodule a\n", "use b."),
        ("// Deprecated: use b\n// or c.\nmodule a\n", "use b\nor c."),
        ("// A title\n//\n// Deprecated: use b.\n//\n// And more.\nmodule a\n", "use b."),
        ("// Deprecated: one\n//\n// Deprecated: two\nmodule a\n", "one"),
        ("module a // Deprecated: use b.\n", "use b."),
        ("// x\nmodule a // Deprecated: use b.\n", None),
        ("// Deprecated: use b.\nmodule a // x\n", "use b.\nx"),
        ("// Deprecated: use b.\n\nmodule a\n", None),
        ("// Title\n// Deprecated: use b.\nmodule a\n", None),
        ("// deprecated: use b.\nmodule a\n", None),
        ("// Deprecated:\nmodule a\n", None),
        ("module a\n// Deprecated: use b.\n", None),
        ("// Deprecated: use b.\nmodule (\n\ta\n)\n", "use b."),
        ("module (\n\t// Deprecated: use b.\n\n\t// A second comment.\n\ta\n)\n", "use b.\nA second comment."),
        ("// Deprecated: outer\nmodule (\n\t// inner\n\ta\n)\n", None),
    ],
)
def test_32_deprecation(text: str, deprecated: str | None, line_end: str) -> None:
    assert told(text.replace("\n", line_end)).deprecated == deprecated


@pytest.mark.parametrize(
    ("text", "rationale"),
    [
        ("retract v1.0.0", ""),
        ("retract v1.0.0 // why", "why"),
        ("// before\nretract v1.0.0 // why", "before\nwhy"),
        ("// before\n\nretract v1.0.0", ""),
        ("// outer\nretract (\n\tv1.0.0\n)", "outer"),
        ("// outer\nretract (\n\tv1.0.0 // inner\n)", "inner"),
        ("// outer\nretract (\n\t// one\n\n\t// two\n\tv1.0.0 // three\n)", "one\ntwo\nthree"),
        ("// outer\nretract (\n\n\tv1.0.0\n)", "outer"),
        ("retract ( // not this\n\tv1.0.0\n) // nor this", ""),
        ('retract "v1.0.0" // quoted', "quoted"),
    ],
)
def test_32_the_rationale_of_a_retraction(text: str, rationale: str) -> None:
    assert told(text).retractions == (Retraction("v1.0.0", "v1.0.0", rationale),)


def test_32_a_blank_line_hides_the_comment_of_a_block() -> None:
    found = told("// outer\nretract (\n\tv1.0.0\n\tv1.1.0\n\n\tv1.2.0\n)\n").retractions
    assert [each.rationale for each in found] == ["outer", "outer", ""]


@pytest.mark.parametrize(
    "words",
    ["", "[v1.0.0]", "[v1.0.0, v1.1.0", "[v1.0.0 v1.1.0]", "(v1.0.0", "'v1.0.0'", "`v1.0.0`", "[", "[,"],
)
def test_retractions_of_a_later_go_are_passed_over(words: str) -> None:
    assert told(f"module a\nretract {words}\n") == GoMod("a")


@pytest.mark.parametrize(
    ("low", "high", "version", "covered"),
    [
        ("v1.0.0", "v1.0.0", "v1.0.0", True),
        ("v1.0.0", "v1.0.0", "v1.0.1", False),
        ("v1.0.0", "v1.9.0", "v1.10.0", False),
        ("v1.0.0", "v1.9.0", "v1.2.0-rc.1", True),
        ("v1.0.0", "v1.9.0", "v1.0.0-rc.1", False),
        ("v1.0.0", "v1.9.0", f"v1.9.0-0.{STAMP}", True),
        ("v1.0.0-0", "v1.9.0", "v1.0.0-rc.1", True),
        ("v2.0.0+incompatible", "v2.0.0+incompatible", "v2.0.0+incompatible", True),
        ("v0", "v1.2", "v1.2.0", True),
        ("v0", "v1.2", "v1.2.1", False),
        ("v1.9.0", "v1.0.0", "v1.5.0", False),
        ("main", "v1.0.0", "v0.5.0", False),
        ("v1.0.0", "v1.9.0", "main", False),
    ],
)
def test_32_what_a_retraction_covers(low: str, high: str, version: str, covered: bool) -> None:
    assert Retraction(low, high).covers(version) is covered


def test_32_all_versions_retracted_by_a_prerelease() -> None:
    mod = read(artefacts.gomod(retract=["[v0.0.0, v1.5.0-rc.1] // all of it", "v1.0.0"]))
    assert mod.rationales("v1.0.0") == ("all of it", "")
    assert mod.rationales("v1.5.0-rc.1") == ("all of it",)
    assert mod.rationales("v1.5.0") == ()


def test_whose_go_mod_it_is() -> None:
    check(GoMod("example.com/a"), "example.com/a")
    with pytest.raises(Malformed, match=r"says module 'example.com/A', and this is 'example.com/a'"):
        check(GoMod("example.com/A"), "example.com/a")
    with pytest.raises(Malformed, match=r"no module directive; write module example.com/a into it"):
        check(GoMod(None), "example.com/a")


def test_23_a_go_mod_of_16_mib_is_the_largest() -> None:
    base = b"module example.com/a\n"
    filler = b"//" + b"x" * 1021 + b"\n"
    whole = base + filler * ((LARGEST - len(base)) // len(filler))
    padded = whole + b"\n" * (LARGEST - len(whole))
    assert read(padded).module == "example.com/a"
    with pytest.raises(Malformed, match="larger than 16777216 bytes"):
        read(padded + b"\n")


@pytest.mark.parametrize(
    "text",
    [
        "(" * LONGEST,
        '"' * LONGEST,
        "`" * (LONGEST - 1),
        '"' + "\\" * LONGEST,
        "a/" * (LONGEST // 2),
        " " * LONGEST,
        "module " + '"' + r"\x41" * 10_000 + '"',
        "retract " + "[" * 30_000,
        "// Deprecated: " + " " * 60_000 + "\nmodule a",
        "//\n" * 40_000 + "// Deprecated:\n" * 40_000 + "module a",
        "retract (\n" + "\n// x" * 90_000,
        "go " + "1." * 30_000,
        "require a.b/c v" + "9" * 60_000 + ".0.0",
        "require a.b/c v1.0.0\n" * (LINES // 4),
        'require "a.b/c" v1.0.0\n' * (LINES // 4),
        ("a " * 40 + "\n") * (LINES // 4),
    ],
)
def test_what_would_tire_a_reader(text: str) -> None:
    began = time.process_time()
    try:
        told(text)
    except Malformed as error:
        assert error.message.startswith("line ")
    assert time.process_time() - began < 8


PARTS = st.sampled_from(
    [
        "module",
        "go",
        "retract",
        "require",
        "(",
        ")",
        "\n",
        "[",
        "]",
        ",",
        "//",
        "/*",
        '"',
        "`",
        "\\",
        " ",
        "\r\n",
        "v1.0.0",
    ]
)


@given(st.lists(PARTS | st.text(max_size=3)).map("".join))
def test_garbage_is_malformed_and_nothing_else(text: str) -> None:
    for data in (text.encode("utf-8", "surrogatepass"), b"module a\n" + text.encode("utf-16", "surrogatepass")):
        try:
            read(data)
        except Malformed as error:
            assert error.message.startswith("line ")
