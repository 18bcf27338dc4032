"""The XML-RPC calls that mirrors still make: serials and the change log."""

from __future__ import annotations

import re
import xmlrpc.client
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree import ElementTree as ET

from reliquary.errors import Malformed
from reliquary.formats.verbs import Incoming, Reply, Shelf

_LIMIT = 65_536
_DECLARED = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_NO_SUCH_METHOD = -32601
_BAD_PARAMETERS = -32602
_LARGEST = 2**31 - 1

Argument: TypeAlias = "int | str"


@dataclass(frozen=True, slots=True)
class Request:
    """A method name and its arguments, numbers and texts only."""

    method: str
    arguments: tuple[Argument, ...]


async def answer(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``pypi``: one XML-RPC call; a fault is a 200 too, as XML-RPC has it. Raises Malformed
    for a body that is no call."""
    request = parse(await incoming.body(_LIMIT))
    match request.method, request.arguments:
        case "changelog_last_serial", ():
            result: object = await _last_serial(shelf)
        case "changelog_since_serial", (int() as since,):
            changes = await shelf.changes(since)
            result = [
                [name, version or None, min(at, _LARGEST), action, serial]
                for name, version, at, action, serial in changes
            ]
        case "list_packages_with_serial", ():
            result = dict(await shelf.names())
        case (("changelog_last_serial" | "changelog_since_serial" | "list_packages_with_serial"), _):
            return _reply(_dump(xmlrpc.client.Fault(_BAD_PARAMETERS, "other arguments are expected")))
        case _:
            return _reply(_dump(xmlrpc.client.Fault(_NO_SUCH_METHOD, "the method is not offered; use the simple API")))
    return _reply(await shelf.inspect(lambda: _dump((result,))))


def parse(body: bytes) -> Request:
    """Read a call. Raises Malformed for anything but a plain one of UTF-8 text.

    Document types are refused before the parser sees the text, so no entity can be declared.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("the XML-RPC call is not UTF-8 text") from error
    if _DECLARED.search(text) or "\0" in text:
        raise Malformed("the XML-RPC call declares a document type; send it without")
    tree = _parse(text)
    method = (tree.findtext("methodName") or "").strip()
    if tree.tag != "methodCall" or not method:
        raise Malformed("the XML is not an XML-RPC call")
    return Request(method, tuple(_argument(value) for value in tree.findall("params/param/value")))


def _parse(text: str) -> ET.Element:
    try:
        # an encoding that the text declares does not count any more
        return ET.fromstring(text)  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as error:
        raise Malformed("the XML-RPC call is not well-formed XML") from error


def _argument(value: ET.Element) -> Argument:
    typed = next(iter(value), None)
    if typed is None or typed.tag == "string":
        return (value if typed is None else typed).text or ""
    text = (typed.text or "").strip()
    if typed.tag in ("int", "i4", "i8") and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    raise Malformed("the XML-RPC call has an argument that is neither a number nor a text")


async def _last_serial(shelf: Shelf) -> int:
    """The highest serial, of removals too, which names no longer show."""
    last = max((serial for _, serial in await shelf.names()), default=0)
    return max((serial for *_, serial in await shelf.changes(last)), default=last)


def _dump(result: xmlrpc.client.Fault | tuple[object]) -> bytes:
    text = xmlrpc.client.dumps(result, methodresponse=True, allow_none=True)  # type: ignore[arg-type]
    return text.encode("utf-8")


def _reply(body: bytes) -> Reply:
    return Reply(200, body, "text/xml; charset=utf-8")
