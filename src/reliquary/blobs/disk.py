"""The blob store on a local disk.

``blobs/sha256/ab/cd/<hex>`` holds the blobs, ``tmp/`` what is being written, ``trash/`` what a sweep
is about to remove and ``damaged/`` what a repair found wrong and nobody else has. All lie in one file
system, so that every move is one rename.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from reliquary.blobs import Hashes, check_name, in_thread
from reliquary.blobs.base import CHUNK, BlobInfo, Receipt, Verifier
from reliquary.blobs.files import HeldFile, Spool, disk_errors, held, read_at, read_cached
from reliquary.errors import Broken, CannotTell, NotHere
from reliquary.failpoints import reach

AT_ONCE = 65_536
"""Bytes up to which what needs no flush is written in the event loop."""
YOUNG = 10.0
"""Seconds that a temporary file is left alone: another process may be about to lock or name it."""


class DiskWriter:
    """Bytes on their way into a `DiskStore`; see `reliquary.blobs.base.Writer`.

    Up to `CHUNK` bytes stay in memory until they are committed.
    """

    def __init__(self, store: DiskStore, algorithms: Sequence[str], durable: bool) -> None:
        self._store = store
        self._algorithms = algorithms
        self._durable = durable
        self._spool: Spool | None = None
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._receipt: Receipt | None = None

    async def write(self, chunk: bytes) -> None:
        """Append and hash, gathering small chunks; raises Full when the disk is."""
        if self._receipt is not None:
            raise RuntimeError("written to after finish")
        self._pieces.append(chunk)
        self._gathered += len(chunk)
        if self._gathered > CHUNK:
            await self._flush()

    async def _flush(self) -> None:
        data, self._pieces, self._gathered = b"".join(self._pieces), [], 0
        if self._spool is None:
            # In the event loop: a thread could end after its asker is cancelled, and leave a file
            # that nobody holds.
            self._spool = self._store.spool(self._algorithms)
        try:
            await in_thread(self._spool.append, data)
        except BaseException:
            await self.abort()
            raise
        reach("publish.written")

    async def finish(self) -> Receipt:
        """No more bytes: what was written."""
        if self._receipt is None:
            if self._spool is None:
                hashes = Hashes(self._algorithms)
                self._pieces = [b"".join(self._pieces)]
                hashes.update(self._pieces[0])
                self._receipt = hashes.receipt()
            else:
                await self._flush()
                self._receipt = self._spool.receipt()
        return self._receipt

    def open(self) -> IO[bytes]:
        """The bytes so far, seekable, after ``finish``."""
        return io.BytesIO(b"".join(self._pieces)) if self._spool is None else self._spool.path.open("rb")

    async def commit(self, verify: Verifier | None = None) -> Receipt:
        """Name the bytes by their digest; raises what ``verify`` raises, after an abort."""
        receipt = await self.finish()
        try:
            if verify is not None:
                verify(receipt.size, receipt.digests)
            if self._spool is None:
                await in_thread(self._store.keep, b"".join(self._pieces), receipt, self._durable)
                self._pieces = []
            else:
                await in_thread(self._place, self._spool, receipt)
        except BaseException:
            await self.abort()
            raise
        return receipt

    def _place(self, spool: Spool, receipt: Receipt) -> None:
        if self._durable:
            spool.sync()
        # Open until it has its name, so that nobody clears it away as a dead writer's.
        self._store.place(spool.path, receipt, durable=self._durable)
        reach("publish.renamed")
        spool.close()

    async def abort(self) -> None:
        """Throw the bytes away; does nothing after a commit."""
        self._pieces = []
        if self._spool is not None:
            await in_thread(self._spool.drop)


class DiskStore:
    """Blobs below ``root``; see `reliquary.blobs.base.BlobStore`."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._temporary = root / "tmp"
        self._trash = root / "trash"
        self._damaged = root / "damaged"
        # Folders, ``ab`` and ``ab/cd``, whose names this process has put on the platter.
        self._settled: set[str] = set()

    async def prepare(self) -> None:
        """Make the folders; to be called once before anything else."""
        for folder in (self._blobs, self._temporary, self._trash):
            with disk_errors("make a folder"):
                await in_thread(lambda folder: folder.mkdir(parents=True, exist_ok=True), folder)

    async def clean(self, older_than: float) -> int:
        """Remove temporary files that nobody wrote to for ``older_than`` seconds, and those whose
        writer died; their count."""
        return await in_thread(self._clean, time.time(), older_than)

    def _clean(self, now: float, older_than: float) -> int:
        count = 0
        with disk_errors("list temporary files"), os.scandir(self._temporary) as found:
            for each in found:
                with suppress(FileNotFoundError):
                    idle = now - each.stat().st_mtime
                    if idle >= older_than or (idle >= YOUNG and not held(Path(each.path))):
                        Path(each.path).unlink()
                        count += 1
        return count

    async def writer(self, algorithms: Sequence[str] = (), *, durable: bool = True) -> DiskWriter:
        """Begin to write; ``durable`` asks for fsync of the file and its folders."""
        return DiskWriter(self, algorithms, durable)

    def spool(self, algorithms: Sequence[str] = ()) -> Spool:
        """A new temporary file, held; raises Full or CannotTell."""
        return Spool(self._unique(), algorithms)

    async def put(self, data: bytes, *, durable: bool = True) -> Receipt:
        """Store small bytes in one thread hop, or in none: writing few to the system's memory costs less than that."""
        if not durable and len(data) <= AT_ONCE:
            return self._put(data, durable)
        return await in_thread(self._put, data, durable)

    def _put(self, data: bytes, durable: bool) -> Receipt:
        hashes = Hashes()
        hashes.update(data)
        receipt = hashes.receipt()
        self.keep(data, receipt, durable)
        return receipt

    def keep(self, data: bytes, receipt: Receipt, durable: bool) -> None:
        """Store bytes whose digests were taken. Blocks. Raises Full or CannotTell."""
        file = HeldFile(self._unique())
        try:
            file.append(data)
            if durable:
                file.sync()
            reach("put.written")
            self.place(file.path, receipt, durable=durable)
            reach("put.renamed")
            file.close()
        except BaseException:
            file.drop()
            raise

    def _unique(self) -> Path:
        return self._temporary / uuid.uuid4().hex

    def place(self, source: Path, receipt: Receipt, *, durable: bool) -> None:
        """Move a finished temporary file to its name, or drop it when the blob is there already.

        Blocks. Raises Full or CannotTell; ``source`` may then still be there.
        """
        target = self.path(receipt.blob)
        with disk_errors("store a blob"):
            if self._refresh(target, receipt.size, durable):
                source.unlink(missing_ok=True)
            else:
                self._rename(source, target)
            if durable:
                self._settle(target)

    def _rename(self, source: Path, target: Path) -> None:
        try:
            source.replace(target)
        except FileNotFoundError:
            self._settled -= {target.name[:2], target.name[:4]}
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)

    def _settle(self, target: Path) -> None:
        """Put the blob's name on the platter, and those of its folders unless that was done before:
        nothing ever removes them."""
        _sync(target.parent)
        for folder, above in ((target.name[:4], target.parents[1]), (target.name[:2], target.parents[2])):
            if folder not in self._settled:
                _sync(above)
                self._settled.add(folder)

    def _refresh(self, target: Path, size: int, durable: bool) -> bool:
        """Whether the blob is there and whole. The time comes last: once it is set, a sweep that
        buries the blob puts it back; a blob that is gone by then is stored anew."""
        try:
            if target.stat().st_size != size:
                return False
            if durable:
                _sync(target)  # it may have come by a fill, which flushes nothing
            os.utime(target)
        except FileNotFoundError:
            return False
        return True

    async def size(self, blob: str) -> int | None:
        """Size in bytes, or None. In the event loop: a stat costs less than a thread."""
        path = self.path(blob)
        with disk_errors("look for a blob"):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

    def read_now(self, blob: str, limit: int) -> bytes | None:
        """The whole blob if it is at most ``limit`` bytes and in the page cache, else None."""
        try:
            fd = self._open(blob)
        except CannotTell:
            return None
        except NotHere:
            check_name(blob)
            return None
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                return None
            buffer = bytearray(size)
            return bytes(buffer) if size == 0 or read_cached(fd, buffer, 0) == size else None
        except OSError:
            return None
        finally:
            os.close(fd)

    async def read(self, blob: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``stop`` (exclusive) in chunks of at most 256 KB.

        Raises:
            NotHere: the blob is gone.
            Broken: ``stop`` lies past the end, or the file was cut.
        """
        fd = self._open(blob)
        try:
            end = os.fstat(fd).st_size if stop is None else stop
            while start < end:
                chunk = await read_at(fd, min(CHUNK, end - start), start)
                if not chunk:
                    raise Broken("a stored file is shorter than it should be")
                start += len(chunk)
                yield chunk
        finally:
            os.close(fd)

    def _open(self, blob: str) -> int:
        check_name(blob)
        path = f"{self._blobs}/{blob[:2]}/{blob[2:4]}/{blob}"  # a Path would cost as much as the open
        with disk_errors("read a blob"):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise NotHere("the stored file is gone") from None

    async def open(self, blob: str) -> IO[bytes]:
        """A seekable file; raises NotHere."""
        return os.fdopen(self._open(blob), "rb")

    def path(self, blob: str) -> Path:
        """Where the blob lies or would lie; raises NotHere for what can be no blob's name."""
        check_name(blob)
        return self._blobs / blob[:2] / blob[2:4] / blob

    async def touch(self, blob: str) -> bool:
        """Refresh the blob's time; False when not here."""
        path = self.path(blob)
        with disk_errors("touch a blob"):
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    async def adopt(self, path: Path, receipt: Receipt, *, durable: bool = False) -> None:
        """Move a finished file of this machine in as the blob ``receipt`` names.

        Raises:
            Broken: the file has another size than the receipt.
        """
        if not durable and self._near(path):
            self._adopt(path, receipt, durable)  # renames, which cost less than a thread
        else:
            await in_thread(self._adopt, path, receipt, durable)

    def _near(self, path: Path) -> bool:
        """Whether a file can be moved here without copying it."""
        with suppress(OSError):
            return path.stat().st_dev == self._temporary.stat().st_dev
        return False

    def _adopt(self, path: Path, receipt: Receipt, durable: bool) -> None:
        local = self._unique()
        try:
            with disk_errors("take a file in"):
                _move(path, local)
                reach("fill.moved")
                if local.stat().st_size != receipt.size:
                    raise Broken("a finished file is not as long as it was")
                if durable:
                    _sync(local)
                os.utime(local)
            self.place(local, receipt, durable=durable)
        except BaseException:
            local.unlink(missing_ok=True)
            raise

    async def delete(self, blob: str) -> bool:
        """Remove the blob at once; False when not here."""
        return await in_thread(_unlink, self.path(blob))

    async def set_aside(self, blob: str) -> bool:
        """Move a blob whose bytes are wrong to ``damaged/``, out of the way of the right ones; False
        when not here."""
        return await in_thread(self._set_aside, self.path(blob))

    def _set_aside(self, path: Path) -> bool:
        with disk_errors("set a blob aside"):
            self._damaged.mkdir(exist_ok=True)
            try:
                path.replace(self._damaged / path.name)
            except FileNotFoundError:
                return False
        return True

    async def blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """Every blob, one first-level folder's worth at a time."""
        for folder in await in_thread(_children, self._blobs):
            for info in await in_thread(_blobs_below, folder):
                yield info

    async def bury(self, blob: str) -> BlobInfo | None:
        """Move the blob to the trash, where no reader or writer finds it; what it was then."""
        return await in_thread(self._bury, self.path(blob))

    def _bury(self, path: Path) -> BlobInfo | None:
        grave = self._trash / path.name
        with disk_errors("move a blob to the trash"):
            try:
                path.replace(grave)
            except FileNotFoundError:
                return None
            return _info(grave)

    async def restore(self, blob: str) -> None:
        """Put a buried blob back, unless it was stored anew meanwhile."""
        await in_thread(self._restore, self.path(blob))

    def _restore(self, path: Path) -> None:
        grave = self._trash / path.name
        with disk_errors("put a blob back"), suppress(FileNotFoundError):
            if path.exists():
                grave.unlink()
            else:
                grave.replace(path)

    async def discard(self, blob: str) -> bool:
        """Remove a buried blob for good; False when it is not in the trash."""
        return await in_thread(_unlink, self._trash / check_name(blob))

    async def buried(self) -> AsyncGenerator[BlobInfo, None]:
        """Every blob in the trash."""
        for info in await in_thread(_blobs_in, self._trash):
            yield info


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, target)
        source.unlink()


def _unlink(path: Path) -> bool:
    with disk_errors("remove a blob"):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
    return True


def _children(folder: Path) -> list[Path]:
    with disk_errors("list blobs"):
        return [each for each in folder.iterdir() if each.is_dir()]


def _blobs_below(folder: Path) -> list[BlobInfo]:
    return [info for child in _children(folder) for info in _blobs_in(child)]


def _blobs_in(folder: Path) -> list[BlobInfo]:
    with disk_errors("list blobs"):
        return [info for each in folder.iterdir() if (info := _info(each)) is not None]


def _info(path: Path) -> BlobInfo | None:
    try:
        check_name(path.name)
        status = path.stat()
    except (NotHere, FileNotFoundError):
        return None
    return BlobInfo(path.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
