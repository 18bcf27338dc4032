"""Search, version 1: what is published and kept here first, then what an upstream finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from reliquary.errors import Malformed
from reliquary.formats.npm import members, summary, views
from reliquary.formats.npm.tags import stamp
from reliquary.formats.verbs import Incoming, Reply, Shelf

MOST = 250
"""Results on one page."""
LONGEST = 500
"""Characters of a question that are looked at."""
FIELDS = ("quality", "popularity", "maintenance")


async def search(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/v1/search?text=&size=&from=``: merged, each name once, then cut into pages.

    Raises:
        Malformed: there is no text to look for.
    """
    text = incoming.query.get("text", "").strip()[:LONGEST]
    if not text:
        raise Malformed("name what to search for: ?text=...", code="ERR_TEXT_MISSING")
    size = min(_number(incoming.query.get("size"), 20), MOST)
    start = _number(incoming.query.get("from"), 0)
    own = [_result(package, score) for package, score in _ranked(await shelf.survey(summary.FACT), text)]
    names = {each["package"]["name"] for each in own}
    foreign, total = await _upstreams(incoming, shelf, text, start + size)
    others = [each for each in foreign if each["package"]["name"] not in names]
    found = [*own, *others]
    count = len(own) + max(len(others), total - (len(foreign) - len(others)))
    return views.reply({"objects": found[start : start + size], "total": count, "time": stamp(shelf.now)})


def _number(text: str | None, usual: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else usual


def _ranked(summaries: Sequence[tuple[str, str]], text: str) -> Iterator[tuple[dict[str, Any], float]]:
    """What has every word in its name, keywords, people or description; better places first."""
    words = [word for word in text.lower().split() if word]
    found: list[tuple[float, str, dict[str, Any]]] = []
    for name, fact in summaries:
        if not all(word.partition(":")[2] or word in fact.lower() for word in words):
            continue
        package = orjson.loads(fact)
        scores = [_score(name.lower(), package, word) for word in words]
        if all(scores):
            found.append((sum(scores) / len(scores), name, package))
    for score, _, package in sorted(found, key=lambda each: (-each[0], each[1])):
        yield package, score


def _score(name: str, package: Mapping[str, Any], word: str) -> float:
    """How well a word fits, 0 for not at all; ``keywords:``, ``author:``, ``maintainer:`` and ``scope:`` narrow it."""
    field, _, wanted = word.partition(":")
    keywords = [str(each).lower() for each in package.get("keywords", ())]
    people = [str(each.get("username", "")).lower() for each in package.get("maintainers", ())]
    author = str(package.get("author", {}).get("name", "")).lower()
    if wanted and field in ("keywords", "author", "maintainer", "scope"):
        places = {"keywords": keywords, "author": [author], "maintainer": people, "scope": [name.partition("/")[0][1:]]}
        return 1.0 if any(each in wanted.split(",") for each in places[field]) else 0.0
    if word == name or word == name.rpartition("/")[2]:
        return 1.0
    if word in name:
        return 0.8
    if word in keywords:
        return 0.6
    texts = (str(package.get("description", "")).lower(), author, *people, *keywords)
    return 0.4 if any(word in each for each in texts) else 0.0


def _result(package: dict[str, Any], score: float) -> dict[str, Any]:
    detail = {"quality": score, "popularity": score, "maintenance": score}
    return {"package": package, "score": {"final": score, "detail": detail}, "searchScore": score}


async def _upstreams(incoming: Incoming, shelf: Shelf, text: str, most: int) -> tuple[list[dict[str, Any]], int]:
    """What upstreams that can search find, at most ``most`` of it, and how much there is."""
    wanted = {"text": text, "size": min(most, MOST), "from": 0}
    wanted |= {name: incoming.query[name] for name in FIELDS if name in incoming.query}
    found: dict[str, dict[str, Any]] = {}
    total = 0
    for reply in await shelf.ask(f"-/v1/search?{urlencode(wanted)}", {"accept": views.JSON}):
        answer = members.split_or_none(reply.body) or {}
        count = members.value(answer.get("total"), int) or 0
        objects = [each for each in members.value(answer.get("objects"), list) or () if _whole(each)]
        total += max(count, len(objects))
        for each in objects:
            found.setdefault(each["package"]["name"], each)
    offered = await shelf.offered(set(found))
    return [each for name, each in found.items() if name in offered], total - (len(found) - len(offered))


def _whole(found: object) -> bool:
    """Whether clients can read a result: one without a version fails pnpm's whole search."""
    package = found.get("package") if isinstance(found, dict) else None
    return isinstance(package, dict) and all(isinstance(package.get(name), str) for name in ("name", "version"))
