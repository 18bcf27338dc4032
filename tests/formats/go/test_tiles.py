from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliquary.errors import Mismatch
from reliquary.formats.go import tiles
from reliquary.formats.go.notes import Head
from reliquary.formats.go.tiles import DATA, WIDTH, Edge, Tile

MOST = 70_000
LEAVES = [tiles.leaf(b"record %d\n" % number) for number in range(MOST)]
SIZES = [1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 512, 513, 65_535, 65_536, 65_537, MOST]


def naive(leaves: Sequence[bytes]) -> bytes:
    """``MTH`` by the words of RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:half]) + naive(leaves[half:])).digest()


def expected(tile: Tile, leaves: Sequence[bytes]) -> bytes:
    """A tile's hashes by its definition: each is the root of a full subtree."""
    reach = 256**tile.level
    first = tile.index * 256
    return b"".join(naive(leaves[at * reach : (at + 1) * reach]) for at in range(first, first + tile.width))


class Log:
    """A log as the core keeps it: the widest form of each tile under its stem."""

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        self.size = 0
        self.edge: Edge = ()
        self.stored: dict[str, bytes] = {}
        self.grow(leaves)

    def grow(self, leaves: Sequence[bytes]) -> dict[Tile, bytes]:
        self.edge, made = tiles.append(self.size, self.edge, leaves)
        self.size += len(leaves)
        for tile, hashes in made.items():
            self.stored[tile.stem] = hashes
        return made

    @property
    def head(self) -> Head:
        return Head(self.size, tiles.root(self.edge))

    def serve(self, wanted: Sequence[Tile]) -> dict[Tile, bytes]:
        found = {}
        for tile in wanted:
            assert tiles.within(self.size, tile)
            hashes = tile.cut(self.stored[tile.stem])
            assert hashes is not None
            found[tile] = hashes
        return found


WHOLE = Log(LEAVES)
ROOTS = {size: naive(LEAVES[:size]) for size in [0, *SIZES]}


def test_the_hashes_of_rfc_6962() -> None:
    assert tiles.leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tiles.EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tiles.node(b"a" * 32, b"b" * 32) == hashlib.sha256(b"\x01" + b"a" * 32 + b"b" * 32).digest()
    assert tiles.root(()) == tiles.EMPTY


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/8/0/000"),
        (Tile(0, 7, 1), "tile/8/0/007.p/1"),
        (Tile(1, 999, 255), "tile/8/1/999.p/255"),
        (Tile(2, 1000), "tile/8/2/x001/000"),
        (Tile(3, 1_234_067, 44), "tile/8/3/x001/x234/067.p/44"),
        (Tile(7, 10**18), "tile/8/7/x001/x000/x000/x000/x000/x000/000"),
        (Tile(DATA, 12_345), "tile/8/data/x012/345"),
        (Tile(DATA, 0, 9), "tile/8/data/000.p/9"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tiles.parse(path) == tile
    assert tile.stem == path.split(".p/")[0]


@given(st.integers(-1, 7), st.integers(0, 10**18), st.integers(1, WIDTH))
def test_any_tile_is_parsed_from_its_path(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert tiles.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/8/0",
        "tile/8/0/",
        "/tile/8/0/000",
        "tile/8/0/000/",
        "tile/8/0/0",
        "tile/8/0/0000",
        "tile/8/0/x000/001",
        "tile/8/0/001/001",
        "tile/8/0/x001",
        "tile/8/0/x1/000",
        "tile/8/00/000",
        "tile/8/8/000",
        "tile/8/-1/000",
        "tile/7/0/000",
        "tile/08/0/000",
        "tile/8/0/000.p/0",
        "tile/8/0/000.p/256",
        "tile/8/0/000.p/300",
        "tile/8/0/000.p/01",
        "tile/8/0/000.p/",
        "tile/8/0/000.p",
        "tile/8/0/000.p/1/2",
        "tile/8/0/000.p/1\n",
        "tile/8/0/\u0660\u0660\u0660",
        "tile/8/data/0x0",
        "tile/8/0/" + "x001/" * 7 + "000",
    ],
)
def test_paths_of_no_tile(path: str) -> None:
    assert tiles.parse(path) is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 250), max_size=5))
def test_the_root_at_every_size_in_whatever_steps_a_log_grows(steps: list[int]) -> None:
    log = Log()
    for step in steps:
        log.grow(LEAVES[log.size : log.size + step])
        assert log.head.root == naive(LEAVES[: log.size])
        assert log.edge == Log(LEAVES[: log.size]).edge
    assert log.stored == Log(LEAVES[: log.size]).stored


