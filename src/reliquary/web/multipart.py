"""multipart/form-data as a stream (RFC 7578 over RFC 2046): one part at a time, in constant memory.

The scanning is python-multipart's; the limits, the preamble, the header values and the end of
the body are judged here.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from reliquary.errors import Malformed, TooLarge, UnknownCoding
from reliquary.formats.verbs import Part

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 1000
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16_384
"""Bytes of all headers of one part."""

MAX_AROUND = 65_536
"""Bytes before the first boundary, and after the last one."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]\Z")
_PARAMETER = re.compile(r"[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*")
_TOKEN = re.compile(r"[^\s;\"]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(slots=True)
class Begin:
    """A part's headers are whole: names in lower case."""

    headers: dict[str, str] = field(default_factory=dict)


class End:
    """A part is whole."""


class Finish:
    """The last boundary was seen."""


Event: TypeAlias = Begin | End | Finish | bytes


class Parser:
    """Push parser: ``feed`` turns bytes into events.

    Args:
        boundary: as the Content-Type names it.
    """

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode()
        # A body may begin with the boundary, which otherwise stands after a line's end.
        self._before: bytes | None = b"\r\n"
        self._around = 0
        self._events: list[Event] = []
        self._finished = False
        self._parts = 0
        self._begin = Begin()
        self._name = bytearray()
        self._value = bytearray()
        self._header_bytes = 0
        self._parser = MultipartParser(
            boundary, self._callbacks(), max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES
        )
        # What it would log, a client's mistake, is in the error that it raises.
        self._parser.logger = logging.Logger(__name__, logging.CRITICAL)

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises Malformed, TooLarge."""
        self._events = []
        if self._finished:
            self._count_around(len(data))
            return []
        if self._before is not None:
            data = self._skip_preamble(data)
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise Malformed(f"the form is broken: {error}") from None
        return self._events

    def close(self) -> None:
        """No more bytes. Raises Malformed when the last boundary did not come."""
        if not self._finished:
            raise Malformed("the form was cut: its last boundary is missing")

    def _skip_preamble(self, data: bytes) -> bytes:
        """What follows the preamble, from the first boundary on; nothing while it has not come."""
        held = (self._before or b"") + data
        at = held.find(self._delimiter)
        rest = held[at + 2 :] if at >= 0 else b""
        self._count_around(max(0, len(data) - len(rest)))
        self._before = None if at >= 0 else held[-len(self._delimiter) + 1 :]
        return rest

    def _count_around(self, size: int) -> None:
        self._around += size
        if self._around > MAX_AROUND:
            raise TooLarge("too many bytes stand outside of the form's parts")

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooLarge(f"the form has more than {MAX_PARTS} parts")
        self._begin = Begin()
        self._header_bytes = 0

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise TooLarge(f"the headers of a part are longer than {MAX_HEADER_BYTES} bytes")

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        name = self._name.decode("ascii").lower()
        if name in self._begin.headers:
            raise Malformed(f"a part has two headers {name}")
        self._begin.headers[name] = _text(bytes(self._value)).strip(" \t")
        self._name.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        self._events.append(self._begin)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_part_end(self) -> None:
        self._events.append(End())

    def _on_end(self) -> None:
        self._finished = True
        self._events.append(Finish())


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Malformed("a header of a part is not UTF-8") from None
    if _CONTROL.search(text.replace("\t", " ")):
        raise Malformed("a header of a part holds control characters")
    return text


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """A header value and its parameters, names in lower case, values without their quotes.

    Within quotes a backslash is itself, as browsers send it (RFC 7578 section 4.2 over RFC 9110
    section 5.6.4), except before a quote that does not end the text. Raises Malformed.
    """
    kind, _, _ = value.partition(";")
    found: dict[str, str] = {}
    at = len(kind.rstrip(" \t"))
    while at < len(value) and value[at:].strip(" \t;"):
        match = _PARAMETER.match(value, at)
        if match is None:
            raise Malformed("a header's parameters cannot be read")
        name = match[1].lower()
        if name in found:
            raise Malformed(f"the parameter {name} is given twice")
        found[name], at = _parameter(value, match.end())
    return kind.strip(" \t").lower(), found


def _parameter(value: str, at: int) -> tuple[str, int]:
    """The parameter's value at ``at``, and where it ends."""
    if not value.startswith('"', at):
        match = _TOKEN.match(value, at)
        end = match.end() if match else at
        return value[at:end], end
    letters: list[str] = []
    start = at = at + 1
    while (quote := value.find('"', at)) >= 0:
        escaped = quote > start and value[quote - 1] == "\\"
        if escaped and not _ends(value, quote + 1):
            letters += value[at : quote - 1], '"'
            at = quote + 1
            continue
        letters.append(value[at:quote])
        return "".join(letters), quote + 1
    raise Malformed("a quoted text has no end")


def _ends(value: str, at: int) -> bool:
    """Whether the parameter may end here: another one or nothing follows."""
    while at < len(value) and value[at] in " \t":
        at += 1
    return at == len(value) or value[at] == ";"


def _unescape(text: str) -> str:
    """Undo what browsers do to quotes and line ends in names (HTML, multipart/form-data encoding)."""
    for code, letter in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        text = text.replace(code, letter)
    return text


def _extended(value: str) -> str:
    """``charset'language'percent-encoded`` (RFC 8187), which some clients still send."""
    charset, _, rest = value.partition("'")
    _, quote, encoded = rest.partition("'")
    if not quote or charset.lower() not in ("utf-8", "iso-8859-1"):
        raise Malformed("an extended file name cannot be read")
    try:
        return unquote_to_bytes(encoded).decode(charset)
    except UnicodeDecodeError:
        raise Malformed("an extended file name is not in the charset it names") from None


def _names(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The field name and the file name that a part's Content-Disposition gives."""
    kind, found = parameters(headers.get("content-disposition", ""))
    if kind != "form-data" or "name" not in found:
        raise Malformed("a part has no Content-Disposition of form-data with a name")
    name = _unescape(found["name"])
    filename = _unescape(found["filename"]) if "filename" in found else None
    if "filename*" in found:
        filename = _extended(found["filename*"])
    if _CONTROL.search(name) or _CONTROL.search(filename or ""):
        raise Malformed("the name of a part holds control characters")
    return name, filename


class _Stream:
    """The events of a body, read as far as they are asked for."""

    def __init__(self, boundary: str, chunks: AsyncIterator[bytes]) -> None:
        self._parser = Parser(boundary)
        self._chunks = chunks
        self._events: deque[Event] = deque()

    async def next(self) -> Event:
        while not self._events:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self._parser.close()
                return Finish()
            self._events.extend(self._parser.feed(chunk))
        return self._events.popleft()

    async def drain(self) -> None:
        """Read what follows the last boundary, so that the connection can be used again."""
        async for chunk in self._chunks:
            self._parser.feed(chunk)


class FormPart:
    """One part; ``chunks`` gives its bytes once."""

    def __init__(self, headers: Mapping[str, str], stream: _Stream) -> None:
        self._name, self._filename = _names(headers)
        if headers.get("content-transfer-encoding", "binary").lower() not in ("7bit", "8bit", "binary"):
            raise UnknownCoding("a part has a Content-Transfer-Encoding that forms do not use")
        self._stream = stream
        self._whole = False

    @property
    def name(self) -> str:
        """The form field's name."""
        return self._name

    @property
    def filename(self) -> str | None:
        """The file name as it was sent, folders included; None for a plain field."""
        return self._filename

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come in; nothing once they were read."""
        while not self._whole:
            event = await self._stream.next()
            if not isinstance(event, bytes):
                self._whole = True
            elif event:
                yield event

    async def text(self, limit: int = 1_048_576) -> str:
        """The whole part as UTF-8 text of at most ``limit`` bytes. Raises TooLarge, Malformed."""
        decoder, size, texts = codecs.getincrementaldecoder("utf-8")(), 0, []
        try:
            async for chunk in self.chunks():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the field {self._name} is longer than {limit} bytes")
                texts.append(decoder.decode(chunk))
            return "".join([*texts, decoder.decode(b"", final=True)])
        except UnicodeDecodeError:
            raise Malformed(f"the field {self._name} is not UTF-8") from None


def boundary(content_type: str) -> str:
    """The boundary that a Content-Type names (RFC 2046 section 5.1.1). Raises Malformed."""
    kind, found = parameters(content_type)
    if kind != "multipart/form-data":
        raise Malformed("the body must be a form: multipart/form-data")
    if not _BOUNDARY.match(found.get("boundary", "")):
        raise Malformed("the Content-Type names no usable boundary")
    return found["boundary"]


async def parts(content_type: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[Part]:
    """The parts of a form, one at a time; what was not read of one is skipped for the next.

    Args:
        content_type: of the request.
        chunks: its body.

    Raises:
        Malformed: when it is no form, breaks the rules, or ends before its last boundary.
        TooLarge: when a cap on parts or headers is passed.
    """
    stream = _Stream(boundary(content_type), chunks)
    while isinstance(event := await stream.next(), Begin):
        part = FormPart(event.headers, stream)
        yield part
        async for _ in part.chunks():
            pass
    await stream.drain()
