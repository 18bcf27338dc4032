"""curl puts and gets plain files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.clients.tools import Home, command
from tests.running import Running

pytestmark = pytest.mark.client


def curl(home: Home, *arguments: str | Path, fails: bool = False) -> str:
    return home.run(command("curl"), "--silent", "--show-error", "--fail", *arguments, fails=fails).output


def test_put_get_resume_and_head(home: Home, server: Running, tmp_path: Path) -> None:
    body = os.urandom(2_000_000)
    source, target = tmp_path / "tool.bin", tmp_path / "got.bin"
    source.write_bytes(body)
    url = f"{server.url}generic/main/tools/1.0/tool.bin"
    login = ("--user", f"__token__:{server.token}")
    assert hashlib.sha256(body).hexdigest() in curl(home, *login, "--upload-file", source, url)
    curl(home, *login, "--upload-file", source, url)
    curl(home, "--output", target, url)
    assert target.read_bytes() == body
    target.write_bytes(body[:700_000])
    curl(home, "--continue-at", "-", "--output", target, url)
    assert target.read_bytes() == body
    head = curl(home, "--head", url).lower()
    assert "content-length: 2000000" in head
    assert "accept-ranges: bytes" in head
    assert "tool.bin" in curl(home, f"{server.url}generic/main/tools/1.0/")


def test_refusals(home: Home, server: Running, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("one")
    url = f"{server.url}generic/main/refused/a.txt"
    login = ("--user", f"__token__:{server.token}")
    assert "401" in curl(home, "--upload-file", source, url, fails=True)
    curl(home, *login, "--upload-file", source, url)
    source.write_text("two")
    assert "409" in curl(home, *login, "--upload-file", source, url, fails=True)
    assert curl(home, url) == "one"
    wrong = ("--header", f"X-Checksum-Sha256: {'0' * 64}")
    assert "400" in curl(home, *login, *wrong, "--upload-file", source, f"{url}.2", fails=True)
    assert "404" in curl(home, f"{url}.2", fails=True)
    curl(home, *login, "--request", "DELETE", url)
    assert "404" in curl(home, url, fails=True)
