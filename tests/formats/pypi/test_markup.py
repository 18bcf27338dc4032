"""The plain form of an HTML index, which is read without a parser, against the parser itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reliquary.formats.base import Listed, Listing, PageKey, Pen
from reliquary.formats.pypi import FORMAT
from reliquary.formats.pypi.markup import parsed, plain
from reliquary.formats.pypi.negotiate import HTML
from reliquary.types import Entry

ANCHOR = '<a href="demo-1.zip#sha256=ab" data-requires-python="&gt;=3.8">demo-1.zip</a>'

PIECES = [
    *(
        "<!DOCTYPE html>",
        "<!doctype html>",
        "<!DOCTYPE HTML PUBLIC 'x'>",
        "<html>",
        "<head>",
        "<body>",
        "<title>a</title>",
    ),
    *("<title>", "</title>", "</head>", "</body>", "</html>", "<h1>Links for a</h1>", "<h1>", "</h1>", "<h1>b</h1>"),
    *('<meta name="a" content="b">', '<meta name="a" content="c" />', '<meta charset="utf-8">', '<meta name="a">'),
    *('<meta content="&lt;x&#233;" name="pypi:x">', '<base href="/x/">', "<meta name=a content=b>"),
    *(
        ANCHOR,
        '<a href="a">b</a>',
        '<a href="">b</a>',
        '<a href="a" data-yanked="">b</a>',
        '<a href="a" x="" x="y">b</a>',
    ),
    *('<a href="a" href="b">c</a>', '<a href="a" data-yanked>b</a>', "<a href=a>b</a>", "<a href='a'>b</a>"),
    *('<A href="a">b</A>', '<a HREF="a">b</a>', '<a x="y" href="a">b</a>', '<a href="a"><b>c</b></a>', "<a>n</a>"),
    *('<a href="a" data-x="a>b">c</a>', '<a href="a&amp;b" q="&#39;">c&lt;d</a>', '<a href="?a=1&copy=2">b</a>'),
    *('<a href="a" t="&#128;&#x80;&#0;">b</a>', '<a href="a" t="&quot;&#x27;&#10;&#13;&#4000;">b</a>', '<a href="a">'),
    *("</a>", '<a href="a">é\u2028</a>', '<a href="a">a\nb</a>', '<a href="a\nb">c</a>', '<a href="a" rel="x" >b</a>'),
    *(
        '<a\nhref="a">b</a>',
        '<a href="a"data-x="y">b</a>',
        '<a href="a"/>',
        "<br>",
        "<br/>",
        "<br />",
        "<p>",
        "</p>",
        "<hr>",
    ),
    *(
        "<!-- c -->",
        "<!--SERIAL 5-->",
        '<!-- <a href="x">y</a> -->',
        "<!-->",
        "<!--->",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
    ),
    *("<script>", "</script>", "<style>", "</style>", "<template>", "</template>", "<textarea>", "</textarea>"),
    *("<noscript>", "</noscript>", "<svg>", "</svg>", "<table>", "</table>", "<select>", "</select>", "<plaintext>"),
    *("<frameset>", "<xmp>", "</xmp>", "<iframe>", "</iframe>", "<?x?>", "</>", "<", ">", "&", "&amp;", '"', "'"),
    *("\n", " ", "\t", "\r\n", "\r", "\f", "\0", "\v", "\xa0", "\ufeff", "2026-01-01  5K", "text", "é"),
]
TEXT = st.text("ab<>&\"'=#;/ \n\t\r\0é\u2028\ufffe-!", max_size=8)
ENDS = ("</body>\n</html>\n", "</body>", "", "</html><!--SERIAL 5-->")
HEADS = ("<!DOCTYPE html>\n<html>\n  <head>\n", "<html><body>", "<h1>Links for a</h1>\n", "", " ")


def agree(document: str | bytes) -> None:
    body = document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass")
    quick = plain(body)
    assert quick is None or quick == parsed(body)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_document_made_of_pieces(pieces: list[str]) -> None:
    agree("".join(pieces))


@settings(max_examples=500)
@given(
    st.sampled_from(HEADS),
    st.sampled_from(PIECES),
    st.sampled_from(PIECES),
    st.sampled_from(PIECES),
    st.sampled_from(ENDS),
)
def test_an_odd_piece_anywhere_in_a_plain_document(head: str, one: str, two: str, three: str, end: str) -> None:
    agree(f"{head}{one}{ANCHOR}{two}\n{ANCHOR}<br/>\n{three}{end}")
    agree(f"{head}<title>x</title>{one}</head><body>{ANCHOR}{end}{two}")


@settings(max_examples=500)
@given(TEXT, TEXT, TEXT, TEXT, TEXT)
@example("a", "", "", "", "")
def test_odd_texts_in_every_place(href: str, value: str, text: str, between: str, title: str) -> None:
    agree(
        f'<html><head><meta name="m" content="{value}"><title>{title}</title></head><body><h1>{title}</h1>\n'
        f'<a href="{href}" data-a="{value}">{text}</a>{between}<a href="b">c</a>'
    )


@pytest.mark.parametrize(
    "reference", ["amp", "lt", "gt", "quot", "#x27", "#39", "#10", "#13", "#160", "#4000", "#49999"]
)
def test_references_that_need_no_parser(reference: str) -> None:
    body = f'<a href="a?&{reference};" data-yanked="&{reference};&{reference};">b&{reference};</a>'.encode()
    assert plain(body) is not None
    agree(body)


@given(st.integers(0, 60_000))
def test_numbers_of_characters(number: int) -> None:
    agree(f'<a href="a" data-yanked="&#{number};&#x{number:x};">b</a>')
    agree(f'<a href="a" data-yanked="&#{number};">b</a>')


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE html>\n<html>\n<head><title>Links for demo</title></head>\n<body>\n<h1>Links for demo</h1>\n"
        f"{ANCHOR}<br/>\n{ANCHOR}<br/>\n</body>\n</html>\n<!--SERIAL 5-->",
        f"{ANCHOR}",
        f"<html><body>{ANCHOR}      2026-01-01 10:00   12K\n{ANCHOR}</body></html>",
        '<h1>Links for demo</h1><a href="../../f/demo-1.zip" rel="internal" >demo-1.zip</a><br/>',
    ],
)
def test_forms_that_servers_write_need_no_parser(document: str) -> None:
    assert plain(document.encode()) is not None
    agree(document)


@pytest.mark.parametrize(
    "odd",
    [
        '<base href="/x/">',
        f"<!-- {ANCHOR} -->",
        f"<template>{ANCHOR}</template>",
        f"<script>{ANCHOR}</script>",
        f"<textarea>{ANCHOR}</textarea>",
        '<a href="a" data-yanked="x" data-yanked="y">b</a>',
        '<a href="a" data-yanked>b</a>',
        '<a href="a" data-yanked="&copy">b</a>',
        '<a href="a"><b>c</b></a>',
        "<A HREF='a'>b</A>",
        "\r\n",
        "\0",
    ],
)
@pytest.mark.parametrize("form", ["{odd}{anchor}", "{anchor}{odd}{anchor}", "{anchor}{odd}"])
def test_what_only_the_parser_reads(odd: str, form: str) -> None:
    document = form.format(odd=odd, anchor=ANCHOR).encode()
    assert plain(document) is None
    agree(document)


def test_what_is_no_utf_8() -> None:
    assert plain(ANCHOR.encode() + b"\xff") is None


def test_our_own_pages_need_no_parser() -> None:
    data = {"requires_python": ">=3.8,<4", "core_metadata": {"sha256": "c" * 64}, "yanked": 'a "<b>&\n\u00e9'}
    entry = Entry("files/demo/x/demo-1.zip", "demo", "1", "demo-1.zip", "demo", size=5, data=data)
    files = [Listed(entry.filename, entry.version, FORMAT.fragment(entry))] * 2
    listing = Listing(files, [("a", 1), ("b", 2)], {"status": "archived", "status-reason": "<done>"}, serial=7)
    for key in (PageKey("simple/demo/", "demo", "demo"), PageKey("simple/", "", children="")):
        (page,) = FORMAT.assemble([key], listing, Pen(datetime(2026, 11, 20, tzinfo=UTC), "pypi/main"), HTML)
        assert plain(page.body) is not None
        agree(page.body)


@pytest.mark.parametrize(
    "piece", ['<a href="a"', '<a href="a" b="c"', ' a="b"', "<br>", '<meta name="a"', "<a href=", "&lt;", "<h1>"]
)
def test_no_document_takes_more_than_linear_time(piece: str) -> None:
    for document in (
        piece * 40_000,
        f'<a href="x"{piece * 40_000}',
        f'<a href="x">{piece * 40_000}',
        f"{ANCHOR}{piece * 40_000}",
    ):
        start = time.process_time()
        plain(document.encode())
        assert time.process_time() - start < 1
