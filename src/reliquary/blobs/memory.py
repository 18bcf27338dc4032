"""The blob store in memory, for tests: the contract of the disk without the disk."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from reliquary.blobs import Hashes, check_name, in_thread
from reliquary.blobs.base import CHUNK, BlobInfo, Receipt, Verifier
from reliquary.errors import Broken, NotHere


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryWriter:
    """Bytes on their way into a `MemoryStore`; see `reliquary.blobs.base.Writer`."""

    def __init__(self, store: MemoryStore, algorithms: Sequence[str]) -> None:
        self._store = store
        self._hashes = Hashes(algorithms)
        self._data = bytearray()
        self._receipt: Receipt | None = None

    async def write(self, chunk: bytes) -> None:
        """Append and hash."""
        if self._receipt is not None:
            raise RuntimeError("written to after finish")
        self._hashes.update(chunk)
        self._data += chunk

    async def finish(self) -> Receipt:
        """No more bytes: what was written."""
        if self._receipt is None:
            self._receipt = self._hashes.receipt()
        return self._receipt

    def open(self) -> IO[bytes]:
        """The bytes so far, seekable, after ``finish``."""
        return io.BytesIO(self._data)

    async def commit(self, verify: Verifier | None = None) -> Receipt:
        """Name the bytes by their digest; raises what ``verify`` raises, after an abort."""
        receipt = await self.finish()
        if verify is not None:
            verify(receipt.size, receipt.digests)
        self._store.keep(receipt.blob, bytes(self._data))
        return receipt

    async def abort(self) -> None:
        """Throw the bytes away."""
        self._data = bytearray()


class MemoryStore:
    """Blobs in a dictionary; see `reliquary.blobs.base.BlobStore`.

    Args:
        now: tells the time that blobs are stamped with.
    """

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._blobs: dict[str, tuple[bytes, datetime]] = {}
        self._trash: dict[str, tuple[bytes, datetime]] = {}

    def keep(self, blob: str, data: bytes) -> None:
        """Put ``data`` under its name, stamped with the time."""
        self._blobs[blob] = (data, self._now())

    async def writer(self, algorithms: Sequence[str] = (), *, durable: bool = True) -> MemoryWriter:
        """Begin to write; ``durable`` means nothing here."""
        return MemoryWriter(self, algorithms)

    async def put(self, data: bytes, *, durable: bool = True) -> Receipt:
        """Store small bytes in one call."""
        writer = await self.writer(durable=durable)
        await writer.write(data)
        return await writer.commit()

    def _get(self, blob: str) -> bytes | None:
        found = self._blobs.get(check_name(blob))
        return None if found is None else found[0]

    async def size(self, blob: str) -> int | None:
        """Size in bytes, or None."""
        data = self._get(blob)
        return None if data is None else len(data)

    def read_now(self, blob: str, limit: int) -> bytes | None:
        """The whole blob if it is at most ``limit`` bytes."""
        data = self._get(blob)
        return data if data is not None and len(data) <= limit else None

    async def read(self, blob: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``stop`` (exclusive); raises NotHere, or Broken past the end."""
        data = self._get(blob)
        if data is None:
            raise NotHere("the stored file is gone")
        end = len(data) if stop is None else stop
        while start < end:
            chunk = data[start : min(start + CHUNK, end)]
            if not chunk:
                raise Broken("a stored file is shorter than it should be")
            start += len(chunk)
            yield chunk

    async def open(self, blob: str) -> IO[bytes]:
        """A seekable file; raises NotHere."""
        data = self._get(blob)
        if data is None:
            raise NotHere("the stored file is gone")
        return io.BytesIO(data)

    def path(self, blob: str) -> Path | None:
        """None: there are no files."""
        check_name(blob)
        return None

    async def touch(self, blob: str) -> bool:
        """Refresh the blob's time; False when not here."""
        data = self._get(blob)
        if data is None:
            return False
        self.keep(blob, data)
        return True

    async def adopt(self, path: Path, receipt: Receipt, *, durable: bool = False) -> None:
        """Take a finished file in and remove it; raises Broken when its size is not the receipt's."""
        data = await in_thread(path.read_bytes)
        await in_thread(path.unlink)
        if len(data) != receipt.size:
            raise Broken("a finished file is not as long as it was")
        self.keep(receipt.blob, data)

    async def delete(self, blob: str) -> bool:
        """Remove the blob at once; False when not here."""
        return self._blobs.pop(check_name(blob), None) is not None

    async def blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """Every blob there is at the first step."""
        for blob, (data, modified) in list(self._blobs.items()):
            yield BlobInfo(blob, len(data), modified)

    async def bury(self, blob: str) -> BlobInfo | None:
        """Move the blob to the trash; what it was then."""
        found = self._blobs.pop(check_name(blob), None)
        if found is None:
            return None
        self._trash[blob] = found
        return BlobInfo(blob, len(found[0]), found[1])

    async def restore(self, blob: str) -> None:
        """Put a buried blob back, unless it was stored anew meanwhile."""
        found = self._trash.pop(check_name(blob), None)
        if found is not None:
            self._blobs.setdefault(blob, found)

    async def discard(self, blob: str) -> bool:
        """Remove a buried blob for good; False when it is not in the trash."""
        return self._trash.pop(check_name(blob), None) is not None

    async def buried(self) -> AsyncGenerator[BlobInfo, None]:
        """Every blob in the trash."""
        for blob, (data, modified) in list(self._trash.items()):
            yield BlobInfo(blob, len(data), modified)
