"""What is good and bad here was told by cargo 1.95.0 and 1.97 (nightly), from index lines that hold these texts."""

from __future__ import annotations

import time

import pytest

from reliquary.formats.cargo import syntax

MOST = 2**64 - 1


@pytest.mark.parametrize(
    "text",
    [
        *(
            "*",
            "x",
            "X",
            " * ",
            "1",
            "1.0",
            "1.2.3",
            "^1",
            " ^ 1 ",
            "=1.0.0",
            "= 1.0",
            "~1",
            "~1.0.0",
            ">=1",
            ">= 1, <2",
        ),
        *(">1.0.0-alpha,<2", "1.*", "1.x", "1.X.x", "1.*.*", "1.0.*", "^1.*", "1.0.0-alpha", "1.0.0-a.01b", "1.0.0+b"),
        *("^ 1.0.0-a.b+c.01", f"<{MOST}", "0", "0.0.0", ",".join([">=1"] * 32)),
    ],
)
def test_requirements(text: str) -> None:
    assert syntax.requirement(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "1.*.0",
            "*.1",
            ">=*",
            "=*",
            "^*",
            "~*",
            "1,",
            "1,*",
            "*,1",
            ",1",
            "1 2",
            "1 || 2",
            "1.0-alpha",
            "1.x.1",
        ),
        *("1.0.0-01", "1.0.0-", "1.0.0+", "1.0.0-a..b", "1.0.0+a..b", "1.*-a", "1.0.*-a", "1.*+b", "01", "1.00", "1."),
        *(
            "=>1",
            "==1",
            "><1",
            "v1",
            "1.0.0.0",
            "\t1",
            "1\t",
            "1\n",
            "1.0.0 -a",
            "latest",
            "≥1",
            "1.0.0-é",
            "٣",
            "> = 1",
        ),
        *(f"<{MOST + 1}", f"1.{MOST + 1}", f"1.0.{MOST + 1}", "9" * 10_000, ",".join([">=1"] * 33)),
    ],
)
def test_what_is_no_requirement(text: str) -> None:
    assert not syntax.requirement(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x86_64-pc-windows-msvc",
            "a.b-c_d",
            "é",
            "cfg(unix)",
            "cfg( unix )",
            "cfg(not(unix))",
            "cfg(all())",
            "cfg(_a)",
        ),
        *(
            "cfg(any(unix,windows,))",
            "cfg(all (unix))",
            'cfg(target_os = "linux")',
            'cfg(target_os="linux")',
            "cfg(true)",
        ),
        *("cfg(r#true)", "cfg(r#unix)", 'cfg(r#all = "a")', 'cfg(feature = "a,b)(")', 'cfg(target_os = "a\nb")'),
        *('cfg(a = "é")', 'cfg(all(any(not(unix),windows),x="y"))'),
    ],
)
def test_targets(text: str) -> None:
    assert syntax.target(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "cfg()",
            "cfg(any(,unix))",
            "cfg(all)",
            "cfg(all unix)",
            "cfg (unix)",
            "cfg(unix) ",
            " cfg(unix)",
            'cfg("linux")',
        ),
        *('cfg(target_os = "li\\"nux")', "cfg(target_os = )", "cfg(target_os = linux)", "cfg(unix windows)", "cfg(1a)"),
        *("cfg(unix,windows)", "cfg(not(unix,windows))", "cfg(not())", "cfg(not(unix,))", 'cfg(all = "a")', "cfg(a-b)"),
        *(
            "cfg(r#not(unix))",
            'cfg(not = "a")',
            "cfg(\tunix)",
            "cfg(unix",
            "unix)",
            "a b",
            "cfg(é)",
            "cfg(unix))",
            "a/b",
        ),
        *("cfg((unix))", 'cfg(version("1.2"))', "cfg(A(k))", "cfg(unix\n)", "a\n", ""),
    ],
)
def test_what_is_no_target(text: str) -> None:
    assert not syntax.target(text)


@pytest.mark.parametrize("text", ["a", "c++17", "128bit", "_f", "a.b", "a-b", "日本", "a٣", "a\u0300", "ª", "a·", "℘"])
def test_features(text: str) -> None:
    assert syntax.feature(text)
    assert syntax.feature_use(text)


@pytest.mark.parametrize(
    "text", ["", "-f", "+f", ".f", "a:b", "a?", "a b", "ⒶⒷ", "a¼", "٣a", "\u0300a", "゛", "a゛", "a\n", "a\0", "\ud800"]
)
def test_what_names_no_feature(text: str) -> None:
    assert not syntax.feature(text)
    assert not syntax.feature_use(text)


