"""A checksum database, played: its records, its tree and its signed head, laid at an upstream."""

from __future__ import annotations

from dataclasses import dataclass, field

from reliquary.formats.go import names, notes, records, tiles
from tests.formats.go.artefacts import gomod, h1, h1_of
from tests.upstreams import Upstream


@dataclass
class Database:
    """A log that grows.

    Args:
        name: ``host/path``, which clients never dial where a proxy relays it.
    """

    name: str = "sums.example/log"
    texts: list[bytes] = field(default_factory=list)
    of: list[tuple[str, str]] = field(default_factory=list)

    @property
    def signer(self) -> notes.Signer:
        """Who signs its heads."""
        return notes.Signer.make(self.name, bytes(range(32)))

    @property
    def key(self) -> str:
        """GOSUMDB."""
        return self.signer.key.text

    def add(self, path: str, made: dict[str, bytes], mod: bytes | None = None) -> None:
        """Append a record for each of a module's zips, by version."""
        for version, body in made.items():
            self.note(path, version, h1(body), h1_of({"go.mod": mod or gomod(path)}))

    def note(self, path: str, version: str, h1_zip: str, h1_mod: str) -> None:
        """Append a record."""
        self.texts.append(records.record(path, version, h1_zip, h1_mod))
        self.of.append((path, version))

    def lay(self, upstream: Upstream) -> None:
        """Put the log, as it is now, at an upstream; tiles of former sizes stay."""
        edge, made = tiles.append(0, (), [tiles.leaf(text) for text in self.texts])
        head = notes.sign(notes.head_text(notes.Head(len(self.texts), tiles.root(edge))), self.signer)
        root = f"/sumdb/{self.name}"
        upstream.put(f"{root}/supported", b"")
        upstream.put(f"{root}/latest", head, content_type="text/plain; charset=UTF-8")
        for tile, body in made.items():
            upstream.put(f"{root}/{tile.path}", body)
        for number, (text, (path, version)) in enumerate(zip(self.texts, self.of, strict=True)):
            asked = f"{names.escape(path)}@{names.escape(version)}"
            upstream.put(f"{root}/lookup/{asked}", records.answer(number, text, head), content_type="text/plain")
