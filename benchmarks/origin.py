"""An upstream of large files that keeps a pace, as a process of its own: ``python -m benchmarks.origin PORT``.

It offers the project ``heavy`` with ``FILES`` source distributions, which differ in their first bytes, and tells
at ``/count/N`` how often file N was asked for.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.running import PATIENCE, free_port

FILES, CHUNK = 12, 262_144
REST = random.Random(2).randbytes(CHUNK)


def name(at: int) -> str:
    """The file name of one file."""
    return f"heavy-1.{at}.tar.gz"


def pieces(at: int, size: int) -> Iterator[bytes]:
    """The bytes of one file."""
    first = b"%016d" % at + REST[16:]
    for start in range(0, size, CHUNK):
        yield (REST if start else first)[: size - start]


def page(size: int) -> bytes:
    """The project's page (PEP 691)."""
    rows = []
    for at in range(FILES):
        digest = hashlib.sha256()
        for piece in pieces(at, size):
            digest.update(piece)
        hashes = {"sha256": digest.hexdigest()}
        rows.append({"filename": name(at), "url": f"/files/{at}", "hashes": hashes, "size": size})
    return json.dumps({"meta": {"api-version": "1.0"}, "name": "heavy", "files": rows}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    counted: ClassVar[Counter[str]] = Counter()
    listing: bytes = b""
    size = 0
    pace = 0.0

    def do_GET(self) -> None:
        folder, _, last = self.path.strip("/").rpartition("/")
        if folder == "files":
            self.counted[last] += 1
            self._file(int(last))
        elif folder == "count":
            self._answer(str(self.counted[last]).encode(), "text/plain")
        elif last == "heavy":
            self._answer(self.listing, "application/vnd.pypi.simple.v1+json")
        else:
            self.send_error(404)

    def _head(self, size: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _answer(self, body: bytes, kind: str) -> None:
        self._head(len(body), kind)
        self.wfile.write(body)

    def _file(self, at: int) -> None:
        self._head(self.size, "application/octet-stream")
        started, sent = time.monotonic(), 0
        for piece in pieces(at, self.size):
            time.sleep(max(0.0, started + sent / self.pace - time.monotonic()))
            self.wfile.write(piece)
            sent += len(piece)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Many askers may come at once."""

    request_queue_size = 128
    daemon_threads = True


@contextmanager
def serving(size: int, pace: float) -> Iterator[str]:
    """The upstream for the length of a ``with`` block; its address, with a final slash.

    Args:
        size: bytes of a file.
        pace: bytes a second of each download.
    """
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.origin", str(port), str(size), str(pace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the upstream did not start")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def main(port: int, size: int, pace: float) -> None:
    """Serve until stopped."""
    Handler.size, Handler.pace, Handler.listing = size, pace, page(size)
    with Server(("127.0.0.1", port), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
