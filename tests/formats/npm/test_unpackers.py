"""Archives that two unpackers would read in two ways: what npm unpacks must be what was looked into."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time

import pytest

from reliquary.errors import Malformed
from reliquary.formats.npm import inspect

EVIL = json.dumps({"name": "demo", "version": "1.0.0", "scripts": {"postinstall": "true"}}).encode()
GOOD = json.dumps({"name": "demo", "version": "1.0.0"}).encode()


def block(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(path: str, data: bytes, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(path)
    info.size, info.type = len(data), kind
    return info.tobuf(tarfile.USTAR_FORMAT) + block(data)


def summed(header: bytes) -> bytes:
    """A header whose checksum is right again."""
    total = sum(header[:148]) + 8 * 32 + sum(header[156:])
    return header[:148] + b"%06o\0 " % total + header[156:]


def look(*members: bytes) -> inspect.Tarball:
    return inspect.look(io.BytesIO(gzip.compress(b"".join(members) + bytes(1024))))


@pytest.mark.parametrize(("path", "kind"), [("package/d", b"5"), ("package/d/", b"0"), ("package/d/", b"5")])
def test_a_folder_with_bytes_is_refused(path: str, kind: bytes) -> None:
    hidden = member("package/package.json", EVIL)
    with pytest.raises(Malformed, match="folder"):
        look(member("package/package.json", GOOD), member(path, hidden, kind))


@pytest.mark.parametrize("sign", ["\n", "\0"])
def test_a_pax_header_of_several_lines_is_refused(sign: str) -> None:
    text = f"comment=x{sign}29 path=package/package.json"
    record = next(f"{size} {text}\n".encode() for size in range(10, 99) if len(f"{size} {text}\n".encode()) == size)
    with pytest.raises(Malformed, match="lines"):
        look(member("package/package.json", GOOD), member("x", record, b"x"), member("package/y", EVIL))


def test_a_prefix_in_an_unknown_version_is_refused() -> None:
    made = member("package.json", EVIL)
    header = bytearray(made[:512])
    header[263:265], header[345:352] = b"01", b"package"
    with pytest.raises(Malformed, match="version"):
        look(member("package/package.json", GOOD), summed(bytes(header)) + made[512:])
    header[263:265] = b"00"
    found = look(member("package/index.js", b""), summed(bytes(header)) + made[512:])
    assert found.has_install_script


def test_dependencies_of_an_odd_form_take_linear_time() -> None:
    tarball = look(member("package/package.json", GOOD))
    begun = time.thread_time()
    with pytest.raises(Malformed):
        inspect.agree({"name": "demo", "version": "1.0.0", "dependencies": ["a" * 500_000 + " b\nc"]}, tarball)
    assert time.thread_time() - begun < 2
