"""Mirrors of us: bandersnatch and devpi (edge case 62 of the format's list)."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.samples import Sample
from tests.clients.tools import Home, tool
from tests.running import Running, free_port, running

pytestmark = [pytest.mark.client, pytest.mark.matrix]

SAMPLES = (Sample("mirrored-one"), Sample("mirrored-two"), Sample("mirrored-two", "2.0"))


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Running]:
    """A server with two hosted projects and no upstream."""
    with running(
        tmp_path / "var", config='upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
    ) as server:
        for each in SAMPLES:
            assert server.put(f"/pypi/local/{each.filename}", each.wheel).status == 201
        yield server


@pytest.mark.parametrize("method", ["simple", "xmlrpc"])
def test_bandersnatch(method: str, origin: Running, home: Home, tmp_path: Path) -> None:
    folder, config = tmp_path / "mirror", tmp_path / "bandersnatch.conf"
    config.write_text(
        f"""[mirror]
directory = {folder}
master = {origin.url}pypi/local
api-method = {method}
allow-non-https = true
json = true
timeout = 10
global-timeout = 60
workers = 2
stop-on-error = true
"""
    )
    home.run(tool("bandersnatch") / "bandersnatch", "--config", config, "mirror")
    have = {path.name: path.read_bytes() for path in folder.rglob("*.whl")}
    assert have == {each.filename: each.wheel for each in SAMPLES}


def test_devpi(origin: Running, home: Home, tmp_path: Path) -> None:
    with devpi(home, tmp_path / "devpi") as url:
        login = call(f"{url}+login", "POST", {"user": "root", "password": ""})["result"]["password"]
        index = {"type": "mirror", "mirror_url": f"{origin.url}pypi/local/simple/", "mirror_cache_expiry": "1"}
        call(f"{url}root/up", "PUT", index, login)
        pip = (tool("pip") / "python", "-m", "pip", "download", "--no-cache-dir", "--no-deps")
        simple = ("--index-url", f"{url}root/up/+simple/")
        home.run(*pip, *simple, "--dest", tmp_path / "got", "mirrored-one", "mirrored-two==1.0")
        for each in SAMPLES[:2]:
            assert (tmp_path / "got" / each.filename).read_bytes() == each.wheel
        later = Sample("mirrored-two", "3.0")
        assert origin.put(f"/pypi/local/{later.filename}", later.wheel).status == 201
        time.sleep(1.5)
        home.run(*pip, *simple, "--dest", tmp_path / "later", "mirrored-two==3.0")
        assert (tmp_path / "later" / later.filename).read_bytes() == later.wheel


@contextmanager
def devpi(home: Home, folder: Path) -> Iterator[str]:
    """A devpi server that mirrors nothing yet; its address."""
    commands, port = tool("devpi"), free_port()
    home.run(commands / "devpi-init", "--serverdir", folder, "--no-root-pypi", timeout=60)
    start = [str(commands / "devpi-server"), "--serverdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            start, env=home.environment(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=folder
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 60
        while not answers(f"{url}+api"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def call(url: str, method: str, body: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    """Ask devpi's own interface, as root where a token is given."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token is not None:
        headers["X-Devpi-Auth"] = base64.b64encode(f"root:{token}".encode()).decode()
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
