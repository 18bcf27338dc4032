from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import json
import re
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed, TooLarge
from reliquary.formats.npm import document

TARBALL = bytes(range(256)) * 5 + b"\xff\xfe\xfd"
FILE = "demo-1.0.0.tgz"


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def split(*pieces: bytes, limit: int = document.LIMIT) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    taken: list[tuple[str, bytes]] = []

    async def take(filename: str, chunks: AsyncIterator[bytes]) -> None:
        taken.append((filename, b"".join([chunk async for chunk in chunks])))

    return asyncio.run(document.split(stream(pieces), take, limit=limit)), taken


def body(data: str, filename: str = FILE, **more: object) -> bytes:
    return json.dumps({"name": "demo", "_attachments": {filename: {"data": data} | more}}).encode()


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pieces_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(bounds)]


def refused(data: bytes, match: str) -> None:
    """It does not matter where the body is cut."""
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))], pieces_of(data, range(0, len(data), 7))):
        with pytest.raises(Malformed, match=match):
            split(*pieces)


def test_a_publish() -> None:
    whole: dict[str, Any] = {
        "_id": "@s/demo",
        "versions": {"1.0.0": {"data": "not } this", "_attachments": {"x": {"data": 'nor "]} this\\'}}}},
        "_attachments": {
            "@s/demo-1.0.0.tgz": {
                "content_type": "application/octet-stream",
                "data": coded(TARBALL),
                "length": len(TARBALL),
            },
            "@s/demo-1.0.0.sigstore": {"data": '{"mediaType":"é\\n"}', "length": 19},
        },
        "access": [{"data": "AAAA", "_attachments": {"y": {"data": "AAAA"}}}],
    }
    text = json.dumps(whole).encode()
    for attachment in whole["_attachments"].values():
        attachment["data"] = ""
    for size in (*range(1, 70), len(text)):
        found, taken = split(*pieces_of(text, range(0, len(text), size)))
        assert taken == [
            ("@s/demo-1.0.0.tgz", TARBALL),
            ("@s/demo-1.0.0.sigstore", '{"mediaType":"é\\n"}'.encode()),
        ]
        assert found == whole


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8) | st.floats(-1e9, 1e9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("data", "_attachments", "x", '"', "\\")), inner, max_size=3)
    ),
    max_leaves=12,
)
BYTES = st.binary(max_size=40)


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A document with its attachments anywhere in it, and what must come of them."""
    files: dict[str, Any] = {}
    expected: dict[str, bytes] = {}
    for name in draw(st.lists(st.sampled_from(("a.tgz", "@s/é.tgz", '"\\.tgz', "x.sigstore")), unique=True)):
        fields: dict[str, Any] = draw(st.dictionaries(st.sampled_from(("content_type", "z")), ANYTHING, max_size=2))
        if draw(st.booleans()):
            text = draw(st.text(max_size=12)) if name.endswith(".sigstore") else coded(draw(BYTES))
            expected[name] = text.encode() if name.endswith(".sigstore") else base64.b64decode(text)
            fields["data"] = text
            fields["length"] = len(expected[name])
        files[name] = dict(draw(st.permutations(list(fields.items()))))
    rest = draw(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "_attachments"), ANYTHING, max_size=4))
    items = draw(st.permutations([*rest.items(), ("_attachments", files)]))
    return dict(items), {name: expected[name] for name in files if name in expected}


def written(value: Any, draw: st.DataObject) -> str:
    """JSON with escapes, slashes and spaces that a client may choose."""
    options = st.sampled_from((None, 1))
    text = json.dumps(value, ensure_ascii=draw.draw(st.booleans()), indent=draw.draw(options))
    if draw.draw(st.booleans()):
        text = text.replace("/", "\\/")
    if draw.draw(st.booleans()):
        text = text.replace("_attachments", "\\u005fattach\\u006Dents").replace("data", "d\\u0061ta")
    return text


@given(documents(), st.data(), st.lists(st.integers(0, 900), max_size=12))
def test_a_body_cut_anywhere_is_what_a_parser_makes_of_it(
    whole: tuple[dict[str, Any], dict[str, bytes]], draw: st.DataObject, cuts: list[int]
) -> None:
    value, expected = whole
    found, taken = split(*pieces_of(written(value, draw).encode(), cuts))
    assert taken == list(expected.items())
    for name in expected:
        value["_attachments"][name]["data"] = ""
    assert found == value


@given(st.binary(max_size=60) | st.text('{}[]:,"\\ \n1ntrue_AdB=/.', max_size=40).map(str.encode), st.integers(0, 40))
def test_rubbish_is_malformed_and_nothing_else(rubbish: bytes, at: int) -> None:
    good = body(coded(TARBALL[:10]))
    for mixed in (rubbish, good[:at] + rubbish + good[at:], good[:at] + rubbish):
        try:
            truth = json.loads(mixed)
        except (ValueError, RecursionError):
            truth = None
        try:
            split(*pieces_of(mixed, range(0, len(mixed), 5)))
        except (Malformed, TooLarge):
            continue
        assert isinstance(truth, dict)


@pytest.mark.parametrize("cut", range(1, len(body("AAAA", length=3))))
def test_a_cut_body(cut: int) -> None:
    refused(body("AAAA", length=3)[:-cut], "not a whole JSON|cut in the middle")


@pytest.mark.parametrize(
    "text",
    ["A", "AA", "AAA", "AA=", "A===", "====", "AAAA=", "AAAA==", "AA==AAAA", "AA==\n", "AA=A", "=AAA", "AAAA===="],
)
def test_bad_padding(text: str) -> None:
    refused(body(text), "not base64")


@pytest.mark.parametrize("text", ["AA-_", "AA A", "AAAA\n", "AAA\u00e9", "\ud800AAA", "AAA\0", '"AAA', "AAAA\\"])
def test_bad_characters(text: str) -> None:
    refused(body(text), "demo-1.0.0.tgz.*not base64")


def test_padding_is_judged_as_the_alphabet_says() -> None:
    allowed = re.compile(r"(?:[A/]{4})*(?:[A/]{2}==|[A/]{3}=)?")
    for length in range(9):
        for signs in itertools.product("A/=", repeat=length) if length < 7 else [("A",) * 4 + ("=",) * (length - 4)]:
            text = "".join(signs)
            data = body(text)
            if allowed.fullmatch(text):
                assert split(data[:40], data[40:])[1] == [(FILE, binascii.a2b_base64(text))]
            else:
                with pytest.raises(Malformed):
                    split(data[:40], data[40:])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "not a whole JSON"),
        (b"[]", "not a JSON object"),
        (b'"_attachments"', "not a JSON object"),
        (b'{"a":1} {}', "not a whole JSON"),
        (b'{"a":"\xff"}', "not a whole JSON"),
        (b'{"a":"\\ud800"}', "not a whole JSON"),
        (b'{"a":NaN}', "not a whole JSON"),
        (b'{"\xff":1}', "not a JSON string"),
        (b'{"_attachments":[]}', "not a JSON object"),
        (b'{"_attachments":{"x.tgz":"AAAA"}}', "not a JSON object with data"),
        (b'{"_attachments":{"x.tgz":{"data":1}}}', "is not a string"),
        (b'{"_attachments":{"x.tgz":{"data":["AAAA"]}}}', "is not a string"),
        (b'{"_attachments":{"x.tgz":{"data":"AAAA" "AAAA"}}}', "not a whole JSON"),
        (b'{"_attachments":{"x.tgz":{"data" "AAAA"}}}', "not a whole JSON"),
        (b'{"_attachments":{"x.tgz":{"data":"AAAA","data":"AAAA"}}}', "'data' twice"),
        (b'{"_attachments":{"x.tgz":{"data":"AAAA"},"x\\u002etgz":{}}}', "'x.tgz' twice"),
        (b'{"_attachments":{"x.tgz":{"data":"AAAA"}},"_attachments":null}', "'_attachments' twice"),
        (b'{"_attachments":{"x.tgz":{"data":"\\u00ZZAAAA"}}}', "escape that JSON does not know"),
        (b'{"_attachments":{"x.tgz":{"data":"\\xAAA"}}}', "not base64"),
        (b'{"_attachments":{"x.tgz":{"data":"AAAA","length":4}}}', "has 3 bytes"),
        (b'{"_attachments":{"x.tgz":{"length":"3","data":"AAAA"}}}', "has 3 bytes"),
        (b'{"_attachments":{"x.sigstore":{"data":"\\ud800"}}}', "not a JSON string"),
        (b'{"_attachments":{"x.sigstore":{"data":"a\nb"}}}', "not a JSON string"),
    ],
)
def test_what_is_refused(text: bytes, match: str) -> None:
    refused(text, match)


@pytest.mark.parametrize(
    "text", [b"{}", b'{"_attachments":{}}', b'{"_attachments":null}', b'{"_attachments":{"x.tgz":{"stub":true}}}']
)
def test_documents_without_data(text: bytes) -> None:
    assert split(text) == (json.loads(text), [])


def test_the_last_of_two_equal_keys_counts_elsewhere() -> None:
    assert split(b'{"a":1,"a":{"b":2,"b":3}}') == ({"a": {"b": 3}}, [])


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"_attachments":'])
def test_a_nesting_bomb(opening: bytes) -> None:
    bomb = b'{"a":' + opening * 200_000
    with pytest.raises(Malformed, match="nested"):
        split(*pieces_of(bomb, range(0, len(bomb), 65_536)))
    deep = b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"
    assert split(*pieces_of(deep, range(0, len(deep), 33)))[1] == []


def test_the_document_has_a_limit_and_the_data_has_none() -> None:
    data = body(coded(bytes(100_000)))
    assert split(*pieces_of(data, range(0, len(data), 1000)), limit=200)[1] == [(FILE, bytes(100_000))]
    for text in (body("", readme="x" * 200), body("", readme=["x"] * 100), body("x" * 300, "x.sigstore")):
        for pieces in ([text], pieces_of(text, range(0, len(text), 9))):
            with pytest.raises(TooLarge, match="larger than 200"):
                split(*pieces, limit=200)


def test_attachments_are_few() -> None:
    many = {f"{number}.tgz": {"data": ""} for number in range(document.ATTACHMENTS)}
    assert len(split(json.dumps({"_attachments": many}).encode())[1]) == document.ATTACHMENTS
    with pytest.raises(TooLarge, match="more than 16 attachments"):
        split(json.dumps({"_attachments": many | {"one.tgz": {"data": ""}}}).encode())


@pytest.mark.parametrize("count", [0, 1])
def test_what_a_taker_leaves_is_read_past(count: int) -> None:
    taken: list[str] = []

    async def take(filename: str, chunks: AsyncIterator[bytes]) -> None:
        taken.append(filename)
        for _ in range(count):
            await anext(chunks)

    files = {name: {"data": coded(TARBALL)} for name in ("a.tgz", "b.tgz")}
    data = json.dumps({"_attachments": files}).encode()
    found = asyncio.run(document.split(stream(pieces_of(data, range(0, len(data), 50))), take))
    assert taken == ["a.tgz", "b.tgz"]
    assert found == {"_attachments": {"a.tgz": {"data": ""}, "b.tgz": {"data": ""}}}
    with pytest.raises(Malformed, match="not base64"):
        asyncio.run(document.split(stream([data.replace(b"AQI", b"A-I")]), take))


def test_what_a_taker_raises_ends_the_reading() -> None:
    async def take(filename: str, chunks: AsyncIterator[bytes]) -> None:
        await anext(chunks)
        raise TooLarge("enough")

    with pytest.raises(TooLarge, match="enough"):
        asyncio.run(document.split(stream([body(coded(TARBALL))]), take))


def test_memory_is_flat() -> None:
    piece = coded(bytes(30_000)).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"_attachments":{"x.tgz":{"data":"'
        for _ in range(1000):
            yield piece
        yield b'"}}}'

    size = 0

    async def take(filename: str, chunks: AsyncIterator[bytes]) -> None:
        nonlocal size
        async for chunk in chunks:
            size += len(chunk)

    tracemalloc.start()
    try:
        asyncio.run(document.split(chunks(), take))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 30_000_000
    assert peak < 1_000_000


@pytest.mark.parametrize("pieces", [[], [b""], [b"\x1f"], [b"\x1f", b"", b"\x8bx"], [b"\x1f\x8babc", b"de"]])
def test_the_first_bytes(pieces: list[bytes]) -> None:
    async def run() -> tuple[bytes, bytes]:
        first, whole = await document.peek(stream(pieces), 2)
        return first, b"".join([chunk async for chunk in whole])

    whole = b"".join(pieces)
    assert asyncio.run(run()) == (whole[:2], whole)
