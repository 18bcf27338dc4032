"""Packuments put together: both forms, addresses, tags, times, and what is odd in them.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from reliquary.formats.base import Listed, Listing, PageKey, Pen, Source
from reliquary.formats.npm import FORMAT
from tests.formats.npm.artefacts import ABBREVIATED, TIME, manifest, packument, tarball

UP, HERE = "http://registry.example/npm/", "https://packages.example/npm/main/"
FULL = "application/json"
KEY = PageKey("demo", "demo", "demo")
PEN = Pen(datetime(2026, 1, 1, tzinfo=UTC), "npm/main")


def listing(body: bytes, *, base: str | None = HERE, only: set[str] | None = None, media: str | None = None) -> Listing:
    """What a packument becomes on the way to a page; ``only`` leaves versions out, as rules do."""
    reading = FORMAT.read(KEY, Source(UP + "demo", "application/json", body))
    files = [
        Listed(entry.filename, entry.version, FORMAT.fragment(entry, media))
        for entry in reading.entries
        if entry.listed and (only is None or entry.version in only)
    ]
    return Listing(files, (), {**reading.properties, **reading.about}, 7, base)


def pages(found: Listing, media: str | None = None) -> dict[str, dict[str, Any]]:
    return {page.media: json.loads(page.body) for page in FORMAT.assemble([KEY], found, PEN, media)}


def made(versions: Mapping[str, Mapping[str, object]], **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The full and the abbreviated page of an upstream with these manifests."""
    whole = {
        version: manifest("demo", version) | {"dist": {"tarball": f"{UP}demo/-/demo-{version}.tgz"}} | dict(content)
        for version, content in versions.items()
    }
    tags = more.pop("tags", {"latest": [*versions][-1]} if versions else {})
    body = packument("demo", {}, UP, versions=whole, **{"dist-tags": tags}, **more)
    found = pages(listing(body))
    return found[FULL], found[ABBREVIATED]


def test_5_both_forms() -> None:
    body = packument("demo", {"1.0.0": tarball()}, UP, description="what it is", users={"ann": True}, readme="# Demo")
    found = pages(listing(body))
    full, short = found[FULL], found[ABBREVIATED]
    assert set(full) == {"_id", "_rev", "name", "dist-tags", "versions", "time", "description", "users", "readme"}
    assert set(short) == {"name", "modified", "dist-tags", "versions", "time"}
    assert (full["_id"], full["_rev"], full["name"], full["readme"]) == ("demo", "7-abc", "demo", "# Demo")
    assert short["modified"] == TIME
    assert full["versions"]["1.0.0"]["description"] == "the demo of the tests"
    assert set(short["versions"]["1.0.0"]) == {"name", "version", "dist"}


@pytest.mark.parametrize("media", [FULL, ABBREVIATED])
def test_one_form_is_made_of_what_that_form_needs(media: str) -> None:
    body = packument("demo", {"1.0.0": tarball()}, UP)
    narrow = pages(listing(body, media=media), media)
    assert narrow == {media: pages(listing(body))[media]}


def test_no_attachments_are_shown() -> None:
    full, short = made({"1.0.0": {}}, _attachments={"demo-1.0.0.tgz": {"stub": True}})
    assert "_attachments" not in full and "_attachments" not in short


KEPT = {
    "deprecated": "old",
    "dependencies": {"a": "^1"},
    "optionalDependencies": {"b": "^1"},
    "devDependencies": {"c": "^1"},
    "peerDependencies": {"d": "^1"},
    "peerDependenciesMeta": {"d": {"optional": True}},
    "bundleDependencies": ["a"],
    "bundledDependencies": ["a"],
    "acceptDependencies": {"a": "1 || 2"},
    "bin": {"demo": "cli.js"},
    "directories": {"bin": "bin"},
    "engines": {"node": ">=18"},
    "cpu": ["x64"],
    "os": ["linux"],
    "libc": ["glibc"],
    "funding": "https://people.example/",
    "_hasShrinkwrap": False,
}


def test_8_what_an_installation_needs_is_in_the_short_form() -> None:
    full, short = made({"1.0.0": KEPT | {"readme": "r", "scripts": {"test": "x"}, "gitHead": "abc"}})
    found = short["versions"]["1.0.0"]
    assert {name: found[name] for name in KEPT} == KEPT
    assert set(found) == {"name", "version", "dist", *KEPT}
    assert {name: full["versions"]["1.0.0"][name] for name in KEPT} == KEPT


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"scripts": {"install": "x"}}, True),
        ({"scripts": {"preinstall": "x"}}, True),
        ({"scripts": {"postinstall": "x"}}, True),
        ({"scripts": {"install": "x"}, "hasInstallScript": False}, True),
        ({"gypfile": True}, True),
        ({"scripts": {"prepare": "x", "test": "x"}}, None),
        ({"scripts": {"install": ""}}, None),
        ({"scripts": "install"}, None),
        ({"scripts": {"install": 7}}, None),
        ({}, None),
    ],
)
def test_9_install_scripts_are_found(content: dict[str, object], wanted: bool | None) -> None:
    assert made({"1.0.0": content})[1]["versions"]["1.0.0"].get("hasInstallScript") == wanted


