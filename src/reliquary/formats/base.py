"""The Format protocol: all that the core knows of a package format.

A format is pure. It maps paths to keys, bytes to values and values to bytes; it imports no HTTP
client, no SQL, no disk and no web framework. What it needs done, it asks of a `Shelf`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Protocol, TypeAlias, runtime_checkable

from reliquary.errors import ReliquaryError
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Action, Entry, Headers


@dataclass(frozen=True, slots=True)
class Offer:
    """A media type that a page can be had in.

    Args:
        media: what content negotiation compares, without parameters; also names the variant.
        content_type: the Content-Type that is sent.
        aliases: further types a client may ask it by.
    """

    media: str
    content_type: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manner:
    """How a key is answered; given by the format, carried out by ``web.respond``.

    Args:
        offers: what a page can be had in, the preferred one of equal quality first; a file has one.
        immutable: the bytes under this key never change (``max-age`` of a year).
        max_age: seconds a proxied page or mutable file counts as fresh, here and at clients.
        codings: whether gzip and zstd variants exist (never for files).
        ranges: whether Range is honoured (files, and pages without codings).
        headers: sent with every answer for the key, errors and 304 too (CORS and the like).
        sandbox: foreign bytes a browser must not run on our origin.
        absolute: the page holds absolute addresses, so each address of ours has a page of its own
            (`Listing.base_url`).
        prompt: a proxied page past its age is confirmed before it is sent, not behind the answer, and not here any more
            once its upstream says so: clients of this format look at it when they must know what is new.
        lasting: a prompt page that its upstream takes away stays here as it was.
        checked: what `Format.arrive` refuses is never sent whole: the last byte waits until it has looked. It looks at
            files that no page lists, too.
    """

    offers: tuple[Offer, ...]
    immutable: bool = False
    max_age: int = 0
    codings: bool = False
    ranges: bool = False
    headers: Headers = ()
    sandbox: bool = False
    absolute: bool = False
    prompt: bool = False
    lasting: bool = False
    checked: bool = False


@dataclass(frozen=True, slots=True)
class FileKey:
    """A file: ``path`` is its key below the repository, ``scope`` the page scope that lists it,
    ``name`` the normalised package name that rules and access look at. ``listed`` is false for one
    that no page lists, and whose address at an upstream `Format.locate` tells; ``version`` what the
    address says of it, for one that no index named."""

    path: str
    scope: str
    name: str
    listed: bool = True
    version: str = ""


@dataclass(frozen=True, slots=True)
class PageKey:
    """A page.

    Args:
        path: its key below the repository, in normal form.
        scope: what is rendered together with it.
        name: the package it is of, or "" for a list of packages.
        children: the prefix of the scopes whose names it lists (`Listing.names`), or None.
        media: the media type that the address itself forces (``?format=``), or None.
        base: the address of the repository, with a final slash, that its links begin with; known
            once a client has asked (`Manner.absolute`).
    """

    path: str
    scope: str
    name: str = ""
    children: str | None = None
    media: str | None = None
    base: str | None = None

    @property
    def place(self) -> str:
        """What the rendered page is kept under: its path, and the address that it was made for."""
        return self.path if self.base is None else f"{self.path} {self.base}"


@dataclass(frozen=True, slots=True)
class Moved:
    """One hop to the normal form: 301 to ``path`` below the repository, the query kept."""

    path: str
    permanent: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """A verb or a query: computed, never cached.

    Args:
        action: what ``may`` is asked for before anything is read.
        run: what carries it out.
        name: the package it is about as far as the address tells, or None.
        scope: the page scope it is about, or None.
        open: it is about the asker's account, not about what is in the repository: no right is asked
            for, and credentials that are no longer good do not hinder it (a login replaces them).
            What it needs to know of the asker it asks of `Incoming.accounts`.
    """

    action: Action
    run: Callable[[Incoming, Shelf], Awaitable[Reply]]
    name: str | None = None
    scope: str | None = None
    open: bool = False


Match: TypeAlias = FileKey | PageKey | Moved | Call


@dataclass(frozen=True, slots=True)
class Source:
    """A document as an upstream sent it: where from (after redirects), as what, and its headers
    (names in lower case)."""

    url: str
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Compact(Protocol):
    """Entries of a `Reading` that a format makes one by one, when they are asked for: what most
    pages need of them is there without."""

    def keys(self) -> Sequence[str]:
        """The keys of all entries, in their order."""

    def listed(self, media: str) -> Sequence[tuple[str, str, str, str, bytes]]:
        """Of each listed entry key, name, file name, version, and its fragment in a media type."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an upstream's document says.

    Args:
        entries: its files, sidecars that it advertises included (``listed`` false).
        names: child names, for a page that lists names (`PageKey.children`).
        properties: facts on the package (status, serial), text to text, that are asked for by name.
        dated: when the document was last changed, as far as it says.
        weight: what it costs to remember beyond its entries, in entries.
        whole: it names all files of its scope: what it leaves out is gone upstream.
        about: what else its pages say beside its files; read from the document each time, never
            written elsewhere.
    """

    entries: Sequence[Entry] = ()
    names: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    dated: datetime | None = None
    weight: int = 0
    whole: bool = True


class Shown(Protocol):
    """A listed file as assembly sees it."""

    @property
    def filename(self) -> str:
        """Its name."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def fragment(self) -> bytes:
        """What was rendered of it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A listed file as `Shown`, by itself."""

    filename: str
    version: str
    fragment: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a scope's pages are made of.

    Args:
        files: listed files in a stable order.
        names: (child name, serial) for pages with `PageKey.children`, sorted.
        properties: facts on the package.
        serial: of the last change to the scope.
        base_url: absolute address of the repository with a final slash, as the client addressed it for
            pages that hold such addresses; else None where no public URL is configured.
    """

    files: Sequence[Shown] = ()
    names: Sequence[tuple[str, int]] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    serial: int = 0
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Pen:
    """What assembly may write with.

    Args:
        now: the time to write into documents that carry one (UTC).
        repository: ``format/name`` of the repository, for titles.
    """

    now: datetime
    repository: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """One page in one media type, uncompressed. ``headers`` go out with it (and with its 304)."""

    path: str
    media: str
    body: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Touch:
    """A scope that a change to an entry makes out of date; ``soon`` where no one waits for it."""

    scope: str
    soon: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """How a computed file comes from another one.

    Args:
        source: key of the file it is made from.
        make: reads the source (seekable, whole) and returns the bytes; raises NotHere when the
            source holds no such thing. Runs in a thread.
    """

    source: FileKey
    make: Callable[[IO[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a format learned from a proxied file that is now stored: the entry as the index shall
    list it from now on, and sidecars (unlisted entries with their bytes) to keep beside it.

    ``corrects``: the index says what is wrong, and a client that believes it fails; what is only
    added can wait until the page is next confirmed.
    """

    entry: Entry
    sidecars: Sequence[tuple[Entry, bytes]] = ()
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """How one client is pointed at a repository: lines to type or write, for people to copy."""

    client: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Public:
    """Where the public upstream of a format is learned from, when no setting names one.

    Args:
        client: whose configuration on this machine is asked (``pip``, ``npm``, ``go``, ...).
        purl: package type and a sample name for packageurl-python, or None.
    """

    client: str
    purl: str | None = None


