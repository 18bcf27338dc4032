"""The blob store protocol: bytes named by their SHA-256.

A blob is whole, hashed and in place before any row names it. Writers leave nothing behind
unless they commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol, TypeAlias

from reliquary.types import Digests

CHUNK = 262_144
"""Bytes that are read or written in one go."""

Verifier: TypeAlias = Callable[[int, Digests], None]
"""Looks at the size and the digests of written bytes; raises Mismatch to refuse them."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was written: size in bytes and every digest that was asked for, ``sha256`` always."""

    size: int
    digests: Digests

    @property
    def blob(self) -> str:
        """The name of the blob."""
        return self.digests["sha256"]


class Writer(Protocol):
    """Bytes on their way in. Ends by exactly one of ``commit`` and ``abort``."""

    async def write(self, chunk: bytes) -> None:
        """Append and hash; raises Full when the disk is."""

    async def finish(self) -> Receipt:
        """No more bytes: what was written so far. May be called more than once."""

    def open(self) -> IO[bytes]:
        """The bytes so far, seekable, after ``finish``."""

    async def commit(self, verify: Verifier | None = None) -> Receipt:
        """Name the bytes by their digest: flush, fsync if durable, rename. Raises what ``verify``
        raises, after an abort."""

    async def abort(self) -> None:
        """Throw the bytes away; does nothing after a commit."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What the store knows of a blob without reading it."""

    blob: str
    size: int
    modified: datetime


class BlobStore(Protocol):
    """Where blobs live."""

    async def writer(self, algorithms: Sequence[str] = (), *, durable: bool = True) -> Writer:
        """Begin to write. ``algorithms`` come on top of sha256; ``durable`` asks for fsync of
        file and folder, for bytes that cannot be fetched again."""

    async def put(self, data: bytes, *, durable: bool = True) -> Receipt:
        """Store small bytes in one call."""

    async def size(self, blob: str) -> int | None:
        """Size in bytes, or None when the blob is not here."""

    def read_now(self, blob: str, limit: int) -> bytes | None:
        """The whole blob if it is at most ``limit`` bytes and can be read without blocking (page
        cache); None otherwise. Never blocks."""

    def read(self, blob: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Bytes ``start`` to ``stop`` (exclusive) in chunks; raises NotHere when the blob is gone,
        Broken when it ends early."""

    async def open(self, blob: str) -> IO[bytes]:
        """A seekable file for inspection in a thread; raises NotHere."""

    def path(self, blob: str) -> Path | None:
        """Where the blob lies, for nginx; None for a store without files."""

    async def touch(self, blob: str) -> bool:
        """Refresh the blob's time so that a sweep under way spares it; False when not here."""

    async def adopt(self, path: Path, receipt: Receipt, *, durable: bool = False) -> None:
        """Take a finished file of this machine in as the blob ``receipt`` names."""

    async def delete(self, blob: str) -> bool:
        """Remove the blob at once; False when not here."""

    def blobs(self) -> AsyncIterator[BlobInfo]:
        """Every blob, in no order."""
