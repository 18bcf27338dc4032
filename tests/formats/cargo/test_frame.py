from __future__ import annotations

import asyncio
import itertools
import json
import struct
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.cargo import frame
from tests.formats.cargo import artefacts

TOLD = artefacts.told(description="é")
CRATE = bytes(range(256)) * 3
BODY = artefacts.body(TOLD, CRATE)
JSON = len(BODY) - len(CRATE) - 8


def length(size: int) -> bytes:
    return struct.pack("<I", size)


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def split(pieces: Iterable[bytes], *, largest: int = frame.LARGEST) -> tuple[Mapping[str, Any], list[bytes]]:
    async def ask() -> tuple[Mapping[str, Any], list[bytes]]:
        told, chunks = await frame.split(stream(pieces), largest=largest)
        return told, [chunk async for chunk in chunks]

    return asyncio.run(ask())


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(min(each, len(data)) for each in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(bounds)]


def refused(data: bytes, match: str) -> None:
    """It does not matter where the body is cut."""
    for pieces in ([data], cut(data, range(len(data))), cut(data, range(0, len(data), 7))):
        with pytest.raises(Malformed, match=match):
            split(pieces)


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_a_body_cut_anywhere(cuts: list[int]) -> None:
    told, chunks = split(cut(BODY, cuts))
    assert told == TOLD
    assert b"".join(chunks) == CRATE
    assert b"" not in chunks


def test_a_body_byte_by_byte() -> None:
    told, chunks = split(cut(BODY, range(len(BODY))))
    assert told == TOLD
    assert b"".join(chunks) == CRATE


def test_the_archive_comes_in_the_chunks_of_the_body() -> None:
    pieces = [BODY[:-500], BODY[-500:-200], b"", BODY[-200:]]
    assert split(pieces)[1] == [CRATE[:-500], CRATE[-500:-200], CRATE[-200:]]


def test_the_archive_is_given_before_its_end_has_come() -> None:
    async def ask() -> bytes:
        chunks = stream([BODY[:-10]])
        return await anext((await frame.split(chunks))[1])

    assert asyncio.run(ask()) == CRATE[:-10]


def test_edge_34_lengths_of_the_json_that_are_not_those_of_the_body() -> None:
    refused(length(JSON + len(CRATE) + 5) + BODY[4:], f"within the JSON: {len(BODY) - 4} of {len(BODY) + 1 - 4} bytes")
    refused(BODY[: JSON + 3], f"within the JSON: {JSON - 1} of {JSON} bytes")
    refused(length(JSON - 1) + BODY[4:], "not whole JSON")
    refused(length(JSON + 1) + BODY[4:], "not whole JSON")
    refused(BODY[:3], "within the length of the JSON: 3 of 4 bytes")


def test_edge_35_what_is_cut_short_and_an_empty_body() -> None:
    for kept in range(4):
        refused(BODY[: JSON + 4 + kept], f"within the length of the .crate: {kept} of 4 bytes")
    refused(BODY[: JSON + 8], f"cut short: 0 of its {len(CRATE)} bytes")
    refused(BODY[:-1], f"cut short: {len(CRATE) - 1} of its {len(CRATE)} bytes")
    refused(b"", "the body is empty")
    with pytest.raises(Malformed, match="the body is empty"):
        split([])
    with pytest.raises(Malformed, match="the body is empty"):
        split([b"", b""])


def test_edge_36_lengths_of_4_gib_make_no_room() -> None:
    most = length(2**32 - 1)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match=f"said to have {2**32 - 1} bytes, and may have {frame.LARGEST}"):
            split([most + BODY[4:]])
        with pytest.raises(Malformed, match=f"cut short: 5 of its {2**32 - 1} bytes"):
            split([BODY[: JSON + 4] + most + b"12345"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_json_above_its_limit_is_refused_before_any_of_it_is_read() -> None:
    read: list[int] = []

    def pieces() -> Iterator[bytes]:
        for at, piece in enumerate(cut(BODY, range(0, len(BODY), 4))):
            read.append(at)
            yield piece

    with pytest.raises(Malformed, match="may have 100"):
        split(pieces(), largest=100)
    assert len(read) <= 2
    assert split([BODY], largest=JSON)[0] == TOLD


def test_edge_37_trailing_bytes() -> None:
    refused(BODY + b"\n", "more bytes follow")
    refused(BODY + BODY, "more bytes follow")
    assert split([BODY, b"", b""])[0] == TOLD


def test_parts_that_are_empty() -> None:
    refused(length(0) + BODY[4 + JSON :], "the JSON has a length of 0")
    refused(BODY[: 4 + JSON] + length(0), "the .crate has a length of 0")
    refused(length(0) * 2, "the JSON has a length of 0")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"[]", "not an object"),
        (b'"demo"', "not an object"),
        (b"null", "not an object"),
        (b"{", "not whole JSON"),
        (b"{}{}", "not whole JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not whole JSON"),
        (b'{"name":"\xff"}', "UTF-8"),
        (b'{"name":"\\ud800"}', "not whole JSON"),
        (b'{"a":NaN}', "not whole JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"\0" * 10, "not whole JSON"),
    ],
)
def test_json_that_is_none(text: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        split([length(len(text)) + text + length(3) + b"abc"])


def test_an_archive_flows_in_flat_memory() -> None:
    text, chunk, count = json.dumps(TOLD).encode(), bytes(65_536), 400

    def pieces() -> Iterator[bytes]:
        yield length(len(text)) + text + length(len(chunk) * count)
        yield from itertools.repeat(chunk, count)

    async def ask() -> int:
        _, chunks = await frame.split(stream(pieces()))
        return sum([len(each) async for each in chunks])

    tracemalloc.start()
    try:
        assert asyncio.run(ask()) == len(chunk) * count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
