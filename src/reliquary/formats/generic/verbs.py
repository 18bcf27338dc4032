"""Put and delete, with the checksums clients send along."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

from reliquary.errors import Malformed, NotHere
from reliquary.formats.verbs import Incoming, Received, Reply, Shelf
from reliquary.types import Action, Entry

_NAMED = {"x-checksum-sha256": "sha256", "x-checksum-sha512": "sha512", "x-checksum-sha1": "sha1"}
_NAMED["x-checksum-md5"] = "md5"
_FIELDS = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}


async def put(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT a file: 201 new, 200 for the same bytes, 409 for others where overwriting is off."""
    path = "/".join(incoming.segments)
    await shelf.permit(Action.PUBLISH, path)
    wanted = promised(incoming.headers)
    received = await shelf.receive(incoming.chunks(), algorithms=sorted(set(wanted) - {"sha256"}))
    try:
        _compare(wanted, received)
        new = await shelf.add(
            [(_entry(path, received, shelf), received)], replace=bool(shelf.options.get("overwrite", False))
        )
    finally:
        await received.discard()
    word = "stored" if new else "already there with the same bytes"
    return Reply(201 if new else 200, f"{word}: {path}\nsha256 {received.digests['sha256']}\n".encode())


async def delete(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE a file: 204, or 404 when there is none."""
    path = "/".join(incoming.segments)
    await shelf.permit(Action.DELETE, path)
    if not await shelf.remove([path]):
        raise NotHere(f"there is no file {path}")
    return Reply(204)


def promised(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests the client named: X-Checksum-*, Content-MD5 (RFC 1864), Repr-Digest and
    Content-Digest (RFC 9530). Algorithm to hexadecimal text; raises Malformed for broken ones."""
    found: dict[str, str] = {}
    for header, algorithm in _NAMED.items():
        if header in headers:
            _note(found, algorithm, headers[header].strip().lower(), header)
    if "content-md5" in headers:
        _note(found, "md5", _unbase64(headers["content-md5"], "content-md5"), "content-md5")
    for header in ("repr-digest", "content-digest"):
        for item in headers.get(header, "").split(","):
            label, _, text = item.strip().partition("=")
            if (known := _FIELDS.get(label.strip().lower())) is not None:
                _note(found, known, _unbase64(_bare(text, header), header), header)
    return found


def _note(found: dict[str, str], algorithm: str, digest: str, header: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{32,128}", digest):
        raise Malformed(f"{header} is not a digest; send it in the form its specification gives")
    if found.setdefault(algorithm, digest) != digest:
        raise Malformed(f"two headers name different {algorithm} digests")


def _bare(text: str, header: str) -> str:
    """The base64 of a byte sequence as structured fields write it (RFC 9651, section 3.3.5)."""
    value = text.partition(";")[0].strip()
    if len(value) < 2 or not (value.startswith(":") and value.endswith(":")):
        raise Malformed(f"{header} is not a list of digests such as sha-256=:BASE64:")
    return value[1:-1]


def _unbase64(text: str, header: str) -> str:
    try:
        return base64.b64decode(text.strip(), validate=True).hex()
    except binascii.Error as error:
        raise Malformed(f"{header} is not base64") from error


def _compare(wanted: Mapping[str, str], received: Received) -> None:
    for algorithm, digest in wanted.items():
        have = received.digests[algorithm]
        if not hmac.compare_digest(have, digest):
            raise Malformed(
                f"{algorithm} of what arrived is {have}, you announced {digest}: "
                "the file changed on its way, send it again",
                code="digest-mismatch",
            )


def _entry(path: str, received: Received, shelf: Shelf) -> Entry:
    head, slash, filename = path.rpartition("/")
    return Entry(
        key=path,
        name=path,
        version="",
        filename=filename,
        scope=head + slash,
        digests=dict(received.digests),
        size=received.size,
        published=shelf.now,
    )
