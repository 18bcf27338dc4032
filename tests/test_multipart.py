"""The form parser: the same parts for any chunking, caps, and nothing accepted that is cut."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliquary.errors import Malformed, TooLarge, UnknownCoding
from reliquary.web import multipart
from reliquary.web.multipart import Begin, End, Event, Finish, Parser, parameters, parts

pytestmark = pytest.mark.anyio

FORM = "multipart/form-data; boundary=xyz"


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(body: bytes, *, size: int = 65_536, content_type: str = FORM) -> list[tuple[str, str | None, bytes]]:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return [
        (part.name, part.filename, b"".join([chunk async for chunk in part.chunks()]))
        async for part in parts(content_type, stream(*chunks))
    ]


def form(*items: tuple[str, bytes], boundary: str = "xyz") -> bytes:
    edge = f"--{boundary}".encode()
    whole = b"".join(
        edge + b"\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + body + b"\r\n"
        for disposition, body in items
    )
    return whole + edge + b"--\r\n"


def joined(events: Sequence[Event]) -> list[object]:
    """Events with neighbouring data put together, to compare."""
    found: list[object] = []
    for event in events:
        if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += event
        elif event != b"":
            found.append(event if isinstance(event, bytes | Begin) else type(event))
    return found


def push(chunks: Sequence[bytes]) -> list[object]:
    parser = Parser("xyz")
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    parser.close()
    return joined(events)


NEARLY = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"-",
        b"--",
        b"\r\n--xy",
        b"\r\n--xyzz",
        b"\r\n--xyz-",
        b"--xyz",
        b"\r\n--xyz\r",
        b"a",
        b"\0",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    bodies=st.lists(st.lists(NEARLY, max_size=8).map(b"".join), max_size=4),
    preamble=st.sampled_from([b"", b"hello\r\n", b"\r\n", b"--xy\r\n"]),
    cuts=st.lists(st.integers(0, 600), max_size=40),
)
def test_any_chunking_gives_the_same_parts(bodies: list[bytes], preamble: bytes, cuts: list[int]) -> None:
    # A body that itself holds a boundary is another form than the one that was meant.
    bodies = [
        body
        for body in bodies
        if not any(end in b"\r\n" + body + b"\r\n" for end in (b"\r\n--xyz\r\n", b"\r\n--xyz--"))
    ]
    whole = preamble + form(*((f'form-data; name="{at}"', body) for at, body in enumerate(bodies)))
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    expected: list[object] = []
    for at, body in enumerate(bodies):
        expected += [Begin({"content-disposition": f'form-data; name="{at}"'}), body, End]
    expected = [each for each in expected if each != b""] + [Finish]
    assert push([whole]) == expected
    assert push([whole[start:stop] for start, stop in pairwise(edges)]) == expected
    assert push([bytes([byte]) for byte in whole]) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(NEARLY, st.binary(max_size=20), st.just(form(("form-data; name=a", b"b")))), max_size=12))
def test_any_bytes_are_parsed_or_refused(chunks: list[bytes]) -> None:
    try:
        push(chunks)
    except (Malformed, TooLarge):
        return
    assert b"--xyz--" in b"".join(chunks)


@pytest.mark.parametrize("size", [1, 7, 65_536])
async def test_fields_and_files(size: int) -> None:
    body = form(
        ('form-data; name=":action"', b"file_upload"),
        ('form-data; name="content"; filename="six-1.0.tar.gz"', b"\x1f\x8b\r\n\r\n"),
        ("FORM-DATA ; Name=plain ;filename=a.whl", b""),
    )
    assert await read(body, size=size) == [
        (":action", None, b"file_upload"),
        ("content", "six-1.0.tar.gz", b"\x1f\x8b\r\n\r\n"),
        ("plain", "a.whl", b""),
    ]


@pytest.mark.parametrize(
    ("sent", "filename"),
    [
        ('filename="a\\b.txt"', "a\\b.txt"),
        ('filename="C:\\dir\\"', "C:\\dir\\"),
        ('filename="a\\"b.txt"', 'a"b.txt'),
        ('filename="a%22b.txt"', 'a"b.txt'),
        ('filename="a%2Fb; c=d.txt"', "a%2Fb; c=d.txt"),
        ('filename="ü.txt"', "ü.txt"),
        ("filename*=utf-8''%C3%BC.txt", "ü.txt"),
        ("filename=\"u.txt\"; filename*=UTF-8'en'%C3%BC.txt", "ü.txt"),
        ("filename*=iso-8859-1''%FC.txt", "ü.txt"),
        ('filename=""', ""),
    ],
)
async def test_file_names(sent: str, filename: str) -> None:
    assert await read(form((f'form-data; name="f"; {sent}', b"x"))) == [("f", filename, b"x")]


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data",
        'attachment; name="f"',
        'form-data; name="f',
        'form-data; name="f" x',
        'form-data; name="f"; name="g"',
        'form-data; name="f"; filename="a%0D%0Ab"',
        "form-data; name=\"f\"; filename*=utf-8''%00",
        "form-data; name=\"f\"; filename*=utf-8''%ff",
        "form-data; name=\"f\"; filename*=utf-7''x",
        'form-data; name="f\0"',
        'form-data; name="f\nX: y"',
    ],
)
async def test_broken_dispositions_are_refused(disposition: str) -> None:
    with pytest.raises(Malformed):
        await read(form((disposition, b"x")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        form(("form-data; name=a", b"x"))[:-4],
        form(("form-data; name=a", b"x"))[:-5],
        b"--xyz\r\nContent-Disposition: form-data; name=a\r\n",
        b"--xyz\nContent-Disposition: form-data; name=a\n\nx\n--xyz--\n",
        b"--xyz\r\n folded: x\r\n\r\nx\r\n--xyz--\r\n",
        b"--xyz\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n\r\n--xyz--",
        b"--xyz\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n--xyz--",
        b"--xyz\r\n\r\nx\r\n--xyz--",
    ],
)
@pytest.mark.parametrize("size", [1, 65_536])
async def test_broken_and_cut_bodies_are_refused(body: bytes, size: int) -> None:
    with pytest.raises(Malformed):
        await read(body, size=size)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/mixed; boundary=xyz",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="x "',
        'multipart/form-data; boundary="x\r"',
        "multipart/form-data; boundary=x; boundary=y",
    ],
)
async def test_content_types_without_usable_boundary_are_refused(content_type: str) -> None:
    with pytest.raises(Malformed):
        await read(b"--x--", content_type=content_type)


async def test_preamble_epilogue_and_an_empty_form() -> None:
    body = b"ignored\r\n" + form(("form-data; name=a", b"x")) + b"after\r\n--xyz\r\n"
    assert await read(body, content_type='Multipart/Form-Data; charset=utf-8; boundary="xyz"') == [("a", None, b"x")]
    assert await read(b"--xyz--\r\n") == []
    with pytest.raises(TooLarge):
        await read(b"a" * 70_000 + body)
    with pytest.raises(TooLarge):
        await read(body + b"a" * 140_000)


async def test_what_was_not_read_of_a_part_is_skipped() -> None:
    body = form(("form-data; name=a", b"x" * 500), ("form-data; name=b", b"y"))
    names = [part.name async for part in parts(FORM, stream(*[body[at : at + 50] for at in range(0, len(body), 50)]))]
    assert names == ["a", "b"]


async def test_text_has_a_limit_and_must_be_utf8() -> None:
    async def text(body: bytes) -> str:
        async for part in parts(FORM, stream(form(("form-data; name=a", body)))):
            return await part.text(10)
        raise AssertionError("no part")

    assert await text("zehn ü".encode()) == "zehn ü"
    with pytest.raises(TooLarge):
        await text(b"x" * 11)
    for broken in (b"\xff", b"\xc3"):
        with pytest.raises(Malformed):
            await text(broken)


async def test_caps_on_parts_and_headers() -> None:
    most = [("form-data; name=a", b"")] * multipart.MAX_PARTS
    assert len(await read(form(*most))) == multipart.MAX_PARTS
    with pytest.raises(TooLarge):
        await read(form(*most, most[0]))
    many = "".join(f"\r\nX-{at}: y" for at in range(multipart.MAX_HEADERS))
    with pytest.raises(Malformed):
        await read(form(("form-data; name=a" + many, b"")))
    long = "".join(f"\r\nX-{at}: {'y' * 4000}" for at in range(5))
    for size in (1000, 65_536):
        with pytest.raises(TooLarge):
            await read(form(("form-data; name=a" + long, b"")), size=size)


async def test_transfer_encodings_are_refused() -> None:
    assert await read(form(("form-data; name=a\r\nContent-Transfer-Encoding: 8BIT", b"x"))) == [("a", None, b"x")]
    with pytest.raises(UnknownCoding):
        await read(form(("form-data; name=a\r\nContent-Transfer-Encoding: base64", b"eA==")))


async def test_time_grows_with_the_bytes_only() -> None:
    started = time.perf_counter()
    for filler in (b"\r", b"\r\n--xy", b"-", b"\r\n--xyz-"):
        [(_, _, body)] = await read(form(("form-data; name=a", filler * (2_000_000 // len(filler)))))
        assert len(body) > 1_900_000
    with pytest.raises(Malformed):
        parameters("form-data; name=" + '"' + '\\"' * 8000 + "x")
    assert time.perf_counter() - started < 20
