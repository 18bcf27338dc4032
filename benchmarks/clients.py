"""Real clients and real packages, with the upstream that a server without settings finds on this machine."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.running import Running, running

from benchmarks.results import Row, at_most, spread
from benchmarks.tools import environment, provide

PART = "Real clients, upstream of this machine, their own caches empty"
ROUNDS, PATIENCE, LEAST = 3, 240, 150
"""Rounds; seconds that a client may take; packages that uv must install."""
NAMES = """
aiohttp aiosignal alembic annotated-types anyio argon2-cffi arrow asgiref async-timeout attrs babel bcrypt
beautifulsoup4 black blinker boto3 botocore cachetools certifi cffi charset-normalizer click cloudpickle colorama
coverage cryptography decorator deprecated distlib django dnspython docker docutils email-validator execnet fastapi
filelock flask frozenlist fsspec gitpython greenlet gunicorn h11 httpcore httptools httpx idna importlib-metadata
iniconfig isodate itsdangerous jinja2 jmespath jsonschema jsonschema-specifications kombu loguru lxml mako markdown
markdown-it-py markupsafe mdurl marshmallow more-itertools msgpack multidict mypy mypy-extensions networkx numpy
oauthlib orjson packaging paramiko pathspec passlib peewee pexpect pillow platformdirs pluggy prompt-toolkit propcache
protobuf psutil psycopg pyasn1 pycparser pydantic pydantic-core pygments pyjwt pyparsing pytest python-dateutil
python-dotenv python-multipart pytz pyyaml redis referencing regex requests rich rpds-py rsa ruamel-yaml s3transfer
setuptools simplejson six sniffio soupsieve sphinx sqlalchemy starlette structlog tabulate tenacity toml tomlkit toolz
tornado tqdm typer typing-extensions tzdata ujson urllib3 uvicorn virtualenv watchdog watchfiles wcwidth websockets
werkzeug wheel wrapt yarl zipp
"""
PACKAGES = NAMES.split()
FEW = PACKAGES[::5][:25]


@dataclass(frozen=True)
class Client:
    """A command line, run in an empty folder; what it brought is what there is of ``brought`` afterwards."""

    name: str
    command: tuple[str, ...]
    brought: str
    least: int


def run(client: Client, home: Path, index: str) -> float:
    """Seconds that a client takes; raises RuntimeError when it fails."""
    home.mkdir(parents=True)
    env = environment(home, UV_CACHE_DIR=str(home / "cache"), UV_DEFAULT_INDEX=index, PIP_INDEX_URL=index)
    os.sync()  # what the run before wrote is not waited for in this one
    started = time.monotonic()
    done = subprocess.run(
        client.command, cwd=home, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    taken = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"{client.name} failed: {done.stderr[-500:]}")
    return taken


def uv(commands: Path) -> Client:
    """Resolve and install every package, and what it needs, into a folder."""
    program = (str(commands / "uv"), "pip", "install", "--quiet", "--no-build", "--python", sys.executable)
    return Client("uv pip install", (*program, "--target", "target", *PACKAGES), "target/*.dist-info", LEAST)


def pip(commands: Path) -> Client:
    """Download a few wheels."""
    program = (str(commands / "python"), "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps")
    return Client("pip download", (*program, "--only-binary", ":all:", "--dest", "wheels", *FEW), "wheels/*", len(FEW))


def found(server: Running) -> str | None:
    """The upstream that the server says it found."""
    line = re.search(r"^pypi: upstream (\S+) ", server.log.read_text(), re.MULTILINE)
    return line[1] if line else None


def measure(folder: Path, homes: Path | None = None) -> Iterator[Row]:
    """Each client in turn; nothing where there is no upstream or client.

    Args:
        homes: where the clients keep their files; None: where temporary files are kept.
    """
    for name, make in (("uv", uv), ("pip", pip)):
        commands = provide(name, name)
        if commands is None:
            print(f"left out: {name} cannot be installed", file=sys.stderr)
        else:
            yield from beside_direct(folder / name, make(commands), homes)


def beside_direct(folder: Path, client: Client, homes: Path | None) -> Iterator[Row]:
    """Direct, through an empty server, and through the same once more."""
    with tempfile.TemporaryDirectory(dir=homes) as made:
        yield from _beside_direct(folder, client, Path(made))


def _beside_direct(folder: Path, client: Client, homes: Path) -> Iterator[Row]:
    taken: dict[str, list[float]] = {"direct": [], "cold": [], "warm": []}
    count = 0
    for at in range(ROUNDS):
        with running(folder / f"var-{at}") as server:
            direct = found(server)
            if direct is None:
                print("left out: this machine has no upstream", file=sys.stderr)
                return
            ours = f"{server.url}pypi/main/simple/"
            steps = [("direct", direct), ("cold", ours), ("warm", ours)]
            # Who comes second finds the other's files in this machine's memory, and names looked up.
            for what, index in steps if at % 2 == 0 else [*steps[1:], steps[0]]:
                home = homes / f"{at}-{what}"
                taken[what].append(run(client, home, index))
                count = brought(client, home)
                shutil.rmtree(home)
    for what, bound in (("cold", 2.0), ("warm", 0.8)):
        medians = (statistics.median(taken[what]), statistics.median(taken["direct"]))
        title = f"{client.name}, {count} packages, {what}"
        yield spread(at_most(PART, title, "s", *medians, "direct", bound), taken[what], taken["direct"])


def brought(client: Client, home: Path) -> int:
    """How many packages there are; raises RuntimeError when they are too few to say anything."""
    count = len(list(home.glob(client.brought)))
    if count < client.least:
        raise RuntimeError(f"{client.name} brought {count} packages, {client.least} are wanted")
    return count
