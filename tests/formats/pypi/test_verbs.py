from __future__ import annotations

import io
import json
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Forbidden, Malformed, NotAcceptable, NotHere, Unavailable
from reliquary.formats.base import Call, FileKey, PageKey
from reliquary.formats.pypi import FORMAT, manage, rpc
from reliquary.formats.verbs import Reply
from reliquary.types import Action, Entry
from tests.formats.pypi.artefacts import metadata, sdist, wheel
from tests.formats.pypi.shelf import MemoryShelf, Request, digest

pytestmark = pytest.mark.anyio

WHEEL = "demo-1.0-py3-none-any.whl"
BASE = "http://packages.example/pypi/main/"


async def call(shelf: MemoryShelf, method: str, path: str, data: bytes = b"", **query: str) -> Reply:
    segments = tuple(path.split("/"))
    found = FORMAT.match(method, segments, query)
    assert isinstance(found, Call)
    return await found.run(Request(method, segments, data=data, query=query), shelf)


async def stocked() -> MemoryShelf:
    shelf = MemoryShelf()
    for version in ("1.0", "2.0", "3.0rc1"):
        extra = "Summary: a demo\nRequires-Dist: other>=1\nRequires-Python: >=3.8\nClassifier: A :: B\n"
        data = wheel(version=version, meta=metadata(version=version, extra=extra, body="Grüße"))
        await call(shelf, "PUT", f"demo-{version}-py3-none-any.whl", data)
    await call(shelf, "PUT", "demo-1.0.tar.gz", sdist())
    return shelf


async def marks(shelf: MemoryShelf) -> dict[str, object]:
    return {entry.filename: entry.data.get("yanked", False) for entry in await shelf.entries("demo") if entry.listed}


async def test_yank_and_undo() -> None:
    shelf = await stocked()
    await call(shelf, "PUT", "manage/Demo/1.0.0/yank", b'bad "thing"\nfix\x1b[1m')
    yanked = {name: mark for name, mark in (await marks(shelf)).items() if mark}
    assert yanked == {WHEEL: 'bad "thing" fix [1m', "demo-1.0.tar.gz": 'bad "thing" fix [1m'}
    assert shelf.asked[-1] == (Action.DELETE, "demo")
    await call(shelf, "DELETE", "manage/demo/1.0/yank", filename=WHEEL)
    assert (await marks(shelf))[WHEEL] is False
    assert (await marks(shelf))["demo-1.0.tar.gz"]
    await call(shelf, "PUT", "manage/demo/2.0/yank")
    assert (await marks(shelf))["demo-2.0-py3-none-any.whl"] is True
    events = len(shelf.events)
    assert await manage.yank(shelf, "demo", "2.0", None, None) == 0
    assert len(shelf.events) == events
    with pytest.raises(NotHere):
        await call(shelf, "PUT", "manage/demo/9/yank")
    with pytest.raises(Malformed):
        await call(shelf, "PUT", "manage/demo/1.0/yank", b"\xff")


async def test_delete_takes_sidecars_along() -> None:
    shelf = await stocked()
    assert (await call(shelf, "DELETE", "manage/demo/1.0", filename=WHEEL)).status == 204
    left = [entry.filename for entry in await shelf.entries("demo") if entry.version == "1.0"]
    assert left == ["demo-1.0.tar.gz"]
    await call(shelf, "DELETE", "manage/demo/1.0")
    key = next(key for key in shelf.rows if key.endswith("2.0-py3-none-any.whl"))
    await call(shelf, "DELETE", key)
    assert {entry.version for entry in await shelf.entries("demo")} == {"3.0rc1"}
    for path in (key, "manage/demo/1.0"):
        with pytest.raises(NotHere):
            await call(shelf, "DELETE", path)


