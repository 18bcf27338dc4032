"""What verbs and queries work with: the request, a repository's shelf, who asks, and the answer.

Publishing runs the same from the web, the command line and an import, because it sees nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from reliquary.types import NOTHING, Action, Digests, Entry, Headers

if TYPE_CHECKING:
    from reliquary.formats.base import FileKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a verb, a query or ``dress``.

    ``reason`` replaces the reason phrase, for clients that show nothing else. ``steady``: the answer follows from the
    address and the repository's configuration alone, whoever may read asks.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Headers = ()
    reason: str | None = None
    steady: bool = False


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures of hosted packages are checked with (ECDSA on P-256 with SHA-256).

    Args:
        id: ``SHA256:`` and the base64 of the digest of ``der``, without padding.
        der: the key as SubjectPublicKeyInfo in base64.
        expires: when it stopped signing (UTC), or None.
    """

    id: str
    der: str
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token as its owner sees it; the secret itself is told once, when it is made.

    Args:
        key: names the token in addresses; tells nothing of the secret.
        title: what its owner calls it.
        prefix: how the secret begins.
        readonly: whether it opens reads alone.
        created, last_used, expires: UTC.
    """

    key: str
    title: str
    prefix: str
    readonly: bool
    created: datetime
    last_used: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserFacts:
    """A user as other users may see it; ``created`` is UTC."""

    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class WebLogin:
    """A login that was begun.

    Args:
        url: absolute address of the page where a person ends it.
        secret: by which the client, and nobody else, asks for its token.
    """

    url: str
    secret: str = field(repr=False)


class Accounts(Protocol):
    """Who asks, and their tokens."""

    @property
    def name(self) -> str | None:
        """The user who asks; None for an anonymous reader."""

    def known(self) -> str:
        """The user who asks; raises Unauthenticated, saying why nobody is known."""

    async def login(self, user: str, password: str, title: str) -> str:
        """The secret of a new token of a user; raises Unauthenticated, Malformed."""

    async def user(self, name: str) -> UserFacts:
        """A user, told to users alone; raises Unauthenticated, NotHere."""

    async def tokens(self) -> Sequence[TokenFacts]:
        """The asker's tokens that are good, newest first; raises Unauthenticated."""

    async def create(
        self, password: str, title: str, *, readonly: bool = False, days: int | None = None
    ) -> tuple[str, TokenFacts]:
        """A further token for the asker, who proves the password again: the secret and its facts.
        ``days`` None: it does not end by itself. Raises Unauthenticated, Forbidden, Malformed."""

    async def revoke(self, key: str) -> None:
        """End one of the asker's tokens, by its key, the beginning of its secret, or its secret.
        Raises Unauthenticated, Forbidden, NotHere, and Conflict where several begin so."""

    async def begin_web_login(self, title: str) -> WebLogin:
        """Begin a login that a person ends in a browser. Raises Conflict when too many are pending."""

    async def web_login(self, secret: str) -> str | None:
        """The token of a login that was begun, once; None while its person has not ended it. Raises
        NotHere when there is no such login (any more)."""


class Part(Protocol):
    """One part of a multipart form, to be read before the next one is asked for."""

    @property
    def name(self) -> str:
        """The form field's name."""

    @property
    def filename(self) -> str | None:
        """The file name, for file parts."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come in."""

    async def text(self, limit: int = 1_048_576) -> str:
        """The whole part as UTF-8 text of at most ``limit`` bytes; raises TooLarge, Malformed."""


class Incoming(Protocol):
    """A request as a verb or query sees it: from the web, the command line or an import."""

    @property
    def method(self) -> str:
        """The request method, upper case."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The decoded path segments below the repository."""

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters, the last of each name."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Request headers, names in lower case, without credentials."""

    @property
    def base_url(self) -> str:
        """Absolute address of the repository as the client addressed it, with a final slash."""

    @property
    def accounts(self) -> Accounts:
        """Who asks, and their tokens; raises Unauthenticated where no person can be asking."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes in, unpacked if it was sent with a coding."""

    async def body(self, limit: int) -> bytes:
        """The whole body; raises TooLarge past ``limit`` bytes."""

    def parts(self) -> AsyncIterator[Part]:
        """The parts of a multipart form; raises Malformed when it is none, TooLarge past caps."""


