"""Bytes named by their SHA-256: the stores, the files that are being fetched, the sweep."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from reliquary.blobs.base import Receipt
from reliquary.errors import NotHere

T = TypeVar("T")

_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)


def check_name(blob: str) -> str:
    """Return ``blob`` if it is 64 lower-case hexadecimal digits.

    Raises:
        NotHere: it is anything else, so it can name no blob and is never made part of a path.
    """
    if _NAME.fullmatch(blob) is None:
        raise NotHere("that is not the name of a blob")
    return blob


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class Hashes:
    """Every asked digest of bytes that come piece by piece.

    Args:
        algorithms: hashlib names or ``blake2b_256``; sha256 is always among them.
    """

    def __init__(self, algorithms: Sequence[str] = ()) -> None:
        self._hashes = {name: _hash(name) for name in dict.fromkeys(("sha256", *algorithms))}
        self._size = 0

    def update(self, data: bytes) -> None:
        """Take the next piece in."""
        self._size += len(data)
        for each in self._hashes.values():
            each.update(data)

    def receipt(self) -> Receipt:
        """Size in bytes and digests of all pieces so far."""
        return Receipt(self._size, {name: each.hexdigest() for name, each in self._hashes.items()})


def _hash(name: str) -> _Hash:
    if name == "blake2b_256":
        return hashlib.blake2b(digest_size=32, usedforsecurity=False)
    return hashlib.new(name, usedforsecurity=False)


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """Run ``call`` in a thread, to its end even when the asker is cancelled: a cancelled job that
    still sits in the executor's queue would otherwise never run, and leave its file behind."""
    loop = asyncio.get_running_loop()
    return await asyncio.shield(loop.run_in_executor(None, partial(call, *args)))
