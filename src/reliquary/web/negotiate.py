"""Content negotiation (RFC 9110, section 12): media types and content codings.

Header values repeat, so the answers are remembered; both functions are linear in the header.
"""

from __future__ import annotations

from functools import lru_cache

from reliquary.errors import NotAcceptable
from reliquary.formats.base import Offer

LONGEST = 4096
"""Characters of a header that are looked at: the rest of a longer one is ignored."""
CODINGS = ("zstd", "gzip")
"""Content codings of pages, the one we would rather send first."""


def _items(header: str) -> list[tuple[str, float]]:
    """(value in lower case, quality) of a comma-separated header; broken qualities count as 0."""
    found = []
    for item in header[:LONGEST].split(","):
        value, *parameters = item.split(";")
        quality = 1.0
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            if name.strip().lower() == "q":
                quality = _quality(text.strip())
        if value.strip():
            found.append((value.strip().lower(), quality))
    return found


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text[:8])))
    except ValueError:
        return 0.0


@lru_cache(maxsize=1024)
def media(accept: str, offers: tuple[Offer, ...]) -> Offer:
    """The offer a client likes best: the most specific range gives each offer its quality, the
    highest wins, the first of equals. An empty header takes anything.

    Raises:
        NotAcceptable: none is taken; the message names what there is.
    """
    ranges = dict(reversed(_items(accept)))
    if not ranges:
        return offers[0]
    best, most = None, 0.0
    for offer in offers:
        quality = _taken(offer, ranges)
        if quality > most:
            best, most = offer, quality
    if best is None:
        raise NotAcceptable("this is offered as " + ", ".join(offer.media for offer in offers))
    return best


def _taken(offer: Offer, ranges: dict[str, float]) -> float:
    exact = [ranges[name] for name in (offer.media, *offer.aliases) if name in ranges]
    if exact:
        return max(exact)
    family = offer.media.partition("/")[0] + "/*"
    return ranges.get(family, ranges.get("*/*", 0.0))


def forced(wanted: str, offers: tuple[Offer, ...]) -> Offer:
    """The offer that an address names; raises NotAcceptable when there is none."""
    for offer in offers:
        if wanted == offer.media or wanted in offer.aliases:
            return offer
    raise NotAcceptable("this is offered as " + ", ".join(offer.media for offer in offers))


@lru_cache(maxsize=1024)
def codings(accept_encoding: str) -> tuple[str, ...]:
    """Codings that may be sent, the best first. ``identity`` is among them unless refused, last
    unless it is named; when nothing is acceptable it is sent all the same (RFC 9110, section
    12.5.3, leaves that open)."""
    wanted = dict(_items(accept_encoding))
    rest = wanted.get("*", 0.0)
    quality = {name: wanted.get(name, wanted.get("x-" + name, rest)) for name in CODINGS}
    # Who does not speak of identity takes it, but would rather have what was asked for.
    quality["identity"] = wanted.get("identity", 0.0 if wanted.get("*") == 0.0 else 0.0001)
    taken = sorted((name for name in quality if quality[name] > 0), key=lambda name: -quality[name])
    return tuple(taken) or ("identity",)
