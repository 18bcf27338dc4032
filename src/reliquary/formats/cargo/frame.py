"""The body of a publish: a length, the JSON, a length, the .crate; both lengths are 32 bits, little end first.

The Cargo Book, "Registry Web API", Publish. The lengths are the sender's word: they are compared with what is allowed
and with what comes, and nothing is made room for because of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from reliquary.errors import Malformed

LARGEST = 4_194_304
"""Bytes of the JSON; a readme is in it."""

_LENGTH = 4
_AGAIN = "publish it again"


async def split(
    chunks: AsyncIterator[bytes], *, largest: int = LARGEST
) -> tuple[Mapping[str, Any], AsyncIterator[bytes]]:
    """Read the JSON, and give the archive as it comes.

    Args:
        chunks: the body as it comes, cut anywhere.
        largest: bytes that the JSON may have.

    Returns:
        The JSON's object, and the bytes of the .crate. When those are read to their end and more or fewer bytes came
        than their length says, they raise Malformed in place of ending: what was made of them is to be thrown away.

    Raises:
        Malformed: the body is empty or cut short, a length is 0 or too large, or the JSON is no object in UTF-8.
    """
    body = _Body(chunks)
    said = await body.length("the JSON", first=True)
    if said > largest:
        raise Malformed(f"the JSON is said to have {said} bytes, and may have {largest}; shorten its readme")
    text = await body.exactly(said, "the JSON")
    told = _object(text)
    return told, _archive(body, await body.length("the .crate"))


def _object(text: bytearray) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError as error:
        raise Malformed(
            f"what precedes the .crate is not whole JSON in UTF-8, or nested too deeply: {error}"
        ) from error
    if not isinstance(found, dict):
        raise Malformed("the JSON that precedes the .crate is not an object; send the crate's metadata")
    return found


async def _archive(body: _Body, size: int) -> AsyncIterator[bytes]:
    """The rest of a body, which must be ``size`` bytes."""
    left = size
    async for piece in body.take(size):
        left -= len(piece)
        yield piece
    if left:
        raise Malformed(f"the .crate was cut short: {size - left} of its {size} bytes came; {_AGAIN}")
    if not await body.ended():
        raise Malformed(f"more bytes follow the {size} of the .crate; {_AGAIN}")


class _Body:
    """A stream of which parts are taken one after the other."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    async def take(self, count: int) -> AsyncIterator[bytes]:
        """The next ``count`` bytes as they come; fewer where the body ends."""
        while count:
            if await self.ended():
                return
            used, self._rest = self._rest[:count], self._rest[count:]
            count -= len(used)
            yield used

    async def exactly(self, count: int, what: str) -> bytearray:
        """The next ``count`` bytes, of which none may miss."""
        held = bytearray()
        async for piece in self.take(count):
            held += piece
        if len(held) < count:
            raise Malformed(f"the body ends within {what}: {len(held)} of {count} bytes came; {_AGAIN}")
        return held

    async def length(self, what: str, *, first: bool = False) -> int:
        """The length in front of a part, which may not be empty."""
        if first and await self.ended():
            raise Malformed("the body is empty; send the crate's metadata and its .crate, as cargo publish does")
        size = int.from_bytes(await self.exactly(_LENGTH, f"the length of {what}"), "little")
        if size == 0:
            raise Malformed(f"{what} has a length of 0; send the crate's metadata and its .crate")
        return size

    async def ended(self) -> bool:
        """Whether nothing more comes."""
        while not self._rest:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return True
            self._rest = chunk
        return False
