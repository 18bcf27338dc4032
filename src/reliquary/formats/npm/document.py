"""The body of a publish, read as it comes: the attachments' data go to their takers, the rest is a small document.

npm sends one JSON object whose bulk is ``_attachments.{file}.data``, a tarball in base64. Each data string is replaced
by an empty one in a skeleton, which a JSON parser judges at the end: replacing a string by a string changes nothing of
the grammar, so that a body is refused exactly when the whole of it would be.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate
from typing import Any, TypeAlias

import orjson

from reliquary.errors import Malformed, TooLarge
from reliquary.formats.npm.names import shown

LIMIT = 33_554_432
"""Bytes of a body without its attachments' data."""

ATTACHMENTS = 16
"""npm sends two at most: the tarball and its provenance."""

DEEPEST = 1000
"""Brackets within brackets; the parser that judges has no room for many more."""

TEXT_SUFFIX = ".sigstore"
"""Attachments whose data is text, not base64."""

Take: TypeAlias = Callable[[str, AsyncIterator[bytes]], Awaitable[None]]
"""What is done with an attachment: its file name as it is sent, and its decoded bytes."""

_SIGN = re.compile(rb'["{}\[\]:,]')
_SKIP = re.compile(rb'[^"{}\[\]]*+(?:"(?:[^"\\]++|\\.)*+"[^"{}\[\]]*+)*+', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_ESCAPED = re.compile(rb'(?:[^"\\]++|\\(?:[^u]|u[0-9A-Fa-f]{4}))*+', re.DOTALL)
_LONGEST_ESCAPE = 6
_LAST = re.compile(rb"[^=]{2}(?:[^=]{2}|[^=]=|==)")


async def split(chunks: AsyncIterator[bytes], take: Take, *, limit: int = LIMIT) -> dict[str, Any]:
    """Read a body to its end, in memory that its attachments do not fill.

    Args:
        chunks: the body as it comes, cut anywhere.
        take: awaited for each attachment in the order they come; what it leaves unread is read past. It sees the
            bytes before the whole body was judged, so that what it wrote is thrown away when this raises.
        limit: bytes of the body without its attachments' data; the text of a ``.sigstore`` attachment counts.

    Returns:
        The document; each data string that was taken is ``""`` in it. Where a key comes twice the last one counts,
        as it does for npm, but among attachments none may come twice.

    Raises:
        Malformed: not a whole JSON object, data that is not base64, a ``length`` that is not the data's.
        TooLarge: the document, or the number of its attachments.
    """
    reader = _Reader(chunks, limit)
    while isinstance(event := await reader.next(), _Open):
        data = reader.data()
        await take(event.filename, data)
        await data.aclose()
        async for _ in reader.data():
            pass
    return reader.document()


async def peek(chunks: AsyncIterator[bytes], size: int) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first ``size`` bytes of a stream (fewer when it is shorter), and the whole stream again.

    A gzip file begins with 1f 8b (RFC 1952, section 2.3.1), which no JSON text does.
    """
    first: list[bytes] = []
    count = 0
    while count < size and (chunk := await anext(chunks, None)) is not None:
        first.append(chunk)
        count += len(chunk)

    async def whole() -> AsyncIterator[bytes]:
        for chunk in first:
            yield chunk
        async for chunk in chunks:
            yield chunk

    return b"".join(first)[:size], whole()


@dataclass(frozen=True, slots=True)
class _Open:
    """An attachment's data begins."""

    filename: str


@dataclass(frozen=True, slots=True)
class _Close:
    """An attachment's data is whole."""


_Event: TypeAlias = _Open | _Close | bytes


class _Reader:
    """The events of a body, one at a time."""

    def __init__(self, chunks: AsyncIterator[bytes], limit: int) -> None:
        self._chunks = chunks
        self._splitter = _Splitter(limit)
        self._events: deque[_Event] = deque()
        self._inside = False

    async def next(self) -> _Event | None:
        """The next event; None at the end of the body."""
        while not self._events:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return None
            self._events.extend(self._splitter.feed(chunk))
        event = self._events.popleft()
        self._inside = not isinstance(event, _Close)
        return event

    async def data(self) -> AsyncGenerator[bytes, None]:
        """What is left of the attachment that was opened last."""
        while self._inside:
            event = await self.next()
            if event is None:
                raise Malformed("the body was cut in the middle of an attachment; send it again")
            if isinstance(event, bytes) and event:
                yield event

    def document(self) -> dict[str, Any]:
        """The document, judged."""
        return _document(self._splitter.skeleton, self._splitter.sizes)


def _document(skeleton: bytearray, sizes: dict[str, int]) -> dict[str, Any]:
    try:
        found = orjson.loads(skeleton)
    except ValueError as error:
        raise Malformed("the body is not a whole JSON document in UTF-8; send it again") from error
    if not isinstance(found, dict):
        raise Malformed("the body is not a JSON object: send a package document, as npm publish does")
    attachments = found.get("_attachments")
    if attachments is None:
        return found
    if not isinstance(attachments, dict):
        raise Malformed("_attachments is not a JSON object: send file names with their data")
    for filename, attachment in attachments.items():
        if not isinstance(attachment, dict):
            raise Malformed(f"the attachment {shown(filename)} is not a JSON object with data")
        _check_attachment(filename, attachment, sizes.get(filename))
    return found


def _check_attachment(filename: str, attachment: dict[str, Any], size: int | None) -> None:
    if size is None and "data" in attachment:
        raise Malformed(f"the data of the attachment {shown(filename)} is not a string; send it in base64")
    length = attachment.get("length")
    # The length of a text is what JavaScript counts of it, which is not its bytes.
    if size is None or length is None or filename.endswith(TEXT_SUFFIX):
        return
    if length != size:
        raise Malformed(f"the attachment {shown(filename)} has {size} bytes, its length says otherwise; send it again")


class _State(Enum):
    OUTSIDE = auto()
    STRING = auto()
    DATA = auto()


class _Splitter:
    """Push parser: ``feed`` turns bytes into events and a skeleton.

    It counts brackets and looks at keys only on the way to an attachment: `_level` brackets of those that are open are
    the root, ``_attachments`` and one attachment; anything deeper or elsewhere is passed over.
    """

    def __init__(self, limit: int) -> None:
        self.skeleton = bytearray()
        self.sizes: dict[str, int] = {}
        self._limit = limit
        self._held = b""
        self._state = _State.OUTSIDE
        self._depth = 0
        self._level = 0
        self._at_key = False
        self._key: str | None = None
        self._key_start: int | None = None
        self._filename = ""
        self._once: set[tuple[int, str, str]] = set()
        self._decoder: _Base64 | _Text = _Text("", 0)
        self._events: list[_Event] = []

    def feed(self, data: bytes) -> list[_Event]:
        """The events that ``data`` completes. Raises Malformed, TooLarge."""
        self._events = []
        data, self._held = (self._held + data if self._held else data), b""
        at = 0
        while at < len(data):
            if self._state is _State.DATA:
                at = self._in_data(data, at)
            elif self._state is _State.STRING:
                at = self._in_string(data, at)
            elif self._depth > self._level:
                at = (at == 0 and self._leap(data)) or self._pass_over(data, at)
            else:
                at = self._on_the_way(data, at)
        return self._events

    def _keep(self, piece: bytes) -> None:
        self.skeleton += piece
        if len(self.skeleton) > self._limit:
            raise TooLarge(f"the document without its attachments is larger than {self._limit} bytes")

    def _pass_over(self, data: bytes, start: int) -> int:
        """Skip what no attachment can be in, bracket by bracket."""
        at = start
        while self._depth > self._level:
            found = _SKIP.match(data, at)
            at = found.end() if found else at
            if at == len(data):
                break
            sign = data[at]
            at += 1
            if sign == 0x22:
                self._state = _State.STRING
                break
            self._depth += 1 if sign in b"{[" else -1
            if self._depth > DEEPEST:
                raise Malformed(f"the document is nested more than {DEEPEST} deep")
        self._keep(data[start:at])
        return at

    def _leap(self, data: bytes) -> int:
        """Pass over all of a chunk at once, without a step in Python for each bracket; 0 where it leads further in
        or out than that."""
        bare = _ESCAPE.sub(b"", data) if b"\\" in data else data
        parts = bare.split(b'"')
        brackets = b"".join(parts[::2]).translate(_STEPS, _NO_BRACKETS)
        depths = list(accumulate(memoryview(brackets).cast("b"), initial=self._depth))
        if min(depths) <= self._level or max(depths) > DEEPEST:
            return 0
        self._depth = depths[-1]
        if len(parts) % 2 == 0:
            self._state = _State.STRING
            self._held = b"\\" if bare.endswith(b"\\") else b""
        self._keep(data[: len(data) - len(self._held)])
        return len(data)

    def _on_the_way(self, data: bytes, start: int) -> int:
        """One sign of the root, of ``_attachments`` or of an attachment."""
        found = _SIGN.search(data, start)
        at = found.end() if found else len(data)
        self._keep(data[start:at])
        sign = data[at - 1 : at] if found else b""
        if sign == b'"':
            self._open_string()
        elif sign in (b"{", b"["):
            self._open_bracket(sign)
        elif sign in (b"}", b"]"):
            self._depth = max(0, self._depth - 1)
            self._level = self._depth
            self._at_key, self._key = False, None
        elif sign == b":":
            self._at_key = False
        elif sign == b",":
            self._at_key, self._key = True, None
        return at

    def _open_bracket(self, sign: bytes) -> None:
        inward = sign == b"{" and not self._at_key
        if inward and self._level == 0:
            self._level = 1
        elif inward and self._level == 1 and self._key == "_attachments":
            self._level = 2
        elif inward and self._level == 2 and self._key is not None:
            self._filename, self._level = self._key, 3
        self._depth += 1
        self._at_key, self._key = self._level == self._depth, None

    def _open_string(self) -> None:
        if self._at_key:
            self._key_start = len(self.skeleton) - 1
        elif self._level == 3 and self._key == "data":
            self._open_data()
            return
        self._state = _State.STRING

    def _in_string(self, data: bytes, start: int) -> int:
        found = _REST.match(data, start)
        at = found.end() if found else start
        if data[at : at + 1] == b'"':
            at += 1
            self._state = _State.OUTSIDE
        elif at < len(data):
            self._held = data[at:]
        self._keep(data[start:at])
        if self._state is _State.OUTSIDE and self._key_start is not None:
            self._key = self._read_key(self._key_start)
            self._key_start = None
            self._check_once(self._key)
        return len(data) if self._held else at

    def _read_key(self, start: int) -> str:
        try:
            return str(orjson.loads(self.skeleton[start:]))
        except ValueError as error:
            raise Malformed("a key of the document is not a JSON string in UTF-8") from error

    def _check_once(self, key: str) -> None:
        """Readers of JSON differ in which of two equal keys counts: among attachments there are none."""
        if self._level != 2 and key != {1: "_attachments", 3: "data"}.get(self._level):
            return
        place = self._level, self._filename if self._level == 3 else "", key
        if place in self._once:
            raise Malformed(f"the document has the key {shown(key)} twice; send it once")
        self._once.add(place)

    def _open_data(self) -> None:
        if len(self.sizes) == ATTACHMENTS:
            raise TooLarge(f"the document has more than {ATTACHMENTS} attachments")
        self.sizes[self._filename] = 0
        text = self._filename.endswith(TEXT_SUFFIX)
        self._decoder = _Text(self._filename, self._limit) if text else _Base64(self._filename)
        self._state = _State.DATA
        self._events.append(_Open(self._filename))

    def _in_data(self, data: bytes, start: int) -> int:
        """Data up to its closing quote or the end of what there is, cut between two escapes."""
        quote = data.find(b'"', start)
        at = quote if quote >= 0 else len(data)
        escaped = data.find(b"\\", start, at) >= 0
        if escaped:
            found = _ESCAPED.match(data, start)
            at = found.end() if found else start
        self._emit(self._decoder.feed(data[start:at], escaped=escaped))
        if data[at : at + 1] == b'"':
            self._emit(self._decoder.close())
            self._events.append(_Close())
            self._state, self._key = _State.OUTSIDE, None
            self._keep(b'"')
            return at + 1
        if len(data) - at >= _LONGEST_ESCAPE:
            raise Malformed(f"the data of the attachment {shown(self._filename)} has an escape that JSON does not know")
        self._held = data[at:]
        return len(data)

    def _emit(self, piece: bytes) -> None:
        if piece:
            self.sizes[self._filename] += len(piece)
            self._events.append(piece)


class _Base64:
    """Decodes base64 that is cut anywhere; its alphabet and padding are strict (RFC 4648, section 4)."""

    def __init__(self, filename: str) -> None:
        self._filename = filename
        self._carry = b""
        self._ended = False

    def feed(self, piece: bytes, *, escaped: bool) -> bytes:
        """The bytes that a piece of the string completes."""
        if not piece:
            return b""
        try:
            plain = str(orjson.loads(b'"%b"' % piece)).encode("ascii") if escaped else piece
            data = self._carry + plain if self._carry else plain
            whole = len(data) & ~3
            self._carry = data[whole:]
            if self._ended or (whole and not _LAST.fullmatch(data, whole - 4, whole)):
                raise ValueError("padding")
            self._ended = data[whole - 1 : whole] == b"="
            return binascii.a2b_base64(data[:whole], strict_mode=True)
        except ValueError as error:
            raise self._wrong() from error

    def close(self) -> bytes:
        """Nothing more may be there."""
        if self._carry:
            raise self._wrong()
        return b""

    def _wrong(self) -> Malformed:
        return Malformed(f"the data of the attachment {shown(self._filename)} is not base64; encode the file as it is")


class _Text:
    """Gathers a text, which is small; a character may be cut anywhere."""

    def __init__(self, filename: str, limit: int) -> None:
        self._filename = filename
        self._limit = limit
        self._raw = bytearray(b'"')

    def feed(self, piece: bytes, *, escaped: bool) -> bytes:
        """Nothing, before the text is whole."""
        self._raw += piece
        if len(self._raw) > self._limit:
            raise TooLarge(f"the attachment {shown(self._filename)} is larger than {self._limit} bytes")
        return b""

    def close(self) -> bytes:
        """The text in UTF-8."""
        try:
            return str(orjson.loads(self._raw + b'"')).encode()
        except ValueError as error:
            raise Malformed(f"the data of the attachment {shown(self._filename)} is not a JSON string") from error
