"""How often files were downloaded: counts that add up, and that nothing else changes for."""

from __future__ import annotations

import asyncio

import pytest

from reliquary.catalog.engine import Catalog
from tests.catalog.build import LATER, NOW, new_file, new_repository, touched, with_data
from tests.catalog.test_caching import fetch, sync

pytestmark = pytest.mark.anyio


async def test_downloads_of_several_writers_add_up(url: str, catalog: Catalog, hosted: int) -> None:
    files = [new_file(f"{number}.whl", content=f"{number}") for number in range(300)]
    await catalog.files.add(hosted, files, touched=touched())
    keys = [(hosted, file.entry.key) for file in files]
    other = await Catalog.open(url)
    try:
        # In opposite orders: on PostgreSQL two such transactions would wait for each other for ever.
        for _ in range(5):
            await asyncio.gather(
                catalog.files.used({}, dict.fromkeys(keys, 1)),
                other.files.used({}, dict.fromkeys(reversed(keys), 2)),
            )
    finally:
        await other.close()
    assert await catalog.files.downloads(hosted, "six") == dict.fromkeys((key for _, key in keys), 15)


async def test_a_count_changes_nothing_else(catalog: Catalog, hosted: int, proxy: int) -> None:
    await catalog.files.add(hosted, [new_file("a.whl", content="a")], touched=touched())
    [before], serial = await catalog.files.in_scope(hosted, "six"), await catalog.packages.packages(hosted)
    changes = await catalog.changes.latest()
    await catalog.files.used({(hosted, "six/a.whl"): LATER}, {(hosted, "six/a.whl"): 3, (proxy, "six/a.whl"): 4})
    assert await catalog.files.in_scope(hosted, "six") == [before]
    assert await catalog.packages.packages(hosted) == serial
    assert await catalog.changes.latest() == changes
    assert await catalog.files.downloads(hosted, "six") == {"six/a.whl": 3}
    assert await catalog.files.downloads(proxy, "six") == {}


async def test_a_count_alone_is_no_newer_use(catalog: Catalog, proxy: int) -> None:
    for name in ("a", "b"):
        await fetch(catalog, proxy, new_file(name), name * 3)
    await catalog.files.used({(proxy, "six/a"): NOW, (proxy, "six/b"): LATER})
    await catalog.files.used({}, {(proxy, "six/a"): 7})
    assert [row.key for row in await catalog.files.evictable(proxy, 10)] == ["six/a", "six/b"]
    assert await catalog.files.downloads(proxy, "six") == {"six/a": 7}


async def test_a_count_outlives_bytes_that_go_and_come_again(catalog: Catalog, proxy: int) -> None:
    file = new_file("a.whl")
    await sync(catalog, proxy, [file])
    await fetch(catalog, proxy, file, "bytes")
    await catalog.files.used({}, {(proxy, "six/a.whl"): 2})
    await catalog.files.evict(proxy, "six/a.whl")
    await sync(catalog, proxy, [with_data(file, yanked=True)])
    await fetch(catalog, proxy, file, "bytes")
    await catalog.files.used({}, {(proxy, "six/a.whl"): 1})
    assert await catalog.files.downloads(proxy, "six") == {"six/a.whl": 3}


async def test_a_count_outlives_other_bytes_under_a_name_but_not_the_file(catalog: Catalog, hosted: int) -> None:
    await catalog.files.add(hosted, [new_file("a.bin", content="one")], touched=touched())
    await catalog.files.used({}, {(hosted, "six/a.bin"): 2})
    await catalog.files.add(hosted, [new_file("a.bin", content="two")], touched=touched(), replace=True)
    await catalog.files.update(hosted, [with_data(new_file("a.bin", content="two"), yanked=True)], touched=touched())
    assert await catalog.files.downloads(hosted, "six") == {"six/a.bin": 2}
    await catalog.files.remove(hosted, ["six/a.bin"], touched=touched(), tombstones=False)
    await catalog.files.add(hosted, [new_file("a.bin", content="one")], touched=touched())
    assert await catalog.files.downloads(hosted, "six") == {}


async def test_counts_are_of_one_package_of_one_repository(catalog: Catalog, hosted: int) -> None:
    other = await new_repository(catalog, "other")
    for repository in (hosted, other):
        for name in ("six", "seven"):
            await catalog.files.add(repository, [new_file("a", name, content=name)], touched=touched())
    await catalog.files.used({}, {(hosted, "six/a"): 1, (hosted, "seven/a"): 2, (other, "six/a"): 2**40})
    assert await catalog.files.downloads(hosted, "six") == {"six/a": 1}
    assert await catalog.files.downloads(hosted, "seven") == {"seven/a": 2}
    assert await catalog.files.downloads(other, "six") == {"six/a": 2**40}
