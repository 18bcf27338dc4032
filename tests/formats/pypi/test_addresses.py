"""Links made absolute the cheap way, against the rules of RFC 3986 as the library has them."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reliquary.formats.pypi.addresses import Addresses, beside, is_https, join

BASES = [
    "https://index.example/simple/demo/",
    "https://index.example/api/main/simple/demo",
    "http://index.example:8080/",
    "http://index.example",
    "https://index.example/a/b.html?x=1/2",
    "https://index.example/a;b/../c//d/",
    "https://user@index.example/simple/demo/",
]
PARTS = [
    *(
        "https://files.example",
        "http://files.example:80",
        "HTTPS://files.example",
        "https:",
        "http:/",
        "//files.example",
    ),
    *(
        "/",
        "//",
        "../",
        "../../",
        "./",
        ".",
        "..",
        "...",
        "packages/",
        "ab/",
        "a.b/",
        ".hidden/",
        "~u/",
        "demo-1.0.zip",
    ),
    *(
        "demo-1.0%2Bcu1.whl",
        "%2e%2e/",
        "%2F",
        "+",
        "!",
        "é",
        " ",
        "\t",
        "\n",
        "\\",
        ":",
        ";p=1",
        "?q=1",
        "?",
        "#f",
        "#",
        "&",
    ),
    *(
        "javascript:",
        "mailto:a@b",
        "[",
        "]",
        "@",
        "https://[::1]/",
        "https://.../",
        "https:///x",
        "https://files.example:99999/",
    ),
]


def by_the_library(base: str, link: str) -> tuple[str, str] | None:
    url = join(base, link)
    return (url, unquote(urlsplit(url).path.rsplit("/", 1)[-1])) if url else None


@settings(max_examples=1000)
@given(st.sampled_from(BASES), st.lists(st.sampled_from(PARTS), max_size=6).map("".join))
@example("http://index.example", "demo-1.zip")
@example("https://index.example/a/b.html?x=1/2", "../demo-1.zip#sha256=ab")
def test_every_link_is_joined_as_the_library_does(base: str, link: str) -> None:
    addresses = Addresses(base)
    assert addresses.resolve(link) == by_the_library(base, link)
    assert addresses.resolve(link) == by_the_library(base, link)


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("../../packages/ab/demo-1.zip", "https://index.example/packages/ab/demo-1.zip"),
        ("../../../../demo-1.zip", "https://index.example/demo-1.zip"),
        ("/demo-1.zip", "https://index.example/demo-1.zip"),
        ("http://files.example/x/../demo-1.zip", "http://files.example/x/../demo-1.zip"),
        ("//files.example/demo-1.zip", "https://files.example/demo-1.zip"),
    ],
)
def test_links(link: str, url: str) -> None:
    assert Addresses(BASES[0]).resolve(link) == (url, "demo-1.zip")


@pytest.mark.parametrize("link", ["ftp://files.example/demo-1.zip", "file:///demo-1.zip", "data:,x", "http://[x/"])
def test_links_that_lead_nowhere(link: str) -> None:
    assert Addresses(BASES[0]).resolve(link) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://index.example/integrity/x", True),
        ("https://index.example:444/a?b=c", True),
        ("HTTPS://index.example", True),
        ("http://index.example/x", False),
        ("//index.example/x", False),
        ("https:///x", False),
        ("https://[x/", False),
        ("", False),
    ],
)
def test_https(text: str, said: bool) -> None:
    assert is_https(text) is said


@given(st.sampled_from(BASES), st.lists(st.sampled_from(PARTS), max_size=4).map("".join))
def test_a_sidecar_lies_beside_its_file(base: str, link: str) -> None:
    if url := join(base, link):
        parts = urlsplit(url)
        assert beside(url, ".metadata") == parts._replace(path=parts.path + ".metadata").geturl()
