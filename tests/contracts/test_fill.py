"""Files that are being fetched: one leader, readers in this process and in others."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reliquary.blobs.base import CHUNK, Receipt
from reliquary.blobs.disk import DiskStore
from reliquary.blobs.fill import Fill, Fills, Head, Sink
from reliquary.blobs.ledger import Ledger
from reliquary.blobs.memory import MemoryStore
from reliquary.errors import Broken, Full, Mismatch, NotHere, ReliquaryError, Unavailable
from reliquary.types import Digests

pytestmark = pytest.mark.anyio

DATA = os.urandom(CHUNK + 1234)
BLOB = hashlib.sha256(DATA).hexdigest()
HEAD = Head(len(DATA), "application/zip", "tag", datetime(2020, 1, 2, tzinfo=UTC))


@pytest.fixture
async def store(tmp_path: Path) -> DiskStore:
    store = DiskStore(tmp_path)
    await store.prepare()
    return store


@pytest.fixture
async def fills(tmp_path: Path, store: DiskStore) -> AsyncIterator[Fills]:
    fills = Fills(tmp_path, store)
    yield fills
    await fills.close(grace=0)


@pytest.fixture
async def others(tmp_path: Path, store: DiskStore) -> AsyncIterator[Fills]:
    """The same folder as another process sees it: flock(2) knows opens, not processes."""
    others = Fills(tmp_path, store)
    yield others
    await others.close(grace=0)


class Fetch:
    """A leader that goes on when the test says so."""

    def __init__(self, fail: Exception | None = None, verify: Callable[[int, Digests], None] | None = None) -> None:
        self.calls = 0
        self.begin = asyncio.Event()
        self.rest = asyncio.Event()
        self.fail = fail
        self.verify = verify

    async def __call__(self, sink: Sink) -> str:
        self.calls += 1
        await self.begin.wait()
        await sink.begin(HEAD)
        await sink.write(DATA[:CHUNK])
        await self.rest.wait()
        if self.fail is not None:
            raise self.fail
        await sink.write(DATA[CHUNK:])
        return (await sink.keep(self.verify)).blob

    def go(self) -> None:
        self.begin.set()
        self.rest.set()


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def nothing_left(root: Path, *active: Fills) -> None:
    await until(lambda: not any(fills.active() for fills in active))
    assert list((root / "fills").iterdir()) == []


async def unused(sink: Sink) -> str:
    raise AssertionError("a second leader")


async def test_many_askers_one_leader(fills: Fills, store: DiskStore, tmp_path: Path) -> None:
    fetch = Fetch()
    askers = [await fills.join("key", fetch) for _ in range(50)]
    reads = [asyncio.create_task(joined(asker.read())) for asker in askers]
    assert fills.active() == 1
    fetch.go()
    assert {await read for read in reads} == {DATA}
    assert {await asker.wait() for asker in askers} == {BLOB}
    assert [await asker.head() for asker in askers] == [HEAD] * 50
    assert fetch.calls == 1
    assert await joined(store.read(BLOB)) == DATA
    await nothing_left(tmp_path, fills)


async def test_keys_do_not_share(fills: Fills) -> None:
    first, second = Fetch(), Fetch()
    one, two = await fills.join("a", first), await fills.join("b", second)
    assert fills.active() == 2
    second.go()
    assert await two.wait() == BLOB
    first.go()
    assert await one.wait() == BLOB


async def test_an_asker_that_leaves_disturbs_nobody(fills: Fills) -> None:
    fetch = Fetch()
    first = await fills.join("key", fetch)
    second = await fills.join("key", unused)
    leaving = asyncio.create_task(joined(first.read()))
    fetch.begin.set()
    await until(lambda: first.available == CHUNK)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    fetch.rest.set()
    assert await joined(second.read()) == DATA


async def test_a_fill_goes_on_when_everyone_has_left(fills: Fills, store: DiskStore) -> None:
    fetch = Fetch()
    await fills.join("key", fetch)
    fetch.go()
    await until(lambda: fills.active() == 0)
    assert await store.size(BLOB) == len(DATA)


async def test_an_asker_reads_after_the_fill_is_gone(fills: Fills, store: DiskStore, tmp_path: Path) -> None:
    fetch = Fetch()
    asker = await fills.join("key", fetch)
    fetch.go()
    await nothing_left(tmp_path, fills)
    await store.delete(BLOB)
    assert await joined(asker.read(10)) == DATA[10:]


@pytest.mark.parametrize("error", [NotHere("no such file"), Unavailable("down"), Full("no room")])
async def test_an_error_before_the_head_reaches_every_asker(
    fills: Fills, tmp_path: Path, error: ReliquaryError
) -> None:
    async def lead(sink: Sink) -> None:
        raise error

    askers = [await fills.join("key", lead) for _ in range(3)]
    for asker in askers:
        for ask in (asker.head(), asker.wait(), joined(asker.read())):
            with pytest.raises(type(error)) as caught:
                await ask
            assert caught.value is error
    await nothing_left(tmp_path, fills)


async def test_an_error_after_the_head_breaks_the_readers(fills: Fills, store: DiskStore, tmp_path: Path) -> None:
    fetch = Fetch(fail=Unavailable("the upstream was cut"))
    asker = await fills.join("key", fetch)
    read = asyncio.create_task(joined(asker.read()))
    fetch.go()
    with pytest.raises(Broken, match="the upstream was cut"):
        await read
    with pytest.raises(Unavailable):
        await asker.wait()
    assert await asker.head() == HEAD
    assert await store.size(BLOB) is None
    await nothing_left(tmp_path, fills)


async def test_an_unexpected_error_is_logged_and_told_without_its_text(fills: Fills, tmp_path: Path) -> None:
    fetch = Fetch(fail=TimeoutError("secret"))
    with capture_logs() as logs:
        asker = await fills.join("key", fetch)
        fetch.go()
        with pytest.raises(Unavailable) as caught:
            await asker.wait()
        await nothing_left(tmp_path, fills)
    assert "secret" not in caught.value.message
    assert [(line["log_level"], line["key"]) for line in logs] == [("error", "key")]


async def test_a_mismatch_is_never_seen_to_end_cleanly(fills: Fills, store: DiskStore) -> None:
    def refuse(size: int, digests: Digests) -> None:
        raise Mismatch("other bytes")

    fetch = Fetch(verify=refuse)
    asker = await fills.join("key", fetch)
    seen = b""
    fetch.go()
    with pytest.raises(Broken):
        async for chunk in asker.read():
            seen += chunk
    assert len(seen) < len(DATA)
    assert await store.size(BLOB) is None
    with pytest.raises(Mismatch):
        await asker.wait()


async def test_the_last_byte_is_withheld_until_the_leader_has_ended(fills: Fills) -> None:
    written, end = asyncio.Event(), asyncio.Event()

    async def lead(sink: Sink) -> Receipt:
        await sink.begin(Head(5))
        await sink.write(b"12345")
        receipt = await sink.finish()
        written.set()
        await end.wait()
        return receipt

    asker = await fills.join("key", lead)
    chunks = asker.read()
    await written.wait()
    assert asker.available == 5
    assert await anext(chunks) == b"1234"
    last = asyncio.create_task(asyncio.wait_for(anext(chunks), 5))
    whole_range = asyncio.create_task(joined(asker.read(2, 5)))
    assert await joined(asker.read(0, 4)) == b"1234"
    await asyncio.sleep(0.02)
    assert not last.done()
    assert not whole_range.done()
    end.set()
    assert await last == b"5"
    assert await whole_range == b"345"
    receipt = await asker.wait()
    assert receipt is not None
    assert receipt.blob == hashlib.sha256(b"12345").hexdigest()


async def test_reads_start_far_in_and_stop_early(fills: Fills) -> None:
    fetch = Fetch()
    asker = await fills.join("key", fetch)
    tail = asyncio.create_task(joined(asker.read(len(DATA) - 5)))
    over = asyncio.create_task(joined(asker.read(0, len(DATA) + 1)))
    fetch.begin.set()
    assert await joined(asker.read(7, 90)) == DATA[7:90]
    fetch.rest.set()
    assert await tail == DATA[-5:]
    with pytest.raises(Broken):
        await over
    assert await joined(asker.read(len(DATA))) == b""


async def test_an_empty_file(fills: Fills, store: DiskStore) -> None:
    async def lead(sink: Sink) -> str:
        await sink.begin(Head(0))
        return (await sink.keep()).blob

    asker = await fills.join("key", lead)
    assert await joined(asker.read()) == b""
    assert await store.size(await asker.wait() or "") == 0


async def test_work_that_is_done_already_begins_nothing(fills: Fills, others: Fills, tmp_path: Path) -> None:
    async def lead(sink: Sink) -> str:
        return "the row"

    asker = await fills.join("key", lead)
    assert not await asker.begun()
    assert await asker.wait() == "the row"
    with pytest.raises(Broken):
        await asker.head()
    await nothing_left(tmp_path, fills, others)


async def test_digests_are_those_the_fills_and_the_first_asker_want(tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    async def lead(sink: Sink) -> None:
        await sink.begin(Head())
        await sink.write(b"abc")
        await sink.keep(lambda size, digests: seen.update(digests))

    fills = Fills(tmp_path, MemoryStore(), ["md5"])
    await (await fills.join("key", lead, ["blake2b_256"])).wait()
    assert set(seen) == {"sha256", "md5", "blake2b_256"}
    assert seen["md5"] == hashlib.md5(b"abc").hexdigest()
    await nothing_left(tmp_path, fills)


async def test_a_second_process_reads_along(fills: Fills, others: Fills, tmp_path: Path) -> None:
    fetch = Fetch()
    here = await fills.join("key", fetch)
    await until(lambda: fetch.calls == 1)
    there = await others.join("key", unused)
    read = asyncio.create_task(joined(there.read()))
    fetch.begin.set()
    assert await there.head() == HEAD
    await until(lambda: there.available == CHUNK)
    assert await joined(there.read(0, 9)) == DATA[:9]
    assert not read.done()
    fetch.rest.set()
    assert await read == await joined(here.read()) == DATA
    assert await there.wait() is None
    await nothing_left(tmp_path, fills, others)


async def test_a_second_process_learns_of_failure(fills: Fills, others: Fills, tmp_path: Path) -> None:
    fetch = Fetch(fail=Mismatch("other bytes"))
    await fills.join("key", fetch)
    await until(lambda: fetch.calls == 1)
    there = await others.join("key", unused)
    fetch.begin.set()
    assert await there.head() == HEAD
    fetch.rest.set()
    with pytest.raises(Broken, match="other bytes"):
        await joined(there.read())
    with pytest.raises(Unavailable, match="other bytes"):
        await there.wait()
    await nothing_left(tmp_path, fills, others)


async def test_a_second_process_asks_itself_when_the_first_found_nothing_to_do(
    fills: Fills, others: Fills, tmp_path: Path
) -> None:
    end = asyncio.Event()

    async def first(sink: Sink) -> str:
        await end.wait()
        return "first"

    async def second(sink: Sink) -> str:
        return "second"

    await fills.join("key", first)
    await until(lambda: any((tmp_path / "fills").rglob("body")))
    there = await others.join("key", second)
    await asyncio.sleep(0.02)
    end.set()
    assert await there.wait() == "second"
    await nothing_left(tmp_path, fills, others)


async def test_many_processes_race_for_the_lock(tmp_path: Path, store: DiskStore) -> None:
    leaders = 0
    worst = 0

    async def lead(sink: Sink) -> str:
        nonlocal leaders, worst
        leaders += 1
        worst = max(worst, leaders)
        await sink.begin(HEAD)
        for at in range(0, len(DATA), 40_000):
            await sink.write(DATA[at : at + 40_000])
        leaders -= 1
        return (await sink.keep()).blob

    everyone = [Fills(tmp_path, store, poll=0.001) for _ in range(8)]
    for _ in range(15):
        askers = [await fills.join("key", lead) for fills in everyone]
        assert await asyncio.gather(*(joined(asker.read()) for asker in askers)) == [DATA] * 8
    assert worst == 1
    await nothing_left(tmp_path, *everyone)


async def test_close_lets_leaders_end(fills: Fills, store: DiskStore) -> None:
    fetch = Fetch()
    await fills.join("key", fetch)
    fetch.go()
    await fills.close(grace=10)
    assert await store.size(BLOB) == len(DATA)
    with pytest.raises(Unavailable):
        await fills.join("key", fetch)


async def test_close_cancels_leaders_that_take_too_long(fills: Fills, tmp_path: Path) -> None:
    fetch = Fetch()
    asker = await fills.join("key", fetch)
    fetch.begin.set()
    await asker.head()
    await fills.close(grace=0.01)
    with pytest.raises(Broken, match="stopping"):
        await joined(asker.read())
    await nothing_left(tmp_path, fills)


async def other_process(root: Path, *, begin: bool) -> asyncio.subprocess.Process:
    """A leader in a process of its own that writes some bytes (when it begins) and then hangs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(root), str(int(begin)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"leading\n"
    return process


SCRIPT = """
import asyncio, sys
from pathlib import Path
from reliquary.blobs.disk import DiskStore
from reliquary.blobs.fill import Fills, Head

async def lead(sink):
    if sys.argv[2] == "1":
        await sink.begin(Head(1000))
        await sink.write(b"x" * 500)
    print("leading", flush=True)
    await asyncio.sleep(60)

async def main():
    root = Path(sys.argv[1])
    fills = Fills(root, DiskStore(root))
    await (await fills.join("key", lead)).wait()

asyncio.run(main())
"""


async def kill(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def test_a_killed_leader_breaks_its_followers_and_the_next_asker_leads(fills: Fills, tmp_path: Path) -> None:
    process = await other_process(tmp_path, begin=True)
    follower: Fill[str] = await fills.join("key", unused)
    assert await follower.head() == Head(1000)
    read = asyncio.create_task(joined(follower.read()))
    assert await joined(follower.read(0, 400)) == b"x" * 400
    await kill(process)
    with pytest.raises(Broken):
        await read
    await until(lambda: fills.active() == 0)
    fetch = Fetch()
    fetch.go()
    assert await joined((await fills.join("key", fetch)).read()) == DATA
    await nothing_left(tmp_path, fills)


async def test_a_leader_killed_before_its_head_is_replaced_unnoticed(fills: Fills, tmp_path: Path) -> None:
    process = await other_process(tmp_path, begin=False)
    fetch = Fetch()
    fetch.go()
    read = asyncio.create_task(joined((await fills.join("key", fetch)).read()))
    await asyncio.sleep(0.05)
    assert fetch.calls == 0
    await kill(process)
    assert await read == DATA
    await nothing_left(tmp_path, fills)


@pytest.mark.parametrize("ask", ["join", "clean"])
async def test_the_remains_of_a_dead_leader_are_cleared(fills: Fills, tmp_path: Path, ask: str) -> None:
    await kill(await other_process(tmp_path, begin=True))
    assert [path.name for path in (tmp_path / "fills").rglob("body")] == ["body"]
    if ask == "clean":
        assert await fills.clean() == 1
    else:
        fetch = Fetch()
        fetch.go()
        assert await joined((await fills.join("key", fetch)).read()) == DATA
    await nothing_left(tmp_path, fills)


async def test_clean_spares_a_living_leader(fills: Fills, others: Fills) -> None:
    fetch = Fetch()
    asker = await fills.join("key", fetch)
    await until(lambda: fetch.calls == 1)
    assert await others.clean() == 0
    fetch.go()
    assert await joined(asker.read()) == DATA


async def test_no_descriptor_stays_open(fills: Fills, tmp_path: Path) -> None:
    outcomes: list[Callable[[], Awaitable[object]]] = []
    for number, fail in enumerate([None, Unavailable("cut")] * 5):
        fetch = Fetch(fail=fail)
        fetch.go()
        asker = await fills.join(f"key {number}", fetch)
        outcomes.append(asker.wait)
    await until(lambda: fills.active() == 0)
    outcomes.clear()
    del asker
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    assert [link for link in links if link.is_symlink() and str(link.readlink()).startswith(str(tmp_path))] == []


def test_a_ledger_whose_folder_was_taken_over_is_no_use(tmp_path: Path) -> None:
    early, late = Ledger(tmp_path / "f"), Ledger(tmp_path / "f")
    assert early.hold()
    assert early.unused()
    assert not late.hold()
    early.body.touch()
    early.note({"ok": True, "size": 0})
    early.remove()
    early.release()
    assert not (tmp_path / "f").exists()
    assert late.hold()
    assert not late.unused()

    heir = Ledger(tmp_path / "f")
    assert heir.hold()
    assert heir.unused()
    heir.body.touch()
    assert late.open_body() is None
    assert heir.open_body() is not None
    late.remove()
    assert heir.current()
    assert late.records() == [{"ok": True, "size": 0}]


def test_a_line_that_was_cut_is_not_taken_for_an_end(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "f")
    ledger.note({"head": None})
    with (tmp_path / "f" / "lock").open("ab") as lock:
        lock.write(b'{"ok": true, "si')
    assert ledger.records() == [{"head": None}]


def test_an_unused_lock_file_that_was_removed_is_not_led_by(tmp_path: Path) -> None:
    asker, cleaner = Ledger(tmp_path / "f"), Ledger(tmp_path / "f")
    assert cleaner.hold()
    cleaner.remove()
    cleaner.release()
    assert asker.hold()
    assert not asker.unused()
