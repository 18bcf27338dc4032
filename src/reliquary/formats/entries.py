"""Entries of a reading that are made one by one, when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, overload

from reliquary.types import Entry

T = TypeVar("T")


class Entries(Sequence[Entry], Generic[T]):
    """A sequence of entries over what they are made of; formats say how, and what is equal.

    Args:
        items: what each entry is made of, in the order of the document.
    """

    def __init__(self, items: Sequence[T]) -> None:
        self._items = items

    def _entry(self, item: T) -> Entry:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            return [self._entry(item) for item in self._items[at]]
        return self._entry(self._items[at])

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, self._items)

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none
