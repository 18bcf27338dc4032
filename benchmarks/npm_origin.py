"""A registry of packuments that lie in a folder, as a process of its own: ``python -m benchmarks.npm_origin FOLDER``.

Synthetic packages, and real ones that were fetched before: while rates are measured nothing leaves loopback.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.clients.npm.samples import Sample
from tests.running import PATIENCE
from tests.upstreams import playing

TARBALL = re.compile(rb'("tarball"\s*:\s*")https?://[^/"]+/')
"""What a packument says of its tarballs, up to the path."""
HOST = "http://registry.example/"
TEXT = "What the package is for, what it needs and how it is used, in a few words that every version repeats. " * 4


def version(sample: Sample) -> dict[str, Any]:
    """One version as a registry lists it: some 1,200 bytes, of which what differs from version to version is what
    differs in real ones (digests, a signature, a commit, a range), since that decides how small gzip makes them."""
    chance = random.Random(sample.marker)
    tarball = f"{HOST}{sample.name}/-/{sample.filename}"
    signed = [{"keyid": "SHA256:made-up-and-the-same-for-all", "sig": b64encode(chance.randbytes(71)).decode()}]
    dist = {"tarball": tarball, "shasum": sample.shasum, "integrity": sample.integrity, "signatures": signed}
    return sample.manifest | {
        "_id": sample.marker,
        "description": TEXT,
        "gitHead": chance.randbytes(20).hex(),
        "dist": dist | {"fileCount": len(sample.files), "unpackedSize": chance.randrange(2000, 9000)},
        "dependencies": {f"made-{at}": f"^{at}.0.{chance.randrange(9)}" for at in range(6)},
        "scripts": {"test": "node --test", "build": "node build.js", "lint": "node lint.js --max-warnings 0"},
        "repository": {"type": "git", "url": f"git+https://code.example/{sample.name}.git"},
        "maintainers": [{"name": f"person-{at}", "email": f"person-{at}@team.example"} for at in range(2)],
        "_npmUser": {"name": "person-0", "email": "person-0@team.example"},
        "engines": {"node": ">=18"},
    }


def packument(name: str, count: int) -> bytes:
    """The full document of a made-up package with ``count`` versions."""
    versions = {each.version: version(each) for each in samples(name, count)}
    when = {number: f"2026-01-01T00:00:00.{at % 1000:03}Z" for at, number in enumerate(versions)}
    edges = dict.fromkeys(("created", "modified"), "2026-01-01T00:00:00.000Z")
    document = {
        "_id": name,
        "_rev": "1-made",
        "name": name,
        "description": "made up",
        "dist-tags": {"latest": next(reversed(versions))},
        "versions": versions,
        "time": edges | when,
        "readme": "Made up. " * 500,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def samples(name: str, count: int) -> list[Sample]:
    """The versions of a made-up package, whose tarballs weigh about a kilobyte."""
    return [Sample(name, f"1.{at}.0") for at in range(count)]


def path_of(folder: Path, name: str) -> Path:
    """Where a packument lies."""
    return folder / f"{quote(name, safe='')}.json"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The registry for the length of a ``with`` block; its root, with a final slash."""
    command = [sys.executable, "-m", "benchmarks.npm_origin", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise RuntimeError("the registry did not start")
        yield url
    finally:
        process.communicate(timeout=PATIENCE)


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    with playing() as upstream:
        base = upstream.url.encode()
        for file in folder.glob("*.json"):
            name = unquote(file.stem)
            body = TARBALL.sub(rb"\g<1>" + base, file.read_bytes())
            # Clients write the slash of a scope in any of these ways (npm.md, section 2).
            for spelled in {name, name.replace("/", "%2f"), name.replace("/", "%2F")}:
                upstream.put(f"/{spelled}", body, content_type="application/json")
        for sample in samples("small", 10):
            upstream.put(f"/small/-/{sample.filename}", sample.tarball)
        print(upstream.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
