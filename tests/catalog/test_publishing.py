"""Files of hosted repositories: added, changed, removed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import ListedRow, NewEvent
from reliquary.errors import AlreadyThere
from reliquary.types import Change
from tests.catalog.build import LATER, NOW, digest, new_file, new_page, new_repository, touched, with_data

pytestmark = pytest.mark.anyio


async def test_a_published_file_is_read_back_as_it_was(catalog: Catalog, hosted: int) -> None:
    berlin = timezone(timedelta(hours=1))
    file = new_file(
        "six-1.0.whl",
        content="wheel",
        url="https://files.example/six",
        digests={"sha256": digest("wheel")},
        published=NOW.astimezone(berlin),
        data={"yanked": False, "requires": ["a", {"b": 1}], "size": 2**40},
    )
    file = replace(file, publisher="ann", verified_by="published")
    assert await catalog.files.add(hosted, [file], touched=touched())
    [stored] = await catalog.files.find([hosted], "six/six-1.0.whl")
    assert stored.entry == replace(file.entry, size=5)
    assert stored.entry.published is not None
    assert stored.entry.published.utcoffset() == timedelta(0)
    assert (stored.blob, stored.size, stored.etag) == (file.blob, 5, file.etag)
    assert (stored.modified, stored.first_seen, stored.fetched_at) == (NOW, NOW, None)
    assert (stored.publisher, stored.verified_by, stored.fragment) == ("ann", "published", b"<six-1.0.whl>")


async def test_find_keeps_the_order_of_the_repositories(catalog: Catalog, hosted: int) -> None:
    other = await new_repository(catalog, "other")
    for repository_id in (hosted, other):
        await catalog.files.add(repository_id, [new_file("a.whl", content="a")], touched=touched())
    found = await catalog.files.find([other, hosted], "six/a.whl")
    assert [file.repository_id for file in found] == [other, hosted]
    assert await catalog.files.find([other, hosted], "six/A.whl") == []


async def test_listings_leave_sidecars_out(catalog: Catalog, hosted: int) -> None:
    wheel, sidecar = new_file("b.whl", content="b"), new_file("b.whl.metadata", content="m", listed=False)
    first = new_file("a.whl", content="a", version="2.0")
    await catalog.files.add(hosted, [wheel, sidecar, first], touched=touched())
    assert await catalog.files.listed(hosted, "six") == [
        ListedRow("six/b.whl", "six", "b.whl", "1.0", b"<b.whl>"),
        ListedRow("six/a.whl", "six", "a.whl", "2.0", b"<a.whl>"),
    ]
    everything = [file.entry.filename for file in await catalog.files.in_scope(hosted, "six")]
    assert everything == ["b.whl", "b.whl.metadata", "a.whl"]
    assert [file.entry.filename for file in await catalog.files.of_package(hosted, "six")] == everything


async def test_owned_names_have_files(catalog: Catalog, hosted: int) -> None:
    other = await new_repository(catalog, "other")
    await catalog.files.add(hosted, [new_file("a.whl", content="a")], touched=touched())
    await catalog.packages.set_properties(other, "empty", {"status": "x"}, touched=touched())
    assert await catalog.files.owned([hosted, other], ["six", "empty", "none"]) == {(hosted, "six")}


async def test_adding_again_is_nothing_new_and_other_bytes_are_refused(catalog: Catalog, hosted: int) -> None:
    file = new_file("a.whl", content="a")
    await catalog.files.add(hosted, [file], touched=touched(), exclusive=True)
    before = await catalog.changes.latest()
    assert not await catalog.files.add(hosted, [file], touched=touched(), exclusive=True)
    elsewhere = new_file("a.whl", content="other", key="six/elsewhere/a.whl")
    with pytest.raises(AlreadyThere, match="already there"):
        await catalog.files.add(hosted, [elsewhere], touched=touched(), exclusive=True)
    with pytest.raises(AlreadyThere):
        await catalog.files.add(hosted, [new_file("a.whl", content="other")], touched=touched())
    assert await catalog.changes.latest() == before
    assert await catalog.packages.packages(hosted) == [("six", before)]


async def test_a_refused_addition_leaves_nothing(catalog: Catalog, hosted: int) -> None:
    await catalog.files.add(hosted, [new_file("a.whl", content="a")], touched=touched())
    both = [new_file("new.whl", "fresh", content="n"), new_file("a.whl", content="other")]
    with pytest.raises(AlreadyThere):
        await catalog.files.add(hosted, both, touched=touched(), exclusive=True)
    assert [name for name, _ in await catalog.packages.packages(hosted)] == ["six"]
    assert await catalog.files.find([hosted], "fresh/new.whl") == []


async def test_replace_overwrites_the_row_and_prunes_its_old_version(catalog: Catalog, hosted: int) -> None:
    await catalog.files.add(hosted, [new_file("a.bin", content="a", version="1")], touched=touched())
    newer = replace(new_file("a.bin", content="bytes", version="2"), modified=LATER)
    assert await catalog.files.add(hosted, [newer], touched=touched(), replace=True)
    [stored] = await catalog.files.in_scope(hosted, "six")
    assert (stored.blob, stored.size, stored.etag, stored.modified) == (newer.blob, 5, newer.etag, LATER)
    assert stored.entry.version == "2"


async def test_one_of_two_concurrent_exclusive_adds_wins(catalog: Catalog, url: str, hosted: int) -> None:
    second = await Catalog.open(url)
    try:
        results = await asyncio.gather(
            *(
                store.files.add(hosted, [new_file("a.whl", content=content)], touched=touched(), exclusive=True)
                for store, content in ((catalog, "one"), (second, "two"), (catalog, "three"))
            ),
            return_exceptions=True,
        )
    finally:
        await second.close()
    assert sorted(type(result).__name__ for result in results) == ["AlreadyThere", "AlreadyThere", "bool"]
    [stored] = await catalog.files.in_scope(hosted, "six")
    winner = next(position for position, result in enumerate(results) if result is True)
    assert stored.blob == digest(("one", "two", "three")[winner])


async def test_a_write_numbers_changes_serials_pages_and_events_alike(catalog: Catalog, hosted: int) -> None:
    group = await new_repository(catalog, "main")
    bystander = await new_repository(catalog, "bystander")
    seen = await catalog.changes.latest()
    for repository_id in (hosted, group, bystander):
        for path in ("six", "seven"):
            page = new_page(path, f"{path}/", scope=path)
            await catalog.pages.write(repository_id, [page], seen=seen, sources=[], scope=path)
    before = await catalog.changes.latest()
    event = NewEvent("publish", "six", "1.0", "a.whl", "ann")
    file = new_file("a.whl", content="a")
    await catalog.files.add(hosted, [file], touched=touched("six", "", groups=(group,)), event=event)
    changes = await catalog.changes.since(before)
    serial = await catalog.changes.latest()
    assert changes == [Change(serial - 1, hosted, "six"), Change(serial, hosted, "")]
    assert await catalog.packages.packages(hosted) == [("six", serial)]
    [happened] = await catalog.events.since(hosted, 0, 10)
    assert (happened.serial, happened.filename, happened.actor) == (serial, "a.whl", "ann")
    dirty = [
        (repository_id, path)
        for repository_id in (hosted, group, bystander)
        for path in ("six/", "seven/")
        if (await catalog.pages.find(repository_id, path))[0][0].dirty
    ]
    assert dirty == [(hosted, "six/"), (group, "six/")]


async def test_update_changes_what_the_index_says_and_no_more(catalog: Catalog, hosted: int) -> None:
    file = new_file("a.whl", content="a")
    await catalog.files.add(hosted, [file], touched=touched())
    before = await catalog.changes.latest()
    yanked = replace(with_data(file, yanked="broken"), etag="other", modified=LATER, blob=None, size=None)
    unknown = new_file("unknown.whl", content="u")
    event = NewEvent("yank", "six", "1.0", "a.whl")
    await catalog.files.update(hosted, [yanked, unknown], touched=touched(), event=event)
    [stored] = await catalog.files.in_scope(hosted, "six")
    assert stored.entry.data == {"yanked": "broken"}
    assert stored.fragment == yanked.fragment
    assert (stored.blob, stored.size, stored.etag, stored.modified) == (file.blob, 1, file.etag, NOW)
    assert [row.action for row in await catalog.events.since(hosted, before, 10)] == ["yank"]


async def test_remove_takes_empty_versions_and_packages_along(catalog: Catalog, hosted: int) -> None:
    files = [new_file("a.whl", content="a"), new_file("b.whl", content="b", version="2.0")]
    await catalog.files.add(hosted, files, touched=touched())
    before = await catalog.changes.latest()
    assert await catalog.files.remove(hosted, ["six/none"], touched=touched(), tombstones=False) == 0
    assert await catalog.changes.latest() == before
    assert await catalog.files.remove(hosted, ["six/a.whl"], touched=touched(), tombstones=False) == 1
    assert len(await catalog.packages.packages(hosted)) == 1
    assert await catalog.files.remove(hosted, ["six/b.whl"], touched=touched(), tombstones=False) == 1
    assert await catalog.packages.packages(hosted) == []
    assert await catalog.packages.serial([hosted], "six") == await catalog.changes.latest() == before + 2


async def test_a_tombstone_keeps_a_name_from_other_bytes(catalog: Catalog, hosted: int) -> None:
    file, other = new_file("a.whl", content="a"), new_file("a.whl", content="other")
    await catalog.files.add(hosted, [file], touched=touched(), exclusive=True)
    await catalog.files.remove(hosted, [file.entry.key], touched=touched(), tombstones=True)
    assert await catalog.packages.properties(hosted, "six") == {"removed:a.whl": file.blob}
    assert await catalog.files.owned([hosted], ["six"]) == {(hosted, "six")}  # or a proxy would give the name
    assert await catalog.packages.claimed(hosted) == {"six"}
    assert await catalog.packages.packages(hosted) == []
    with pytest.raises(AlreadyThere, match="removed"):
        await catalog.files.add(hosted, [other], touched=touched(), exclusive=True)
    assert await catalog.files.add(hosted, [file], touched=touched(), exclusive=True)
    await catalog.files.remove(hosted, [file.entry.key], touched=touched(), tombstones=True)
    assert await catalog.files.add(hosted, [other], touched=touched(), exclusive=True, reuse=True)


async def test_a_blob_needs_a_size(catalog: Catalog, hosted: int) -> None:
    with pytest.raises(ValueError, match="no size"):
        await catalog.files.add(hosted, [replace(new_file("a", content="a"), size=None)], touched=touched())


async def test_a_time_without_a_zone_is_refused(catalog: Catalog, hosted: int) -> None:
    naive = replace(new_file("a", content="a"), modified=NOW.replace(tzinfo=None))
    with pytest.raises(Exception, match="time zone"):
        await catalog.files.add(hosted, [naive], touched=touched())
    assert await catalog.files.in_scope(hosted, "six") == []


async def test_a_write_whose_caller_goes_away_is_whole_and_blocks_no_one(catalog: Catalog, hosted: int) -> None:
    for delay in (0.0, 0.001, 0.01, 0.03):
        many = [new_file(f"{delay}-{number}", content=f"{number}") for number in range(1000)]
        before = len(await catalog.files.in_scope(hosted, "six"))
        writing = asyncio.create_task(catalog.files.add(hosted, many, touched=touched()))
        await asyncio.sleep(delay)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await catalog.files.add(hosted, [new_file(f"{delay}", content="a")], touched=touched())
        assert len(await catalog.files.in_scope(hosted, "six")) == before + 1001


async def test_a_close_waits_for_what_is_being_written(catalog: Catalog, url: str, hosted: int) -> None:
    second = await Catalog.open(url)
    writing = asyncio.create_task(second.files.add(hosted, [new_file("a", content="a")], touched=touched()))
    await asyncio.sleep(0)
    writing.cancel()
    await second.close()
    assert len(await catalog.files.in_scope(hosted, "six")) == 1
