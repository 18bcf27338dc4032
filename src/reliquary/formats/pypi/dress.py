"""Errors as Python's clients read them: JSON, HTML or text, and always in the reason phrase."""

from __future__ import annotations

from html import escape
from http import HTTPStatus

import orjson

from reliquary.errors import AlreadyThere, NotAcceptable, ReliquaryError
from reliquary.formats.pypi.negotiate import HTML, HTML_V1, JSON_V1, OFFERS, quality
from reliquary.formats.verbs import Reply

_EXISTS = "File already exists"
_LONGEST_REASON = 200


def dress(error: ReliquaryError, accept: str) -> Reply:
    """An error in the shape that the Accept header prefers.

    Never ``application/problem+json``: uv stops comparing digests with the index after it.
    """
    message = _message(error)
    reason = reason_phrase(message)
    json = quality(accept, "application/json", JSON_V1)
    html = quality(accept, HTML, HTML_V1)
    title = _title(error.status)
    if json and json >= max(html, quality(accept, "text/plain")):
        # uv shows "code" alone
        body = orjson.dumps({"message": message, "code": f"{error.status} {reason}", "title": title})
        return Reply(error.status, body, "application/json", reason=reason)
    if html and html >= quality(accept, "text/plain"):
        page = f"<!DOCTYPE html>\n<title>{error.status} {title}</title>\n<h1>{title}</h1>\n<p>{escape(message)}</p>\n"
        return Reply(error.status, page.encode("ascii", "xmlcharrefreplace"), "text/html; charset=utf-8", reason=reason)
    return Reply(error.status, f"{message}\n".encode("utf-8", "replace"), reason=reason)


def reason_phrase(message: str) -> str:
    """The first line, in printable ASCII, at most 200 characters: twine shows nothing else."""
    line = next(iter(message.splitlines()), "")
    return "".join(sign if " " <= sign <= "~" else "?" for sign in line)[:_LONGEST_REASON]


def _message(error: ReliquaryError) -> str:
    # the words that poetry, pdm and older twine look for to skip a file
    if isinstance(error, AlreadyThere) and _EXISTS not in error.message.split("\n", 1)[0][:_LONGEST_REASON]:
        return f"{_EXISTS}: {error.message}"
    if isinstance(error, NotAcceptable):
        return f"{error.message}; there are {', '.join(offer.media for offer in OFFERS)}"
    return error.message


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