async def test_rights_are_asked_first() -> None:
    shelf = await stocked()
    shelf.forbidden = frozenset({"demo"})
    before = dict(shelf.rows)
    key = next(iter(shelf.rows))
    for method, path in (
        ("PUT", "manage/demo/1.0/yank"),
        ("DELETE", "manage/demo/1.0/yank"),
        ("DELETE", "manage/demo/1.0"),
        ("DELETE", key),
        ("PUT", "manage/demo/status"),
    ):
        with pytest.raises(Forbidden):
            await call(shelf, method, path, b"{}")
    assert shelf.rows == before and shelf.facts == {}


async def test_status() -> None:
    shelf = await stocked()
    await call(shelf, "PUT", "manage/demo/status", b'{"status":"archived","reason":"done\\n"}')
    assert shelf.facts["demo"] == {"status": "archived", "status-reason": "done"}
    assert shelf.asked[-1] == (Action.ADMIN, "demo")
    await call(shelf, "PUT", "manage/demo/status", b'{"status":"active"}')
    assert shelf.facts["demo"] == {"status": "active"}
    for body in (b"", b"{}", b'{"status":"odd"}', b"[" * 3000):
        with pytest.raises(Malformed):
            await call(shelf, "PUT", "manage/demo/status", body)
    with pytest.raises(NotHere):
        await call(shelf, "PUT", "manage/none/status", b'{"status":"active"}')


async def test_legacy_json() -> None:
    shelf = await stocked()
    await manage.yank(shelf, "demo", "1.0", WHEEL, "bad")
    reply = await call(shelf, "GET", "pypi/Demo/json")
    found = json.loads(reply.body)
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert dict(reply.headers)["x-pypi-last-serial"] == str(found["last_serial"]) == str(len(shelf.events))
    info = found["info"]
    assert (info["name"], info["version"], info["summary"]) == ("demo", "2.0", "a demo")
    assert (info["requires_dist"], info["requires_python"], info["yanked"]) == (["other>=1"], ">=3.8", False)
    assert info["description"].strip() == "Grüße"
    assert set(found["releases"]) == {"1.0", "2.0", "3.0rc1"}
    assert found["urls"] == found["releases"]["2.0"]
    file = next(file for file in found["releases"]["1.0"] if file["filename"] == WHEEL)
    key = next(key for key in shelf.rows if key.endswith("/" + WHEEL))
    mirrored = BASE.replace("/pypi/", "/packages/pypi/") + key  # where mirrors look for files
    assert (file["url"], file["yanked"], file["yanked_reason"]) == (mirrored, True, "bad")
    assert (file["packagetype"], file["python_version"]) == ("bdist_wheel", "py3")
    assert file["upload_time_iso_8601"] == "2026-11-20T12:00:00.123456Z"
    one = json.loads((await call(shelf, "GET", "pypi/demo/1.0.0/json")).body)
    assert one["info"]["version"] == "1.0" and "releases" not in one
    for path in ("pypi/demo/9/json", "pypi/none/json"):
        with pytest.raises(NotHere):
            await call(shelf, "GET", path)
    shelf.facts["demo"] = {"status": "quarantined"}
    with pytest.raises(NotHere):
        await call(shelf, "GET", "pypi/demo/json")


async def test_legacy_json_of_a_proxy() -> None:
    shelf = await stocked()
    shelf.hosted = False
    entry = next(entry for entry, _ in shelf.rows.values() if entry.filename == WHEEL)
    known = {
        "url": "https://files.example/x",
        "digests": {"sha256": entry.digests["sha256"].upper()},
        "filename": WHEEL,
    }
    other = {"url": "https://files.example/y", "digests": {"sha256": "0" * 64}, "filename": "demo-9.tar.gz"}
    strange = {"url": "https://files.example/z", "digests": {"sha256": "../"}, "filename": "../demo-9.tar.gz"}
    document = {
        "last_serial": 5,
        "info": {},
        "urls": [known],
        "releases": {"1.0": [known, other, strange], "2": [{}, 3], "3": 4},
    }
    shelf.upstream["pypi/demo/json"] = Reply(200, json.dumps(document).encode(), "application/json")
    reply = await call(shelf, "GET", "pypi/demo/json")
    found = json.loads(reply.body)
    assert found["urls"][0]["url"] == found["releases"]["1.0"][0]["url"] == BASE + entry.key
    assert found["releases"]["1.0"][1]["url"] == f"{BASE}files/demo/{'0' * 64}/demo-9.tar.gz"
    assert found["releases"]["1.0"][2]["url"] is None
    assert dict(reply.headers)["x-pypi-last-serial"] == "5"
    shelf.upstream["pypi/demo/json"] = Reply(200, b"<html>", "text/html")
    with pytest.raises(Unavailable):
        await call(shelf, "GET", "pypi/demo/json")
    shelf.upstream.clear()
    assert json.loads((await call(shelf, "GET", "pypi/demo/json")).body)["info"]["version"] == "2.0"


