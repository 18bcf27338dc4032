"""The Format object of pypi: what the core asks of the Python ecosystem, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import IO

from reliquary.errors import NotHere, ReliquaryError
from reliquary.formats.base import (
    Arrival,
    Client,
    Derived,
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
from reliquary.formats.pypi import dress, index, inspect, metadata, names, negotiate, paths, reading
from reliquary.formats.usual import Usual
from reliquary.formats.verbs import Reply
from reliquary.types import Entry

_SIDECAR = ".metadata"
_EXTRACTED: Mapping[str, bool] = {"extracted": True}
"""Data of a sidecar that was made of its wheel, not fetched."""
_PUBLIC = Public(client="pip", purl=None)


@dataclass(frozen=True, slots=True)
class PyPI(Usual):
    """Implements `reliquary.formats.base.Format`."""

    name: str = "pypi"
    title: str = "Python"
    public: Public | None = _PUBLIC
    challenges: tuple[str, ...] = ('Basic realm="Reliquary"',)
    learns: bool = True

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        return paths.match(method, segments, query)

    def manner(self, key: FileKey | PageKey) -> Manner:
        return negotiate.manner(key)

    def normalise(self, name: str) -> str:
        return names.normalise(name)

    def locate(self, key: FileKey | PageKey, base: str) -> str | None:
        return paths.locate(key, base)

    def question(self, path: str, base: str, told: Mapping[str, str]) -> str | None:
        """Beside the last segment of the index."""
        index = paths.locate(paths.root(), base) or base
        return index.rstrip("/").rpartition("/")[0] + "/" + path

    def ask(self, key: FileKey | PageKey) -> Mapping[str, str]:
        return {"accept": negotiate.ASKED} if isinstance(key, PageKey) else {}

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        return reading.read(key, source, file)

    def fragment(self, entry: Entry, media: str | None = None) -> bytes:
        return index.fragment(entry, media)

    def assemble(
        self, keys: Sequence[PageKey], listing: Listing, pen: Pen, media: str | None = None
    ) -> Sequence[Rendered]:
        return [page for key in keys for page in index.assemble(key, listing, pen, media)]

    def pages(self, scope: str) -> Sequence[PageKey]:
        return [paths.page(names.normalise(scope)) if scope else paths.root()]

    def touches(self, entry: Entry) -> Sequence[Touch]:
        return [Touch(entry.scope), Touch("", soon=True)]

    def withheld(self, properties: Mapping[str, str]) -> str | None:
        """PEP 792: a quarantined project offers no files."""
        return "the project is quarantined" if properties.get("status") == "quarantined" else None

    def derive(self, key: FileKey) -> Derived | None:
        """A wheel's METADATA (PEP 658); a source distribution's may differ once it is built."""
        if not key.path.endswith(".whl" + _SIDECAR):
            return None
        wheel = FileKey(key.path.removesuffix(_SIDECAR), key.scope, key.name)
        return Derived(wheel, partial(inspect.extract_metadata, name=key.name))

    def arrive(self, entry: Entry, file: IO[bytes]) -> Arrival | None:
        """A wheel's METADATA is advertised as the wheel has it, whatever its page said of it."""
        if not entry.filename.endswith(".whl"):
            return None
        try:
            raw = inspect.extract_metadata(file, entry.name)
        except NotHere:
            without = replace(entry, data={**entry.data, "core_metadata": False})
            return Arrival(without, corrects=True) if entry.data.get("core_metadata") else None
        data = {**entry.data, "core_metadata": {"sha256": sha256(raw).hexdigest()}}
        if not data.get("requires_python") and (text := metadata.fields(raw).get("requires_python")):
            data["requires_python"] = text
        learned = replace(entry, data=data)
        sidecar = reading.sidecar_of(learned)
        sidecars = [(replace(sidecar, size=len(raw), data=_EXTRACTED), raw)] if sidecar else []
        said = entry.data.get("core_metadata")
        return Arrival(learned, sidecars, corrects=isinstance(said, Mapping) and said != data["core_metadata"])

    def renew(self, known: Entry, new: Entry) -> Entry:
        """What the bytes taught us stays, as long as the page does not name other bytes.

        Of METADATA the wheel itself is the better witness; a sidecar made of it is never replaced
        by what a page says.
        """
        if known.data == _EXTRACTED and not known.listed:
            return replace(known, url=new.url)
        shared = set(known.digests) & set(new.digests)
        if any(known.digests[algorithm] != new.digests[algorithm] for algorithm in shared):
            return new
        data = {name: known.data[name] for name in ("requires_python",) if name in known.data} | dict(new.data)
        if "core_metadata" in known.data:
            data["core_metadata"] = known.data["core_metadata"]
        return replace(
            new,
            digests={**known.digests, **new.digests},
            size=known.size if new.size is None else new.size,
            published=new.published or known.published,
            data=data,
        )

    def dress(self, error: ReliquaryError, accept: str) -> Reply:
        return dress.dress(error, accept)

    def recognise(self, filename: str) -> tuple[str, ...] | None:
        known = filename.endswith((".whl", ".tar.gz")) and names.release_of(filename)
        return (filename,) if known else None

    def clients(self, base_url: str) -> Sequence[Client]:
        simple = f"{base_url}simple/"
        return [
            Client("pip", (f"pip install --index-url {simple} PACKAGE", f"pip config set global.index-url {simple}")),
            Client(
                "uv",
                (
                    f"uv pip install --default-index {simple} PACKAGE",
                    f"uv publish --publish-url {base_url} --check-url {simple} dist/*",
                ),
            ),
            Client(
                "poetry",
                (
                    f"poetry source add --priority=primary reliquary {simple}",
                    f"poetry config repositories.reliquary {base_url}",
                    "poetry publish --repository reliquary",
                ),
            ),
            Client("pdm", (f"pdm config pypi.url {simple}", f"pdm publish --repository {base_url}")),
            Client("hatch", (f"hatch publish --repo {base_url}",)),
            Client("twine", (f"twine upload --repository-url {base_url} dist/*",)),
        ]
