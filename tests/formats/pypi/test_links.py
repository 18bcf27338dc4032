"""Pages whose entries are made when they are asked for, against the same pages read link by link."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.base import Compact, FileKey, PageKey, Reading, Source
from reliquary.formats.pypi import FORMAT
from reliquary.formats.pypi.links import Links
from reliquary.formats.pypi.negotiate import HTML, JSON_V1
from reliquary.repositories.lists import Held

PAGE = PageKey("simple/my-demo/", "my-demo", "my-demo")
URL = "https://index.example/simple/my-demo/"
SHA = ["a" * 64, "0123456789abcdef" * 4]

FILES = [
    *("my_demo-1.0-py3-none-any.whl", "My.Demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
    *(
        "my_demo-1.0.tar.gz",
        "my-demo-01.2.tar.gz",
        "my_demo-1.0.post1-2-py3-none-any.whl",
        "my_demo-1.whl",
        "my_demo-.whl",
    ),
    *("my_demo-1.0+local-py3-none-any.whl", "my_demo-1!1.0-py3-none-any.whl", "my_demo-2.0.zip", "my_demo-2.0.egg"),
    *(
        "other-1.0.tar.gz",
        "my_demo-1.0.tar.gz-py3-none-any.whl",
        "my_demo-1.0.txt",
        "MY-DEMO-3.TAR.GZ",
        "-.whl",
        "_-_.whl",
    ),
    *("my_demo-" + "1" * 90 + "-py3-none-any.whl", "my_demo-1-" + "x" * 320 + ".whl", "my-demo-x-1.0.tar.gz"),
]
PLACES = [
    *(
        "https://files.example/ab/cd/",
        "https://files.example:8080/",
        "../../packages/",
        "/packages/",
        "",
        "./",
        "//x.example/",
    ),
    *("javascript:", "https://files.example/../", "https://files.example/%2e/", "HTTPS://files.example/", "https:///"),
]
HASHES = [
    *(f"#sha256={sha}" for sha in SHA),
    "",
    "#md5=" + "b" * 32,
    f"#sha256={SHA[0]}&amp;egg=x",
    "#sha256=" + "A" * 64,
]
TIMES = [
    *("2019-05-14T07:13:18.525830Z", "2019-05-14T07:13:18Z", "2019-05-14T07:13:18.000000Z", "2019-02-31T07:13:18Z"),
    *("2019-05-14T07:13:18.5Z", "20190514T071318Z", "2019-05-14T07:13:18+02:00", "2019-05-14T24:00:00Z", "", "soon"),
    *("2019-05-14T071318.12345678Z", "2019-05-14T23:59:60Z", "2999-12-31T23:59:59.999999Z"),
]
ATTRIBUTES = [
    *(
        ' data-requires-python="&gt;=3.8,&lt;4"',
        ' data-requires-python=""',
        ' data-requires-python=" &gt;=3 "',
        ' rel="x"',
    ),
    *(' data-yanked=""', ' data-yanked="it&#39;s &quot;bad&quot;\\"', ' data-yanked="é"', ' data-gpg-sig="true"'),
    *(f' data-core-metadata="sha256={SHA[1]}"', ' data-dist-info-metadata="true"', ' data-size="12"'),
    *(
        ' data-provenance="https://index.example/p"',
        ' data-x="&copy"',
        *(f' data-upload-time="{time}"' for time in TIMES),
    ),
]
BETWEEN = ["<br/>\n", "\n", "", "<br />", " text ", "<p>", "<!-- c -->", '<a href="a\nb">c</a>']


def anchors() -> st.SearchStrategy[str]:
    attributes = st.lists(st.sampled_from(ATTRIBUTES), max_size=3).map("".join)
    parts = st.tuples(
        st.sampled_from(PLACES), st.sampled_from(FILES), st.sampled_from(HASHES), attributes, st.sampled_from(FILES)
    )
    return parts.map(lambda part: f'<a href="{part[0]}{part[1]}{part[2]}"{part[3]}>{part[4]}</a>')


def usual(at: int = 0, more: str = "") -> str:
    name = f"my_demo-{at}.0-py3-none-any.whl"
    return f'<a href="https://files.example/ab/{name}#sha256={SHA[0]}"{more}>{name}</a>'


def page(body: str) -> str:
    return f"<!DOCTYPE html>\n<html>\n<head><title>Links for my-demo</title></head>\n<body>\n{body}</body>\n</html>\n"


def read(text: str) -> Reading:
    return FORMAT.read(PAGE, Source(URL, "text/html", text.encode()))


def by_the_parser(text: str) -> Reading:
    """The same page in a form that only the parser reads."""
    return read(text.replace("<body>", "<body><p></p>"))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(anchors(), st.sampled_from(BETWEEN)), max_size=6).map(lambda each: [a + b for a, b in each]))
def test_the_same_entries_and_fragments(body: list[str]) -> None:
    text = page("".join([usual(), *body]))
    found, slow = read(text), by_the_parser(text)
    assert not isinstance(slow.entries, Links)
    assert list(found.entries) == list(slow.entries)
    assert found == slow
    for media in (JSON_V1, HTML):
        assert Held.of(found).listed(FORMAT, media) == Held.of(slow).listed(FORMAT, media)
    assert Held.of(found).places == Held.of(slow).places


def test_a_page_of_a_mirror_is_read_in_short() -> None:
    time = ' data-requires-python="&gt;=3.8" data-upload-time="2019-05-14T07:13:18.525830Z"'
    text = page("<br/>\n".join(usual(at, time) for at in range(50)))
    found = read(text).entries
    assert isinstance(found, Links)
    assert isinstance(found, Compact)
    assert len(found) == 50
    assert found[7] == by_the_parser(text).entries[7]
    assert found[-2:] == list(by_the_parser(text).entries)[-2:]
    key, name, filename, version, fragment = found.listed(JSON_V1)[7]
    assert (key, name, filename, version) == (found[7].key, "my-demo", found[7].filename, "7.0")
    assert fragment == FORMAT.fragment(found[7], JSON_V1)


def test_equal_to_what_says_the_same_alone() -> None:
    one, same, other = (read(page(usual(at, more))) for at, more in ((1, ""), (1, ' data-size="x"'), (2, "")))
    assert one == same == by_the_parser(page(usual(1)))
    assert one != other
    assert one.entries != ()


def test_a_page_whose_links_are_of_other_packages() -> None:
    wrong = PageKey("simple/other/", "other", "other")
    assert list(FORMAT.read(wrong, Source(URL, "text/html", page(usual()).encode())).entries) == []
    with pytest.raises(Malformed):
        FORMAT.read(wrong, Source(URL, "text/html", usual().encode()))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(anchors(), st.sampled_from(BETWEEN)), max_size=6).map(lambda each: [a + b for a, b in each]))
def test_one_file_is_found_as_in_the_whole(body: list[str]) -> None:
    text = page("".join([usual(), *body]))
    source = Source(URL, "text/html", text.encode())
    for entry in read(text).entries:
        alone = FORMAT.read(PAGE, source, FileKey(entry.key, entry.scope, entry.name))
        assert [found for found in alone.entries if found.key == entry.key] == [entry]


def test_a_file_that_only_a_comment_names_is_not_found() -> None:
    text = page(usual(1) + f"<!-- {usual(2)} -->" + f"<p title='{usual(3)}'>")
    source = Source(URL, "text/html", text.encode())
    for at, there in ((1, True), (2, False), (3, False)):
        key = FileKey(f"files/my-demo/{SHA[0]}/my_demo-{at}.0-py3-none-any.whl", "my-demo", "my-demo")
        assert bool(FORMAT.read(PAGE, source, key).entries) is there
