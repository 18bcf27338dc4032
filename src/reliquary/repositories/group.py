"""Groups: several repositories under one address, merged by one decision.

A name that a hosted member owns is served by hosted members alone, listing and file alike,
unless a rule opens it. A member that is down never makes a name silently vanish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from reliquary.errors import NotHere, Unavailable, WrongMethod
from reliquary.formats.base import Call, FileKey, Format, PageKey
from reliquary.formats.verbs import Shelf
from reliquary.repositories import rules
from reliquary.repositories.base import ALONE, Company, Contents, FileHit, Freshness, Permit, Repository, Row
from reliquary.repositories.context import Context
from reliquary.repositories.projection import Projection
from reliquary.types import Action, Kind, RepositorySpec, StoredFile, Verdict

log = structlog.get_logger("reliquary.group")
DECIDED = "\0chosen "
"""Before a name in the hot map; no path of a page or file begins with it."""


class Group(Projection):
    """Implements `reliquary.repositories.base.Repository`.

    Args:
        members: in order; the first that has a file name gives the file.
        hidden: members that not everyone who may read the group may read. They show nothing here,
            and yet what they own is theirs: no proxy gives it in their place.
    """

    def __init__(
        self,
        spec: RepositorySpec,
        format: Format,
        context: Context,
        members: Sequence[Repository] = (),
        hidden: Sequence[Repository] = (),
    ) -> None:
        super().__init__(spec, format, context)
        self.members = tuple(members)
        self.hidden = tuple(hidden)

    def sources(self) -> Sequence[int]:
        return [self._spec.id, *{each.id for member in (*self.members, *self.hidden) for each in leaves(member)}]

    async def chosen(self, name: str, scope: str | None = None) -> Sequence[Repository]:
        """The members that may answer for a package name: the one decision for listing, file,
        sidecar and query.

        Args:
            scope: the page scope that changes with the name's files; the decision is remembered
                until it does.

        Raises:
            NotHere: the name is denied.
        """
        at = f"{DECIDED}{name}"
        found: Sequence[Repository] | None = None
        if scope is None or (found := self._context.hot.get(self._spec.id, at)) is None:
            mark = self._context.hot.mark(self._spec.id, scope or "", at)
            found = (await self.givers({name}))[name]
            if scope is not None and found is not None:
                self._context.hot.put(self._spec.id, at, scope, found, 0, mark)
        if found is None:
            raise NotHere(f"{name} is not served by {self._spec.title}: a rule forbids it", code="rule")
        return found

    async def givers(self, names: set[str]) -> dict[str, Sequence[Repository] | None]:
        """The members that may answer for each name; None for a denied one."""
        verdicts = {name: rules.verdict(self._spec.rules, name) for name in names}
        asked = sorted(name for name, verdict in verdicts.items() if verdict in (None, Verdict.OWNED))
        owned = [(member, await member.owns(asked)) for member in self.members] if asked else []
        shut = await _owned_in(self.hidden, asked) if asked else set()
        givers: dict[str, Sequence[Repository] | None] = {}
        for name, verdict in verdicts.items():
            owners = [member for member, has in owned if name in has]
            kept = bool(owners) or verdict is Verdict.OWNED or name in shut
            givers[name] = owners if kept else self.members
            if verdict is Verdict.DENY:
                givers[name] = None
        return givers

    async def owns(self, names: Sequence[str]) -> set[str]:
        return await _owned_in((*self.members, *self.hidden), names)

    async def claims(self) -> set[str]:
        return {name for member in (*self.members, *self.hidden) for name in await member.claims()}

    # Pages

    async def settle(self, key: PageKey) -> Freshness:
        members = await self.chosen(key.name, key.scope) if key.name else self.members
        outcomes = await asyncio.gather(*(member.settle(key) for member in members), return_exceptions=True)
        fresh: list[Freshness] = []
        dead: list[Unavailable] = []
        for outcome in outcomes:
            if isinstance(outcome, Freshness):
                fresh.append(outcome)
            elif isinstance(outcome, Unavailable):
                dead.append(outcome)
            elif isinstance(outcome, BaseException) and not isinstance(outcome, NotHere):
                raise outcome
        if dead and not (self._spec.options.get("partial", False) and await self._somebody_has(key, members)):
            raise dead[0]
        if dead:
            log.warning("answered without a member that is down", repository=self._spec.title, page=key.path)
        if not fresh:
            raise NotHere(f"{self._spec.title} has no {key.name or key.path}")
        # A name that no member knows today may come tomorrow: an absent one bounds the age too.
        short = any(isinstance(outcome, NotHere) for outcome in outcomes)
        until = min(each.until for each in fresh)
        if short:
            until = min(until, self._context.monotonic() + self._context.limits.negative_life)
        return Freshness(until, any(each.stale for each in fresh), bool(dead))

    async def contents(self, key: PageKey, media: str) -> Contents:
        members = await self.chosen(key.name, key.scope) if key.name else self.members
        parts: list[tuple[Repository, Contents]] = []
        for member in members:
            try:
                parts.append((member, await member.contents(key, media)))
            except NotHere:
                continue
        if not any(_has(part) for _, part in parts) and key.scope and not await self._legally_empty(key, parts):
            raise NotHere(f"{self._spec.title} has no {key.name or key.path}")
        return Contents(
            rows=await self._rows(key, parts),
            names=await self._names(key, parts),
            properties=next((part.properties for _, part in parts if part.properties), {}),
            serial=max([self._spec.serial, *(part.serial for _, part in parts)]),
        )

    async def rows(self, name: str) -> Sequence[StoredFile]:
        found: dict[str, StoredFile] = {}
        for member in await self.chosen(self._format.normalise(name)):
            for row in await member.rows(name):
                found.setdefault(row.entry.filename, row)
        return list(found.values())

    async def _somebody_has(self, key: PageKey, members: Sequence[Repository]) -> bool:
        media = self._format.manner(key).offers[0].media
        for member in members:
            try:
                if _has(await member.contents(key, media)):
                    return True
            except NotHere:
                continue
        return False

    async def _legally_empty(self, key: PageKey, parts: Sequence[tuple[Repository, Contents]]) -> bool:
        """Whether an upstream lists the page and nothing on it. A group says so by having contents."""
        for member, _ in parts:
            if member.spec.kind is Kind.GROUP:
                return True
            if member.spec.kind is Kind.PROXY:
                try:
                    await member.settle(key)
                except (NotHere, Unavailable):
                    continue
                return True
        return False

    async def _rows(self, key: PageKey, parts: Sequence[tuple[Repository, Contents]]) -> Sequence[Row]:
        """Files of all parts, the first member's where a file name is in several."""
        foreign = {row.name for member, part in parts if _foreign(member) for row in part.rows}
        givers = await self.givers(foreign) if not key.name else {}
        found: dict[str, Row] = {}
        for member, part in parts:
            for row in part.rows:
                if key.name or self._gives(member, row.name, givers):
                    found.setdefault(row.filename, row)
        return list(found.values())

    def _gives(self, member: Repository, name: str, givers: dict[str, Sequence[Repository] | None]) -> bool:
        """The decision of `chosen` for one row on a page of many names."""
        if _foreign(member):
            return member in (givers[name] or ())
        return rules.verdict(self._spec.rules, name) is not Verdict.DENY  # what a hosted member lists, it owns

    async def _names(self, key: PageKey, parts: Sequence[tuple[Repository, Contents]]) -> Sequence[tuple[str, int]]:
        if key.children is None:
            return ()
        found: dict[str, int] = {}
        claimed = await self.claims()
        for member, part in parts:
            verdicts = {name: rules.verdict(self._spec.rules, name) for name, _ in part.names}
            kept = sorted(name for name, verdict in verdicts.items() if verdict is Verdict.OWNED)
            ours = await member.owns(kept) if kept and _foreign(member) else set(kept)
            for name, serial in part.names:
                if name in claimed and verdicts[name] is None and member.spec.kind is Kind.PROXY:
                    continue
                if verdicts[name] is Verdict.DENY or (verdicts[name] is Verdict.OWNED and name not in ours):
                    continue
                found[name] = max(found.get(name, 0), serial)
        return sorted(found.items())

    # Files

    async def file(self, key: FileKey, *, head: bool = False) -> FileHit:
        routed: Repository | None = self._context.hot.get(self._spec.id, key.path)
        if routed is not None:
            return await routed.file(key, head=head)
        mark = self._context.hot.mark(self._spec.id, key.scope, key.path)
        dead: Unavailable | None = None
        members = await self.chosen(key.name, key.scope)
        if members is self.members and key.name and rules.verdict(self._spec.rules, key.name) is None:
            # Nobody in here owns the name, so no hosted member has a file of it.
            members = [member for member in members if member.spec.kind is not Kind.HOSTED] or members
        for member in members:
            try:
                hit = await member.file(key, head=head)
            except NotHere:
                continue
            except Unavailable as error:
                if not (self._format.manner(key).immutable or self._spec.options.get("partial", False)):
                    raise
                dead = error
                continue
            if dead is None:  # a member that comes back gets its say
                self._context.hot.put(self._spec.id, key.path, key.scope, member, 0, mark)
            return hit
        raise dead or NotHere(f"{self._spec.title} has no file {key.path}")

    async def lost(self, key: FileKey, blob: str) -> bool:
        self._context.hot.discard(self._spec.id, key.path)
        again = False
        for member in await self.chosen(key.name):
            again = await member.lost(key, blob) or again
        return again

    # Verbs and queries

    def target(self) -> Repository | None:
        wanted = self._spec.options.get("publish_to")
        for member in (*self.members, *self.hidden):
            if wanted in (None, member.spec.name) and (found := member.target()) is not None:
                return found
        return None

    async def shelf(self, publisher: str | None, permit: Permit, call: Call, company: Company = ALONE) -> Shelf:
        target = self.target()
        if call.action is not Action.READ:
            if target is None:
                raise WrongMethod(f"{self._spec.title} has no hosted member to publish to")
            read, shelves = replace(call, action=Action.READ), list[Shelf]()
            for other, inside in self._ends(company):
                with suppress(NotHere):  # a rule keeps the name from it
                    shelves += [await other.shelf(publisher, permit, read, inside)] if other is not target else []
            return await target.shelf(publisher, permit, call, Company(elsewhere=tuple(shelves)))
        inside = Company((*company.screen, *self._spec.rules), (*company.groups, self))
        if call.name is not None:
            holder = await self._holder(call.name, call.scope or call.name)
            members = [holder, *(member for member in await self.chosen(call.name) if member is not holder)]
        else:
            members = sorted(self.members, key=lambda member: member is not target)
        if not members:
            raise NotHere(f"{self._spec.title} has no members")
        others = [await member.shelf(publisher, permit, call, inside) for member in members[1:]]
        inside = replace(inside, beside=(*others, *company.beside))
        return await members[0].shelf(publisher, permit, call, inside)

    def _ends(self, company: Company) -> list[tuple[Repository, Company]]:
        """Every member that is no group, those inside groups too, with the rules and groups on the way to it."""
        inside = Company((*company.screen, *self._spec.rules), (*company.groups, self))
        found: list[tuple[Repository, Company]] = []
        for member in self.members:
            found += member._ends(inside) if isinstance(member, Group) else [(member, inside)]
        return found

    async def open(self, names: set[str]) -> set[str]:
        """Those of the names that upstreams may give here; see `reliquary.repositories.base.Around`."""
        givers = await self.givers(names)
        return {name for name in names if any(_foreign(member) for member in givers[name] or ())}

    async def _holder(self, name: str, scope: str) -> Repository:
        """The member that answers questions about a package: its owner, else the first that has it.
        Raises NotHere, Unavailable."""
        members = await self.chosen(name)
        for member in members:
            if await member.owns([name]):
                return member
        for member in members:
            try:
                for page in self._format.pages(scope):
                    await member.settle(page)
            except NotHere:
                continue
            if _foreign(member):
                return member
        raise NotHere(f"{self._spec.title} has no {name}")


async def _owned_in(members: Sequence[Repository], names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for member in members if names else ():
        found |= await member.owns(names)
    return found


def leaves(repository: Repository) -> list[RepositorySpec]:
    """A repository and everything inside it."""
    held = (*getattr(repository, "members", ()), *getattr(repository, "hidden", ()))
    inside = [spec for member in held for spec in leaves(member)]
    return [repository.spec, *inside]


def _foreign(member: Repository) -> bool:
    """Whether upstreams have a say in it."""
    return any(spec.kind is Kind.PROXY for spec in leaves(member))


def _has(part: Contents) -> bool:
    return bool(part.rows or part.names or part.properties)