ODD = [
    {"bin": "cli.js"},
    {"engines": ["node >= 4"]},
    {"bundleDependencies": True},
    {"bundleDependencies": False},
    {"deprecated": False},
    {"deprecated": ""},
    {"deprecated": True},
    {"deprecated": 7},
    {"deprecated": {"why": "x"}},
    {"os": "linux"},
    {"dependencies": []},
    {"funding": [{"url": "x"}, "y"]},
    {"directories": None},
]


@pytest.mark.parametrize("content", ODD, ids=str)
def test_57_58_odd_types_come_back_as_sent(content: dict[str, object]) -> None:
    full, short = made({"1.0.0": content})
    for page in (full, short):
        found = page["versions"]["1.0.0"]
        assert {name: found[name] for name in content} == content


@pytest.mark.parametrize("content", [{"readme": {"a": 1}, "description": {"b": 2}}, {"readme": ["x"], "license": [1]}])
def test_56_a_readme_that_is_an_object(content: dict[str, Any]) -> None:
    full, short = made({"1.0.0": content}, **content)
    assert full["versions"]["1.0.0"]["readme"] == content["readme"]
    assert "readme" not in full
    assert "readme" not in short["versions"]["1.0.0"] and "readme" not in short


def test_49_addresses_are_those_of_the_client() -> None:
    body = packument("demo", {"1.0.0": tarball()}, UP)
    for base in ("http://one.example/npm/main/", "https://two.example:8443/deep/npm/other/"):
        for page in pages(listing(body, base=base)).values():
            assert page["versions"]["1.0.0"]["dist"]["tarball"] == f"{base}demo/-/demo-1.0.0.tgz"
        assert UP.encode() not in b"".join(page.body for page in FORMAT.assemble([KEY], listing(body, base=base), PEN))


def test_33_every_tag_is_passed_on() -> None:
    tags = {"latest": "2.0.0", "cjs": "1.0.0", "next/8": "1.0.0"}
    for page in made({"1.0.0": {}, "2.0.0": {}}, tags=tags):
        assert page["dist-tags"] == tags


def test_34_a_tag_on_a_version_that_is_not_shown() -> None:
    tags = {"latest": "3.0.0", "beta": "3.0.0", "old": "1.0.0"}
    bodies = {f"{at}.0.0": tarball("demo", f"{at}.0.0") for at in (1, 2, 3)}
    found = pages(listing(packument("demo", bodies, UP, **{"dist-tags": tags}), only={"1.0.0", "2.0.0"}))  # type: ignore[arg-type]
    for page in found.values():
        assert page["dist-tags"] == {"latest": "2.0.0", "old": "1.0.0"}
        assert set(page["dist-tags"].values()) <= set(page["versions"])
        assert list(page["versions"]) == ["1.0.0", "2.0.0"]
        assert "3.0.0" not in page["time"]


@pytest.mark.parametrize("tags", [{}, None, [], "latest", {"latest": "9.9.9"}, {"latest": 7}])
def test_28_there_is_always_a_latest_and_it_is_stable(tags: object) -> None:
    for page in made({"1.0.0": {}, "1.5.0": {}, "2.0.0-beta.1": {}}, tags=tags):
        assert page["dist-tags"] == {"latest": "1.5.0"}


def test_10_11_times_are_those_of_the_upstream() -> None:
    times = {"created": "2020-01-01T00:00:00.000Z", "modified": TIME, "1.0.0": "2020-02-02T02:02:02.222Z", "junk": "x"}
    for page in made({"1.0.0": {}, "2.0.0": {}}, time=times):
        assert page["time"] == times


def test_unpublished_is_shown_in_times() -> None:
    gone = {"time": TIME, "versions": ["1.0.0"]}
    full, _ = made({}, time={"created": TIME, "unpublished": gone})
    assert full["time"]["unpublished"] == gone
    assert full["versions"] == full["dist-tags"] == {}


def test_members_of_upstreams_we_know_nothing_of_are_passed_on() -> None:
    full, _ = made({"1.0.0": {}}, policyRestrictions={"message": "no"}, maintainers=[{"name": "a"}], users={})
    assert full["policyRestrictions"] == {"message": "no"}
    assert full["maintainers"] == [{"name": "a"}]


@pytest.mark.parametrize("text", ["a\0b", "\u2028", "\ufffe", "😀", '"\\"', "</script>"])
def test_59_every_sign_comes_back(text: str) -> None:
    full, _ = made({"1.0.0": {"description": text, "keywords": [text]}}, description=text, readme=text)
    assert full["versions"]["1.0.0"]["description"] == full["description"] == full["readme"] == text


def test_names_of_versions_are_quoted() -> None:
    full, _ = made({'1.0.0-"x\\': {}})
    assert list(full["versions"]) == ['1.0.0-"x\\']
