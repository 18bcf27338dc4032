"""Large files and large catalogs: memory, and the time to be ready."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import random
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.running import Running, basic, running, start

from benchmarks.results import Row, below, interleaved
from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import NewFile, Touched
from reliquary.formats.pypi import FORMAT, names
from reliquary.settings import Settings
from reliquary.types import Entry

NONE = 'upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
PATH = "/generic/local/bench/huge.bin"
BATCH = 5000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PART = "Memory and start"


class Made(io.RawIOBase):
    """``size`` made-up bytes, made as they are read."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._block = random.Random(3).randbytes(1_048_576)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        piece = self._block[: min(self._left, len(self._block) if size < 0 else size)]
        self._left -= len(piece)
        return piece


def memory(server: Running, field: str) -> float:
    """MiB of a field of the server's status: VmRSS, or the peak VmHWM."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def measure(folder: Path, size: int, files: int, rounds: int) -> Iterator[Row]:
    """Upload and download of ``size`` bytes, an idle server, and a start on ``files`` files."""
    with running(folder / "idle", config=NONE) as server:
        time.sleep(2)
        yield below(PART, "idle server", "MiB", memory(server, "VmRSS"), 110)
        yield from huge(server, size)
    yield ready(folder / "full", files, rounds)


def huge(server: Running, size: int) -> Iterator[Row]:
    """One large file up and down."""
    title = f"file of {size / 1e6:.0f} MB"
    if shutil.disk_usage(server.data).free < 3 * size + 1e9:
        return
    for verb, work in (("upload", upload), ("download", download)):
        before, started = memory(server, "VmRSS"), time.monotonic()
        # 5 sets the peak back to what is in use now (proc(5), clear_refs).
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
        work(server, size)
        taken = time.monotonic() - started
        yield below(PART, f"{title}, {verb}, growth", "MiB", memory(server, "VmHWM") - before, 64)
        yield Row(PART, f"{title}, {verb}", "MB/s", size / 1e6 / taken)


def upload(server: Running, size: int) -> None:
    """PUT made-up bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300, blocksize=1_048_576)
    try:
        headers = {"Content-Length": str(size), "Authorization": basic("__token__", server.token)}
        connection.request("PUT", PATH, body=Made(size), headers=headers)
        if (status := connection.getresponse().status) != 201:
            raise RuntimeError(f"the upload was answered {status}")
    finally:
        connection.close()


def download(server: Running, size: int) -> None:
    """GET them again."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    buffer = bytearray(1_048_576)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        got = 0
        while count := response.readinto(buffer):
            got += count
        if got != size:
            raise RuntimeError(f"{got} of {size} bytes came")
    finally:
        connection.close()


def rows(name: str, start: int, stop: int) -> list[NewFile]:
    """Made-up files of one project, whose bytes nobody will ask for."""
    made = []
    for at in range(start, stop):
        filename = f"{name}-1.{at}-py3-none-any.whl"
        digest = hashlib.sha256(filename.encode()).hexdigest()
        entry = Entry(
            key=names.file_path(name, filename, digest),
            name=name,
            version=f"1.{at}",
            filename=filename,
            scope=name,
            size=1000,
            digests={"sha256": digest},
            published=NOW,
        )
        digests = {"sha256": digest}
        made.append(NewFile(entry, FORMAT.fragment(entry), digest, NOW, NOW, digest, 1000, digests))
    return made


async def fill(data: Path, projects: dict[str, int]) -> None:
    """Write rows into the hosted repository of a data folder that no server has open."""
    catalog = await Catalog.open(Settings(data=data).database)
    try:
        specs = await catalog.repositories.all()
        [local] = [spec.id for spec in specs if (spec.format, spec.name) == ("pypi", "local")]
        for name, files in projects.items():
            for at in range(0, files, BATCH):
                additions = rows(name, at, min(files, at + BATCH))
                await catalog.files.add(local, additions, touched=Touched((name,)))
    finally:
        await catalog.close()


def prepare(data: Path, projects: dict[str, int]) -> None:
    """A data folder with files of made-up projects."""
    start(data, config=NONE).stop()
    asyncio.run(fill(data, projects))


def ready(data: Path, files: int, rounds: int) -> Row:
    """Seconds from the command to /readyz."""
    each = min(files, 1000)
    prepare(data, {f"made-{at}": each for at in range(files // each)})
    [taken] = interleaved(rounds, partial(begin, data))
    return below(PART, f"ready, on {files} files", "s", taken, 2)


def begin(data: Path) -> float:
    """Start once."""
    started = time.monotonic()
    server = start(data, config=NONE)
    taken = time.monotonic() - started
    server.stop()
    return taken
