"""Files of proxies: indexes read, bytes fetched, lost, evicted; and the sweep's questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import BlobUse, NewFile, Renewal, Touched
from reliquary.errors import NotHere
from reliquary.types import Change, StoredFile
from tests.catalog.build import LATER, NOW, digest, new_file, new_page, new_repository, new_state, touched, with_data

pytestmark = pytest.mark.anyio


async def sync(catalog: Catalog, proxy: int, files: list[NewFile], **values: Any) -> bool:
    """Read the page of six: a row for each file, and none without bytes that is not listed."""
    given: dict[str, Any] = {"properties": {}, "state": new_state(), "touched": touched(), "now": NOW, "changed": False}
    given |= values
    scope = given.pop("scope", "six")
    keys = {file.entry.key for file in files}

    def renew(stored: Sequence[StoredFile]) -> Renewal:
        return Renewal(files, [row.id for row in stored if row.entry.key not in keys and row.blob is None])

    return await catalog.files.sync(proxy, scope, renew, **given)


def with_bytes(file: NewFile, content: str) -> NewFile:
    """The file as it arrived."""
    digests = {"sha256": digest(content), "md5": "0" * 32}
    known = replace(file, blob=digest(content), size=len(content), digests=digests)
    return replace(known, fetched_at=LATER, verified_by="sha256")


async def fetch(catalog: Catalog, proxy: int, file: NewFile, content: str, **values: Any) -> None:
    """The bytes are here."""
    given: dict[str, Any] = {"now": LATER, **values}
    await catalog.files.fetched(proxy, [with_bytes(file, content), *given.pop("beside", ())], **given)


async def test_a_page_of_thousands_of_files_is_read_and_read_again(catalog: Catalog, proxy: int) -> None:
    files = [
        new_file(f"six-{number}.whl", version=f"1.{number // 4}", size=number, data={"requires": (">=3", "<4")})
        for number in range(3000)
    ]
    assert await sync(catalog, proxy, files)
    assert len(await catalog.files.listed(proxy, "six")) == 3000
    serial = await catalog.changes.latest()
    assert not await sync(catalog, proxy, files, state=new_state(etag='"2"'))
    assert await catalog.changes.latest() == serial
    state = await catalog.pages.state(proxy, "six/")
    assert state == new_state(etag='"2"')
    files[5] = with_data(files[5], yanked=True)
    assert await sync(catalog, proxy, files)
    assert await catalog.changes.since(serial) == [Change(serial + 1, proxy, "six")]
    assert await catalog.packages.packages(proxy) == [("six", serial + 1)]


async def test_sync_keeps_what_is_known_of_bytes(catalog: Catalog, proxy: int) -> None:
    first = new_file("a.whl", size=None)
    await sync(catalog, proxy, [first])
    await fetch(catalog, proxy, first, "bytes")
    renewed = replace(with_data(first, yanked=True), etag="new", modified=LATER, first_seen=LATER)
    assert await sync(catalog, proxy, [renewed])
    [stored] = await catalog.files.in_scope(proxy, "six")
    assert (stored.blob, stored.size, stored.entry.size) == (digest("bytes"), 5, 5)
    assert (stored.etag, stored.modified, stored.first_seen) == (first.etag, NOW, NOW)
    assert (stored.fetched_at, stored.verified_by) == (LATER, "sha256")
    assert stored.entry.data == {"yanked": True}


async def test_a_file_that_upstream_removed_stays_while_its_bytes_are_here(catalog: Catalog, proxy: int) -> None:
    kept, gone = new_file("kept.whl"), new_file("gone.whl", version="2.0")
    await sync(catalog, proxy, [kept, gone])
    await fetch(catalog, proxy, kept, "bytes")
    assert await sync(catalog, proxy, [])
    assert [file.entry.filename for file in await catalog.files.in_scope(proxy, "six")] == ["kept.whl"]
    assert not await sync(catalog, proxy, [])


async def test_sync_leaves_other_scopes_alone_and_prunes_its_own(catalog: Catalog, proxy: int) -> None:
    await sync(catalog, proxy, [new_file("a", "seven")], scope="seven", touched=touched("seven"))
    await sync(catalog, proxy, [new_file("a")])
    assert await sync(catalog, proxy, [])
    assert [name for name, _ in await catalog.packages.packages(proxy)] == ["seven"]


async def test_sync_makes_the_facts_what_upstream_says(catalog: Catalog, proxy: int) -> None:
    assert await sync(catalog, proxy, [], properties={"six": {"status": "archived", "serial": "7"}})
    assert not await sync(catalog, proxy, [], properties={"six": {"status": "archived", "serial": "7"}})
    assert await sync(catalog, proxy, [], properties={"six": {"serial": "8"}})
    assert await catalog.packages.properties(proxy, "six") == {"serial": "8"}
    assert not await sync(catalog, proxy, [], properties={})
    assert await sync(catalog, proxy, [], properties={"six": {}})
    assert await catalog.packages.packages(proxy) == []


async def test_arrived_bytes_bring_sidecars_and_an_enriched_entry(catalog: Catalog, proxy: int) -> None:
    file = new_file("a.whl")
    await sync(catalog, proxy, [file])
    before = await catalog.changes.latest()
    sidecar = new_file("a.whl.metadata", content="meta", listed=False)
    await fetch(catalog, proxy, with_data(file, requires=">=3"), "bytes", beside=[sidecar])
    wheel, metadata = await catalog.files.in_scope(proxy, "six")
    assert (wheel.blob, wheel.size, wheel.entry.data) == (digest("bytes"), 5, {"requires": ">=3"})
    assert (metadata.blob, metadata.size, metadata.etag) == (digest("meta"), 4, sidecar.etag)
    assert await catalog.changes.latest() == before


async def test_what_bytes_taught_is_shown_when_the_page_is_confirmed(catalog: Catalog, proxy: int) -> None:
    await sync(catalog, proxy, [new_file("a.whl")])
    await catalog.pages.write(proxy, [new_page("page")], seen=99, sources=[], scope="six")
    before = await catalog.changes.latest()
    assert not await catalog.pages.confirm(proxy, new_state(), touched())
    await fetch(catalog, proxy, new_file("a.whl"), "bytes", pages=["six/"])
    assert await catalog.changes.latest() == before
    assert [page.dirty for page in (await catalog.pages.find(proxy, "six/"))[0]] == [False]
    assert await catalog.pages.confirm(proxy, new_state(), touched())
    assert await catalog.changes.since(before) == [Change(before + 1, proxy, "six")]
    assert [page.dirty for page in (await catalog.pages.find(proxy, "six/"))[0]] == [True]
    assert not await catalog.pages.confirm(proxy, new_state(), touched())


async def test_what_bytes_taught_outlives_a_document_that_says_the_same(catalog: Catalog, proxy: int) -> None:
    await sync(catalog, proxy, [])
    await catalog.pages.write(proxy, [new_page("page")], seen=99, sources=[], scope="six")
    await fetch(catalog, proxy, new_file("a.whl"), "bytes", pages=["six/"])
    await catalog.pages.set_state(proxy, new_state(gone_at=NOW))
    assert await sync(catalog, proxy, [new_file("a.whl")], state=new_state(etag='"2"'))
    assert [page.dirty for page in (await catalog.pages.find(proxy, "six/"))[0]] == [True]
    assert not await sync(catalog, proxy, [new_file("a.whl")], state=new_state(etag='"3"'))


async def test_a_file_without_a_row_gets_one_with_its_bytes(catalog: Catalog, proxy: int) -> None:
    await fetch(catalog, proxy, new_file("a.whl"), "bytes")
    [stored] = await catalog.files.find([proxy], "six/a.whl")
    assert (stored.blob, stored.fetched_at, stored.verified_by) == (digest("bytes"), LATER, "sha256")


async def test_bytes_for_a_repository_that_went_are_refused(catalog: Catalog, proxy: int) -> None:
    await catalog.repositories.delete(proxy)
    with pytest.raises(NotHere):
        await fetch(catalog, proxy, new_file("a.whl"), "bytes")


async def test_a_mutable_file_takes_its_new_validators(catalog: Catalog, proxy: int) -> None:
    await fetch(catalog, proxy, new_file("latest.txt", content="old"), "old")
    new = replace(new_file("latest.txt", content="newer"), modified=LATER)
    await fetch(catalog, proxy, new, "newer")
    [stored] = await catalog.files.find([proxy], new.entry.key)
    assert (stored.blob, stored.size, stored.etag, stored.modified) == (digest("newer"), 5, new.etag, LATER)


async def test_a_lost_blob_is_forgotten_by_proxies_only(catalog: Catalog, proxy: int, hosted: int) -> None:
    await catalog.files.add(hosted, [new_file("a.whl", content="bytes")], touched=touched())
    await sync(catalog, proxy, [new_file("a.whl")])
    await fetch(catalog, proxy, new_file("a.whl"), "bytes")
    before = await catalog.changes.latest()
    assert await catalog.files.lost(digest("bytes")) == [(proxy, "six/a.whl")]
    mine, cached = await catalog.files.find([hosted, proxy], "six/a.whl")
    assert (mine.blob, cached.blob, cached.fetched_at) == (digest("bytes"), None, None)
    assert await catalog.changes.since(before) == [Change(before + 1, proxy, "six")]
    assert await catalog.files.lost(digest("bytes")) == []


async def test_the_least_recently_used_goes_first_and_pins_stay(catalog: Catalog, proxy: int) -> None:
    names = ["a", "b", "c", "d"]
    await sync(catalog, proxy, [new_file(name) for name in [*names, "unfetched"]])
    for name in names:
        await fetch(catalog, proxy, new_file(name), name * 3)
    before = await catalog.changes.latest()
    await catalog.files.used({(proxy, "six/a"): LATER.replace(year=2027), (proxy, "six/c"): NOW})
    await catalog.files.used({})
    assert await catalog.files.pin(proxy, "six/[b]", True) == 1
    assert [row.key for row in await catalog.files.evictable(proxy, 10)] == ["six/c", "six/d", "six/a"]
    assert await catalog.files.evictable(proxy, 1) == [("six/c", digest("ccc"), 3, "six")]
    assert [row.key for row in await catalog.files.evictable(proxy, 10, 1)] == ["six/d", "six/a"]
    assert await catalog.files.pin(proxy, "*", False) == 5
    assert len(await catalog.files.evictable(proxy, 10)) == 4
    assert await catalog.changes.latest() == before


async def test_usage_counts_a_blob_once(catalog: Catalog, hosted: int) -> None:
    files = [new_file("a", content="same"), new_file("b", content="same"), new_file("c", content="other")]
    assert await catalog.files.usage(hosted) == 0
    await catalog.files.add(hosted, files, touched=touched())
    await catalog.pages.write(hosted, [new_page("page!!")], seen=0, sources=[], scope="six")
    assert await catalog.files.usage(hosted) == 4 + 5 + 6


async def test_a_blob_that_is_named_is_not_forgotten(catalog: Catalog, hosted: int, proxy: int) -> None:
    await catalog.files.add(hosted, [new_file("a", content="file")], touched=touched())
    await catalog.pages.write(hosted, [new_page("page")], seen=0, sources=[], scope="six")
    await catalog.pages.set_state(proxy, new_state(body=digest("body")))
    named = {digest(name) for name in ("file", "page", "body")}
    asked = sorted({*named, digest("nothing")})
    assert await catalog.files.blobs_referenced(asked) == named
    assert await catalog.files.forget_blobs(asked) == {digest("nothing")}
    await catalog.files.remove(hosted, ["six/a"], touched=touched(), tombstones=False)
    assert await catalog.files.forget_blobs(asked) == {digest("nothing"), digest("file")}


async def test_all_blobs_are_walked_over(catalog: Catalog, hosted: int, proxy: int) -> None:
    many = [new_file(f"{number}", content=f"{number}") for number in range(1100)]
    await catalog.files.add(hosted, many, touched=Touched())
    await sync(catalog, proxy, [new_file("a"), new_file("unfetched")])
    await fetch(catalog, proxy, new_file("a"), "bytes")
    await catalog.pages.write(hosted, [new_page("page")], seen=0, sources=[], scope="six")
    uses = [use async for use in catalog.files.all_blobs()]
    assert len(uses) == 1102
    assert uses[0] == BlobUse(digest("0"), 1, "pypi/private", "six/0", "hosted")
    assert uses[-2] == BlobUse(digest("bytes"), 5, "pypi/cache", "six/a", "proxy")
    assert uses[-1] == BlobUse(digest("page"), 4, "pypi/private", "six/", "page")


async def test_a_deleted_repository_takes_everything_along(catalog: Catalog, proxy: int) -> None:
    await sync(catalog, proxy, [new_file("a")], properties={"six": {"status": "x"}})
    await fetch(catalog, proxy, new_file("a"), "bytes")
    await catalog.pages.write(proxy, [new_page("page")], seen=0, sources=[], scope="six")
    before = await catalog.changes.latest()
    await catalog.repositories.delete(proxy)
    assert [use async for use in catalog.files.all_blobs()] == []
    assert await catalog.changes.since(before) == [Change(before + 1, proxy, None)]
    again = await new_repository(catalog, "cache")
    assert again > proxy
    await catalog.packages.set_properties(again, "six", {"a": "b"}, touched=touched())
    assert await catalog.packages.properties(again, "six") == {"a": "b"}
    with pytest.raises(NotHere):
        await catalog.repositories.delete(proxy)
