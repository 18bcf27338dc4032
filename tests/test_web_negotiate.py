"""Accept and Accept-Encoding."""

from __future__ import annotations

import pytest

from reliquary.errors import NotAcceptable
from reliquary.formats.base import Offer
from reliquary.web import negotiate

OFFERS = (
    Offer("text/html", "text/html; charset=utf-8"),
    Offer("application/v1+json", "application/v1+json", ("application/latest+json",)),
    Offer("application/json", "application/json"),
)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("text/*", "text/html"),
        ("application/*", "application/v1+json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/latest+json", "application/v1+json"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("application/json;q=0.1, text/html;q=0.2", "text/html"),
        ("*/*, text/html;q=0", "application/v1+json"),
        ("text/html;q=0.3, application/*;q=0.4, */*;q=0.9", "application/v1+json"),
        ("text/html;level=1;q=0.2, application/json;q=0.3", "application/json"),
        ("text/html;q=nonsense, application/json;q=0.1", "application/json"),
        ("text/html;q=7", "text/html"),
        (";;,,/, application/json", "application/json"),
    ],
)
def test_the_best_offer_is_taken(accept: str, media: str) -> None:
    assert negotiate.media(accept, OFFERS).media == media


@pytest.mark.parametrize("accept", ["image/png", "text/html;q=0", "*/*;q=0", "x", "text/html;q=-1"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/json"):
        negotiate.media(accept, OFFERS)


def test_an_address_may_force_a_type() -> None:
    assert negotiate.forced("application/latest+json", OFFERS) is OFFERS[1]
    with pytest.raises(NotAcceptable):
        negotiate.forced("text/plain", OFFERS)


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        ("", ("identity",)),
        ("gzip", ("gzip", "identity")),
        ("gzip, zstd", ("zstd", "gzip", "identity")),
        ("gzip;q=1, zstd;q=0.9", ("gzip", "zstd", "identity")),
        ("x-gzip", ("gzip", "identity")),
        ("*", ("zstd", "gzip", "identity")),
        ("*;q=0", ("identity",)),
        ("gzip, *;q=0", ("gzip",)),
        ("gzip, identity;q=0", ("gzip",)),
        ("identity;q=0", ("identity",)),
        ("identity;q=0.5, gzip;q=0.1", ("identity", "gzip")),
        ("identity, *;q=0", ("identity",)),
        ("br, deflate", ("identity",)),
        ("gzip;q=0, zstd;q=0", ("identity",)),
    ],
)
def test_codings(header: str, codings: tuple[str, ...]) -> None:
    assert negotiate.codings(header) == codings
