"""Documents of upstreams, and the pages made of them. Numbers in names are items of go.md, section 8."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reliquary.errors import Malformed, Mismatch, NotHere, ReliquaryError
from reliquary.formats import go
from reliquary.formats.base import FileKey, Listed, Listing, PageKey, Pen, Source
from reliquary.formats.go import keys, notes, records
from reliquary.types import Entry
from tests.formats.go.artefacts import gomod, h1, h1_of, module_zip

PATH = "example.com/Foo"
PEN = Pen(datetime(2026, 1, 1, tzinfo=UTC), "go/main")
PSEUDO = "v1.0.1-0.20250101000000-0123456789ab"


def read(key: PageKey, body: bytes | str, kind: str = "text/plain; charset=UTF-8") -> Sequence[Entry]:
    sent = body.encode() if isinstance(body, str) else body
    return go.FORMAT.read(key, Source("https://up.example/x", kind, sent)).entries


def page(key: PageKey, *entries: Entry) -> str:
    shown = [Listed(each.filename, each.version, go.FORMAT.fragment(each)) for each in entries if each.listed]
    (made,) = go.FORMAT.assemble([key], Listing(files=shown), PEN)
    return made.body.decode()


def stored(version: str, **data: object) -> Entry:
    """A version whose zip is here."""
    place = keys.archive(PATH, version).path
    return Entry(place, PATH, version, keys.base_name(place), PATH, data=data)


def best(*entries: Entry) -> str:
    return str(json.loads(page(keys.latest(PATH), *entries))["Version"])


def told(version: str, **more: str) -> Entry:
    """What an upstream's ``@latest`` says."""
    (entry,) = read(keys.latest(PATH), json.dumps({"Version": version, **more}))
    return entry


def test_12_a_list_is_of_tags_in_the_order_of_versions() -> None:
    text = "v1.10.0\nv1.9.0 2025-01-01T00:00:00Z\r\nv1.9.0\n\nmaster\nv2.0.0\nv3.0.0+incompatible\n"
    text += f"{PSEUDO}\nv1.0.0-RC\nv1.0\n"
    entries = read(keys.listing(PATH), text)
    assert {each.version for each in entries} == {"v1.0.0-RC", "v1.9.0", "v1.10.0", "v3.0.0+incompatible"}
    assert len(entries) == 4
    assert entries[-1].key == "example.com/!foo/@v/v1.0.0-!r!c.zip"
    assert {each.scope for each in entries} == {PATH}
    assert page(keys.listing(PATH), *entries) == "v1.0.0-RC\nv1.9.0\nv1.10.0\nv3.0.0+incompatible\n"


def test_11_an_empty_list_is_a_list() -> None:
    assert read(keys.listing(PATH), "") == []
    assert page(keys.listing(PATH)) == ""


def test_a_list_shows_no_commits_and_nothing_hidden() -> None:
    assert page(keys.listing(PATH), stored(PSEUDO), stored("v1.0.0"), stored("v1.1.0", hidden="")) == "v1.0.0\n"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"v1.0.0\n", "text/html"),
        (b"<!DOCTYPE html>", ""),
        (b'{"error": 1}', "application/json"),
        (b"v1.0.0\n\xff\n", "text/plain"),
        (b"v1.0.0\n\x00", "text/plain"),
    ],
)
def test_what_is_no_list(body: bytes, kind: str) -> None:
    with pytest.raises(Malformed):
        read(keys.listing(PATH), body, kind)


@pytest.mark.parametrize("time", ["2025-01-01T00:00:00Z", "2025-01-01T02:00:00.123456789+02:00", None])
def test_22_the_latest_is_passed_on_as_it_came(time: str | None) -> None:
    text = json.dumps({"Version": "v1.2.0", **({"Time": time} if time else {}), "Origin": {"VCS": "git"}}, indent=1)
    (entry,) = read(keys.latest(PATH), f"\n{text}\n", "application/json")
    assert entry.version == "v1.2.0"
    assert page(keys.latest(PATH), entry) == text


@pytest.mark.parametrize(
    "text",
    ["", "v1.0.0", "[]", "{}", '{"Version": 1}', '{"Version": "master"}', '{"Version": "v1.0.0", "Time": "now"}'],
)
def test_what_tells_of_no_version(text: str) -> None:
    for key in (keys.latest(PATH), keys.query(PATH, "master")):
        with pytest.raises(Malformed):
            read(key, text)


def test_9_a_branch_is_what_the_upstream_says() -> None:
    key = keys.query(PATH, "!main")
    (entry,) = read(key, json.dumps({"Version": PSEUDO}))
    assert json.loads(page(key, entry)) == {"Version": PSEUDO}
    with pytest.raises(NotHere):
        page(key)


def test_8_14_the_latest_of_what_is_here() -> None:
    one, rc, commit = (stored(version) for version in ("v1.0.0", "v1.1.0-rc.1", PSEUDO))
    assert best(rc, one, commit) == "v1.0.0"
    assert best(rc, commit) == "v1.1.0-rc.1"
    assert best(commit, stored("v0.0.0-20260101000000-0123456789ab")).startswith("v0.0.0-2026")
    assert best(one, stored("v2.0.0+incompatible", own_mod=False)) == "v1.0.0"
    assert best(stored("v1.0.0", own_mod=False), stored("v2.0.0+incompatible", own_mod=False)) == "v2.0.0+incompatible"
    assert best(one, stored("v1.5.0", hidden="broken")) == "v1.0.0"
    with pytest.raises(NotHere):
        best(stored("v1.0.0", hidden=""))


