"""Raw paths to segments: split at the slash, each segment decoded once, then checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from reliquary.errors import Malformed

_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_PLAIN = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
LONGEST = 8192
MOST_FIELDS = 100


def split(raw: bytes) -> tuple[str, ...]:
    """Decoded segments of a raw path without its first slash; a final slash gives a last "".

    Raises:
        Malformed: cut escapes, control characters, backslashes, bad UTF-8, ``.`` and ``..``
            segments, raw or encoded, and empty segments inside.
    """
    if len(raw) > LONGEST:
        raise Malformed(f"the path is longer than {LONGEST} bytes")
    if _PLAIN.fullmatch(raw):
        segments = tuple(raw.decode("ascii").split("/"))
    else:
        segments = tuple(_decode(segment) for segment in raw.split(b"/"))
    for at, segment in enumerate(segments):
        if segment in (".", ".."):
            raise Malformed("the path has a . or .. segment")
        if not segment and at < len(segments) - 1:
            raise Malformed("the path has an empty segment (two slashes in a row)")
    return segments


def _decode(segment: bytes) -> str:
    if _ESCAPE.search(segment):
        raise Malformed("the path has a cut percent escape")
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the path is not UTF-8") from error
    if _CONTROL.search(text) or "%00" in text:
        raise Malformed("the path has a control character or a backslash")
    if any(part in (".", "..") for part in text.split("/")):
        raise Malformed("the path has a . or .. segment")
    return text


def query(raw: bytes) -> Mapping[str, str]:
    """Query parameters, the last of each name; raises Malformed past 100 of them."""
    if not raw:
        return {}
    try:
        return dict(parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except (UnicodeDecodeError, ValueError) as error:
        raise Malformed("the query cannot be read") from error


def join(path: str) -> str:
    """A path of text as it stands in an address."""
    return quote(path, safe="/~!$&'()*,;=:@")
