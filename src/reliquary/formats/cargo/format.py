"""The Format object of cargo: what the core asks of the Rust ecosystem, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
from reliquary.formats.cargo import dress, index, keys, names, paths, reading
from reliquary.formats.usual import Usual
from reliquary.formats.verbs import Reply
from reliquary.types import Entry

_PUBLIC = Public(client="cargo", purl="pkg:cargo/serde@1.0.0")


@dataclass(frozen=True, slots=True)
class Cargo(Usual):
    """Implements `reliquary.formats.base.Format`."""

    name: str = "cargo"
    title: str = "Rust"
    public: Public | None = _PUBLIC
    # cargo looks for login_url in a challenge of its own, and sends its token once it has seen a 401.
    challenges: tuple[str, ...] = ('Cargo login_url="{repository}me"', 'Basic realm="Reliquary"')
    pace: float = 1.0

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        return paths.match(method, segments, query)

    def manner(self, key: FileKey | PageKey) -> Manner:
        return paths.manner(key)

    def normalise(self, name: str) -> str:
        return names.normal(name)

    def locate(self, key: FileKey | PageKey, base: str) -> str | None:
        return reading.locate(key, base)

    def guide(self, base: str) -> PageKey | None:
        return keys.config(base)

    def direct(self, entry: Entry, told: Mapping[str, str]) -> str | None:
        return reading.direct(entry, told)

    def question(self, path: str, base: str, told: Mapping[str, str]) -> str | None:
        return reading.question(path, told)

    def ask(self, key: FileKey | PageKey) -> Mapping[str, str]:
        return {"accept": "text/plain, */*;q=0.5"} if isinstance(key, PageKey) else {}

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        return reading.read(key, source, file)

    def fragment(self, entry: Entry, media: str | None = None) -> bytes:
        return index.fragment(entry)

    def assemble(
        self, keys: Sequence[PageKey], listing: Listing, pen: Pen, media: str | None = None
    ) -> Sequence[Rendered]:
        return [index.assemble(key, listing) for key in keys]

    def pages(self, scope: str) -> Sequence[PageKey]:
        return [keys.page(scope)] if scope and scope != keys.CONFIG else []

    def touches(self, entry: Entry) -> Sequence[Touch]:
        """Its own index file, and those that a group may have of the name in other spellings, which are hidden now."""
        return [Touch(lower) for lower in names.spellings(entry.scope)]

    def renew(self, known: Entry, new: Entry) -> Entry:
        """Upstreams yank and undo it; only what our bytes taught stays."""
        return replace(new, digests={**known.digests, **new.digests}, size=known.size)

    def dress(self, error: ReliquaryError, accept: str) -> Reply:
        return dress.dress(error, accept)

    def recognise(self, filename: str) -> tuple[str, ...] | None:
        return (filename,) if filename.endswith(".crate") else None

    def clients(self, base_url: str) -> Sequence[Client]:
        return [
            Client(
                "cargo",
                (
                    f"export CARGO_REGISTRIES_RELIQUARY_INDEX=sparse+{base_url}",
                    "cargo login --registry reliquary",
                    "cargo publish --registry reliquary",
                    "# .cargo/config.toml, so that public crates come from here too",
                    "[registries.reliquary]",
                    f'index = "sparse+{base_url}"',
                    "[registry]",
                    'global-credential-providers = ["cargo:token"]',
                    "[source.crates-io]",
                    'replace-with = "reliquary"',
                ),
            ),
            Client("curl", (f"curl -H 'Authorization: TOKEN' -T name-1.0.0.crate {base_url}",)),
        ]


FORMAT = Cargo()