def test_14_19_the_latest_of_what_upstreams_tell_and_of_what_is_here() -> None:
    commit = stored("v1.9.1-0.20260101000000-0123456789ab")
    assert best(told("v1.0.0"), told("v1.2.0"), stored("v1.1.0")) == "v1.2.0"
    assert best(told("v1.0.0"), stored("v1.1.0")) == "v1.1.0"
    assert best(told(PSEUDO), stored("v1.0.0-rc.1")) == "v1.0.0-rc.1"
    assert best(told(PSEUDO), commit) == PSEUDO
    assert best(told("v3.0.0+incompatible"), stored("v1.0.0")) == "v3.0.0+incompatible"
    assert best(told("v1.0.0"), stored("v3.0.0+incompatible", own_mod=False)) == "v1.0.0"


def test_the_json_of_a_version_that_is_here() -> None:
    entry = stored("v1.0.0", time="2025-01-01T00:00:00Z", origin={"VCS": "git"})
    expected = {"Version": "v1.0.0", "Time": "2025-01-01T00:00:00Z", "Origin": {"VCS": "git"}}
    assert json.loads(page(keys.latest(PATH), entry)) == expected


def arrived(key: FileKey, body: bytes) -> Entry | None:
    entry = Entry(key.path, key.name, key.version, keys.base_name(key.path), key.scope, listed=key.listed)
    found = go.FORMAT.arrive(entry, io.BytesIO(body))
    return found.entry if found else None


def test_a_zip_that_came_tells_its_hashes() -> None:
    body = module_zip(PATH, "v1.0.0")
    entry = arrived(keys.archive(PATH, "v1.0.0"), body)
    assert entry is not None
    hashes = {"h1": h1(body), "mod_h1": h1_of({"go.mod": gomod(PATH)}), "own_mod": True}
    assert entry.data == hashes
    again = go.FORMAT.arrive(replace(entry, data=hashes), io.BytesIO(module_zip(PATH, "v1.0.0", stored=True)))
    assert again is not None
    assert again.entry.data == hashes
    with pytest.raises(Mismatch, match="and was h1:"):
        go.FORMAT.arrive(entry, io.BytesIO(module_zip(PATH, "v1.0.0", files={"other.go": b"package other\n"})))
    renewed = go.FORMAT.renew(replace(entry, size=7), stored("v1.0.0"))
    assert (renewed.size, renewed.data) == (7, hashes)


def test_a_module_of_another_name_is_served_as_upstreams_have_it() -> None:
    assert arrived(keys.archive(PATH, "v1.0.0"), module_zip(PATH, "v1.0.0", mod=gomod("example.com/fork"))) is not None


BROKEN: list[tuple[FileKey, bytes]] = [
    (keys.archive(PATH, "v1.0.0"), module_zip(PATH, "v1.0.1")),
    (keys.archive(PATH, "v1.0.0"), b"PK no zip"),
    (keys.archive(PATH, "v1.0.0"), module_zip(PATH, "v1.0.0", files={"CON": b""})),
    (keys.file(PATH, "v1.0.0", keys.INFO), b'{"Version": "v1.0.1"}'),
    (keys.file(PATH, "v1.0.0", keys.INFO), b"<html>"),
    (keys.record("sumdb/x/lookup/y", "x", PATH, "v1.0.0"), b"no record"),
    (keys.tile("sumdb/x/tile/8/0/000.p/2", "x"), b"x" * 32),
    (keys.tile("sumdb/x/tile/8/data/000.p/2", "x"), b"a b c\n\n"),
]


@pytest.mark.parametrize(("key", "body"), BROKEN, ids=range(len(BROKEN)))
def test_what_came_and_is_something_else_gets_no_name(key: FileKey, body: bytes) -> None:
    with pytest.raises(Mismatch):
        arrived(key, body)


def test_what_came_and_is_right_is_kept() -> None:
    text = records.record(PATH, "v1.0.0", h1(module_zip()), h1_of({"go.mod": b""}))
    answer = records.answer(0, text, b"any note\n")
    assert arrived(keys.record("sumdb/x/lookup/y", "x", PATH, "v1.0.0"), answer) is None
    with pytest.raises(Mismatch, match="tells of"):
        arrived(keys.record("sumdb/x/lookup/y", "x", PATH, "v1.0.1"), answer)
    assert arrived(keys.tile("sumdb/x/tile/8/0/000.p/2", "x"), b"x" * 64) is None
    assert arrived(keys.tile("sumdb/x/tile/8/data/000.p/1", "x"), records.data_tile([text])) is None
    assert arrived(keys.file(PATH, "v1.0.0", keys.INFO), b'{"Version": "v1.0.0"}') is None
    assert arrived(keys.file(PATH, "v1.0.0", keys.MOD), b"module elsewhere.example/x\n") is None


def test_what_a_database_says_of_itself() -> None:
    head = notes.head_text(notes.Head(0, bytes(32))) + "\n\u2014 x AAAA\n"
    key = keys.told("sumdb/sums.example/latest", "")
    (entry,) = read(key, head)
    assert page(key, entry) == head
    for wrong in ("", "something else\n"):
        with pytest.raises(Malformed):
            read(key, wrong)
    known = keys.told("sumdb/sums.example/supported", "")
    (entry,) = read(known, "yes\n")
    assert page(known, entry) == ""


def test_errors_are_a_few_printable_lines() -> None:
    reply = go.FORMAT.dress(ReliquaryError("one\n\n\ttwo\x1b[31m\u202e é\n" + "x\n" * 20), "text/html")
    lines = reply.body.decode().splitlines()
    assert lines[:2] == ["one", "two [31m  é"]
    assert (len(lines), reply.content_type) == (8, "text/plain; charset=utf-8")
    long = go.FORMAT.dress(ReliquaryError("é" * 1000), "").body
    assert len(long) <= 648
    assert long.decode().endswith("é\n")
    assert go.FORMAT.dress(ReliquaryError("\n"), "").body == b"error\n"
