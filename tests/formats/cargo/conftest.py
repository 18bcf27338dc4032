"""A server that cargo's own tests share, and short words for what is asked of one.

Crates have names of their own in every test, so that tests do not meet.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reliquary.formats.cargo import names
from tests.contracts.requests import NONE
from tests.formats.cargo.artefacts import body, crate, told
from tests.running import Answer, Running, running

LIMIT = 20_000
"""Bytes that ``cargo/small`` takes."""

CONFIG = f"""{NONE}
[[repositories]]
format = "cargo"
name = "small"
kind = "hosted"
upload_limit = {LIMIT}

[[repositories]]
format = "cargo"
name = "far"
kind = "proxy"
upstream = "none"

[[repositories]]
format = "cargo"
name = "closed"
kind = "hosted"
anonymous_read = false

[[repositories]]
format = "cargo"
name = "closed-far"
kind = "proxy"
upstream = "none"
anonymous_read = false

[[repositories]]
format = "cargo"
name = "closed-main"
kind = "group"
members = ["closed", "closed-far"]
anonymous_read = false

[[users]]
name = "ann"
password = "p@ss:w/rd"
"""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Hosted ``local`` in the group ``main``, ``far`` (no upstream), and ``closed*``, which nobody reads unasked."""
    with running(tmp_path_factory.mktemp("cargo") / "var", config=CONFIG) as server:
        yield server


def ask(server: Running, method: str, path: str, *, at: str = "local", sent: bytes | None = None) -> Answer:
    """A request below a repository, with the administrator's bare token, as cargo shows it."""
    headers = {"Authorization": server.token}
    return server.ask(f"/cargo/{at}/{path}", method=method, headers=headers, body=sent)


def publish(
    server: Running, name: str, version: str = "1.0.0", *, to: str = "local", made: bytes | None = None, **more: Any
) -> Answer:
    """Publish as cargo does.

    Args:
        made: the .crate, else the one of this name and version.
        more: other or further members of the JSON.
    """
    sent = body(told(name, version, **more), crate(name, version) if made is None else made)
    return ask(server, "PUT", "api/v1/crates/new", at=to, sent=sent)


def index(server: Running, name: str, *, at: str = "local", **headers: str) -> Answer:
    """A crate's index file, as anybody has it."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return server.ask(f"/cargo/{at}/{names.index_path(name.lower())}", headers=sent)


def lines(server: Running, name: str, *, at: str = "local") -> list[dict[str, Any]]:
    """A crate's index lines, each of which must parse; none where there is no such crate."""
    answer = index(server, name, at=at)
    assert answer.status in (200, 404), answer.text
    if answer.status == 404:
        return []
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body[:-1].split(b"\n")]


def versions(server: Running, name: str, *, at: str = "local") -> list[str]:
    """The versions that the index lists, in its order."""
    return [line["vers"] for line in lines(server, name, at=at)]


def download(server: Running, name: str, version: str = "1.0.0", *, at: str = "local") -> Answer:
    """A version's archive, as anybody has it."""
    return server.ask(f"/cargo/{at}/api/v1/crates/{name}/{version}/download")


def said(answer: Answer) -> str:
    """What cargo prints of an error: all its details."""
    assert answer.header("content-type") == "application/json"
    return ", ".join(each["detail"] for each in json.loads(answer.body)["errors"])


def blobs(server: Running) -> set[str]:
    """The stored bytes, by name."""
    return {path.name for path in (server.data / "blobs").rglob("*") if path.is_file()}


def together(*work: Callable[[], Answer]) -> list[Answer]:
    """Do things at once, each in a thread; their answers, in that order."""
    answers: dict[int, Answer] = {}
    gate = threading.Barrier(len(work))

    def run(at: int, each: Callable[[], Answer]) -> None:
        gate.wait(30)
        answers[at] = each()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answers[at] for at in range(len(work))]