async def test_provenance_and_source_links() -> None:
    shelf = await stocked()
    path = f"integrity/demo/1.0/{WHEEL}/provenance"
    with pytest.raises(NotHere):
        await call(shelf, "GET", path)
    shelf.hosted = False
    kind = "application/vnd.pypi.integrity.v1+json"
    shelf.upstream[path] = Reply(200, b"{}", kind)
    assert (await call(shelf, "GET", path)).content_type == kind
    reply = await call(shelf, "GET", "packages/source/d/demo/demo-1.0.tar.gz")
    key = next(key for key in shelf.rows if key.endswith("demo-1.0.tar.gz"))
    assert (reply.status, dict(reply.headers)) == (302, {"location": BASE + key})
    with pytest.raises(NotHere):
        await call(shelf, "GET", "packages/source/d/demo/demo-9.tar.gz")


async def ask(shelf: MemoryShelf, method: str, *arguments: object) -> object:
    body = xmlrpc.client.dumps(arguments, method).encode()  # type: ignore[arg-type]
    reply = await call(shelf, "POST", "pypi", body)
    assert reply.content_type.startswith("text/xml")
    return xmlrpc.client.loads(reply.body)[0][0]


async def test_xml_rpc() -> None:
    shelf = await stocked()
    assert await ask(shelf, "changelog_last_serial") == 4
    assert await ask(shelf, "list_packages_with_serial") == {"demo": 4}
    assert await ask(shelf, "changelog_since_serial", 3) == [
        ["demo", "1.0", int(shelf.now.timestamp()), "add", 4],
    ]
    await manage.remove(shelf, "demo", "1.0")
    await manage.remove(shelf, "demo", "2.0")
    await manage.remove(shelf, "demo", "3.0rc1")
    assert await ask(shelf, "changelog_last_serial") == len(shelf.events)
    for method, arguments in (("browse", ()), ("changelog_since_serial", ("x",)), ("changelog_last_serial", (1,))):
        with pytest.raises(xmlrpc.client.Fault):
            await ask(shelf, method, *arguments)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a/>",
        b"<methodCall/>",
        b"<methodCall><methodName>x</methodName>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><methodCall><methodName>&b;</methodName></methodCall>',
        b'<!doctype a SYSTEM "file:///etc/passwd"><methodCall><methodName>x</methodName></methodCall>',
        "<!DOCTYPE a><methodCall><methodName>x</methodName></methodCall>".encode("utf-16"),
        b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE a+AD4-',
        b"<methodCall><methodName>x</methodName><params><param><value><array/></value></param></params></methodCall>",
        b"<methodCall><methodName>x</methodName><params><param><value><int>"
        + b"9" * 5000
        + b"</int></value></param></params></methodCall>",
        b"<a>" * 9000,
    ],
)
async def test_xml_that_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        await call(MemoryShelf(), "POST", "pypi", body)


@given(st.binary(max_size=200))
def test_any_xml_is_read_or_refused(noise: bytes) -> None:
    for body in (noise, b"<methodCall><methodName>" + noise + b"</methodName></methodCall>"):
        try:
            assert rpc.parse(body).method
        except Malformed:
            continue


def bare(data: Mapping[str, object] | None = None, filename: str = WHEEL) -> Entry:
    key = f"files/demo/u-{'0' * 32}/{filename}"
    return Entry(key, "demo", "1.0", filename, "demo", url="https://x.example/" + filename, data=data or {})


