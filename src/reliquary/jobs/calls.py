"""Running a format's own verbs from inside: for imports, the command line and the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reliquary.errors import Malformed, NotHere, TooLarge, Unauthenticated, WrongMethod
from reliquary.formats.base import Call, FileKey, Format
from reliquary.formats.verbs import Accounts, Part, Reply
from reliquary.repositories.base import Permit, Repository
from reliquary.types import Action, RepositorySpec

STEP = 1_048_576
LOCAL = "http://localhost/"


@dataclass(frozen=True)
class InsideIncoming:
    """Implements `reliquary.formats.verbs.Incoming` for a request that did not come over the web.

    Args:
        content: the body, or the file that holds it.
    """

    method: str
    segments: tuple[str, ...]
    content: bytes | Path = b""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    base_url: str = LOCAL

    @property
    def accounts(self) -> Accounts:
        raise Unauthenticated("no user is asking: this runs inside the server")

    async def chunks(self) -> AsyncIterator[bytes]:
        if isinstance(self.content, bytes):
            if self.content:
                yield self.content
            return
        file = await asyncio.to_thread(self.content.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, STEP):
                yield chunk
        finally:
            file.close()

    async def body(self, limit: int) -> bytes:
        pieces, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"more than the {limit} bytes that are taken here")
            pieces.append(chunk)
        return b"".join(pieces)

    async def parts(self) -> AsyncIterator[Part]:
        nothing: tuple[Part, ...] = ()
        for part in nothing:
            yield part
        raise Malformed("this is no form")


async def allow(spec: RepositorySpec, action: Action, name: str) -> None:
    """The permit of whoever owns the data folder."""


def is_file(format: Format, segments: tuple[str, ...]) -> bool:
    """Whether a file is read at this address: then what is put there is a file, and no verb."""
    return isinstance(format.match("GET", segments, {}), FileKey)


def verb(format: Format, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Call:
    """The format's own verb at ``manage/...``; raises WrongMethod where it offers none."""
    match = format.match(method, segments, query)
    if not isinstance(match, Call) or is_file(format, segments):
        raise WrongMethod(f"the format {format.name} has no such verb")
    return match


def deletion(format: Format, path: str) -> tuple[Call, tuple[str, ...]]:
    """What deletes the one file at ``path``; raises NotHere where no file can be."""
    segments = tuple(path.split("/"))
    match = format.match("DELETE", segments, {})
    if not isinstance(match, Call) or not is_file(format, segments):
        raise NotHere(f"{path} is no address of a file")
    return match, segments


async def run(
    repository: Repository,
    call: Call,
    incoming: InsideIncoming,
    *,
    publisher: str | None = None,
    permit: Permit = allow,
) -> Reply:
    """Carry out a verb on a repository.

    Args:
        publisher: who acts, for the records.
        permit: asks for the right; the default allows everything.

    Raises:
        WrongMethod: the repository takes no publishing.
        ReliquaryError: whatever the verb raises.
    """
    shelf = await repository.shelf(publisher, permit, call)
    return await call.run(incoming, shelf)
