"""Stopping, starting twice, foreign data folders, damage on the disk, and a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.playground import (
    FRESH,
    Got,
    blobs,
    get,
    lay_plain,
    lay_wheel,
    litter,
    lose,
    noise,
    settings,
    settle,
    sha256,
    stored,
)
from tests.formats.pypi.artefacts import metadata, wheel
from tests.running import Running, basic, environment, free_port, reliquary, running, start
from tests.upstreams import Upstream

NONE = 'upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
SIZE = 600_000


def term(server: Running) -> float:
    """SIGTERM; the seconds until it ended."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(45)
    return time.monotonic() - began


def test_a_download_under_way_is_finished_on_sigterm(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_plain(upstream, "finishes", noise(SIZE, "finishes"))
    upstream.fault(played.there, drip=SIZE // 2)
    found: list[Got] = []
    server = start(tmp_path / "var", config=settings(upstream))
    thread = threading.Thread(target=lambda: found.append(get(server, played.here)))
    thread.start()
    time.sleep(0.8)
    assert term(server) < 20
    thread.join(20)
    (got,) = found
    assert got.whole == (got.body == played.data), "finished, or seen to break"
    assert got.whole, "it would have taken two seconds"
    assert server.process.returncode in (0, -signal.SIGTERM), "ended by itself, whatever it says of the signal"
    upstream.stop()
    with running(tmp_path / "var", config=settings(upstream)) as again:
        assert get(again, played.here).body == played.data
        assert litter(again.data) == []


def test_an_idle_server_ends_at_once(tmp_path: Path) -> None:
    server = start(tmp_path / "var", config=NONE)
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.recv(1000)
        assert term(server) < 10
    assert server.process.returncode in (0, -signal.SIGTERM), "ended by itself, whatever it says of the signal"


@pytest.mark.matrix
def test_a_download_without_end_is_cut_on_sigterm(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_plain(upstream, "endless", noise(9_000_000, "endless"))
    upstream.fault(played.there, drip=50_000)
    server = start(tmp_path / "var", config=settings(upstream))
    found: list[Got] = []
    thread = threading.Thread(target=lambda: found.append(get(server, played.here, timeout=60)))
    thread.start()
    time.sleep(0.5)
    assert term(server) < 45
    thread.join(20)
    assert not found[0].whole
    with running(tmp_path / "var", config=settings(upstream)) as again:
        assert stored(again, played.here) is None and litter(again.data) == []


def serve(data: Path, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the server, which is expected to refuse."""
    config = config or data.parent / "none.toml"
    config.write_text(NONE)
    command = [*reliquary(), "serve", "--data", str(data), "--port", str(free_port()), "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment())


def test_a_second_server_on_one_data_folder_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "var", config=NONE) as server:
        done = serve(tmp_path / "var")
        assert done.returncode != 0
        assert "another server is using" in done.stderr and "Traceback" not in done.stderr
        assert server.ask("/readyz").status == 200
    with running(tmp_path / "var", config=NONE) as server:
        assert server.ask("/readyz").status == 200


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with running(data, config=NONE):
        pass
    with closing(sqlite3.connect(data / "reliquary.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    done = serve(data)
    assert done.returncode != 0
    assert "newer" in done.stderr and "Traceback" not in done.stderr
    with closing(sqlite3.connect(data / "reliquary.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing new can be written below ``folder``; needs root, as for `small_disk`."""
    mount = shutil.which("mount")
    assert mount is not None
    subprocess.run([mount, "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run([mount, "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def refused_in_one_line(done: subprocess.CompletedProcess[str], data: Path) -> None:
    """The server said what is wrong with its data folder, and no more."""
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: cannot write to the data folder {data}: "), done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stdout


def test_a_data_folder_on_a_read_only_disk_is_refused_in_one_line(tmp_path: Path) -> None:
    config, given = tmp_path / "none.toml", f"{NONE}reserve = 0\n"
    with small_disk(tmp_path / "disk", "32m") as disk:
        with running(disk / "var", config=given) as server:
            assert server.put("/generic/local/here.bin", b"here").status == 201
        with read_only(disk):
            for data in (disk / "var", disk / "new"):
                done = serve(data, config)
                refused_in_one_line(done, data)
                assert "Read-only" in done.stderr
        with running(disk / "var", config=given) as server:
            assert get(server, "/generic/local/here.bin").body == b"here"


def test_a_file_where_the_data_folder_should_be_is_refused_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.write_text("in the way")
    refused_in_one_line(serve(data), data)
    assert data.read_text() == "in the way"


def verify(server: Running) -> list[dict[str, str]]:
    """What the program's own verification finds, beside the running server."""
    command = [*reliquary(), "verify", "--json", "--data", str(server.data)]
    command += ["--config", str(server.data.parent / "var.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
    found: list[dict[str, str]] = json.loads(done.stdout)["damage"]
    assert done.returncode == (1 if found else 0)
    return found


def test_a_lost_blob_of_a_proxy_is_fetched_again(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_wheel(upstream, "lost", noise(SIZE, "lost"))
    plain = lay_plain(upstream, "lost", noise(SIZE, "plain"))
    with running(tmp_path / "var", config=settings(upstream)) as server:
        for each in (played, plain):
            first = get(server, each.here)
            assert first.body == each.data
            lose(server, each.here)
            again = get(server, each.here)
            assert (again.status, again.body) == (200, each.data)
            assert stored(server, each.here) == sha256(each.data)
            lose(server, each.here)
            part = get(server, each.here, {"Range": "bytes=10-19"})
            assert (part.status, part.body) == (206, each.data[10:20])
            assert settle(server.data) == []
        assert verify(server) == []
        lose(server, played.here)
        upstream.stop()
        assert get(server, played.here).status == 503


def test_a_lost_blob_of_a_hosted_repository_is_reported(tmp_path: Path) -> None:
    with running(tmp_path / "var", config=NONE) as server:
        server.put("/generic/local/a.bin", b"a" * 5000)
        server.put("/generic/local/b.bin", b"b" * 5000)
        blob = sha256(b"a" * 5000)
        (server.data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob).unlink()
        for path in ("/generic/local/a.bin", "/generic/main/a.bin"):
            got = get(server, path)
            assert (got.status, got.headers["cache-control"]) == (503, "no-store")
            assert b"verify" in got.body
        assert get(server, "/generic/main/b.bin").body == b"b" * 5000
        (damage,) = verify(server)
        assert (damage["blob"], damage["key"]) == (blob, "a.bin")
        assert server.put("/generic/local/a.bin", b"a" * 5000).status in (200, 201)
        assert get(server, "/generic/local/a.bin").body == b"a" * 5000, "publishing it again mends it"
        assert verify(server) == []


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    data = wheel("flipped")
    with running(tmp_path / "var", config=NONE) as server:
        assert server.put("/pypi/main/flipped-1.0-py3-none-any.whl", data).status == 201
        assert verify(server) == []
        blob = sha256(data)
        path = server.data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert [damage["blob"] for damage in verify(server)] == [blob]


def test_a_cut_upload_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "var", config=NONE) as server:
        before = blobs(server.data)
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            head = "PUT /generic/main/cut.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            raw.sendall(f"{head}Authorization: {basic('__token__', server.token)}\r\n\r\n".encode() + b"x" * 500_000)
            time.sleep(0.3)
        assert settle(server.data) == []
        assert get(server, "/generic/main/cut.bin").status == 404
        assert blobs(server.data) == before


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own size; skips where it cannot be had."""
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("this system mounts no tmpfs here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_publishes_and_streams_fills(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_plain(upstream, "room", noise(SIZE, "room"))
    raw = metadata("room")
    packed = lay_wheel(upstream, "room", wheel("room", meta=raw), said={"core-metadata": {"sha256": sha256(raw)}})
    upstream.put(packed.there + ".metadata", raw)
    claimed = lay_wheel(upstream, "claimed", wheel("claimed"), said={"core-metadata": {"sha256": sha256(raw)}})
    with small_disk(tmp_path / "disk", "24m") as disk:
        config = settings(upstream, FRESH).replace("reserve = 0", 'reserve = "4 MiB"')
        with running(disk / "var", config=config) as server:
            assert server.put("/generic/local/small.bin", b"x" * 1000).status == 201
            filler = disk / "filler"
            free = shutil.disk_usage(disk).free
            filler.write_bytes(bytes(free - 3_000_000))
            assert server.put("/generic/local/large.bin", noise(8_000_000)).status == 507
            assert get(server, "/generic/local/large.bin").status == 404
            got = get(server, played.here)
            assert (got.status, got.body) == (200, played.data), "a fill passes through"
            assert stored(server, played.here, arriving=False) is None, "and is not kept"
            assert get(server, packed.here + ".metadata").body == raw, "sidecars are kept all the same"
            assert get(server, packed.here).body == packed.data
            got = get(server, claimed.here + ".metadata")
            assert (got.status, "retry-after" in got.headers) == (503, True), "nothing is known for certain"
            assert settle(server.data) == []
            filler.unlink()
            assert get(server, claimed.here + ".metadata").body == metadata("claimed")
            assert server.put("/generic/local/large.bin", noise(8_000_000)).status == 201
            assert get(server, played.here).body == played.data
            assert stored(server, played.here) == sha256(played.data)
