"""A shelf and a request in memory, with just what the computed answers of cargo ask of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from reliquary.errors import NotHere, TooLarge, Unauthenticated
from reliquary.formats.cargo import keys, names, summary
from reliquary.formats.verbs import Incoming, Reply, Shelf, UserFacts
from reliquary.types import Entry
from tests.formats.cargo.artefacts import line

T = TypeVar("T")
BASE = "https://repo.example/cargo/main/"
FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Shelved:
    """Packages by normal name. ``hidden`` names are those that no upstream may give here."""

    packages: dict[str, list[Entry]] = field(default_factory=dict)
    known: dict[str, dict[str, str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    upstreams: list[Callable[[dict[str, str]], Reply]] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    repository: str = "cargo/main"

    def publish(self, name: str, vers: str = "1.0.0", about: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Add a hosted version: ``publisher`` anna, a day after the one before."""
        held = self.packages.setdefault(names.normal(name), [])
        made = FIRST + timedelta(days=len(held))
        entry = _entry(line(name, vers, "0" * 64, **more), made)
        data = {**entry.data, "about": dict(about or {}), "publisher": "anna"}
        held.append(replace(entry, data=data))
        facts = self.known.setdefault(names.normal(name), {"name": name, "created": _text(made), "owner:anna": ""})
        facts["updated"] = _text(made)
        facts["summary"] = summary.of_entries(name, held) or ""

    def mirror(self, name: str, *lines: Mapping[str, Any]) -> None:
        """Add a crate as an upstream's index tells of it: nothing but its lines."""
        self.packages[names.normal(name)] = [_entry(each, None) for each in lines]
        told = [(each["vers"], each["yanked"], each["deps"]) for each in lines]
        self.known[names.normal(name)] = {"name": name, "summary": summary.of(name, told) or ""}

    async def entries(self, name: str) -> Sequence[Entry]:
        return self.packages.get(names.normal(name), [])

    async def properties(self, name: str) -> Mapping[str, str]:
        return self.known.get(names.normal(name), {})

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        assert name == names.normal(name), "facts are of a package, under its normal name"
        facts = {**self.known[name], **values}
        self.known[name] = {fact: value for fact, value in facts.items() if value is not None}

    async def downloads(self, name: str) -> Mapping[str, int]:
        held = {entry.key for entry in self.packages.get(names.normal(name), [])}
        return {key: count for key, count in self.counts.items() if key in held}

    async def survey(self, fact: str) -> Sequence[tuple[str, str]]:
        return sorted((name, facts[fact]) for name, facts in self.known.items() if fact in facts)

    async def offered(self, names: set[str]) -> set[str]:
        return names - self.hidden

    async def ask(self, path: str, headers: Mapping[str, str]) -> Sequence[Reply]:
        assert headers == {"accept": "application/json"}
        self.asked.append(path)
        query = dict(parse_qsl(urlsplit(path).query))
        return [upstream(query) for upstream in self.upstreams]

    async def inspect(self, look: Callable[[], T]) -> T:
        return look()


@dataclass
class Who:
    """Accounts: users with their passwords; ``name`` asks."""

    users: Mapping[str, str]
    name: str | None = "anna"

    async def user(self, name: str) -> UserFacts:
        if self.name is None:
            raise Unauthenticated("nobody is logged in")
        if name not in self.users:
            raise NotHere(f"there is no user {name}")
        return UserFacts(name, FIRST)

    async def login(self, user: str, password: str, title: str) -> str:
        if self.users.get(user) != password:
            raise Unauthenticated("the user name or the password is wrong")
        return f"rlq_{user}_{len(title)}"


@dataclass
class Asked:
    """A request below a repository."""

    segments: tuple[str, ...]
    query: Mapping[str, str]
    sent: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    accounts: Who = field(default_factory=lambda: Who({"anna": "s3cret", "ben": "pass"}))
    base_url: str = BASE

    async def body(self, limit: int) -> bytes:
        if len(self.sent) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        return self.sent


Run = Callable[[Incoming, Shelf], Coroutine[Any, Any, Reply]]


def answer(run: Run, shelved: Shelved, path: str, body: object = None, **more: Any) -> Reply:
    """Ask, by path and query; a body that is no bytes is sent as JSON."""
    place = urlsplit(path)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    query = dict(parse_qsl(place.query, keep_blank_values=True))
    asked = Asked(tuple(place.path.split("/")), query, sent, **more)
    return asyncio.run(run(cast("Incoming", asked), cast("Shelf", shelved)))


def read(reply: Reply) -> Any:
    """The JSON of a good answer."""
    assert (reply.status, reply.content_type) == (200, "application/json")
    return json.loads(reply.body)


def _entry(told: Mapping[str, Any], published: datetime | None) -> Entry:
    name, vers = told["name"], told["vers"]
    return Entry(
        key=keys.crate_key(name, vers),
        name=names.normal(name),
        version=vers,
        filename=names.crate_file(name, vers),
        scope=name.lower(),
        digests={"sha256": told["cksum"]},
        size=1234 if published else None,
        published=published,
        data={"line": json.dumps(told)},
    )


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
