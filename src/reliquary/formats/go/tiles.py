"""The tree over a checksum database's records (RFC 6962, section 2.1), and the tiles of height 8 it is kept in.

A tile at level L lists up to 256 hashes, each of a full subtree of 256**L records; the hashes above them, up to the
next level, are computed from it. A log of n records has ``n >> 8 * L`` hashes at level L, so every tile but the last
of a level is full, and a log's *edge* is its last tiles that are not: at most 255 hashes a level. A log's root, and
what comes of more records, follow from its edge alone.

How they are stored. A tile is kept under its `Tile.stem`, which does not name its width, in the widest form there is;
`append` gives all that become new or wider, and what it gives replaces what was stored. What a signed head covers
never changes, so a tile of width W is the first ``32 * W`` bytes of any wider one, and a reader is served any width
that the log has come to: `parse` the path, ask `within` whether the signed log is so large, read the stem, and `cut`.
Stored tiles may be ahead of the signed head and never behind it: they are written before the head is signed. An append
that was cut short leaves them wider than the head says; the next one begins at the edge of the signed size, which
`edge_of` cuts out of them, and overwrites the rest.

What is read of others is proved before it is believed: `for_record` and `for_tree` say which tiles a proof takes, and
`check_record` and `check_tree` compute it. They take the tiles as a mapping, so that whoever calls may fetch them all
at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from reliquary.errors import Mismatch
from reliquary.formats.go.notes import Head

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile."""
HASH = 32
"""Bytes of a hash."""
DATA = -1
"""The level of tiles that hold records in place of hashes."""
EMPTY = hashlib.sha256().digest()
"""The root of a log without records."""

Edge = tuple[bytes, ...]
"""The hashes of a log's last tiles that are not full, one after the other, for each level from 0 on."""

