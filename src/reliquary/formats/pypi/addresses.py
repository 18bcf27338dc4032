"""Links of a document made absolute (RFC 3986, section 5), at little cost for each."""

from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit

_PLAIN = re.compile(
    r"(https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/|(?:\.\./)++|\./|/|)"
    r"((?:[A-Za-z0-9_~%+!-][A-Za-z0-9._~%+!-]*+/)*+([A-Za-z0-9_+!-][A-Za-z0-9._+!-]*+))"
)
"""A place, and below it folders and a file name that no rule of joining or quoting changes."""
_HTTPS = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*+(?::[0-9]{1,5})?/[A-Za-z0-9._~%+!/-]*+")


class Addresses:
    """The links of one document.

    Args:
        base: the absolute address that they are relative to.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._places: dict[str, str | None] = {}

    def resolve(self, link: str) -> tuple[str, str] | None:
        """The absolute http(s) address of a link without its fragment, and its unquoted last
        segment; None for a link that is no such address."""
        if (plain := _PLAIN.fullmatch(link.partition("#")[0])) is None:
            return self._resolve(link)
        place, path, last = plain.groups()
        above = self.above(place)
        return (above + path, last) if above else None

    def above(self, place: str) -> str | None:
        """The absolute address of the place that a link begins with; None where it is none."""
        if place not in self._places:
            self._places[place] = join(self._base, place or ".")
        return self._places[place]

    def _resolve(self, link: str) -> tuple[str, str] | None:
        url = join(self._base, link)
        return (url, unquote(urlsplit(url).path.rsplit("/", 1)[-1])) if url else None


def join(base: str, link: str) -> str | None:
    """An absolute http(s) address without its fragment, or None for anything else."""
    try:
        parts = urlsplit(urljoin(base, link.strip()))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    return parts._replace(fragment="").geturl() if usable else None


def is_https(text: str) -> bool:
    """Whether a text is an absolute https address."""
    if _HTTPS.fullmatch(text):
        return True
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def beside(url: str, suffix: str) -> str:
    """An address with some text put at the end of its path, before any query."""
    if "?" not in url and "#" not in url and url.find("/", len("https://")) > 0:
        return url + suffix
    parts = urlsplit(url)
    return parts._replace(path=parts.path + suffix).geturl()
