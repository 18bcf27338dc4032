from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from reliquary.errors import AlreadyThere, Forbidden, Malformed, ReliquaryError, WrongMethod
from reliquary.formats.base import Call
from reliquary.formats.pypi import FORMAT
from reliquary.formats.verbs import Reply
from reliquary.types import Action
from tests.formats.pypi.artefacts import metadata, sdist, wheel
from tests.formats.pypi.shelf import NOW, MemoryPart, MemoryShelf, Request, digest, refusing

pytestmark = pytest.mark.anyio

WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"


def form(
    data: bytes, filename: str = WHEEL, changes: Mapping[str, str | None] = MappingProxyType({})
) -> list[MemoryPart]:
    fields: dict[str, str | None] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel" if filename.endswith(".whl") else "sdist",
        "name": "demo",
        "version": "1.0",
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        **changes,
    }
    parts = [MemoryPart(name, value.encode()) for name, value in fields.items() if value is not None]
    return [*parts, MemoryPart("content", data, filename)]


async def send(shelf: MemoryShelf, parts: list[MemoryPart], path: str = "legacy/") -> Reply:
    segments = tuple(path.split("/"))
    call = FORMAT.match("POST", segments, {})
    assert isinstance(call, Call)
    return await call.run(Request(segments=segments, form=parts), shelf)


async def refused(shelf: MemoryShelf, parts: list[MemoryPart], match: str) -> ReliquaryError:
    before = dict(shelf.rows)
    with pytest.raises(ReliquaryError, match=match) as caught:
        await send(shelf, parts)
    assert caught.value.status < 500
    assert shelf.rows == before
    assert all(received.discarded for received in shelf.received)
    reply = FORMAT.dress(caught.value, "")
    assert reply.reason and reply.reason.isascii() and "\n" not in reply.reason
    return caught.value


async def test_a_wheel_becomes_a_file_and_its_metadata() -> None:
    shelf = MemoryShelf()
    raw = metadata(extra="Requires-Python: >=3.8\nSummary: Grüße\n")
    data = wheel(meta=raw)
    reply = await send(shelf, form(data))
    assert (reply.status, reply.body) == (200, b"")
    key = f"files/demo/{digest('sha256', data)}/{WHEEL}"
    (entry, stored), (sidecar, beside) = shelf.rows[key], shelf.rows[key + ".metadata"]
    assert (stored, beside) == (data, raw)
    assert (entry.name, entry.version, entry.scope, entry.size) == ("demo", "1.0", "demo", len(data))
    assert entry.published == NOW
    assert entry.digests == {name: digest(name, data) for name in ("sha256", "md5", "blake2b_256")}
    assert entry.data == {"requires_python": ">=3.8", "core_metadata": {"sha256": digest("sha256", raw)}}
    assert (sidecar.listed, sidecar.digests) == (False, {"sha256": digest("sha256", raw)})
    assert shelf.asked == [(Action.PUBLISH, "demo")]


async def test_an_sdist_without_pyversion_has_no_sidecar() -> None:
    shelf = MemoryShelf()
    assert (await send(shelf, form(sdist(), SDIST))).status == 200
    ((entry, _),) = shelf.rows.values()
    assert (entry.filename, entry.data) == (SDIST, {})


async def test_any_order_of_parts_and_what_comes_after_the_file() -> None:
    parts = form(wheel())[::-1]
    parts.append(MemoryPart("attestations", b"[]"))
    parts.append(MemoryPart("gpg_signature", b"signature", WHEEL + ".asc"))
    parts.append(MemoryPart("requires_python", b""))
    shelf = MemoryShelf()
    assert (await send(shelf, parts, "")).status == 200
    assert len(shelf.rows) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256_digest": hashlib.sha256(wheel()).hexdigest().upper()},
        {"sha256_digest": None, "blake2_256_digest": digest("blake2b_256", wheel())},
        {"sha256_digest": None, "md5_digest": digest("md5", wheel())},
        {"name": "Demo", "version": "1.0.0"},
        {"md5_digest": "UNKNOWN", "protocol_version": "UNKNOWN", "filetype": ""},
    ],
)
async def test_forms_of_various_clients(changes: Mapping[str, str | None]) -> None:
    shelf = MemoryShelf()
    assert (await send(shelf, form(wheel(), WHEEL, changes))).status == 200
    assert len(shelf.rows) == 2


async def test_the_same_bytes_twice_and_other_bytes() -> None:
    shelf = MemoryShelf()
    await send(shelf, form(wheel()))
    assert (await send(shelf, form(wheel()))).status == 200
    error = await refused(shelf, form(wheel(members={"more.py": b""})), "other bytes")
    assert isinstance(error, AlreadyThere)
    for accept in ("", "application/json;q=0.9", "text/html"):
        reply = FORMAT.dress(error, accept)
        assert reply.status == 409
        assert b"File already exists" in reply.body
        assert reply.reason is not None and "File already exists" in reply.reason


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sha256_digest": "0" * 64}, "sha256 digest of what arrived"),
        ({"md5_digest": "0" * 32}, "md5 digest of what arrived"),
        ({"blake2_256_digest": "0" * 64}, "blake2b_256 digest of what arrived"),
        ({"sha256_digest": None}, "names no digest"),
        ({"sha256_digest": "é" * 64}, "not hexadecimal"),
        ({"name": "other"}, "name is not demo"),
        ({"name": "../x"}, "no usable name"),
        ({"name": None}, "no usable name"),
        ({"version": "2"}, "version is not 1.0"),
        ({"version": None}, "no version"),
        ({"filetype": "sdist"}, "the file is bdist_wheel"),
        ({"protocol_version": "2"}, "protocol_version"),
        ({":action": "doc_upload"}, ":action"),
        ({":action": None}, ":action"),
    ],
)
async def test_forms_that_disagree(changes: Mapping[str, str | None], match: str) -> None:
    error = await refused(MemoryShelf(), form(wheel(), WHEEL, changes), match)
    assert isinstance(error, Malformed)
    await refused(MemoryShelf(), form(wheel(), WHEEL, changes)[::-1], match)