_GROUP = 1000
_PATH = re.compile(
    r"tile/8/(?P<level>data|[0-7])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a log.

    Args:
        level: 0 for hashes of records, 1 for hashes of 256 records each, and so on; `DATA` for the records.
        index: which of its level, from 0 on.
        width: hashes in it, 1 to 256.
    """

    level: int
    index: int
    width: int = WIDTH

    @property
    def stem(self) -> str:
        """The path without the width, ``tile/8/0/x001/234``: a tile keeps it while it grows."""
        level = "data" if self.level == DATA else str(self.level)
        groups = [f"{self.index % _GROUP:03}"]
        rest = self.index // _GROUP
        while rest:
            groups.insert(0, f"x{rest % _GROUP:03}")
            rest //= _GROUP
        return f"tile/{HEIGHT}/{level}/{'/'.join(groups)}"

    @property
    def path(self) -> str:
        """Where a client asks for it, below the database's address."""
        return self.stem if self.width == WIDTH else f"{self.stem}.p/{self.width}"

    @property
    def whole(self) -> Tile:
        """The tile when it is full."""
        return replace(self, width=WIDTH)

    def cut(self, stored: bytes) -> bytes | None:
        """The tile's hashes out of those of a wider one; None for one that is narrower, or of no whole hashes."""
        size = self.width * HASH
        return stored[:size] if len(stored) >= size and len(stored) % HASH == 0 else None


def parse(path: str) -> Tile | None:
    """The tile that a path asks for, or None; a path in any but its one form asks for none."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level = DATA if found["level"] == "data" else int(found["level"])
    index = int(found["index"].replace("/", "").replace("x", ""))
    tile = Tile(level, index, int(found["width"] or WIDTH))
    return tile if tile.width <= WIDTH and tile.path == path else None


def leaf(record: bytes) -> bytes:
    """The hash of a record."""
    return hashlib.sha256(b"\x00" + record).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def widest(size: int, level: int, index: int) -> Tile | None:
    """A tile as a log of a size has it; None where it has none."""
    width = min(WIDTH, (size >> HEIGHT * max(level, 0)) - index * WIDTH)
    return Tile(level, index, width) if width > 0 else None


def within(size: int, tile: Tile) -> bool:
    """Whether a log of a size has come to a tile's width."""
    held = widest(size, tile.level, tile.index)
    return held is not None and tile.width <= held.width


def grown(level: int, before: int, after: int) -> Iterator[Tile]:
    """The tiles of a level that become new or wider when a log grows, each in its new width, the last one last."""
    shift = HEIGHT * max(level, 0)
    first, count = before >> shift, after >> shift
    for index in range(first // WIDTH, -(-count // WIDTH)) if count > first else ():
        yield Tile(level, index, min(WIDTH, count - index * WIDTH))


def edge_tiles(size: int) -> tuple[Tile, ...]:
    """A log's tiles that are not full, from the lowest level on: what its root and its edge are made of."""
    levels = range(-(-size.bit_length() // HEIGHT))
    counts = [(level, size >> HEIGHT * level) for level in levels]
    return tuple(Tile(level, count // WIDTH, count % WIDTH) for level, count in counts if count % WIDTH)


def edge_of(size: int, tiles: Mapping[Tile, bytes]) -> Edge:
    """The edge of a log.

    Args:
        size: records in it.
        tiles: its `edge_tiles`, or what is stored of them now, which may be wider.

    Raises:
        Mismatch: a tile is missing, or narrower.
    """
    held: dict[int, bytes] = {}
    for tile in edge_tiles(size):
        found = tile.cut(tiles.get(tile, b""))
        if found is None:
            raise Mismatch(f"{tile.path} is missing or damaged: a log of {size} records cannot be read without it")
        held[tile.level] = found
    return tuple(held.get(level, b"") for level in range(max(held, default=-1) + 1))


def append(size: int, edge: Edge, leaves: Iterable[bytes]) -> tuple[Edge, dict[Tile, bytes]]:
    """Let a log grow.

    Args:
        size: records there are.
        edge: the edge of that size; empty for a new log.
        leaves: hashes of the records to come, in order.

    Returns:
        The edge of the new size, and the hashes of every tile that is new or wider, each once, in its new width. The
        same records make the same tiles, in however many steps they come.

    Raises:
        ValueError: the edge is of another size.
    """
    if sum(len(held) // HASH << HEIGHT * level for level, held in enumerate(edge)) != size:
        raise ValueError(f"the edge is not that of a log of {size} records")
    made: dict[Tile, bytes] = {}
    after: list[bytes] = []
    fresh = list(leaves)
    grows_to = size + len(fresh)
    for level, count in enumerate(_counts(grows_to)):
        held = (edge[level] if level < len(edge) else b"") + b"".join(fresh)
        tiles = list(grown(level, size, grows_to))
        begin = (size >> HEIGHT * (level + 1)) * WIDTH
        for tile in tiles:
            start = (tile.index * WIDTH - begin) * HASH
            made[tile] = held[start : start + tile.width * HASH]
        after.append(held[len(held) - count % WIDTH * HASH :])
        fresh = [_fold(made[tile]) for tile in tiles if tile.width == WIDTH]
    return tuple(after), made


def root(edge: Edge) -> bytes:
    """The hash over all records of a log (RFC 6962, ``MTH``)."""
    found = None
    for held in edge:
        for low, high in _subtrees(len(held) // HASH):
            subtree = _fold(held[low * HASH : high * HASH])
            found = subtree if found is None else node(subtree, found)
    return EMPTY if found is None else found


def for_record(size: int, number: int) -> tuple[Tile, ...]:
    """The tiles that prove a record, which is counted from 0, to be in a log of a size."""
    return _with_parents(size, [Tile(0, number // WIDTH)])


def for_tree(size: int, older: int) -> tuple[Tile, ...]:
    """The tiles that prove a log of a size to have grown out of one of an older size."""
    return _with_parents(size, [tile.whole for tile in edge_tiles(older)])


def check_record(head: Head, number: int, hashed: bytes, tiles: Mapping[Tile, bytes]) -> None:
    """Prove that a log has a record.

    Args:
        head: of the log.
        number: the record's, from 0 on.
        hashed: the record's `leaf`.
        tiles: `for_record`.

    Raises:
        Mismatch: the log is smaller, the tiles are not those of the log, or the record is another one.
    """
    if not 0 <= number < head.size:
        raise Mismatch(f"record {number} is not in a log of {head.size} records")
    proven = _proven(head, for_record(head.size, number), tiles)
    at = number % WIDTH * HASH
    if proven[0, number // WIDTH][at : at + HASH] != hashed:
        raise Mismatch(f"the checksum database's record {number} is not the one that was told")


def check_tree(head: Head, older: Head, tiles: Mapping[Tile, bytes]) -> None:
    """Prove that a log has grown out of what it was.

    Args:
        head: of the log.
        older: of the same log earlier, or now.
        tiles: `for_tree`.

    Raises:
        Mismatch: the tiles are not those of the log. With code ``fork``: the records were others at the older size;
            whoever runs the log has told two different things.
    """
    if older.size > head.size:
        raise Mismatch(f"a log of {older.size} records cannot have grown to {head.size}")
    proven = _proven(head, for_tree(head.size, older.size), tiles)
    edge = edge_of(older.size, {tile: proven[tile.level, tile.index] for tile in edge_tiles(older.size)})
    if root(edge) != older.root:
        raise Mismatch(
            f"the checksum database was another one at {older.size} records than it says at {head.size}; "
            "it has told two different things, and none of it can be believed",
            code="fork",
        )


def _proven(head: Head, wanted: Sequence[Tile], tiles: Mapping[Tile, bytes]) -> dict[tuple[int, int], bytes]:
    """The tiles by level and index, after each was found to be in the tree under the root."""
    held = {(tile.level, tile.index): _hashes(tile, tiles) for tile in wanted}
    if root(edge_of(head.size, tiles)) != head.root:
        raise Mismatch("the checksum database's tiles are not those of the tree that it signed")
    for tile in wanted:
        if tile.width == WIDTH:
            at = tile.index % WIDTH * HASH
            if held[tile.level + 1, tile.index // WIDTH][at : at + HASH] != _fold(held[tile.level, tile.index]):
                raise Mismatch(f"the checksum database's {tile.path} is not the one of the tree that it signed")
    return held


def _with_parents(size: int, wanted: Iterable[Tile]) -> tuple[Tile, ...]:
    """A log's edge, and the full tiles among those wanted with all above them; only the edge is proved by the root."""
    found = dict.fromkeys(edge_tiles(size))
    for each in wanted:
        tile = widest(size, each.level, each.index)
        while tile is not None and tile not in found:
            found[tile] = None
            tile = widest(size, tile.level + 1, tile.index // WIDTH)
    return tuple(found)


def _hashes(tile: Tile, tiles: Mapping[Tile, bytes]) -> bytes:
    held = tiles.get(tile, b"")
    if len(held) != tile.width * HASH:
        raise Mismatch(f"{tile.path} has {len(held)} bytes, and must have {tile.width * HASH}")
    return held


def _counts(size: int) -> Iterator[int]:
    """Hashes at each level that has any."""
    return takewhile(bool, (size >> HEIGHT * level for level in range(size.bit_length())))


def _subtrees(count: int) -> Iterator[tuple[int, int]]:
    """The full subtrees of a tile that is not full, as ranges of its hashes, the last and smallest first."""
    high = count
    while high:
        low = high & (high - 1)
        yield low, high
        high = low


def _fold(hashes: bytes) -> bytes:
    """The hash over a full subtree, whose leaves are a power of two."""
    while len(hashes) > HASH:
        pairs = range(0, len(hashes), 2 * HASH)
        hashes = b"".join(hashlib.sha256(b"\x01" + hashes[at : at + 2 * HASH]).digest() for at in pairs)
    return hashes
