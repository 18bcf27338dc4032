"""JSON objects as their members' own bytes: what is passed on verbatim is never parsed and written anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias, TypeVar

import msgspec
import orjson

from reliquary.errors import Malformed

T = TypeVar("T")
Bytes: TypeAlias = bytes | msgspec.Raw
"""The text of a JSON value."""
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder()


def split(body: Bytes) -> dict[str, msgspec.Raw]:
    """The members of an object, in order, each as the bytes of its value; raises Malformed for anything else."""
    try:
        return _MEMBERS.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed("this is no JSON object") from error


def split_or_none(body: Bytes | None) -> dict[str, msgspec.Raw] | None:
    """The same, None for anything that is not an object."""
    if body is None:
        return None
    try:
        return _MEMBERS.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def value(body: Bytes | None, kind: type[T]) -> T | None:
    """A member's value where it is of this kind, else None: what is odd is left out, not refused."""
    if body is None:
        return None
    try:
        found = _VALUE.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, kind) else None


def join(members: Mapping[str, Bytes]) -> bytes:
    """An object of members' bytes."""
    return b"{" + bare(members.items()) + b"}"


def bare(members: Iterable[tuple[str, Bytes]]) -> bytes:
    """The same without its braces, to be put beside other members."""
    pieces: list[Bytes] = []
    for name, content in members:
        pieces += (b",", _key(name), content)
    return b"".join(pieces[1:])


@lru_cache(maxsize=1024)
def _key(name: str) -> bytes:
    return orjson.dumps(name) + b":"


def text(body: Bytes) -> str:
    """Bytes of a document as text; what is no UTF-8 becomes U+FFFD."""
    return str(body, "utf-8", "replace")
