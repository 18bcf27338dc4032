"""Media types of the simple API (PEP 691) and the manners of its pages and files."""

from __future__ import annotations

from collections.abc import Mapping

from reliquary.errors import NotAcceptable
from reliquary.formats.base import FileKey, Manner, Offer, PageKey
from reliquary.types import Headers

HTML = "text/html"
JSON_V1 = "application/vnd.pypi.simple.v1+json"
HTML_V1 = "application/vnd.pypi.simple.v1+html"

OFFERS = (
    Offer(HTML, "text/html; charset=utf-8"),
    Offer(JSON_V1, JSON_V1, ("application/vnd.pypi.simple.latest+json",)),
    Offer(HTML_V1, HTML_V1, ("application/vnd.pypi.simple.latest+html",)),
)
"""The first one wins where the client does not say (PEP 691 leaves the default to the server)."""

CORS: Headers = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET"),
    (
        "access-control-allow-headers",
        "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since",
    ),
    ("access-control-expose-headers", "X-PyPI-Last-Serial"),
    ("access-control-max-age", "86400"),
)

ASKED = f"{JSON_V1}, {HTML_V1};q=0.2, {HTML};q=0.1"
"""What an upstream is asked for: only JSON has upload times."""

_PAGES = Manner(OFFERS, max_age=300, codings=True, headers=CORS)
_BYTES = Offer("application/octet-stream", "application/octet-stream")
_FILES = Manner((_BYTES,), immutable=True, ranges=True, headers=CORS, sandbox=True)


def manner(key: FileKey | PageKey) -> Manner:
    """How pages and files are answered."""
    return _PAGES if isinstance(key, PageKey) else _FILES


def forced(query: Mapping[str, str]) -> str | None:
    """The media type that ``?format=`` asks for, or None; a plus may have become a space on its
    way. Raises NotAcceptable for a type that is not offered."""
    wanted = query.get("format", "").replace(" ", "+").lower()
    if not wanted:
        return None
    for offer in OFFERS:
        if wanted == offer.media or wanted in offer.aliases:
            return offer.media
    raise NotAcceptable("format asks for a type that is not offered here")


def quality(accept: str, *types: str) -> float:
    """The highest q (0 to 1) that an Accept header gives to one of some exact types."""
    best = 0.0
    for item in accept.split(",")[:50]:
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        if kind in types:
            best = max(best, _q(parameters))
    return best


def _q(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