class Received(Protocol):
    """Bytes that were received, hashed and written, and that no name points at yet."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def digests(self) -> Digests:
        """Every digest that was asked for; always with ``sha256``."""

    def open(self) -> IO[bytes]:
        """The bytes, seekable, for inspection in a thread."""

    async def discard(self) -> None:
        """Throw the bytes away; does nothing once they were added."""


class Shelf(Protocol):
    """A hosted repository (or a proxy, for queries) as verbs and queries may use it."""

    @property
    def repository(self) -> str:
        """``format/name``."""

    @property
    def publisher(self) -> str | None:
        """Who is acting."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The repository's options."""

    @property
    def now(self) -> datetime:
        """The time, UTC."""

    @property
    def public(self) -> bool:
        """Whether anybody may read the repository that was addressed."""

    @property
    def hosted(self) -> bool:
        """Whether this shelf owns its packages (else only ``forward`` and reads work)."""

    async def permit(self, action: Action, name: str) -> None:
        """Ask whether the actor may do this to that package; raises Forbidden, Unauthenticated."""

    async def entries(self, name: str) -> Sequence[Entry]:
        """The package's files, sidecars included, by its name in any spelling; empty when there is no such package."""

    async def entry(self, key: FileKey) -> Entry | None:
        """One file, as far as the index knows it; of a group the first member's that has it. None when there is no
        such file. Raises Unavailable."""

    async def elsewhere(self, names: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """While something is published through a group: the facts that its other members have of packages spelled like
        this, where they may be asked for them; who has none, or does not answer within seconds, is left out.

        Args:
            names: spellings of one name.
        """

    async def serial(self, name: str) -> int:
        """The change that last touched the package, 0 when none did."""

    async def survey(self, fact: str) -> Sequence[tuple[str, str]]:
        """(name, value) of every package of which this fact is said, sorted by name; of a group all
        that its members say, the first one's where several know a name."""

    async def offered(self, names: set[str]) -> set[str]:
        """Those of the names that upstreams may give here, and may be asked for: no hosted member of the group owns
        them, and no rule forbids it."""

    async def names(self) -> Sequence[tuple[str, int]]:
        """Every package name with its serial, sorted."""

    async def changes(self, since: int) -> Sequence[tuple[str, str, int, str, int]]:
        """Events after a serial: (name, version, unix time, action, serial), oldest first."""

    async def properties(self, name: str) -> Mapping[str, str]:
        """Facts on a package."""

    async def downloads(self, name: str) -> Mapping[str, int]:
        """How often each file of the package, by its name in any spelling, was downloaded here: key to count, without
        files that never were; of a group the sums over the members that answer for the name. The last half
        minute may be missing."""

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        """Write facts on a package (None removes one); its pages are rendered anew."""

    async def read(self, key: str, limit: int = 1_048_576) -> bytes:
        """The bytes of a small stored file; raises NotHere."""

    async def receive(
        self, chunks: AsyncIterator[bytes], *, algorithms: Sequence[str] = (), limit: int | None = None
    ) -> Received:
        """Write bytes away while hashing them; raises TooLarge, Full."""

    async def inspect(self, look: Callable[[], T]) -> T:
        """Run something slow and synchronous in a thread."""

    async def add(
        self,
        additions: Sequence[tuple[Entry, Received | bytes]],
        *,
        exclusive: bool = True,
        replace: bool = False,
        properties: Mapping[str, str | None] = NOTHING,
        defaults: Mapping[str, str] = NOTHING,
    ) -> bool:
        """Publish files of one package: bytes first, then one transaction, then the pages.

        Args:
            additions: entries with their bytes; the first listed one names the event.
            exclusive: refuse a listed file name that the package has with other bytes.
            replace: overwrite rows with the same key.
            properties: facts on the package, written with the files (None removes one).
            defaults: facts that are written with them where there are none of that name.

        Returns:
            True when something new is there, False when all of it was there already.

        Raises:
            AlreadyThere: other bytes are under that name, or were and the policy forbids reuse.
        """

    async def update(
        self, entries: Sequence[Entry], action: str, *, properties: Mapping[str, str | None] = NOTHING
    ) -> None:
        """Write changed entries of one package (same keys) and facts on it, and render its pages;
        ``action`` names the event."""

    async def remove(
        self,
        keys: Sequence[str],
        action: str = "remove",
        *,
        properties: Mapping[str, str | None] = NOTHING,
        clears: bool = False,
    ) -> int:
        """Remove files of one package by key, and write facts on it; returns how many were there.

        Args:
            clears: all facts on the package go when no listed file of it is left.
        """

    async def forward(self, path: str, headers: Mapping[str, str]) -> Reply:
        """Ask the upstream for ``path`` below its root and pass a small answer on; raises NotHere
        where there is no upstream, Unavailable where it does not answer usably."""

    async def ask(
        self, path: str, headers: Mapping[str, str] = NOTHING, *, body: bytes | None = None
    ) -> Sequence[Reply]:
        """Pass a question on to every proxy in here, by POST where it has a JSON body: what those
        that answered usably said. One that has no such thing or is down is left out."""

    async def sign(self, data: bytes) -> tuple[str, str]:
        """Sign with the server's own key: the key's id, and the signature (DER) in base64."""

    async def keys(self) -> Sequence[PublicKey]:
        """The keys that signatures made here are checked with, the newest first."""
