"""Search: what is published and kept here first, then what upstreams find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlencode

import orjson

from reliquary.formats.cargo import keys, names, summary, views
from reliquary.formats.cargo.views import Shown
from reliquary.formats.verbs import Incoming, Reply, Shelf

LONGEST = 500
"""Characters of a question that are looked at."""
COUNTED = 200
"""Crates whose downloads are looked up to put them in order; of more, those stay in order of relevance."""
PASSED_ON = ("q", "keyword", "category", "sort")
_TEXTS = (
    "max_stable_version",
    "newest_version",
    "default_version",
    "description",
    "homepage",
    "documentation",
    "repository",
    "created_at",
    "updated_at",
)
_COUNTS = ("downloads", "recent_downloads")

Found: TypeAlias = tuple[str, str]
"""A crate that is here: its normal name, and its summary as it is kept."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is looked for; ``start`` and ``size`` say which part of the results is wanted."""

    text: str
    keyword: str
    category: str
    sort: str
    start: int
    size: int

    @property
    def words(self) -> list[str]:
        return self.text.lower().split()

    @property
    def told(self) -> dict[str, str]:
        """What upstreams are asked, parts aside."""
        found = zip(PASSED_ON, (self.text, self.keyword, self.category, self.sort), strict=True)
        return {name: value for name, value in found if value}


