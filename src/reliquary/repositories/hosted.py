"""Hosted repositories: what was published here, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from reliquary.errors import CannotTell, NotHere
from reliquary.formats.base import Call, FileKey, Format, PageKey
from reliquary.formats.verbs import Shelf
from reliquary.repositories.base import ALONE, Company, Contents, FileHit, Freshness, Permit, Repository, Row, Stored
from reliquary.repositories.context import Context
from reliquary.repositories.looking import visible
from reliquary.repositories.projection import Projection
from reliquary.repositories.shelf import HostedShelf
from reliquary.types import RepositorySpec, StoredFile


class Hosted(Projection):
    """Implements `reliquary.repositories.base.Repository`.

    Args:
        groups: ids of the groups around it, whose pages change with it.
    """

    def __init__(self, spec: RepositorySpec, format: Format, context: Context, groups: Sequence[int] = ()) -> None:
        super().__init__(spec, format, context)
        self.groups = tuple(groups)

    async def settle(self, key: PageKey) -> Freshness:
        return Freshness()

    async def contents(self, key: PageKey, media: str) -> Contents:
        catalog = self._context.catalog
        found = await catalog.files.listed(self._spec.id, key.scope)
        names: Sequence[tuple[str, int]] = ()
        if key.children is not None:
            names = await catalog.packages.names(self._spec.id, key.children)
        properties = visible(await catalog.packages.properties(self._spec.id, key.name)) if key.name else {}
        if key.scope and not (found or names or properties):
            raise NotHere(f"{self._spec.title} has no {key.name or key.path}")
        return Contents(
            rows=[Row(row.key, row.name, row.filename, row.version, row.fragment) for row in found],
            names=names,
            properties=properties,
            serial=await catalog.packages.serial([self._spec.id], key.scope),
        )

    async def rows(self, name: str) -> Sequence[StoredFile]:
        return await self._context.catalog.files.of_package(self._spec.id, self._format.normalise(name))

    async def file(self, key: FileKey, *, head: bool = False) -> FileHit:
        context = self._context
        hit: Stored | None = context.hot.get(self._spec.id, key.path)
        if hit is not None:
            return hit
        mark = context.hot.mark(self._spec.id, key.scope, key.path)
        rows = await context.catalog.files.find([self._spec.id], key.path)
        if not rows:
            raise NotHere(f"{self._spec.title} has no file {key.path}")
        row = rows[0]
        await self.offer(row.entry.name, row.entry.scope)
        if row.blob is None or not await self.present(row.blob, row.size):
            context.count("blobs_missing")
            raise CannotTell(f"the bytes of {key.path} are missing from the store; run reliquary verify")
        hit = Stored(row.blob, row.size or 0, row.etag, row.modified, self._spec)
        context.hot.put(self._spec.id, key.path, key.scope, hit, 0, mark)
        return hit

    async def owns(self, names: Sequence[str]) -> set[str]:
        return {name for _, name in await self._context.catalog.files.owned([self._spec.id], names)}

    async def claims(self) -> set[str]:
        return await self._context.catalog.packages.claimed(self._spec.id)

    async def lost(self, key: FileKey, blob: str) -> bool:
        self._context.hot.discard(self._spec.id, key.path)
        return False

    def target(self) -> Repository | None:
        return self

    async def shelf(self, publisher: str | None, permit: Permit, call: Call, company: Company = ALONE) -> Shelf:
        return HostedShelf(self, self._context, publisher, permit, company)
