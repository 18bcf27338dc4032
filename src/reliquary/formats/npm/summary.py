"""What a search shows of a package: a small fact that is written when its packument changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from reliquary.formats.npm import members
from reliquary.formats.npm.members import Bytes

FACT = "summary"
_LONGEST = 1000
_KEYWORDS = 50


def of_packument(name: str, document: Mapping[str, Bytes], newest: Bytes | None, time: Bytes | None) -> dict[str, str]:
    """The fact for an upstream's packument.

    Args:
        newest: the manifest under ``latest``; None: nothing is known to show.
        time: when that was published.
    """
    if newest is None:
        return {}
    manifest = {each: members.value(content, object) for each, content in (members.split_or_none(newest) or {}).items()}
    manifest.setdefault("maintainers", members.value(document.get("maintainers"), list))
    return {FACT: of_manifest(name, manifest, members.value(time, str))}


def of_manifest(name: str, manifest: Mapping[str, Any], time: str | None) -> str:
    """The fact for a manifest: the ``package`` of a search result (npm's search, version 1)."""
    package: dict[str, Any] = {"name": name, "version": _text(manifest.get("version")) or "0.0.0"}
    if description := _text(manifest.get("description")):
        package["description"] = description
    keywords = manifest.get("keywords")
    if isinstance(keywords, list):
        package["keywords"] = [_text(each) for each in keywords[:_KEYWORDS] if isinstance(each, str)]
    if time:
        package["date"] = time
    author = manifest.get("author")
    if isinstance(author, Mapping) and _text(author.get("name")):
        package["author"] = {"name": _text(author["name"])}
    package["links"] = _links(manifest)
    owners = manifest.get("maintainers")
    people = [_person(each) for each in owners if isinstance(each, Mapping)] if isinstance(owners, list) else []
    package["maintainers"] = people[:_KEYWORDS]
    publisher = manifest.get("_npmUser")
    package["publisher"] = _person(publisher if isinstance(publisher, Mapping) else {})
    return orjson.dumps(package).decode()


def _text(found: object) -> str:
    return found[:_LONGEST].encode("utf-8", "replace").decode() if isinstance(found, str) else ""


def _person(found: Mapping[str, Any]) -> dict[str, str]:
    name = _text(found.get("name")) or _text(found.get("username"))
    return {"username": name, "email": _text(found.get("email"))}


def _links(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Web addresses that a manifest names itself."""
    found = {"homepage": manifest.get("homepage")}
    for name in ("repository", "bugs"):
        place = manifest.get(name)
        found[name] = place.get("url") if isinstance(place, Mapping) else place
    return {name: _text(url) for name, url in found.items() if _text(url)}
