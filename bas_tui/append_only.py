"""Append-only sequences that frozen states can share.

A `Log` or `Table` is a length over a buffer it shares with its predecessors. Appending to the
newest one grows the shared buffer in place (amortised O(1)) and returns a longer view; every older
view keeps seeing exactly its own items. Only a view that is no longer the newest copies, O(n), when
something is appended to it - which happens once after a `cut`, never per event.

One thread appends; any thread may read the views it was given.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")
Row = TypeVar("Row", bound="tuple[float, ...]")


class Log(Sequence[T], Generic[T]):
    """An immutable view of the first `len(self)` items of a shared list."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = list(items)
        self._length = len(self._items)

    def append(self, item: T) -> Log[T]:
        """The log with one more item; this log stays as it is."""
        items = self._items if len(self._items) == self._length else self._items[: self._length]
        items.append(item)
        return self._view(items, self._length + 1)

    def cut(self, keep: Callable[[T], bool]) -> Log[T]:
        """The log without its trailing items that `keep` refuses; O(items dropped)."""
        length = self._length
        while length and not keep(self._items[length - 1]):
            length -= 1
        return self if length == self._length else self._view(self._items, length)

    @classmethod
    def _view(cls, items: list[T], length: int) -> Log[T]:
        view = cls.__new__(cls)
        view._items, view._length = items, length
        return view

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._items[k] for k in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(index)
        return self._items[index % self._length]

    def __iter__(self) -> Iterator[T]:
        for index in range(self._length):
            yield self._items[index]

    def __repr__(self) -> str:
        return f"Log({self[:]!r})"


class Table(Generic[Row]):
    """An immutable view of the first `len(self)` rows of shared columns of doubles (8 bytes each).

    For a NamedTuple class `Row`: `Table(Row._make, Row._fields)`.
    """

    __slots__ = ("_columns", "_length", "_make", "_names")

    def __init__(self, make: Callable[[Iterable[float]], Row], names: Sequence[str]) -> None:
        self._make = make
        self._names = tuple(names)
        self._columns = tuple(array("d") for _ in names)
        self._length = 0

    def append(self, row: Row) -> Table[Row]:
        """The table with one more row; this table stays as it is."""
        columns = self._columns
        if len(columns[0]) != self._length:
            columns = tuple(column[: self._length] for column in columns)
        for column, value in zip(columns, row, strict=True):
            column.append(value)
        return self._view(columns, self._length + 1)

    def cut(self, length: int) -> Table[Row]:
        """The table's first `length` rows."""
        return self._view(self._columns, max(0, min(length, self._length)))

    def column(self, name: str, start: int = 0, stop: int | None = None) -> array[float]:
        """A copy of one column's rows `start:stop`; `numpy.frombuffer` reads it without another."""
        begin, end, _ = slice(start, stop).indices(self._length)
        return self._columns[self._names.index(name)][begin:end]

    def _view(self, columns: tuple[array[float], ...], length: int) -> Table[Row]:
        view: Table[Row] = Table(self._make, ())
        view._make, view._names = self._make, self._names
        view._columns, view._length = columns, length
        return view

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Row:
        if not -self._length <= index < self._length:
            raise IndexError(index)
        index %= self._length
        return self._make(column[index] for column in self._columns)

    def __iter__(self) -> Iterator[Row]:
        for index in range(self._length):
            yield self[index]