def test_what_a_feature_turns_on() -> None:
    assert all(map(syntax.feature_use, ("dep:leaf", "leaf/f", "leaf?/f", "_a/c++17", "dep:Leaf_One")))
    bad = ("dep:", "leaf/f/g", "leaf/", "/f", "dep:leaf/f", "leaf/f?", "leaf??/f", "?/f", "leaf/ f", "dep:dep:a", "é/f")
    assert not any(map(syntax.feature_use, bad))
    assert not syntax.feature("dep:leaf")
    assert not syntax.feature("leaf/f")


def test_versions_of_rust() -> None:
    assert all(map(syntax.rust_version, ("1", "1.0", "1.70", "1.70.0", f"1.{MOST}")))
    bad = ("", "1.70.0.0", "^1.70", ">=1.70", "~1", "=1.70", "1.*", "1.x", "1.70.0-beta", "1.70.0+x", " 1.70", "1.70 ")
    assert not any(map(syntax.rust_version, (*bad, "01.2", "stable", f"1.{MOST + 1}", "1.70\n", "1.٣")))


def test_edge_19_times_of_the_one_form() -> None:
    assert all(map(syntax.pubtime, ("2025-01-31T09:05:00Z", "2024-02-29T23:59:59Z")))
    bad = ("2025-01-31T09:05:00.000Z", "2025-01-31T09:05:00+00:00", "2025-1-31T09:05:00Z", "2025-01-31T9:05:00Z", "")
    assert not any(map(syntax.pubtime, bad))
    more = ("2025-02-30T09:05:00Z", "2025-01-31T25:00:00Z", "2025-01-31t09:05:00z", "2025-01-31 09:05:00Z")
    assert not any(
        map(syntax.pubtime, (*more, "2025-01-31T09:05:00 ", "2025-01-31T09:05:00Z\n", "٢025-01-31T09:05:00Z"))
    )


def test_artifacts() -> None:
    assert syntax.artifacts(["bin"])
    assert syntax.artifacts(["bin:a", "bin:b", "cdylib", "staticlib"])
    for bad in (["lib"], ["bin", "bin:a"], ["bin", "bin"], ["bin:"], ["cdylib", "cdylib"], [""]):
        assert not syntax.artifacts(bad), bad


def test_registries() -> None:
    good = ("https://x.example/index", "sparse+https://x.example/i/", "http://[::1]:8080/", "ssh://git@x.example/i")
    assert all(map(syntax.registry, (*good, "file:///srv/index")))
    bad = ("", "x", "not a url", "http:", "//x/y", "http://[::1", "sparse+https://x.example/i", "https://x.example/a b")
    assert not any(map(syntax.registry, (*bad, "https://x.example/\n", "https://x.example/\0")))


def test_addresses_of_one_index() -> None:
    own = "https://x.example/cargo/main"
    same = (own + "/", "sparse+" + own + "/", "sparse+" + own, "HTTPS://X.example:443/cargo/main/")
    assert {syntax.address(each) for each in (own, *same)} == {own}
    other = ("http://x.example/cargo/main/", "https://x.example/cargo/Main/", "https://x.example:80/cargo/main/")
    assert all(syntax.address(each) != own for each in (*other, own + "2/", "https://y.example/cargo/main/", ""))


def test_long_texts_cost_little() -> None:
    start = time.process_time()
    for text in (
        "1" * 100_000,
        "1." + "0-" * 50_000,
        ">=1," * 50_000,
        "1.0.0-" + "a." * 50_000,
        " " * 100_000 + "!",
        "1.0.0-" + "0" * 100_000,
        "1.0.0+" + "-" * 100_000 + "!",
        ">" + " " * 100_000 + ">",
    ):
        assert not syntax.requirement(text)
    for text in (
        "not(" * 900 + "a" + ")" * 900,
        "all(a," * 600,
        "all(a," * 500 + "a" + ")" * 500,
        " " * 4000,
        'a="' * 1300,
    ):
        assert not syntax.target(f"cfg({text})")
    assert syntax.target("cfg(" + "not(" * 98 + "a" + ")" * 99)
    assert syntax.target("cfg(any(" + "a," * 2000 + "))")
    assert not syntax.target("a" * 4097)
    assert time.process_time() - start < 1
