"""HTML pages of an index as what they say: a base, metas, headings and anchors.

Index servers write anchors in one plain form, for which a regular expression is several times
as fast as a parser. It is believed only where it covers the whole document in forms that leave a
parser nothing to decide; any other document goes to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import NamedTuple, TypeAlias

from selectolax.lexbor import LexborHTMLParser

Anchor: TypeAlias = tuple[str, Mapping[str, str], str]
"""The address, the other attributes ("" for one without a value), and the text as it stands."""

_BLANK = r"[ \n\t]*+"
_ATTRIBUTES = r'((?: [a-z][a-z-]*+="[^"<]*+")*+)'
_BETWEEN = r"[^<>&]*+(?:<br ?/?>[^<>&]*+)*+"

_ANCHOR = re.compile(rf'<a href="([^"<]*+)"{_ATTRIBUTES} ?>([^<>]*+)</a>')
_PLAIN_ANCHOR = r'<a href="[^"<&%]*+"(?: [a-z][a-z-]*+="[^"<]*+")*+ ?>[^<>]*+</a>'
_GAP = re.compile(_BETWEEN)
_HEAD = re.compile(
    rf"{_BLANK}(?:<!(?:DOCTYPE|doctype) html>{_BLANK})?(?:<html>{_BLANK})?(?:<head>{_BLANK})?"
    rf'((?:<meta(?: [a-z][a-z-]*+="[^"<]*+")++ ?/?>{_BLANK})*+)'
    rf"(?:<title>([^<>&]*+)</title>{_BLANK})?"
    rf'((?:<meta(?: [a-z][a-z-]*+="[^"<]*+")++ ?/?>{_BLANK})*+)'
    rf"(?:</head>{_BLANK})?(?:<body>{_BLANK})?(?:<h1>([^<>&]*+)</h1>)?{_BETWEEN}"
)
_TAIL = re.compile(rf"{_BETWEEN}(?:</body>{_BLANK})?(?:</html>{_BLANK})?(?:<!--[A-Za-z0-9 :._]*+-->{_BLANK})*+")
_WHOLE = re.compile(rf"(?:{_HEAD.pattern})(?:{_PLAIN_ANCHOR}{_BETWEEN})++(?:{_TAIL.pattern})")
_META = re.compile(rf"<meta{_ATTRIBUTES}")
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')
_REFERENCES = re.compile(
    r"(?:[^&]++|&(?:amp|lt|gt|quot|#x27|#(?:10|13|34|39|1[6-9][0-9]|[2-9][0-9]{2}|[1-9][0-9]{3}|[1-4][0-9]{4}));)*+"
)
"""The references on which all readers agree: with a semicolon, and of a character that is one."""


class Page(NamedTuple):
    """What an HTML document says.

    Args:
        base: the address that ``<base>`` gives, or "".
        metas: ``name`` to ``content`` of its metas.
        headings: texts of the first title and the first h1, where they are.
        anchors: every anchor with an address, in order.
    """

    base: str
    metas: Mapping[str, str]
    headings: Sequence[str]
    anchors: Sequence[Anchor]


class Odd(Exception):
    """The document has something in it that the plain form does not cover."""


class _Unescaped(dict[str, str]):
    """Texts with references to the same without; few texts of an index are not repeated."""

    def __missing__(self, text: str) -> str:
        if not _REFERENCES.fullmatch(text):
            raise Odd
        self[text] = plain = unescape(text)
        return plain


def parse(body: bytes) -> Page:
    """What a document in UTF-8 says, whether it is well formed or not."""
    return plain(body) or parsed(body)


def parsed(body: bytes) -> Page:
    """What the parser sees in a document: any document is read in some way (HTML, 13.2)."""
    tree = LexborHTMLParser(body.decode("utf-8", "replace"))
    base = tree.css_first("base[href]")
    metas = [node.attributes for node in tree.css("meta[name]")]
    headings = [node.text() for node in (tree.css_first("title"), tree.css_first("h1")) if node]
    anchors: list[Anchor] = []
    for node in tree.css("a[href]"):
        given = {name: value or "" for name, value in node.attributes.items()}
        anchors.append((given.pop("href"), given, node.text()))
    return Page(
        base=(base.attributes.get("href") or "") if base else "",
        metas={given.get("name") or "": given.get("content") or "" for given in metas},
        headings=headings,
        anchors=anchors,
    )


def plain(body: bytes) -> Page | None:
    """The same as `parsed` of a document in the plain form, or None for any other one."""
    text = decoded(body)
    found = None if text is None else between([text])
    return None if found is None else found[0]._replace(anchors=found[1].get(0, ()))


def decoded(body: bytes) -> str | None:
    """A document in UTF-8 as text, None where it is in some other coding or holds signs that parsers change."""
    if b"\0" in body or b"\r" in body:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def naming(text: str, wanted: str) -> list[Anchor] | None:
    """The anchors of a document in which something stands, at a fraction of the cost of reading it; None
    where the document is not in the plain form, or some address in it is written with references or quoted."""
    if not _WHOLE.fullmatch(text):
        return None
    starts: dict[int, None] = {}
    at = text.find(wanted)
    while at >= 0:
        starts[text.rfind("<a ", 0, at)] = None
        at = text.find(wanted, at + 1)
    try:
        return [_anchor(found) for start in starts if start >= 0 and (found := _ANCHOR.match(text, start))]
    except Odd:
        return None


def _anchor(found: re.Match[str]) -> Anchor:
    href, given, text = found.groups()
    return href, attributes(given), _Unescaped()[text]


def between(gaps: Sequence[str]) -> tuple[Page, Mapping[int, Sequence[Anchor]]] | None:
    """What stands in a document beside anchors of a narrower form, which the reader has taken out of it.

    Args:
        gaps: what stands before, between and after those anchors.

    Returns:
        the page without its anchors, and the anchors that stand in a gap, by the gap's number; None
        where the document is not in the plain form, or has no anchors.
    """
    last = len(gaps) - 1
    known = {gap: _GAP.fullmatch(gap) is not None for gap in set(gaps[1:last])}
    full = [0, *(at for at in range(1, last) if not known[gaps[at]]), *([last] if last else [])]
    split = {at: _ANCHOR.split(gaps[at]) for at in full}
    head, tail = _HEAD.fullmatch(split[0][0]), _TAIL.fullmatch(split[last][-1])
    inner = {
        gap for at, pieces in split.items() for gap in pieces[4 if at == 0 else 0 : -1 if at == last else None : 4]
    }
    if head is None or tail is None or (last == 0 and len(split[0]) == 1) or not all(map(_GAP.fullmatch, inner)):
        return None
    try:
        return _page(head), {at: _anchors(pieces) for at, pieces in split.items() if len(pieces) > 1}
    except Odd:
        return None


def _anchors(pieces: Sequence[str]) -> list[Anchor]:
    unescaped = _Unescaped()
    anchors: list[Anchor] = []
    for href, given, text in zip(pieces[1::4], pieces[2::4], pieces[3::4], strict=True):
        found = attributes(given, unescaped)
        if "&" in href or "&" in text:
            href, text = unescaped[href], unescaped[text]
        anchors.append((href, found, text))
    return anchors


def _page(head: re.Match[str]) -> Page:
    metas = [attributes(found) for part in head.group(1, 3) for found in _META.findall(part)]
    return Page(
        base="",
        metas={given["name"]: given.get("content", "") for given in metas if "name" in given},
        headings=[text for text in head.group(2, 4) if text is not None],
        anchors=(),
    )


def attributes(text: str, unescaped: dict[str, str] | None = None) -> dict[str, str]:
    """An anchor's attributes, but for its address. Raises Odd for what only a parser should decide:
    of two of one name the first counts."""
    unescaped = _Unescaped() if unescaped is None else unescaped
    pairs = _ATTRIBUTE.findall(text)
    given = dict(pairs)
    if len(given) != len(pairs) or "href" in given:
        raise Odd
    if "&" in text:
        for name, value in pairs:
            if "&" in value:
                given[name] = unescaped[value]
    return given
