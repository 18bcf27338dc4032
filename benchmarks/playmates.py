"""How other servers are started, each as its own documentation says."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.samples import Sample
from tests.running import PATIENCE, free_port

from benchmarks import reads
from benchmarks.tools import environment


@contextmanager
def serving(command: Sequence[str], folder: Path, url: str, env: Mapping[str, str]) -> Iterator[str]:
    """A server for the length of a ``with`` block; gives its address when it answers there."""
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {(folder / 'log').read_text()[-1000:]}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


@contextmanager
def devpi(commands: Path, folder: Path, index: str) -> Iterator[str]:
    """devpi with the mirror root/up and the index bench/own of user bench."""
    folder.mkdir(parents=True)
    env, port = environment(folder), free_port()
    init = [str(commands / "devpi-init"), "--serverdir", str(folder / "data"), "--no-root-pypi"]
    subprocess.run(init, env=env, check=True, capture_output=True, timeout=60)
    command = [str(commands / "devpi-server"), "--serverdir", str(folder / "data"), "--port", str(port)]
    with serving(command, folder, f"http://127.0.0.1:{port}/", env) as url:
        root = ("root", token(url, "root", ""))
        call(f"{url}root/up", "PUT", {"type": "mirror", "mirror_url": index, "mirror_use_external_urls": False}, root)
        call(f"{url}bench", "PUT", {"password": "bench"}, root)
        call(f"{url}bench/own", "PUT", {"type": "stage", "bases": []}, ("bench", token(url, "bench", "bench")))
        yield url


def token(url: str, user: str, password: str) -> str:
    """Log in at devpi."""
    found: str = call(f"{url}+login", "POST", {"user": user, "password": password})["result"]["password"]
    return found


def call(url: str, method: str, body: Mapping[str, Any], login: tuple[str, str] | None = None) -> dict[str, Any]:
    """Ask devpi's own interface."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if login is not None:
        headers["X-Devpi-Auth"] = base64.b64encode(":".join(login).encode()).decode()
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


@contextmanager
def proxpi(commands: Path, folder: Path, index: str) -> Iterator[str]:
    """proxpi under gunicorn: one worker with threads, pages kept for as long as the run lasts."""
    folder.mkdir(parents=True)
    port = free_port()
    command = [str(commands / "gunicorn"), "--workers", "1", "--worker-class", "gthread", "--threads", "16"]
    command += ["--bind", f"127.0.0.1:{port}", "proxpi.server:app"]
    env = environment(folder, PROXPI_INDEX_URL=index, PROXPI_CACHE_DIR=str(folder / "cache"))
    env["PROXPI_LOGGING_LEVEL"] = "WARNING"
    with serving(command, folder, f"http://127.0.0.1:{port}/", env) as url:
        yield url


@contextmanager
def pypiserver(commands: Path, folder: Path, samples: Sequence[Sample]) -> Iterator[str]:
    """pypiserver on a folder with files of the same names; it takes uploads of anybody. ``auto`` takes waitress."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for name, files in (("small", reads.SMALL), ("large", reads.LARGE)):
        for at in range(files):
            (packages / f"{name}-1.{at}-py3-none-any.whl").write_bytes(b"made up")
    for each in samples:
        each.save(packages)
    port = free_port()
    command = [str(commands / "pypi-server"), "run", "-p", str(port), "-i", "127.0.0.1", "-P", ".", "-a", "."]
    command += ["--disable-fallback", "--server", "auto", str(packages)]
    with serving(command, folder, f"http://127.0.0.1:{port}/", environment(folder)) as url:
        yield url