async def search(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates?q=&per_page=&page=`` (The Cargo Book, "Web API", Search), with ``keyword``, ``category`` and
    ``sort`` (alpha, downloads, recent-updates, new, relevance) as the public registry has them.

    A question for nothing lists what is here; upstreams, which hold more than anybody reads, are not asked it.
    """
    asked = _question(incoming)
    here = await shelf.survey(summary.FACT)
    own = await _sorted(shelf, await shelf.inspect(lambda: _ranked(here, asked)), asked.sort)
    page = await _results(incoming, shelf, asked, own[asked.start : asked.start + asked.size])
    total = len(own)
    if asked.text or asked.keyword or asked.category:
        foreign, more = await _upstreams(shelf, asked, {name for name, _ in own})
        page += [_shown(incoming, asked, each["name"], _known(each)) for each in foreign[: asked.size - len(page)]]
        total += more
    return views.reply({"crates": page, "meta": {"total": total}})


def _question(incoming: Incoming) -> _Question:
    sent = (incoming.query.get(name, "").strip()[:LONGEST] for name in PASSED_ON)
    text, keyword, category, sort = (each.encode("utf-8", "replace").decode() for each in sent)
    return _Question(text, keyword, category, sort, *views.part(incoming))


def _ranked(summaries: Sequence[tuple[str, str]], asked: _Question) -> list[Found]:
    """What fits; the best first, then by name."""
    words, rare = asked.words, [(names.normal(word), _written(word)) for word in asked.words]
    keyword, category = asked.keyword.lower(), asked.category.lower()
    found: list[tuple[int, Found]] = []
    for name, fact in summaries:
        if not fact:
            continue
        # Most crates are passed over, or only listed, without reading what is said of them.
        low = fact.lower()
        if not all(word in name or text in low for word, text in rare) or _written(keyword or category) not in low:
            continue
        told: Shown = orjson.loads(fact) if words or keyword or category else {}
        if keyword and keyword not in map(str.lower, told["keywords"]):
            continue
        if category and not any(_within(each.lower(), category) for each in told["categories"]):
            continue
        scores = [_score(name, told, word) for word in words]
        if all(scores):
            whole = 10 if names.normal(asked.text) == name else 0
            found.append((whole + min(scores, default=0), (name, fact)))
    return [each for _, each in sorted(found, key=lambda each: (-each[0], each[1][0]))]


def _written(text: str) -> str:
    """A text in small letters as it stands in a fact."""
    return orjson.dumps(text)[1:-1].decode()


def _score(name: str, told: Mapping[str, Any], word: str) -> int:
    """How well a word fits a crate: 4 is its name, 3 a part of it, 2 a keyword, 1 its description; 0 not at all."""
    plain = names.normal(word)
    if plain == name:
        return 4
    if plain in name:
        return 3
    if word in map(str.lower, told["keywords"]):
        return 2
    texts = (told["description"], *told["keywords"], *told["categories"])
    return 1 if any(word in text.lower() for text in texts) else 0


def _within(slug: str, wanted: str) -> bool:
    """Whether a category is the wanted one or inside it (``network::http``)."""
    return slug == wanted or slug.startswith(f"{wanted}::")


async def _sorted(shelf: Shelf, found: list[Found], sort: str) -> list[Found]:
    if sort == "alpha":
        return sorted(found, key=lambda each: each[0])
    if sort in ("recent-updates", "new"):
        when = dict(await shelf.survey("updated" if sort == "recent-updates" else "created"))
        return sorted(found, key=lambda each: when.get(each[0], ""), reverse=True)
    if sort in ("downloads", "recent-downloads") and len(found) <= COUNTED:
        counts = {name: sum((await shelf.downloads(name)).values()) for name, _ in found}
        return sorted(found, key=lambda each: -counts[each[0]])
    return found


async def _results(incoming: Incoming, shelf: Shelf, asked: _Question, found: Sequence[Found]) -> list[Shown]:
    """Crates that are here as a search shows them."""
    if not found:
        return []
    created, updated = dict(await shelf.survey("created")), dict(await shelf.survey("updated"))
    shown: list[Shown] = []
    for name, fact in found:
        told = orjson.loads(fact)
        known = {
            "max_version": told["max_version"],
            "max_stable_version": told["max_stable"],
            "newest_version": told["newest"],
            "default_version": summary.default(told),
            "description": told["description"] or None,
            "created_at": created.get(name),
            "updated_at": updated.get(name),
            "downloads": sum((await shelf.downloads(name)).values()),
        }
        shown.append(_shown(incoming, asked, told["name"], known))
    return shown


def _shown(incoming: Incoming, asked: _Question, name: str, known: Mapping[str, Any]) -> Shown:
    return {
        "id": name,
        "name": name,
        **dict.fromkeys((*_TEXTS, *_COUNTS)),
        **known,
        "versions": None,
        "keywords": None,
        "categories": None,
        "exact_match": names.normal(asked.text) == names.normal(name),
        "links": views.links(views.place(incoming), name),
    }


async def _upstreams(shelf: Shelf, asked: _Question, own: set[str]) -> tuple[list[Shown], int]:
    """What upstreams find beside our own, from where the wanted part begins; and how many there are, as far as seen."""
    begin = max(asked.start - len(own), 0)
    if asked.start + asked.size <= views.MOST:
        found, total = await _ask(shelf, asked, asked.start + asked.size, [1])
        kept = await _ours(shelf, found, own)
        return kept[begin:], max(total - (len(found) - len(kept)), len(kept))
    # Further on than one answer holds: their own pages, which ours may lie across.
    first, over = divmod(begin, asked.size)
    found, total = await _ask(shelf, asked, asked.size, [first + 1, first + 2] if over else [first + 1])
    return await _ours(shelf, found[over:], own), total


async def _ask(shelf: Shelf, asked: _Question, per_page: int, pages: Sequence[int]) -> tuple[list[Shown], int]:
    """Pages of what every upstream finds, each name once; and how many they say there are."""
    found: dict[str, Shown] = {}
    totals: list[int] = []
    for page in pages:
        query = urlencode({**asked.told, "per_page": per_page, "page": page})
        read = [_read(reply) for reply in await shelf.ask(f"{keys.API}?{query}", {"accept": views.JSON})]
        totals.append(sum(total for _, total in read))
        for each in (each for crates, _ in read for each in crates):
            found.setdefault(names.normal(each["name"]), each)
    return list(found.values()), max(totals)


async def _ours(shelf: Shelf, found: Sequence[Shown], own: set[str]) -> list[Shown]:
    """Those that may be had here, and were not found here already."""
    offered = await shelf.offered({names.normal(each["name"]) for each in found} - own)
    return [each for each in found if names.normal(each["name"]) in offered - own]


def _read(reply: Reply) -> tuple[list[Shown], int]:
    """The crates of an upstream's answer that clients can read, and how many it found."""
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return [], 0
    crates, meta = (answer.get("crates"), answer.get("meta")) if isinstance(answer, dict) else (None, None)
    found = [each for each in crates if _whole(each)] if isinstance(crates, list) else []
    total = meta.get("total") if isinstance(meta, dict) else None
    return found, max(_count(total) or 0, len(found))


def _whole(found: object) -> bool:
    """Whether cargo can read a result: one without a name or a version fails its whole search."""
    if not isinstance(found, dict) or not isinstance(found.get("max_version"), str):
        return False
    return isinstance(found.get("name"), str) and names.valid(found["name"])


def _known(found: Mapping[str, Any]) -> Shown:
    """What an upstream says of a crate, where it is of the kind that clients expect there."""
    texts = {name: found[name] for name in ("max_version", *_TEXTS) if isinstance(found.get(name), str)}
    return {**texts, **{name: _count(found.get(name)) for name in _COUNTS}}


def _count(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**32 else None
