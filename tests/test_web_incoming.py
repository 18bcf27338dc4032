"""Bodies as verbs see them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from reliquary.errors import Broken, Malformed, TooLarge, UnknownCoding
from reliquary.web.incoming import FRAME, OVERHEAD, WebIncoming

pytestmark = pytest.mark.anyio


def incoming(*chunks: bytes | None, headers: Mapping[str, str] | None = None, limit: int = 1000) -> WebIncoming:
    """A request whose body comes in these chunks; None is a client that hangs up."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.request", "body": b"", "more_body": False}
        chunk = left.pop(0)
        return (
            {"type": "http.disconnect"} if chunk is None else {"type": "http.request", "body": chunk, "more_body": True}
        )

    return WebIncoming(
        receive, method="PUT", segments=(), query={}, headers=headers or {}, base_url="http://x/", limit=limit
    )


async def whole(request: WebIncoming) -> bytes:
    return b"".join([chunk async for chunk in request.chunks()])


async def test_a_body_comes_as_it_was_sent() -> None:
    assert await whole(incoming(b"a", b"", b"bc")) == b"abc"
    assert await whole(incoming()) == b""
    assert await incoming(b"abc").body(3) == b"abc"


async def test_bodies_are_bounded_while_they_are_read() -> None:
    with pytest.raises(TooLarge):
        await incoming(b"abc", b"d").body(3)
    with pytest.raises(TooLarge):
        await whole(incoming(*[bytes(FRAME)] * 2, limit=10))


def test_a_known_length_is_refused_before_the_first_byte() -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    with pytest.raises(TooLarge, match="1000"):
        incoming(headers={"content-length": str(1000 + FRAME + 1)})
    with pytest.raises(TooLarge):
        incoming(headers={**form, "content-length": str(1000 + OVERHEAD + 1)})
    incoming(headers={**form, "content-length": str(1000 + OVERHEAD)})
    incoming(headers={"content-length": str(1000 + FRAME)})


async def test_a_client_that_hangs_up_breaks_the_body() -> None:
    with pytest.raises(Broken):
        await whole(incoming(b"abc", None))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_gzip_is_unpacked_in_any_portions(size: int) -> None:
    plain = b"".join(str(at).encode() for at in range(5000))
    packed = gzip.compress(plain)
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert await whole(incoming(*pieces, headers={"content-encoding": "gzip"}, limit=100_000)) == plain


@pytest.mark.parametrize("ending", [b"x", gzip.compress(b"second")])
async def test_line_26_bytes_after_the_end_of_gzip_are_refused(ending: bytes) -> None:
    packed = gzip.compress(b"first")
    for chunks in ((packed + ending,), (packed, ending)):
        with pytest.raises(Malformed):
            await whole(incoming(*chunks, headers={"content-encoding": "gzip"}))


async def test_line_26_a_bomb_is_stopped_by_its_ratio() -> None:
    machine = zlib.compressobj(9, wbits=31)
    bomb = machine.compress(bytes(20_000_000)) + machine.flush()
    seen = 0
    with pytest.raises(TooLarge):
        async for chunk in incoming(bomb, headers={"content-encoding": "gzip"}, limit=10**10).chunks():
            seen += len(chunk)
    assert seen < 4_000_000


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "compress", "\u00e9"])
def test_codings_that_are_not_known(coding: str) -> None:
    with pytest.raises(UnknownCoding):
        incoming(headers={"content-encoding": coding})


def test_verbs_never_see_credentials() -> None:
    secret = {"authorization": "x", "cookie": "x", "proxy-authorization": "x"}
    assert incoming(headers={**secret, "accept": "y"}).headers == {"accept": "y"}