class Format(Protocol):
    """A package ecosystem's protocol."""

    @property
    def name(self) -> str:
        """First segment of its addresses, lower case."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def public(self) -> Public | None:
        """Where its public upstream is learned from; None when there is none."""

    @property
    def challenges(self) -> tuple[str, ...]:
        """WWW-Authenticate values of a 401; ``{repository}`` in one stands for the repository's address, with a final
        slash."""

    @property
    def learns(self) -> bool:
        """Whether `arrive` looks at files at all."""

    @property
    def pace(self) -> float:
        """Seconds between two questions (`question`) to an upstream; 0 where upstreams ask for no pace."""

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        """Map a path below the repository (each segment decoded once, no empty ones but a last
        one for a final slash) to a key or a call; None when nothing is there for this method.
        Raises Malformed for names that break the format's rules."""

    def manner(self, key: FileKey | PageKey) -> Manner:
        """How the key is answered."""

    def normalise(self, name: str) -> str:
        """A package name in the form that is unique per repository."""

    def locate(self, key: FileKey | PageKey, base: str) -> str | None:
        """The key's address at an upstream, or None: only the index knows."""

    def guide(self, base: str) -> PageKey | None:
        """The page of the upstream at ``base`` whose properties tell where its files and services are; None where
        that follows from its address, or pages name it."""

    def direct(self, entry: Entry, told: Mapping[str, str]) -> str | None:
        """The address of an entry that names none, by what the guide told; None where that tells nothing."""

    def brief(self, key: FileKey, base: str) -> str | None:
        """The address of a small document that tells of this file alone, None where upstreams have none: then
        its page is read, however large."""

    def glean(self, key: FileKey, source: Source) -> Entry | None:
        """What such a document says of the file; None where it is of another. Raises Malformed."""

    def question(self, path: str, base: str, told: Mapping[str, str]) -> str | None:
        """The address at which an upstream is asked what is passed on to it (``Shelf.ask``), by what its guide told;
        None where it has no such service."""

    def ask(self, key: FileKey | PageKey) -> Mapping[str, str]:
        """Request headers an upstream is asked with."""

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        """Parse an upstream's document, or one that ``assemble`` made.

        Args:
            file: nothing but the entry of this file is wanted; others may be left out.

        Raises:
            Malformed: it is not such a document (a captive portal's page).
        """

    def fragment(self, entry: Entry, media: str | None = None) -> bytes:
        """What the index says of a listed entry, rendered once: all of it, or at least what pages
        of this media type need; b"" for an unlisted one."""

    def assemble(
        self, keys: Sequence[PageKey], listing: Listing, pen: Pen, media: str | None = None
    ) -> Sequence[Rendered]:
        """Render pages of one scope, in every media type or the one named."""

    def pages(self, scope: str) -> Sequence[PageKey]:
        """The pages that a scope is shown in; a package's name, in any spelling, is a scope too."""

    def touches(self, entry: Entry) -> Sequence[Touch]:
        """The scopes that are out of date when this entry comes, changes or goes."""

    def withheld(self, properties: Mapping[str, str]) -> str | None:
        """Why no file of a package with these facts may be had, or None when they may."""

    def derive(self, key: FileKey) -> Derived | None:
        """How the file at this key is computed from another, or None."""

    def arrive(self, entry: Entry, file: IO[bytes]) -> Arrival | None:
        """Look at a proxied file that is now stored; None when nothing was learned. In a thread.

        Raises:
            Mismatch: it is not what was asked for, and gets no name here.
        """

    def renew(self, known: Entry, new: Entry) -> Entry:
        """The entry to list when an upstream's page says ``new`` of a stored file known as
        ``known``: what was learned from the bytes is kept where the page is silent."""

    def dress(self, error: ReliquaryError, accept: str) -> Reply:
        """An error in the format's own dialect."""

    def recognise(self, filename: str) -> tuple[str, ...] | None:
        """For imports: the segments to PUT a file of this name to, or None for foreign files."""

    def clients(self, base_url: str) -> Sequence[Client]:
        """How each client is pointed at the repository at ``base_url`` (with a final slash)."""
