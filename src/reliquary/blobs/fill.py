"""Files that are being fetched: one leader writes, everyone who asks reads along.

A fill lives in ``fills/<sha256 of its key>/`` as ``body``, which grows, and ``lock``, which the
leader holds by flock(2), so that its death frees it. The lock file also carries the head and the
end, a JSON line each: a follower has it open from the start, and so learns both even when the
folder is gone before it looks again. A lock file serves one leadership only; whoever finds the
remains of another removes the folder and starts a new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import structlog

from reliquary.blobs import in_thread
from reliquary.blobs.base import CHUNK, BlobStore, Receipt, Verifier
from reliquary.blobs.files import Descriptor, Spool, disk_errors, read_at
from reliquary.blobs.ledger import Head, Ledger, pack, unpack
from reliquary.errors import Broken, NotHere, ReliquaryError, Unavailable
from reliquary.failpoints import reach

__all__ = ["Fill", "Fills", "Head", "Sink"]

T = TypeVar("T")

AT_ONCE = 1_048_576
"""Bytes of a body that are written where they arrive; a file that is larger can fill the disk's
buffers and make writing wait, so a thread writes the rest."""

STOPPING = "the server is stopping"
FAILED = "the file could not be fetched, for a reason that is in the server's log"


class Flight(Generic[T]):
    """What this process knows of one fill, which it leads or follows; shared by all askers here.

    Args:
        folder: where the fill lives.
        lead: fetches, when this process is the one to do it.
        algorithms: the digests that the leader takes.
        store: adopts what is kept.
        poll: seconds between two looks at another process's fill.
    """

    def __init__(
        self,
        folder: Path,
        lead: Callable[[Sink], Awaitable[T]],
        algorithms: Sequence[str],
        store: BlobStore,
        poll: float,
    ) -> None:
        self.store = store
        self.algorithms = algorithms
        self.head: Head | None = None
        self.body: Descriptor | None = None
        self.available = 0
        self.verified = False
        self.ended = False
        self.error: ReliquaryError | None = None
        self.result: T | None = None
        self._folder = folder
        self._lead_by = lead
        self._poll = poll
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Wake everyone who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def release(self) -> None:
        """The bytes are whole, right and stored: readers need not wait until their row is written."""
        self.verified = True
        self.notify()

    def end(self, error: ReliquaryError | None = None) -> None:
        """Nothing more will come; only the first end counts."""
        if not self.ended:
            # Without its frames, which hold this flight and so the body's descriptor.
            self.ended, self.error = True, error and error.with_traceback(None)
            self.notify()

    async def run(self) -> None:
        """Lead, or follow another process until it ends; lead in its place when it dies before
        anyone here has seen its head."""
        try:
            while not self.ended:
                with disk_errors("begin a fill"):
                    ledger = Ledger(self._folder)  # a folder and an empty file: less than a thread costs
                try:
                    await self._attempt(ledger)
                finally:
                    ledger.release()
        except ReliquaryError as error:
            self.end(error)
        except asyncio.CancelledError:
            self.end(Unavailable(STOPPING))
            raise
        finally:
            self.end(Unavailable(FAILED))

    async def _attempt(self, ledger: Ledger) -> None:
        if not ledger.hold():
            with disk_errors("follow a fill"):
                await self._follow(ledger)
        elif ledger.unused():
            await self._lead(ledger)
        else:
            with disk_errors("clear an old fill"):
                await in_thread(ledger.remove)

    async def _lead(self, ledger: Ledger) -> None:
        sink = Sink(self, ledger)
        try:
            await sink.prepare()
            self.result = await self._lead_by(sink)
            receipt = await sink.finish()
            reach("fill.before-end")
        except BaseException as error:
            known = error if isinstance(error, ReliquaryError) else None
            record = {"error": known.message if known else FAILED, "missing": isinstance(known, NotHere)}
            await in_thread(_leave, ledger, sink, record)
            if known is None:
                raise
            self.end(known)
        else:
            self.end()
            await in_thread(_leave, ledger, sink, {"ok": True, "size": receipt.size})

    async def _follow(self, ledger: Ledger) -> None:
        while True:
            # The lock is tried first: what a leader that let go of it has written is final.
            free = ledger.hold()
            records = ledger.records()
            ends = [record for record in records if "head" not in record]
            self._catch_up(ledger, records)
            if ends:
                self._conclude(ends[0])
            if ends or free:
                break
            await asyncio.sleep(self._poll)
        if free:
            await in_thread(ledger.remove)
        if self.head is not None and not ends:
            self.end(Broken("the process that fetched the file died"))

    def _catch_up(self, ledger: Ledger, records: Sequence[dict[str, Any]]) -> None:
        if self.body is None:
            self.body = ledger.open_body()
        if self.body is None:
            return
        if self.head is None and records and "head" in records[0]:
            self.head = unpack(records[0]["head"])
            self.notify()
        size = os.fstat(self.body.fd).st_size
        if size != self.available:
            self.available = size
            self.notify()

    def _conclude(self, record: dict[str, Any]) -> None:
        if "error" in record:
            kind = NotHere if record.get("missing") else Unavailable
            self.end(kind(record["error"]))
        elif self.head is not None:
            self.end(None if self.available == record["size"] else Broken("a shared file was cut"))
        else:
            # It was over before we could open its body: the loop in `run` asks again. Without a
            # head there is nothing that an asker could have seen.
            self.body, self.available = None, 0


class Sink:
    """What the leader writes to: ``begin``, ``write`` as often as needed, then ``keep`` or ``finish``.

    A leader that finds its work done already returns without ``begin``.
    """

    def __init__(self, flight: Flight[Any], ledger: Ledger) -> None:
        self._flight = flight
        self._ledger = ledger
        self._receipt: Receipt | None = None
        self.spool: Spool | None = None

    async def prepare(self) -> None:
        """Make the body; for the flight to call."""
        self.spool = Spool(self._ledger.body, self._flight.algorithms)
        self._flight.body = self._ledger.open_body()

    def _spool(self) -> Spool:
        if self.spool is None or self._flight.head is None:
            raise RuntimeError("a fill is written to before it has begun")
        return self.spool

    async def begin(self, head: Head) -> None:
        """Let the askers go on: the head is known, bytes follow."""
        if self._flight.head is not None:
            raise RuntimeError("a fill begins once")
        with disk_errors("begin a fill"):
            self._ledger.note({"head": pack(head)})
        self._flight.head = head
        self._flight.notify()
        reach("fill.begun")

    async def write(self, chunk: bytes) -> None:
        """Append, hash, and show the bytes to the askers; raises Full or CannotTell."""
        if self._receipt is not None:
            raise RuntimeError("written to after finish")
        if self._flight.available < AT_ONCE:
            self._spool().append(chunk)
        else:
            await in_thread(self._spool().append, chunk)
        self._flight.available += len(chunk)
        self._flight.notify()
        reach("fill.written")

    async def finish(self) -> Receipt:
        """No more bytes: their size and digests. Stores nothing."""
        if self._receipt is None:
            if self.spool is None:
                raise RuntimeError("a fill is finished before it is prepared")
            self._receipt = self.spool.receipt()
        return self._receipt

    async def keep(self, verify: Verifier | None = None, *, early: bool = False) -> Receipt:
        """Finish, check, and take the body into the store without fsync.

        Args:
            early: readers may have the last byte now, before the leader has ended.

        Raises:
            ReliquaryError: what ``verify`` or the store raises; nothing is stored then.
        """
        receipt = await self.finish()
        if verify is not None:
            verify(receipt.size, receipt.digests)
        reach("fill.finished")
        path = _second_name(self._spool().path, self._ledger.folder / "adopted")
        reach("fill.linked")
        await self._flight.store.adopt(path, receipt)
        reach("fill.adopted")
        if early:
            self._flight.release()
        return receipt


class Fill(Generic[T]):
    """What an asker holds. Letting it go, or being cancelled, disturbs nobody."""

    def __init__(self, flight: Flight[T]) -> None:
        self._flight = flight

    async def begun(self) -> bool:
        """Wait for the head: True when it is there, False when the leader ended well without one
        because there was nothing to fetch. Raises the error of a leader that failed before."""
        flight = self._flight
        while flight.head is None and not flight.ended:
            await flight.changed()
        if flight.head is None and flight.error is not None:
            raise flight.error.with_traceback(None)
        return flight.head is not None

    async def head(self) -> Head:
        """Wait for what is known before the first byte.

        Raises:
            ReliquaryError: the leader's, when it failed before it began.
            Broken: the leader ended well, but without beginning (see `begun`).
        """
        if not await self.begun() or self._flight.head is None:
            raise Broken("there is nothing to read along; ask again", retry_after=1)
        return self._flight.head

    @property
    def available(self) -> int:
        """Bytes that have come so far."""
        return self._flight.available

    async def read(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``stop`` (exclusive) as they come.

        The last byte that is there is withheld until the leader has ended well, or has checked and
        stored the bytes, so that bytes that turn out wrong are never seen to end cleanly.

        Raises:
            Broken: the leader failed or died, or there are fewer bytes than ``stop``.
        """
        await self.head()
        flight, body = self._flight, self._flight.body
        while stop is None or start < stop:
            if flight.error is not None and not flight.verified:
                raise Broken(flight.error.message) from flight.error
            ended = flight.ended or flight.verified
            limit = flight.available if ended else max(flight.available - 1, 0)
            limit = limit if stop is None else min(limit, stop)
            if start < limit and body is not None:
                chunk = await read_at(body.fd, min(CHUNK, limit - start), start)
                if not chunk:
                    raise Broken("a shared file was cut")
                start += len(chunk)
                yield chunk
            elif ended:
                if stop is not None:
                    raise Broken("the file is shorter than was asked for")
                return
            else:
                await flight.changed()

    async def wait(self) -> T | None:
        """What the leader returned, None when another process led; raises its error."""
        while not self._flight.ended:
            await self._flight.changed()
        if self._flight.error is not None:
            raise self._flight.error.with_traceback(None)
        return self._flight.result


