"""Refreshing: proxied pages are asked of their upstreams now."""

from __future__ import annotations

from reliquary.errors import NotHere, SettingsError
from reliquary.repositories.base import Repository
from reliquary.repositories.build import Estate
from reliquary.repositories.proxy import Proxy


def proxies(estate: Estate, title: str) -> list[Proxy]:
    """The proxies that are, or are inside, the repository ``format/name``; raises SettingsError."""
    found = estate.get(*title.split("/", 1)) if "/" in title else None
    if found is None:
        raise SettingsError(f"there is no repository {title}; reliquary repo list shows them")
    return _inside(found)


def _inside(repository: Repository) -> list[Proxy]:
    if isinstance(repository, Proxy):
        return [repository]
    return [proxy for member in getattr(repository, "members", ()) for proxy in _inside(member)]


async def refresh(estate: Estate, title: str, name: str | None) -> int:
    """Ask the upstreams for the pages of a package, or for the root list; returns how many pages.

    Raises:
        SettingsError: no such repository.
        Unavailable: an upstream did not answer usably.
    """
    done = 0
    for proxy in proxies(estate, title):
        for key in proxy.format.pages(name or ""):
            try:
                await proxy.refresh(key)
            except NotHere:
                continue
            done += 1
    return done