@pytest.mark.parametrize(
    ("data", "filename", "match"),
    [
        (b"no zip", WHEEL, "not a zip archive"),
        (wheel(members={"../x": b""}), WHEEL, "unsafe name"),
        (wheel(meta=metadata("other")), WHEEL, "metadata says other"),
        (wheel(members={"zeros": bytes(70 * 1_048_576)}), WHEEL, "bomb"),
        (wheel(), "../" + WHEEL, "file name is not"),
        (wheel(), "demo.txt", "file name is not"),
        (wheel(), "", "file name is not"),
    ],
)
async def test_bad_files(data: bytes, filename: str, match: str) -> None:
    assert isinstance(await refused(MemoryShelf(), form(data, filename), match), Malformed)


async def test_one_sdist_and_one_file_a_form() -> None:
    shelf = MemoryShelf()
    await send(shelf, form(sdist(), SDIST))
    other = sdist("Demo")
    error = await refused(shelf, form(other, "Demo-1.0.tar.gz"), "a release has one")
    assert error.status == 400
    await refused(MemoryShelf(), [*form(wheel()), MemoryPart("content", b"x", WHEEL)], "two files")
    await refused(MemoryShelf(), form(wheel())[:-1], "no file")


@pytest.mark.parametrize("turned", [False, True])
async def test_rights_come_before_the_bytes(turned: bool) -> None:
    parts = form(wheel())[:: -1 if turned else 1]
    shelf = MemoryShelf(forbidden=frozenset({"demo"}))
    assert isinstance(await refused(shelf, parts, "may not"), Forbidden)
    assert shelf.received == []


@pytest.mark.parametrize("status", ["archived", "quarantined"])
async def test_closed_projects(status: str) -> None:
    shelf = MemoryShelf(facts={"demo": {"status": status}})
    error = await refused(shelf, form(wheel()), status)
    assert error.status == 403
    assert shelf.received == []


async def test_deprecated_is_open() -> None:
    assert (await send(MemoryShelf(facts={"demo": {"status": "deprecated"}}), form(wheel()))).status == 200


@pytest.mark.parametrize("action", ["submit", "verify"])
async def test_registrations_have_no_effect(action: str) -> None:
    shelf = MemoryShelf()
    parts = [MemoryPart(":action", action.encode()), MemoryPart("name", b"demo"), MemoryPart("x", b"y" * 100_000)]
    assert (await send(shelf, parts)).status == 200
    assert shelf.rows == {} and shelf.asked == []


async def test_lenient_checks() -> None:
    data = wheel(record="")
    await refused(MemoryShelf(), form(data), "RECORD")
    assert (await send(MemoryShelf(options={"checks": "lenient"}), form(data))).status == 200


async def test_a_proxy_takes_nothing() -> None:
    with pytest.raises(WrongMethod):
        await send(refusing(), form(wheel()))


async def test_put() -> None:
    shelf = MemoryShelf()

    async def put(data: bytes, filename: str = WHEEL) -> Reply:
        call = FORMAT.match("PUT", (filename,), {})
        assert isinstance(call, Call)
        return await call.run(Request("PUT", (filename,), data=data), shelf)

    assert (await put(wheel())).status == 201
    assert (await put(wheel())).status == 200
    with pytest.raises(AlreadyThere):
        await put(wheel(members={"more.py": b""}))
    with pytest.raises(Malformed):
        await put(b"text", "notes.txt")
    with pytest.raises(Malformed):
        await put(b"text", SDIST)
    assert len(shelf.rows) == 2
    assert all(received.discarded for received in shelf.received)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("application/json;q=0.9, text/plain;q=0.8", "application/json"),
        ("text/html, application/json;q=0.5", "text/html; charset=utf-8"),
        ("application/json;q=x", "text/plain; charset=utf-8"),
    ],
)
def test_errors_by_accept(accept: str, kind: str) -> None:
    reply = FORMAT.dress(Malformed("<b>\u00fc</b> is bad\r\nX-Evil: 1" + "y" * 300), accept)
    assert (reply.status, reply.content_type) == (400, kind)
    assert reply.reason == "<b>?</b> is bad"
    if kind == "application/json":
        assert set(json.loads(reply.body)) == {"message", "code", "title"}
        assert json.loads(reply.body)["title"] == "Bad Request"
    if kind.startswith("text/html"):
        assert b"<b>" not in reply.body
    assert len(FORMAT.dress(Malformed("y" * 300), accept).reason or "") == 200
