"""Real clients and real packages, with the upstream that a server without settings finds on this machine."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.running import Running, running

from benchmarks.results import Row, at_most, beside
from benchmarks.tools import environment, provide

PART = "Real clients, upstream of this machine, their own caches empty"
ROUNDS, PATIENCE = 2, 240
NAMES = """
aiohttp aiosignal alembic annotated-types anyio argon2-cffi asgiref async-timeout attrs babel bcrypt beautifulsoup4
black blinker boto3 botocore cachetools certifi cffi charset-normalizer click cloudpickle colorama coverage
cryptography decorator deprecated distlib django dnspython docutils execnet fastapi filelock flask frozenlist fsspec
gitpython greenlet gunicorn h11 httpcore httptools httpx idna importlib-metadata iniconfig isodate itsdangerous
jinja2 jmespath jsonschema jsonschema-specifications kombu lxml mako markdown markdown-it-py markupsafe mdurl
more-itertools msgpack multidict mypy mypy-extensions networkx numpy oauthlib orjson packaging paramiko pathspec
pillow platformdirs pluggy prompt-toolkit propcache protobuf psutil psycopg pyasn1 pycparser pydantic pydantic-core
pygments pyjwt pyparsing pytest python-dateutil pytz pyyaml redis referencing regex requests rich rpds-py rsa
ruamel-yaml s3transfer setuptools six sniffio soupsieve sphinx sqlalchemy starlette tabulate tenacity toml tomlkit
tornado tqdm typer typing-extensions tzdata urllib3 uvicorn virtualenv watchdog watchfiles wcwidth websockets werkzeug
wheel wrapt yarl zipp
"""
PACKAGES = NAMES.split()
FEW = PACKAGES[::5][:25]

Install = Callable[[Path, str], float]


def run(command: list[str], home: Path, index: str) -> float:
    """Seconds that a client takes; raises RuntimeError when it fails."""
    home.mkdir(parents=True)
    env = environment(home, UV_CACHE_DIR=str(home / "cache"), UV_DEFAULT_INDEX=index, PIP_INDEX_URL=index)
    started = time.monotonic()
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    taken = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-500:]}")
    return taken


def uv(commands: Path) -> Install:
    """Resolve and install every package into a folder."""
    program = [str(commands / "uv"), "pip", "install", "--quiet", "--no-build", "--python", sys.executable]
    return lambda home, index: run([*program, "--target", str(home / "target"), *PACKAGES], home, index)


def pip(commands: Path) -> Install:
    """Download a few wheels."""
    program = [str(commands / "python"), "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps"]
    only = ["--only-binary", ":all:", "--dest", "wheels"]
    return lambda home, index: run([*program, *only, *FEW], home, index)


def found(server: Running) -> str | None:
    """The upstream that the server says it found."""
    line = re.search(r"^pypi: upstream (\S+) ", server.log.read_text(), re.MULTILINE)
    return line[1] if line else None


def measure(folder: Path) -> Iterator[Row]:
    """Each client in turn; nothing where there is no upstream or client."""
    for name, count, make in (("uv", len(PACKAGES), uv), ("pip", len(FEW), pip)):
        commands = provide(name, name)
        if commands is None:
            print(f"left out: {name} cannot be installed", file=sys.stderr)
        else:
            yield from client(folder / name, f"{name}, {count} packages", make(commands), name == "uv")


def client(folder: Path, title: str, install: Install, goals: bool) -> Iterator[Row]:
    """Direct, through an empty server, and through the same once more."""
    taken: list[tuple[float, float, float]] = []
    for at in range(ROUNDS):
        with running(folder / f"var-{at}") as server:
            direct = found(server)
            if direct is None:
                print("left out: this machine has no upstream", file=sys.stderr)
                return
            index = f"{server.url}pypi/main/simple/"
            home = folder / str(at)
            straight = install(home / "direct", direct)
            taken.append((straight, install(home / "cold", index), install(home / "warm", index)))
    straight, cold, warm = (statistics.median(column) for column in zip(*taken, strict=True))
    for what, ours, bound in (("cold", cold, 2), ("warm", warm, 0.8)):
        row = (PART, f"{title}, {what}", "s", ours, straight)
        yield at_most(*row, "direct", bound) if goals else beside(*row, "direct")
