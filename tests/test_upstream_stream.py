"""Connections to upstreams: large pieces, an end that is told, and nothing in the open taken for TLS."""

from __future__ import annotations

import asyncio
import ssl

import httpcore2
import pytest

from reliquary.upstream.stream import ENOUGH, MOST, Stream

pytestmark = pytest.mark.anyio


async def connected(said: bytes, *, stay: bool = True) -> tuple[asyncio.Server, Stream]:
    """A connection to a server that speaks first, and then waits or hangs up."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        if stay:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    return server, await Stream.connect("127.0.0.1", server.sockets[0].getsockname()[1], 5)


async def test_what_comes_before_tls_is_never_taken_for_what_tls_brought() -> None:
    server, stream = await connected(b"HTTP/1.1 200 OK\r\n\r\n")
    while not stream.get_extra_info("is_readable"):
        await asyncio.sleep(0.01)
    with pytest.raises(httpcore2.ConnectError):
        await stream.start_tls(ssl.create_default_context(), "index.example", 5)
    await asyncio.sleep(0.05)  # the other side sees the end
    server.close()


async def test_all_of_a_long_body_comes_in_large_pieces_and_then_its_end() -> None:
    body = bytes(range(256)) * (4 * ENOUGH // 256)
    server, stream = await connected(body, stay=False)
    pieces: list[bytes] = []
    while piece := await stream.read(1024, 5):
        pieces.append(piece)
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= MOST
    assert stream.get_extra_info("is_readable"), "of no more use"
    await stream.aclose()
    with pytest.raises(httpcore2.WriteError):
        await stream.write(b"more", 5)
    server.close()


async def test_silence_is_a_timeout() -> None:
    server, stream = await connected(b"")
    with pytest.raises(httpcore2.ReadTimeout):
        await stream.read(1024, 0.05)
    assert not stream.get_extra_info("is_readable")
    await stream.aclose()
    await asyncio.sleep(0.05)
    server.close()


async def test_nobody_there_is_told() -> None:
    server, stream = await connected(b"")
    port = server.sockets[0].getsockname()[1]
    await stream.aclose()
    await asyncio.sleep(0.05)
    server.close()
    await server.wait_closed()
    with pytest.raises(httpcore2.ConnectError):
        await Stream.connect("127.0.0.1", port, 5)
