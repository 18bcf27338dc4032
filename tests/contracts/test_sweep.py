"""The sweep: removes what nobody names, and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reliquary.blobs.disk import DiskStore
from reliquary.blobs.memory import MemoryStore
from reliquary.blobs.sweep import BATCH, Swept, restore_trash, sweep

pytestmark = pytest.mark.anyio

Store = DiskStore | MemoryStore
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=2)
GRACE = 3600.0
Referenced = Callable[[Sequence[str]], Awaitable[set[str]]]


class Clock:
    """Tells the memory store the time that the test wants."""

    def __init__(self) -> None:
        self.time = OLD

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["disk", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Store:
    if request.param == "memory":
        return MemoryStore(clock)
    disk = DiskStore(tmp_path)
    await disk.prepare()
    return disk


async def old_blob(store: Store, data: bytes) -> str:
    blob = (await store.put(data, durable=False)).blob
    path = store.path(blob)
    if path is not None:
        os.utime(path, (OLD.timestamp(), OLD.timestamp()))
    return blob


def rows(*named: str) -> Referenced:
    async def referenced(blobs: Sequence[str]) -> set[str]:
        return set(named) & set(blobs)

    return referenced


async def names(store: Store) -> set[str]:
    return {info.blob async for info in store.blobs()}


async def trash(store: Store) -> set[str]:
    return {info.blob async for info in store.buried()}


async def run(store: Store, referenced: Referenced, *, dry_run: bool = False) -> Swept:
    return await sweep(store, referenced, grace=GRACE, dry_run=dry_run, now=NOW)


async def test_only_what_is_old_and_unnamed_goes(store: Store, clock: Clock) -> None:
    named, idle = await old_blob(store, b"named"), await old_blob(store, b"idle")
    clock.time = NOW
    young = (await store.put(b"young")).blob
    assert await run(store, rows(named)) == Swept(1, 4, (idle,))
    assert await names(store) == {named, young}
    assert await trash(store) == set()


async def test_a_dry_run_lists_what_a_run_removes(store: Store) -> None:
    named, *_ = [await old_blob(store, bytes([n])) for n in range(20)]
    before = await names(store)
    dry = await run(store, rows(named), dry_run=True)
    assert await names(store) == before
    wet = await run(store, rows(named))
    assert (wet.count, wet.bytes, set(wet.blobs)) == (dry.count, dry.bytes, set(dry.blobs))
    assert dry.count == 19


async def test_a_row_that_comes_meanwhile_saves_its_blob(store: Store) -> None:
    blob = await old_blob(store, b"published just now")
    asked: list[Sequence[str]] = []

    async def referenced(blobs: Sequence[str]) -> set[str]:
        asked.append(blobs)
        return set() if len(asked) == 1 else {blob}

    assert (await run(store, referenced)).count == 0
    assert asked == [[blob], [blob]]
    assert await names(store) == {blob}


async def test_a_touch_that_comes_meanwhile_saves_its_blob(store: Store, clock: Clock) -> None:
    blob = await old_blob(store, b"committed just now")

    async def referenced(blobs: Sequence[str]) -> set[str]:
        clock.time = NOW
        await store.touch(blob)
        return set()

    assert (await run(store, referenced)).count == 0
    assert await names(store) == {blob}


async def test_bytes_written_anew_while_their_blob_is_in_the_trash_stay(store: Store, clock: Clock) -> None:
    blob = await old_blob(store, b"again")

    async def referenced(blobs: Sequence[str]) -> set[str]:
        if blob in await trash(store):
            clock.time = NOW
            assert not await store.touch(blob)
            await store.put(b"again")
        return set()

    assert (await run(store, referenced)).blobs == (blob,)
    assert await names(store) == {blob}
    assert store.read_now(blob, 10) == b"again"


async def test_rows_that_cannot_be_asked_leave_every_blob_in_place(store: Store) -> None:
    blob = await old_blob(store, b"who knows")

    async def referenced(blobs: Sequence[str]) -> set[str]:
        if blob in await trash(store):
            raise ConnectionError
        return set()

    with pytest.raises(ConnectionError):
        await run(store, referenced)
    assert await names(store) == {blob}
    assert await trash(store) == set()


async def test_a_sweep_that_was_killed_is_finished_at_start(store: Store, clock: Clock) -> None:
    named, idle = await old_blob(store, b"named"), await old_blob(store, b"idle")
    clock.time = NOW
    young = (await store.put(b"young")).blob
    for blob in (named, idle, young):
        assert await store.bury(blob) is not None
    assert await names(store) == set()
    assert await restore_trash(store, rows(named), grace=GRACE, now=NOW) == Swept(1, 4, (idle,))
    assert await names(store) == {named, young}
    assert await trash(store) == set()


async def test_the_rows_are_asked_in_batches(store: Store) -> None:
    blobs = {await old_blob(store, n.to_bytes(2, "big")) for n in range(BATCH + 1)}
    sizes: list[int] = []

    async def referenced(asked: Sequence[str]) -> set[str]:
        sizes.append(len(asked))
        return set(asked)

    assert (await run(store, referenced)).count == 0
    assert sorted(sizes) == [1, BATCH]
    assert await names(store) == blobs