def test_a_fetched_wheel_teaches_its_metadata() -> None:
    raw = metadata("Demo", extra="Requires-Python: >=3.9\n")
    data = wheel("Demo", meta=raw)
    arrival = FORMAT.arrive(bare({"core_metadata": True, "yanked": "x"}), io.BytesIO(data))
    assert arrival is not None
    sha256 = digest("sha256", raw)
    assert arrival.entry.data == {"core_metadata": {"sha256": sha256}, "yanked": "x", "requires_python": ">=3.9"}
    ((sidecar, beside),) = arrival.sidecars
    assert (sidecar.key, beside, sidecar.digests) == (bare().key + ".metadata", raw, {"sha256": sha256})
    kept = FORMAT.arrive(bare({"requires_python": ">=2"}), io.BytesIO(data))
    assert kept is not None and kept.entry.data["requires_python"] == ">=2"


def test_a_wheel_corrects_what_its_page_said() -> None:
    lied = bare({"core_metadata": {"sha256": "a" * 64}})
    arrival = FORMAT.arrive(lied, io.BytesIO(wheel()))
    assert arrival is not None
    ((sidecar, raw),) = arrival.sidecars
    assert arrival.entry.data["core_metadata"] == {"sha256": digest("sha256", raw)} == dict(sidecar.digests)
    again = FORMAT.renew(arrival.entry, lied)
    assert again.data["core_metadata"] == arrival.entry.data["core_metadata"]
    claimed = replace(sidecar, digests={"sha256": "a" * 64}, data={}, url="https://x.example/new.metadata")
    kept = FORMAT.renew(sidecar, claimed)
    assert (kept.digests, kept.url) == (sidecar.digests, claimed.url)
    empty = FORMAT.arrive(lied, io.BytesIO(wheel(drop=("METADATA",))))
    assert empty is not None and not empty.entry.data["core_metadata"] and not empty.sidecars
    assert not FORMAT.renew(empty.entry, lied).data["core_metadata"]


def test_nothing_is_learned() -> None:
    assert FORMAT.arrive(bare(filename="demo-1.0.tar.gz"), io.BytesIO(sdist())) is None
    assert FORMAT.arrive(bare(), io.BytesIO(b"broken")) is None


def test_derived_metadata() -> None:
    derived = FORMAT.derive(FileKey(bare().key + ".metadata", "demo", "demo"))
    assert derived is not None
    assert derived.source == FileKey(bare().key, "demo", "demo")
    assert derived.make(io.BytesIO(wheel("Demo"))) == metadata("Demo")
    with pytest.raises(NotHere):
        derived.make(io.BytesIO(wheel(drop=("METADATA",))))
    for path in (bare().key, "files/demo/x/demo-1.0.tar.gz.metadata"):
        assert FORMAT.derive(FileKey(path, "demo", "demo")) is None


def test_what_was_learned_stays() -> None:
    learned = {"core_metadata": {"sha256": "a" * 64}, "requires_python": ">=3", "yanked": "old"}
    known = replace(bare(learned), size=5, digests={"sha256": "b" * 64})
    merged = FORMAT.renew(known, bare({"core_metadata": True}))
    assert (merged.size, merged.digests) == (5, {"sha256": "b" * 64})
    assert merged.data == {"core_metadata": {"sha256": "a" * 64}, "requires_python": ">=3"}
    changed = replace(bare(), digests={"sha256": "c" * 64})
    assert FORMAT.renew(known, changed) == changed
    assert [touch.scope for touch in FORMAT.touches(known)] == ["demo", ""]


def test_not_acceptable_names_the_types() -> None:
    reply = FORMAT.dress(NotAcceptable("no such type"), "")
    for media in (b"text/html", b"simple.v1+json", b"simple.v1+html"):
        assert media in reply.body
    assert "application/vnd.pypi.simple.v1+json" in FORMAT.ask(PageKey("simple/", ""))["accept"]
    assert FORMAT.ask(FileKey("files/x", "x", "x")) == {}
