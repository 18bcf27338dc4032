"""Packuments of upstreams: what is taken from them, and what odd ones do not break.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from reliquary.errors import Malformed
from reliquary.formats.base import FileKey, PageKey, Reading, Source
from reliquary.formats.npm import FORMAT, keys
from reliquary.types import Entry
from tests.formats.npm.artefacts import TIME, packument, tarball

BASE = "http://registry.example/npm/"


def read(body: bytes, name: str = "demo", file: str | None = None) -> Reading:
    page = PageKey(name, name, name)
    wanted = FileKey(file, name, name) if file is not None else None
    return FORMAT.read(page, Source(BASE + name, "application/json", body), wanted)


def one(**dist: object) -> Entry:
    """The entry of a version whose ``dist`` says this."""
    found = {"tarball": f"{BASE}demo/-/demo-1.0.0.tgz", **dist}
    versions = {"1.0.0": {"name": "demo", "version": "1.0.0", "dist": found}}
    (entry,) = [each for each in read(packument("demo", {}, BASE, versions=versions)).entries if each.listed]
    return entry


def manifest(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.data["manifest"].replace(keys.PLACE, "PLACE/"))
    return found


def test_versions_in_the_order_of_the_upstream() -> None:
    versions = ["2.0.0", "1.0.0", "1.10.0-beta.1", "1.9.0"]
    reading = read(packument("demo", {version: tarball("demo", version) for version in versions}, BASE))
    entries = [entry for entry in reading.entries if entry.listed]
    assert [entry.version for entry in entries] == versions
    assert [entry.key for entry in entries] == [f"demo/-/demo-{version}.tgz" for version in versions]
    assert {entry.scope for entry in entries} == {entry.name for entry in entries} == {"demo"}
    assert entries[0].url == f"{BASE}demo/-/demo-2.0.0.tgz"
    assert entries[0].digests["sha512"] == hashlib.sha512(tarball("demo", "2.0.0")).hexdigest()
    assert entries[0].digests["sha1"] == hashlib.sha1(tarball("demo", "2.0.0")).hexdigest()
    assert entries[0].published is not None and entries[0].published.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert entries[0].data["time"] == TIME


def test_only_the_file_that_is_wanted() -> None:
    body = packument("demo", {f"{at}.0.0": tarball("demo", f"{at}.0.0") for at in range(1, 6)}, BASE)
    reading = read(body, file="demo/-/demo-3.0.0.tgz")
    assert [entry.version for entry in reading.entries if entry.listed] == ["3.0.0"]
    assert not [entry for entry in read(body, file="demo/-/demo-9.0.0.tgz").entries if entry.listed]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'"demo"', b"<!DOCTYPE html>", b'{"name": "other", "versions": {}}', b'{"name": 1}',
     b'{"name": "Demo"}', b'{"name": "demo"', b"[" * 100_000, b'{"name":' * 100_000],
)  # fmt: skip
def test_what_is_no_packument_of_the_package(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize("name", ["demo", "@s/demo"])
def test_a_document_that_only_has_an_id(name: str) -> None:
    assert list(read(json.dumps({"_id": name}).encode(), name).entries) == []


NOTHING: list[object] = [None, [], {"dist": None}, {"dist": {"tarball": 7}}, {"dist": {"tarball": ""}}]


@pytest.mark.parametrize("versions", [None, [], "x", 1, *({"1.0.0": each} for each in NOTHING)])
def test_versions_that_nothing_can_be_fetched_of_are_left_out(versions: object) -> None:
    body = json.dumps({"name": "demo", "versions": versions, "time": versions, "dist-tags": versions}).encode()
    assert list(read(body).entries) == []


def test_10_a_version_without_a_time_is_listed_and_gets_none() -> None:
    body = packument("demo", {"1.0.0": tarball()}, BASE, timed=False)
    (entry,) = [each for each in read(body).entries if each.listed]
    assert (entry.published, entry.data["time"]) == (None, None)


@pytest.mark.parametrize("time", ["", "yesterday", 7, None, {}, [], "2026-99-99T00:00:00Z", "2" * 10_000])
def test_10_a_time_that_is_none_invents_none(time: object) -> None:
    body = packument("demo", {"1.0.0": tarball()}, BASE, time={"1.0.0": time})
    (entry,) = [each for each in read(body).entries if each.listed]
    assert entry.published is None


def test_old_packages_have_only_a_sha1() -> None:
    digest = "AB" * 20
    assert one(shasum=digest).digests == {"sha1": digest.lower()}


@pytest.mark.parametrize(
    ("dist", "algorithms"),
    [
        ({"integrity": "sha512-" + base64.b64encode(bytes(64)).decode()}, {"sha512"}),
        ({"integrity": "sha512-" + base64.b64encode(bytes(63)).decode()}, set()),
        ({"integrity": "sha512-not base64 at all!"}, set()),
        ({"integrity": "md5-" + base64.b64encode(bytes(16)).decode()}, set()),
        ({"integrity": "sha512-" + base64.b64encode(bytes(64)).decode() + "?opt"}, {"sha512"}),
        ({"integrity": "sha1-x  sha256-" + base64.b64encode(bytes(32)).decode()}, {"sha256"}),
        ({"integrity": 7, "shasum": 7}, set()),
        ({"integrity": None, "shasum": "zz" * 20}, set()),
        ({}, set()),
    ],
)
def test_digests_that_can_be_read(dist: dict[str, object], algorithms: set[str]) -> None:
    assert set(one(**dist).digests) == algorithms


def test_a_manifest_stays_as_it_is_but_for_our_addresses() -> None:
    """58 and more: what is odd is passed on, signatures and unknown members too."""
    odd = {
        "name": "demo",
        "version": "1.0.0",
        "bin": "cli.js",
        "engines": ["node >= 4", "npm"],
        "bundleDependencies": True,
        "deprecated": False,
        "dependencies": {"a": "^1", "__proto__": "1", "constructor": "2"},
        "big": 123456789012345678901234567890,
        "tiny": 1e-7,
        "_npmUser": {"name": "ann", "trustedPublisher": {"id": "x"}},
        "readme": {"object": True},
        "description": {"also": "an object"},
        "dist": {
            "tarball": f"{BASE}download/demo/1.0.0/abc",
            "integrity": "sha512-" + base64.b64encode(bytes(64)).decode(),
            "signatures": [{"keyid": "SHA256:x", "sig": "y"}],
            "npm-signature": "-----BEGIN",
            "attestations": {"url": f"{BASE}-/npm/v1/attestations/demo@1.0.0", "provenance": {"predicateType": "p"}},
        },
    }
    (entry,) = [each for each in read(packument("demo", {}, BASE, versions={"1.0.0": odd})).entries if each.listed]
    found = manifest(entry)
    attestations = {"url": "PLACE/-/npm/v1/attestations/demo@1.0.0", "provenance": {"predicateType": "p"}}
    dist = {**odd["dist"], "tarball": "PLACE/demo/-/demo-1.0.0.tgz", "attestations": attestations}  # type: ignore[dict-item]
    assert found == odd | {"dist": dist}
    assert list(found) == list(odd)
    assert entry.url == f"{BASE}download/demo/1.0.0/abc"
    assert '"big": 123456789012345678901234567890' in entry.data["manifest"]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/npm/demo/-/x.tgz", "http://registry.example/npm/demo/-/x.tgz"),
        ("demo/-/x.tgz", f"{BASE}demo/-/x.tgz"),
        ("https://files.example/x.tgz?a=b", "https://files.example/x.tgz?a=b"),
        ("//files.example/x.tgz", "http://files.example/x.tgz"),
    ],
)
def test_addresses_of_tarballs_are_resolved(url: str, wanted: str) -> None:
    assert one(tarball=url).url == wanted


def test_29_old_names_and_long_versions() -> None:
    version = "1.0.0-" + "a" * 96
    for name in ("JSONStream", "x" * 214, "@UPPER/Case"):
        (entry,) = [each for each in read(packument(name, {version: tarball()}, BASE), name).entries if each.listed]
        assert (entry.name, entry.version) == (name, version)
        file = FORMAT.match("GET", tuple(entry.key.split("/")), {})
        assert isinstance(file, FileKey) and file.path == entry.key


def test_4_versions_with_build_metadata_have_a_tarball_that_is_found() -> None:
    (entry,) = [each for each in read(packument("demo", {"1.0.0+x": tarball()}, BASE)).entries if each.listed]
    for filename in ("demo-1.0.0+x.tgz", "demo-1.0.0%2Bx.tgz"):
        file = FORMAT.match("GET", ("demo", "-", filename), {})
        assert isinstance(file, FileKey)
        found = read(packument("demo", {"1.0.0+x": tarball()}, BASE), file=file.path)
        assert [each.key for each in found.entries if each.listed] == [entry.key] == [file.path]


@pytest.mark.parametrize("rubbish", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf"])
def test_59_bytes_that_are_no_utf8(rubbish: bytes) -> None:
    body = packument("demo", {"1.0.0": tarball()}, BASE, description="HERE")
    for place in (b"HERE", b"the demo"):
        (entry,) = [each for each in read(body.replace(place, rubbish)).entries if each.listed]
        entry.data["manifest"].encode()
        assert manifest(entry)["version"] == "1.0.0"


def test_59_signs_that_databases_do_not_take() -> None:
    body = packument("demo", {"1.0.0": tarball()}, BASE, description="a\0b", readme="c\0d", keywords=["\U0001f600"])
    reading = read(body)
    for text in [*reading.properties.values(), *(entry.data["manifest"] for entry in reading.entries if entry.listed)]:
        assert "\0" not in text
        text.encode()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"\uDE00 tail", "\ufffd tail"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ud83dx\\ud83d", "\ufffdx\\ud83d"),
        (r"\\\ud83d \ud83d\uDE00", "\\\ufffd \U0001f600"),
    ],
)
def test_59_halves_of_characters(text: str, wanted: str) -> None:
    """Registries cut descriptions at so many units of UTF-16; the rest of the document is whole."""
    body = packument("demo", {"1.0.0": tarball()}, BASE, description="HERE")
    reading = read(body.replace(b"HERE", text.encode()).replace(b"the demo of the tests", text.encode()))
    (entry,) = [each for each in reading.entries if each.listed]
    assert manifest(entry)["description"] == wanted
    assert json.loads("{" + reading.about["head"] + "}")["description"] == wanted


def test_our_placeholder_in_a_document_is_not_taken_for_an_address() -> None:
    body = packument("demo", {"1.0.0": tarball()}, BASE, readme=f"a{keys.PLACE}b")
    for each in (body, body.replace(b"\\ufdd0", keys.PLACE.encode())):
        reading = read(each)
        assert keys.PLACE not in str(reading.about)
        assert keys.PLACE not in str(reading.properties)


def test_33_every_tag_is_kept() -> None:
    tags = {"latest": "1.0.0", "cjs": "1.0.0", "next/8": "1.0.0", "old": "0.0.1", "odd": 7}
    more: dict[str, Any] = {"dist-tags": tags}
    found = json.loads(read(packument("demo", {"1.0.0": tarball()}, BASE, **more)).about["tags"])
    assert found == {"latest": "1.0.0", "cjs": "1.0.0", "next/8": "1.0.0", "old": "0.0.1"}


@pytest.mark.parametrize("readme", [{"a": 1}, ["x"], 7, None, True, "r" * 5_000_000])
def test_56_a_readme_is_a_text_of_bounded_size(readme: object) -> None:
    about = read(packument("demo", {"1.0.0": tarball()}, BASE, readme=readme)).about
    shown = json.loads("{" + about["head"] + "}").get("readme")
    assert shown == ("r" * 65_536 if isinstance(readme, str) else None)
