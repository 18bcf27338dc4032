"""One contract for every blob store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from reliquary.blobs.base import CHUNK
from reliquary.blobs.disk import DiskStore
from reliquary.blobs.memory import MemoryStore
from reliquary.errors import Broken, CannotTell, Full, Mismatch, NotHere
from reliquary.types import Digests

pytestmark = pytest.mark.anyio

Store = DiskStore | MemoryStore
DATA = os.urandom(CHUNK * 2 + 77)
ABSENT = "0" * 64


@pytest.fixture(params=["disk", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    return await disk_at(tmp_path)


@pytest.fixture
async def disk(tmp_path: Path) -> DiskStore:
    return await disk_at(tmp_path)


async def disk_at(root: Path) -> DiskStore:
    store = DiskStore(root)
    await store.prepare()
    return store


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def names(store: Store) -> set[str]:
    return {info.blob async for info in store.blobs()}


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def open_files(below: Path) -> list[str]:
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return [str(link.readlink()) for link in links if link.is_symlink() and str(link.readlink()).startswith(str(below))]


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several chunks"])
@pytest.mark.parametrize("durable", [True, False])
async def test_what_is_written_is_read(store: Store, data: bytes, durable: bool) -> None:
    writer = await store.writer(durable=durable)
    for at in range(0, len(data), 50_000):
        await writer.write(data[at : at + 50_000])
    receipt = await writer.commit()
    assert receipt.blob == hashlib.sha256(data).hexdigest()
    assert receipt.size == await store.size(receipt.blob) == len(data)
    assert await joined(store.read(receipt.blob)) == data
    assert store.read_now(receipt.blob, len(data)) == data
    assert [(info.blob, info.size) async for info in store.blobs()] == [(receipt.blob, len(data))]


async def test_put_is_a_write(store: Store) -> None:
    receipt = await store.put(b"small")
    assert receipt.blob == hashlib.sha256(b"small").hexdigest()
    assert await joined(store.read(receipt.blob)) == b"small"


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 0), (0, 1), (5, 9), (CHUNK - 1, CHUNK + 1), (CHUNK, None), (len(DATA) - 1, None), (len(DATA), None), (3, 2)],
)
async def test_ranges(store: Store, start: int, stop: int | None) -> None:
    blob = (await store.put(DATA)).blob
    assert await joined(store.read(blob, start, stop)) == DATA[start:stop]


async def test_a_range_past_the_end_is_broken_after_the_bytes_there_are(store: Store) -> None:
    blob = (await store.put(b"short")).blob
    seen = b""
    with pytest.raises(Broken):
        async for chunk in store.read(blob, 2, 50):
            seen += chunk
    assert seen == b"ort"


async def test_every_asked_digest_is_taken(store: Store) -> None:
    writer = await store.writer(["md5", "sha1", "sha512", "blake2b_256", "sha256"])
    await writer.write(b"abc")
    digests = (await writer.commit()).digests
    assert digests == {
        "sha256": hashlib.sha256(b"abc").hexdigest(),
        "md5": hashlib.md5(b"abc").hexdigest(),
        "sha1": hashlib.sha1(b"abc").hexdigest(),
        "sha512": hashlib.sha512(b"abc").hexdigest(),
        "blake2b_256": hashlib.blake2b(b"abc", digest_size=32).hexdigest(),
    }


async def test_an_aborted_write_leaves_nothing(store: Store, tmp_path: Path) -> None:
    writer = await store.writer()
    await writer.write(DATA)
    await writer.abort()
    await writer.abort()
    assert await names(store) == set()
    assert files(tmp_path) == []


async def test_abort_after_commit_does_nothing(store: Store) -> None:
    writer = await store.writer()
    await writer.write(b"kept")
    receipt = await writer.commit()
    await writer.abort()
    assert await joined(store.read(receipt.blob)) == b"kept"


async def test_finish_may_be_asked_again_and_the_bytes_inspected(store: Store) -> None:
    writer = await store.writer()
    await writer.write(b"archive")
    receipt = await writer.finish()
    assert await writer.finish() == receipt
    with writer.open() as opened:
        opened.seek(2)
        assert opened.read() == b"chive"
    with pytest.raises(RuntimeError):
        await writer.write(b"more")
    assert await names(store) == set()
    assert await writer.commit() == receipt
    assert await names(store) == {receipt.blob}


async def test_what_verify_refuses_is_not_stored(store: Store, tmp_path: Path) -> None:
    def refuse(size: int, digests: Digests) -> None:
        raise Mismatch(f"{size} bytes, {digests['md5']}")

    writer = await store.writer(["md5"])
    await writer.write(b"abc")
    with pytest.raises(Mismatch, match="3 bytes, 900150983cd24fb0d6963f7d28e17f72"):
        await writer.commit(refuse)
    assert await names(store) == set()
    assert files(tmp_path) == []


async def test_the_same_bytes_are_stored_once(store: Store, tmp_path: Path) -> None:
    first = await store.put(b"same")
    writer = await store.writer()
    await writer.write(b"same")
    assert (await writer.commit()).blob == first.blob
    assert await names(store) == {first.blob}
    assert len(files(tmp_path)) == (1 if isinstance(store, DiskStore) else 0)


async def test_touch_delete_and_open(store: Store) -> None:
    blob = (await store.put(b"bytes")).blob
    assert await store.touch(blob)
    with await store.open(blob) as opened:
        assert opened.seek(1) == 1
        assert opened.read() == b"ytes"
    assert await store.delete(blob)
    assert not await store.delete(blob)
    assert not await store.touch(blob)


async def test_what_is_absent_is_absent_everywhere(store: Store) -> None:
    assert await store.size(ABSENT) is None
    assert store.read_now(ABSENT, 10) is None
    assert not await store.touch(ABSENT)
    assert not await store.delete(ABSENT)
    with pytest.raises(NotHere):
        await joined(store.read(ABSENT))
    with pytest.raises(NotHere):
        await store.open(ABSENT)


async def test_read_now_minds_its_limit(store: Store) -> None:
    blob = (await store.put(b"12345")).blob
    assert store.read_now(blob, 5) == b"12345"
    assert store.read_now(blob, 4) is None


@pytest.mark.parametrize("name", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n", "\u0661" * 64, "a" * 65])
async def test_other_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(NotHere):
        store.path(name)
    with pytest.raises(NotHere):
        store.read_now(name, 10)
    with pytest.raises(NotHere):
        await joined(store.read(name))
    for refuse in (store.size, store.open, store.touch, store.delete, store.bury, store.restore, store.discard):
        with pytest.raises(NotHere):
            await refuse(name)


async def test_a_finished_file_is_adopted(store: Store, tmp_path: Path) -> None:
    receipt = await MemoryStore().put(DATA)
    (tmp_path / "finished").write_bytes(DATA)
    await store.adopt(tmp_path / "finished", receipt)
    assert await joined(store.read(receipt.blob)) == DATA
    assert not (tmp_path / "finished").exists()


async def test_a_cut_file_is_not_adopted(store: Store, tmp_path: Path) -> None:
    receipt = await MemoryStore().put(DATA)
    (tmp_path / "finished").write_bytes(DATA[:-1])
    with pytest.raises(Broken):
        await store.adopt(tmp_path / "finished", receipt, durable=True)
    assert await names(store) == set()
    assert files(tmp_path) == []


async def test_blobs_lie_where_nginx_looks(disk: DiskStore, tmp_path: Path) -> None:
    blob = (await disk.put(b"x")).blob
    assert files(tmp_path) == [f"blobs/sha256/{blob[:2]}/{blob[2:4]}/{blob}"]
    assert disk.path(blob) == tmp_path / files(tmp_path)[0]


async def test_writing_again_refreshes_the_time_and_mends_a_torn_blob(disk: DiskStore) -> None:
    blob = (await disk.put(b"bytes")).blob
    os.utime(disk.path(blob), (1, 1))
    await disk.put(b"bytes")
    assert disk.path(blob).stat().st_mtime > 1
    disk.path(blob).write_bytes(b"")
    await disk.put(b"bytes")
    assert await joined(disk.read(blob)) == b"bytes"


async def test_a_cut_blob_breaks_the_read_that_knows_its_size(disk: DiskStore) -> None:
    blob = (await disk.put(DATA)).blob
    os.truncate(disk.path(blob), CHUNK)
    with pytest.raises(Broken):
        await joined(disk.read(blob, 0, len(DATA)))


async def test_a_cancelled_write_leaves_no_temporary_file(disk: DiskStore, tmp_path: Path) -> None:
    async def upload() -> None:
        writer = await disk.writer()
        while True:
            await writer.write(DATA)

    task = asyncio.create_task(upload())
    while not any(path.stat().st_size for path in (tmp_path / "tmp").iterdir()):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == []
    assert open_files(tmp_path) == []


async def test_a_reader_that_leaves_closes_its_file(disk: DiskStore, tmp_path: Path) -> None:
    blob = (await disk.put(DATA)).blob
    async with aclosing(disk.read(blob)) as chunks:
        assert await anext(chunks) == DATA[:CHUNK]
        assert open_files(tmp_path) == [str(disk.path(blob))]
    assert open_files(tmp_path) == []


async def test_a_cancelled_reader_closes_its_file(disk: DiskStore, tmp_path: Path) -> None:
    blob = (await disk.put(DATA)).blob

    async def download() -> None:
        async for _ in disk.read(blob):
            await asyncio.sleep(60)

    task = asyncio.create_task(download())
    while not open_files(tmp_path):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while open_files(tmp_path):
        await asyncio.sleep(0.001)


async def test_a_big_blob_takes_little_memory(disk: DiskStore) -> None:
    chunk = bytes(65_536)
    tracemalloc.start()
    try:
        writer = await disk.writer()
        for _ in range(512):
            await writer.write(chunk)
        receipt = await writer.commit()
        total = 0
        async for piece in disk.read(receipt.blob):
            total += len(piece)
        assert total == receipt.size == 512 * 65_536
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


async def test_stale_temporary_files_are_cleaned(disk: DiskStore, tmp_path: Path) -> None:
    stale = await disk.writer()
    await stale.write(DATA)
    (old,) = (tmp_path / "tmp").iterdir()
    os.utime(old, (1, 1))
    fresh = await disk.writer()
    assert await disk.clean(3600) == 1
    await fresh.write(b"x")
    await fresh.commit()
    with pytest.raises(CannotTell):
        await stale.commit()


async def test_small_bytes_wait_in_memory(disk: DiskStore, tmp_path: Path) -> None:
    writer = await disk.writer(["md5"])
    for piece in (DATA[: CHUNK - 1], DATA[CHUNK - 1 : CHUNK]):
        await writer.write(piece)
    receipt = await writer.finish()
    assert files(tmp_path) == []
    with writer.open() as opened:
        assert opened.read() == DATA[:CHUNK]
    assert await writer.commit() == receipt
    assert receipt.digests["md5"] == hashlib.md5(DATA[:CHUNK]).hexdigest()
    assert await joined(disk.read(receipt.blob)) == DATA[:CHUNK]
    assert await names(disk) == {receipt.blob}
    assert len(files(tmp_path)) == 1


async def test_a_folder_that_was_lost_is_made_again(disk: DiskStore, tmp_path: Path) -> None:
    blob = (await disk.put(b"there")).blob
    shutil.rmtree(tmp_path / "blobs" / "sha256" / blob[:2])
    assert (await disk.put(b"there")).blob == blob
    assert await joined(disk.read(blob)) == b"there"


async def test_temporary_files_of_dead_writers_are_cleaned(disk: DiskStore, tmp_path: Path) -> None:
    at_work = await disk.writer()
    await at_work.write(DATA)
    dead, newborn = tmp_path / "tmp" / "dead", tmp_path / "tmp" / "newborn"
    for path in (dead, newborn):
        path.write_bytes(DATA)
    past = time.time() - 60
    for path in (tmp_path / "tmp").iterdir():
        os.utime(path, None if path == newborn else (past, past))
    assert await disk.clean(3600) == 1
    assert not dead.exists() and newborn.exists()
    newborn.unlink()
    assert (await at_work.commit()).size == len(DATA)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_full(disk: DiskStore, tmp_path: Path) -> None:
    writer = await disk.writer()
    await writer.write(DATA)
    (temporary,) = (tmp_path / "tmp").iterdir()
    with temporary.open("rb") as opened:
        full = os.open("/dev/full", os.O_WRONLY)
        (fd,) = [
            int(name)
            for name in os.listdir("/proc/self/fd")
            if int(name) not in (opened.fileno(), full) and fd_names(name, temporary)
        ]
        os.dup2(full, fd)
        os.close(full)
    with pytest.raises(Full):
        await writer.write(DATA)
    assert files(tmp_path) == []


def fd_names(name: str, path: Path) -> bool:
    link = Path(f"/proc/self/fd/{name}")
    return link.is_symlink() and link.readlink() == path


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")
async def test_tmpfs_without_nowait_reads_work_by_thread(tmp_path: Path) -> None:
    root = Path("/dev/shm") / f"reliquary-{os.getpid()}"
    store = await disk_at(root)
    try:
        blob = (await store.put(DATA)).blob
        assert await joined(store.read(blob, 1)) == DATA[1:]
        assert store.read_now(blob, len(DATA)) in (None, DATA)
        finished = tmp_path / "finished"
        finished.write_bytes(b"from another file system")
        receipt = await MemoryStore().put(b"from another file system")
        await store.adopt(finished, receipt)
        assert await joined(store.read(receipt.blob)) == b"from another file system"
        assert not finished.exists()
    finally:
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        root.rmdir()
