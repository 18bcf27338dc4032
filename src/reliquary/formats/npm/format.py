"""The Format object of npm: what the core asks of the JavaScript ecosystem, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from reliquary.errors import ReliquaryError
from reliquary.formats.base import (
    Client,
    FileKey,
    Listing,
    Manner,
    Match,
    PageKey,
    Pen,
    Public,
    Reading,
    Rendered,
    Source,
    Touch,
)
from reliquary.formats.npm import assembling, dress, keys, paths, reading
from reliquary.formats.usual import Usual
from reliquary.formats.verbs import Reply
from reliquary.types import Entry

_PUBLIC = Public(client="npm", purl="pkg:npm/left-pad@1.3.0")


@dataclass(frozen=True, slots=True)
class Npm(Usual):
    """Implements `reliquary.formats.base.Format`."""

    name: str = "npm"
    title: str = "JavaScript"
    public: Public | None = _PUBLIC
    # npm tells people of the first: that a token is not good, rather than a password.
    challenges: tuple[str, ...] = ('Bearer realm="Reliquary"', 'Basic realm="Reliquary"')

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        return paths.match(method, segments, query)

    def manner(self, key: FileKey | PageKey) -> Manner:
        return paths.manner(key)

    def locate(self, key: FileKey | PageKey, base: str) -> str | None:
        return paths.locate(key, base)

    def brief(self, key: FileKey, base: str) -> str | None:
        return paths.brief(key, base)

    def glean(self, key: FileKey, source: Source) -> Entry | None:
        return reading.glean(key, source)

    def ask(self, key: FileKey | PageKey) -> Mapping[str, str]:
        return {"accept": "application/json"}

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        return reading.read(key, source, file)

    def fragment(self, entry: Entry, media: str | None = None) -> bytes:
        return assembling.fragment(entry, media)

    def assemble(
        self, keys: Sequence[PageKey], listing: Listing, pen: Pen, media: str | None = None
    ) -> Sequence[Rendered]:
        return [page for key in keys for page in assembling.assemble(key, listing, media)]

    def pages(self, scope: str) -> Sequence[PageKey]:
        return [keys.page(scope)] if scope else []

    def touches(self, entry: Entry) -> Sequence[Touch]:
        return [Touch(entry.scope)]

    def renew(self, known: Entry, new: Entry) -> Entry:
        """Upstreams may deprecate and undo it; only what our bytes taught stays."""
        return replace(new, digests={**known.digests, **new.digests}, size=known.size)

    def dress(self, error: ReliquaryError, accept: str) -> Reply:
        return dress.dress(error, accept)

    def recognise(self, filename: str) -> tuple[str, ...] | None:
        return (filename,) if filename.endswith(".tgz") else None

    def clients(self, base_url: str) -> Sequence[Client]:
        place = urlsplit(base_url)
        key = f"//{place.netloc}{place.path}"
        return [
            Client(
                "npm",
                (
                    f"npm config set registry {base_url}",
                    f"npm config set {key}:_authToken=TOKEN",
                    f"npm login --registry {base_url}",
                ),
            ),
            Client("pnpm", (f"pnpm config set registry {base_url}", "pnpm publish")),
            Client(
                "yarn",
                (f"yarn config set npmRegistryServer {base_url}", f"yarn config set registry {base_url}  # yarn 1"),
            ),
            Client("bun", (f"bun install --registry {base_url}", "bun publish")),
            Client("curl", (f"curl -H 'Authorization: Bearer TOKEN' -T package-1.0.0.tgz {base_url}",)),
        ]


FORMAT = Npm()
