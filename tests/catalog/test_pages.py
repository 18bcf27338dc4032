"""Pages, upstream states, package names and facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import NewEvent
from reliquary.types import StoredPage
from tests.catalog.build import LATER, NOW, new_file, new_page, new_repository, new_state, touched

pytestmark = pytest.mark.anyio


async def test_a_page_is_found_with_all_variants_and_its_state(catalog: Catalog, proxy: int) -> None:
    assert await catalog.pages.find(proxy, "six/") == ([], None)
    html = new_page("html")
    pages = [html, replace(new_page("zipped"), coding="gzip"), replace(new_page("json"), media="application/json")]
    written = await catalog.pages.write(proxy, pages, seen=await catalog.changes.latest(), sources=[], scope="six")
    assert written == pages
    assert await catalog.pages.find(proxy, "six/") == (pages, None)
    state = new_state(etag='W/"1"', modified="Sun, 01 Mar 2026 12:00:00 GMT", gone_at=LATER)
    await catalog.pages.set_state(proxy, state)
    assert await catalog.pages.find(proxy, "six/") == (pages, state)
    await catalog.pages.set_state(proxy, new_state("other/"))
    assert await catalog.pages.find(proxy, "other/") == ([], new_state("other/"))
    await catalog.pages.set_state(proxy, new_state(etag='"2"'))
    assert await catalog.pages.state(proxy, "six/") == new_state(etag='"2"')
    assert await catalog.pages.state(proxy, "none/") is None


async def test_modified_stays_with_the_etag_and_never_goes_back(catalog: Catalog, hosted: int) -> None:
    async def write(content: str, hours: int) -> StoredPage:
        page = new_page(content, modified=NOW + timedelta(hours=hours))
        [written] = await catalog.pages.write(hosted, [page], seen=0, sources=[], scope="six")
        [[stored], _] = await catalog.pages.find(hosted, "six/")
        assert stored == written
        return written

    assert (await write("one", 0)).modified == NOW
    assert (await write("one", 1)).modified == NOW
    assert (await write("two", 2)).modified == NOW + timedelta(hours=2)
    assert (await write("three", 1)).modified == NOW + timedelta(hours=2)


async def test_a_page_rendered_from_old_rows_is_stored_dirty(catalog: Catalog, hosted: int) -> None:
    group = await new_repository(catalog, "main")
    seen = await catalog.pages.seen()
    await catalog.files.add(hosted, [new_file("a", content="a")], touched=touched("six"))

    async def dirty(scope: str, sources: list[int], seen: int) -> bool:
        [page] = await catalog.pages.write(group, [new_page("x", scope=scope)], seen=seen, sources=sources, scope=scope)
        [[stored], _] = await catalog.pages.find(group, "six/")
        assert stored.dirty == page.dirty
        return page.dirty

    assert await dirty("six", [group, hosted], seen)
    assert not await dirty("six", [group, hosted], await catalog.pages.seen())
    assert not await dirty("six", [group], seen)
    assert not await dirty("seven", [group, hosted], seen)


async def test_pages_are_dropped_by_scope_or_all(catalog: Catalog, hosted: int) -> None:
    for scope in ("six", "seven", "eight"):
        await catalog.pages.write(hosted, [new_page(scope, f"{scope}/", scope=scope)], seen=0, sources=[], scope=scope)
    await catalog.pages.drop(hosted, "six")
    left = [scope for scope in ("six", "seven", "eight") if (await catalog.pages.find(hosted, f"{scope}/"))[0]]
    assert left == ["seven", "eight"]
    await catalog.pages.drop(hosted, None)
    assert await catalog.files.usage(hosted) == 0


async def test_names_are_listed_scopes_under_a_prefix(catalog: Catalog, hosted: int) -> None:
    files = [
        new_file("a", "b_c", content="a"),
        new_file("a", "bxc", content="a"),
        new_file("a", "B_c", content="a"),
        new_file("hidden", "b_d", content="h", listed=False),
    ]
    for file in files:
        await catalog.files.add(hosted, [file], touched=touched(file.entry.scope))
    last = await catalog.changes.latest()
    assert await catalog.packages.names(hosted) == [("B_c", last - 1), ("b_c", last - 3), ("bxc", last - 2)]
    assert await catalog.packages.names(hosted, "b_") == [("b_c", last - 3)]
    assert [name for name, _ in await catalog.packages.packages(hosted)] == ["B_c", "b_c", "b_d", "bxc"]


async def test_serials_span_repositories_and_outlive_changes(catalog: Catalog, hosted: int) -> None:
    other = await new_repository(catalog, "other")
    await catalog.files.add(hosted, [new_file("a", content="a")], touched=touched("six", ""))
    first = await catalog.changes.latest()
    await catalog.files.add(other, [new_file("b", content="b")], touched=touched("six", ""))
    second = await catalog.changes.latest()
    assert await catalog.packages.serial([hosted], "six") == first
    assert await catalog.packages.serial([hosted, other], "six") == second
    assert await catalog.packages.serial([hosted, other], "none") == 0
    await catalog.changes.trim(0)
    assert await catalog.packages.serial([hosted, other], "") == second
    assert await catalog.packages.serial([hosted], "six") == first


async def test_facts_are_written_and_removed(catalog: Catalog, hosted: int) -> None:
    before = await catalog.changes.latest()
    event = NewEvent("status", "six", actor="ann")
    values = {"status": "archived", "reason": "old"}
    await catalog.packages.set_properties(hosted, "six", values, touched=touched(), event=event)
    assert await catalog.packages.properties(hosted, "six") == values
    assert await catalog.packages.packages(hosted) == []  # facts alone are no package to list
    assert await catalog.packages.serial([hosted], "six") == before + 1
    await catalog.packages.set_properties(hosted, "six", {"reason": None, "status": "active"}, touched=touched())
    assert await catalog.packages.properties(hosted, "six") == {"status": "active"}
    await catalog.packages.set_properties(hosted, "six", {"status": None}, touched=touched())
    assert await catalog.packages.packages(hosted) == []
    assert [row.action for row in await catalog.events.since(hosted, 0, 10)] == ["status"]