class Fills:
    """The fills of this process.

    Args:
        root: the folder that has ``fills/``; on the store's file system, to spare a copy.
        store: takes in what leaders keep.
        algorithms: digests that every fill takes besides sha256.
        poll: seconds between two looks at a fill of another process.
    """

    def __init__(self, root: Path, store: BlobStore, algorithms: Sequence[str] = (), *, poll: float = 0.008) -> None:
        self._root = root / "fills"
        self._store = store
        self._algorithms = tuple(algorithms)
        self._poll = poll
        self._flights: dict[str, Flight[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger("reliquary.blobs.fill")

    async def join(self, key: str, lead: Callable[[Sink], Awaitable[T]], algorithms: Sequence[str] = ()) -> Fill[T]:
        """Read along with the fill of ``key``, starting it when there is none.

        Args:
            key: any text; the same key means the same bytes.
            lead: does the fetch, in a task of its own that no asker cancels; not called when
                another asker already leads.
            algorithms: digests to take, when this asker is the first.

        Raises:
            Unavailable: the server is stopping.
        """
        if self._closed:
            raise Unavailable(STOPPING)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._start(key, lead, algorithms)
        return Fill(cast("Flight[T]", flight))

    def under_way(self, key: str) -> Fill[Any] | None:
        """The fill of ``key`` that this process leads or follows now, or None."""
        flight = self._flights.get(key)
        return None if flight is None else Fill(flight)

    def _start(self, key: str, lead: Callable[[Sink], Awaitable[T]], algorithms: Sequence[str]) -> Flight[T]:
        folder = self._root / hashlib.sha256(key.encode()).hexdigest()
        flight = Flight(folder, lead, (*self._algorithms, *algorithms), self._store, self._poll)
        self._flights[key] = flight
        task = asyncio.create_task(self._run(key, flight), name=f"fill {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _run(self, key: str, flight: Flight[Any]) -> None:
        try:
            await flight.run()
        except Exception:
            self._log.exception("a fill failed unexpectedly", key=key)
        finally:
            del self._flights[key]

    async def close(self, grace: float = 10.0) -> None:
        """Take no more askers, let running fills end within ``grace`` seconds, cancel the rest."""
        self._closed = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def active(self) -> int:
        """Fills that this process leads or follows now."""
        return len(self._flights)

    async def clean(self) -> int:
        """Remove what leaders that died have left, for keys nobody asks for again; their count."""
        with disk_errors("look for old fills"):
            return await in_thread(self._clean)

    def _clean(self) -> int:
        count = 0
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            ledger = Ledger(folder)
            if ledger.hold():
                ledger.remove()
                count += 1
            ledger.release()
        return count


def _leave(ledger: Ledger, sink: Sink, record: dict[str, Any]) -> None:
    # A disk that refuses these lines and removals must not hide how the fill ended; followers
    # take a lock that is free without an end for a death.
    with suppress(OSError):
        ledger.note(record)
    with suppress(OSError, ReliquaryError):
        if sink.spool is not None:
            sink.spool.close()
        ledger.remove()


def _second_name(body: Path, name: Path) -> Path:
    try:
        name.hardlink_to(body)
    except OSError:
        return body  # no hard links here: followers that have not opened the body ask again
    return name
