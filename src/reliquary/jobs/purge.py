"""Purging: a proxy forgets stored bytes, so that they are fetched again when asked for."""

from __future__ import annotations

from reliquary.jobs.refresh import proxies
from reliquary.repositories.build import Estate
from reliquary.repositories.context import Context


async def purge(context: Context, estate: Estate, title: str, name: str | None) -> int:
    """Forget the bytes of one package of a proxy, or of all; returns how many files.

    The bytes themselves go with the next sweep, when nothing else names them.

    Raises:
        SettingsError: no such repository.
    """
    gone = 0
    for proxy in proxies(estate, title):
        names = [proxy.format.normalise(name)] if name else [each for each, _ in await packages(context, proxy.spec.id)]
        for each in names:
            for row in await context.catalog.files.of_package(proxy.spec.id, each):
                if row.blob is not None:
                    await context.catalog.files.evict(proxy.spec.id, row.entry.key)
                    proxy.forget(row.entry.key)
                    gone += 1
    return gone


async def packages(context: Context, repository_id: int) -> list[tuple[str, int]]:
    """Package names of a repository."""
    return await context.catalog.packages.packages(repository_id)