def test_the_root_at_every_size_one_by_one() -> None:
    log = Log()
    for number in range(600):
        assert log.head == (number, naive(LEAVES[:number]))
        made = log.grow(LEAVES[number : number + 1])
        assert made[Tile(0, number // 256, number % 256 + 1)][-32:] == LEAVES[number]
        assert all(hashes == expected(tile, LEAVES) for tile, hashes in made.items())


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_large_logs(size: int) -> None:
    edge, made = tiles.append(0, (), LEAVES[:size])
    assert tiles.root(edge) == ROOTS[size]
    assert tiles.edge_of(size, made) == edge
    assert max(len(held) for held in edge) < 256 * 32
    assert {tile.level for tile in made} == set(range(len(edge)))
    for level in range(3):
        count = size // 256**level
        widths = [made[tile] for tile in made if tile.level == level]
        assert sum(map(len, widths)) == count * 32
        assert len(widths) == -(-count // 256)
    for tile in [*tiles.edge_tiles(size), *list(made)[-3:]]:
        assert made[tile] == expected(tile, LEAVES)


def test_only_what_grew_is_given() -> None:
    log = Log(LEAVES[:255])
    assert set(log.grow(LEAVES[255:256])) == {Tile(0, 0, 256), Tile(1, 0, 1)}
    assert set(log.grow(LEAVES[256:257])) == {Tile(0, 1, 1)}
    assert set(log.grow(LEAVES[257:770])) == {Tile(0, 1), Tile(0, 2), Tile(0, 3, 2), Tile(1, 0, 3)}
    assert log.grow([]) == {}
    grown = Log(LEAVES[:65_535]).grow(LEAVES[65_535:65_536])
    assert set(grown) == {Tile(0, 255), Tile(1, 0), Tile(2, 0, 1)}


@given(st.integers(0, MOST), st.integers(0, MOST))
def test_grown_tiles_of_every_level(before: int, after: int) -> None:
    for level in (DATA, 0, 1, 2):
        reach = 256 ** max(level, 0)
        found = list(tiles.grown(level, before, after))
        changed = set(range(before // reach, after // reach))
        assert [tile.index for tile in found] == sorted({at // 256 for at in changed})
        assert all(tile == tiles.widest(after, level, tile.index) for tile in found)


def test_an_edge_of_another_size_is_refused() -> None:
    edge, _ = tiles.append(0, (), LEAVES[:5])
    for size in (0, 4, 6, 261):
        with pytest.raises(ValueError, match=f"not that of a log of {size} records"):
            tiles.append(size, edge, LEAVES[5:6])


def test_an_append_that_was_cut_short_is_overwritten() -> None:
    log, other = Log(LEAVES[:250]), [tiles.leaf(b"other %d\n" % number) for number in range(3)]
    log.grow(LEAVES[250:520])
    stored = {tile: log.stored[tile.stem] for tile in tiles.edge_tiles(250)}
    again = tiles.edge_of(250, stored)
    assert again == Log(LEAVES[:250]).edge
    after, made = tiles.append(250, again, other)
    assert made == {Tile(0, 0, 253): b"".join(LEAVES[:250] + other)}
    assert tiles.root(after) == naive(LEAVES[:250] + other)


def test_an_edge_is_not_read_out_of_damaged_tiles() -> None:
    held = WHOLE.serve(tiles.edge_tiles(MOST))
    for tile in held:
        for damaged in (b"", held[tile][:-32], held[tile] + b"x"):
            with pytest.raises(Mismatch, match=f"{tile.path} is missing or damaged"):
                tiles.edge_of(MOST, held | {tile: damaged})


def test_edge_36_widths_of_the_tree_and_wider() -> None:
    assert tiles.widest(300, 0, 0) == Tile(0, 0, 256)
    assert tiles.widest(300, 0, 1) == Tile(0, 1, 44)
    assert tiles.widest(300, 1, 0) == Tile(1, 0, 1)
    assert tiles.widest(300, DATA, 1) == Tile(DATA, 1, 44)
    assert all(tiles.within(300, Tile(level, 1, width)) for level in (0, DATA) for width in range(1, 45))
    for beyond in (Tile(0, 1, 45), Tile(0, 1), Tile(0, 2, 1), Tile(1, 0, 2), Tile(2, 0, 1), Tile(DATA, 1, 45)):
        assert not tiles.within(300, beyond)
    assert tiles.widest(256, 0, 1) is None
    assert tiles.widest(0, 0, 0) is None


def test_edge_36_any_width_is_cut_out_of_the_stored_one() -> None:
    log = Log(LEAVES[:300])
    for width in range(1, 257):
        assert Tile(0, 0, width).cut(log.stored["tile/8/0/000"]) == b"".join(LEAVES[:width])
    assert Tile(0, 1, 44).cut(log.stored["tile/8/0/001"]) == b"".join(LEAVES[256:300])
    assert Tile(0, 1, 45).cut(log.stored["tile/8/0/001"]) is None
    assert Tile(0, 0, 1).cut(b"torn" * 9) is None


def test_the_tiles_of_a_first_look_up() -> None:
    assert set(tiles.for_record(300, 7)) == {Tile(0, 1, 44), Tile(1, 0, 1), Tile(0, 0)}
    assert set(tiles.for_record(300, 299)) == {Tile(0, 1, 44), Tile(1, 0, 1)}
    assert set(tiles.for_record(1, 0)) == {Tile(0, 0, 1)}
    assert set(tiles.for_record(256, 0)) == {Tile(1, 0, 1), Tile(0, 0)}
    assert set(tiles.for_record(65_536, 300)) == {Tile(2, 0, 1), Tile(1, 0), Tile(0, 1)}


def test_records_are_proved_at_every_size() -> None:
    for size in SIZES:
        log = Log(LEAVES[:size])
        for number in {0, size // 2, size // 256 * 256 - 1, size - 1} - {-1}:
            held = log.serve(tiles.for_record(size, number))
            tiles.check_record(log.head, number, LEAVES[number], held)
            with pytest.raises(Mismatch, match=f"record {number} is not the one"):
                tiles.check_record(log.head, number, tiles.leaf(b"forged\n"), held)
            for tile in held:
                refuse_without(log.head, number, held, tile)


def refuse_without(head: Head, number: int, held: dict[Tile, bytes], tile: Tile) -> None:
    """The proof falls when a tile is missing, short, or has another hash anywhere that matters."""
    for bad in (b"", held[tile][:-32], held[tile][:-1], held[tile] + b"x" * 32):
        with pytest.raises(Mismatch, match="must have"):
            tiles.check_record(head, number, LEAVES[number], held | {tile: bad})
    for at in (0, len(held[tile]) - 1):
        changed = bytearray(held[tile])
        changed[at] ^= 1
        with pytest.raises(Mismatch, match="of the tree that it signed"):
            tiles.check_record(head, number, LEAVES[number], held | {tile: bytes(changed)})


@pytest.mark.parametrize("number", [-1, 300, 301])
def test_records_that_are_not_in_the_log(number: int) -> None:
    with pytest.raises(Mismatch, match=f"record {number} is not in a log of 300 records"):
        tiles.check_record(Log(LEAVES[:300]).head, number, LEAVES[0], {})


def test_growth_is_proved_between_every_two_sizes() -> None:
    for size in [300, 513, 65_537, MOST]:
        log = Log(LEAVES[:size])
        for older in [0, *(each for each in SIZES if each <= size)]:
            held = log.serve(tiles.for_tree(size, older))
            tiles.check_tree(log.head, Head(older, ROOTS[older]), held)
            with pytest.raises(Mismatch, match="told two different things") as caught:
                tiles.check_tree(log.head, Head(older, tiles.leaf(b"fork")), held)
            assert caught.value.code == "fork"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600), st.integers(0, 599))
def test_a_log_with_one_other_record_is_no_growth(one: int, two: int, other: int) -> None:
    older, size = sorted((one, two))
    leaves = [*LEAVES[:other], tiles.leaf(b"forged\n"), *LEAVES[other + 1 : 600]]
    log = Log(leaves[:size])
    held = log.serve(tiles.for_tree(size, older))
    before = Head(older, naive(LEAVES[:older]))
    if other >= older:
        tiles.check_tree(log.head, before, held)
        return
    with pytest.raises(Mismatch) as caught:
        tiles.check_tree(log.head, before, held)
    assert caught.value.code == "fork"


def test_tiles_of_another_tree_are_no_fork() -> None:
    """Whoever stands between can send wrong tiles; only what the log has signed accuses it."""
    log, other = Log(LEAVES[:300]), Log(LEAVES[1:301])
    held = other.serve(tiles.for_tree(300, 256))
    with pytest.raises(Mismatch, match="tiles are not those of the tree") as caught:
        tiles.check_tree(log.head, Head(256, naive(LEAVES[:256])), held)
    assert caught.value.code == "mismatch"


def test_a_log_does_not_shrink() -> None:
    with pytest.raises(Mismatch, match="300 records cannot have grown to 299"):
        tiles.check_tree(Log(LEAVES[:299]).head, Log(LEAVES[:300]).head, {})


def test_proofs_are_small() -> None:
    """A head that claims a vast log makes nobody fetch or hold more than some tiles."""
    for size in (2**40 + 12_345, 10**19 - 1):
        assert len(tiles.for_record(size, size // 3)) <= 16
        assert len(tiles.for_tree(size, size // 3)) <= 24
    for smaller, larger in pairwise(SIZES):
        assert len(tiles.for_tree(larger, smaller)) <= 6
