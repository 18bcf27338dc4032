"""The bounded map of what was served lately: a warm read asks nothing else.

A value that was read while its scope changed is not taken in, so that what a change dropped
cannot come back by a slow reader.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

Mark: TypeAlias = tuple[int, int, int]
"""How often everything, a scope and a path were dropped; see `HotMap.mark`."""

SHARES = 8192
"""Counters that scopes and paths share: two that meet in one only forget more than they must."""

OVERHEAD = 600
"""Bytes that an item costs besides the bodies it holds; measured roughly, it bounds the count."""


class HotMap:
    """Least-recently-used map of (repository, path) to a value, bounded in bytes.

    Args:
        budget: bytes that the values together may take.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held = 0
        self._drops = 0
        self._cleared = 0
        self._dropped = [0] * SHARES
        self._items: OrderedDict[tuple[int, str], tuple[Any, int, str]] = OrderedDict()
        self._scopes: defaultdict[tuple[int, str], set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def drops(self) -> int:
        """How often anything was dropped."""
        return self._drops

    def mark(self, repository_id: int, scope: str, path: str) -> Mark:
        """Taken before a read, given back with ``put``; equal as long as nothing of it was dropped."""
        by_scope, by_path = self._share(repository_id, scope, "scope"), self._share(repository_id, path, "path")
        return self._cleared, self._dropped[by_scope], self._dropped[by_path]

    def _share(self, repository_id: int, text: str, kind: str) -> int:
        return hash((repository_id, text, kind)) % SHARES

    def get(self, repository_id: int, path: str) -> Any | None:
        """The value, now the most recently used, or None."""
        item = self._items.get((repository_id, path))
        if item is None:
            return None
        self._items.move_to_end((repository_id, path))
        return item[0]

    def put(self, repository_id: int, path: str, scope: str, value: Any, size: int, mark: Mark) -> None:
        """Take a value in, unless it was dropped since ``mark``."""
        if mark != self.mark(repository_id, scope, path) or size + OVERHEAD > self._budget:
            return
        self._forget((repository_id, path))
        self._items[repository_id, path] = (value, size + OVERHEAD, scope)
        self._scopes[repository_id, scope].add(path)
        self._held += size + OVERHEAD
        while self._held > self._budget:
            self._forget(next(iter(self._items)))

    def drop(self, repository_ids: Iterable[int], scopes: Iterable[str]) -> None:
        """Forget everything of these scopes in these repositories."""
        self._drops += 1
        wanted = list(scopes)
        for repository_id in repository_ids:
            for scope in wanted:
                self._dropped[self._share(repository_id, scope, "scope")] += 1
                for path in list(self._scopes.get((repository_id, scope), ())):
                    self._forget((repository_id, path))

    def discard(self, repository_id: int, path: str) -> None:
        """Forget one value."""
        self._drops += 1
        self._dropped[self._share(repository_id, path, "path")] += 1
        self._forget((repository_id, path))

    def clear(self) -> None:
        """Forget everything."""
        self._drops += 1
        self._cleared += 1
        self._items.clear()
        self._scopes.clear()
        self._held = 0

    def _forget(self, at: tuple[int, str]) -> None:
        item = self._items.pop(at, None)
        if item is None:
            return
        self._held -= item[1]
        paths = self._scopes[at[0], item[2]]
        paths.discard(at[1])
        if not paths:
            del self._scopes[at[0], item[2]]
