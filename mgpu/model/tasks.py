"""Sets of array tasks: a few ranges stand for very many indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mgpu.model.errors import MgpuError

#: The greatest index, and the most tasks of one array.
MAX_INDEX = 2**31 - 1
MAX_TASKS = 100_000

Range = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Task indices as (first, last, step) with both ends included; disjoint and in order.

    A step greater than 1 only occurs where the ranges do not interleave.
    """

    ranges: tuple[Range, ...]

    def __len__(self) -> int:
        return sum(map(_count, self.ranges))

    def __iter__(self) -> Iterator[int]:
        for first, last, step in self.ranges:
            yield from range(first, last + 1, step)

    def __contains__(self, index: object) -> bool:
        return any(index in range(first, last + 1, step) for first, last, step in self.ranges)

    def __getitem__(self, place: int) -> int:
        """The index at ``place``, 0 being the smallest."""
        for one in self.ranges:
            if place < _count(one):
                return one[0] + place * one[2]
            place -= _count(one)
        raise IndexError(place)

    def __str__(self) -> str:
        return ",".join(map(_text, self.ranges))

    @property
    def first(self) -> int:
        """The smallest index."""
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        """The greatest index."""
        return self.ranges[-1][1]

    @staticmethod
    def only(index: int) -> Tasks:
        """One task."""
        return Tasks(((index, index, 1),))

    @staticmethod
    def of(indices: set[int]) -> Tasks:
        """These tasks."""
        return Tasks(tuple(_runs(sorted(indices))))

    def without(self, other: Tasks) -> Tasks:
        """Those that are not in ``other``."""
        if len(other) == 1:
            return Tasks(tuple(part for one in self.ranges for part in _cut(one, other.first)))
        return Tasks.of(set(self).difference(other))

    def meet(self, other: Tasks) -> Tasks:
        """Those that are in ``other`` too."""
        return Tasks.of(set(self).intersection(other))


def parse_tasks(text: str) -> tuple[Tasks, int]:
    """The tasks of ``0,6,16-32:4%2`` and how many may run at once (0: no bound).

    Raises MgpuError with what is wrong.
    """
    listed, percent, bound = text.partition("%")
    if percent and not (_is_number(bound) and int(bound) > 0):
        raise _bad(text, f"{bound!r} behind % is not a number greater than 0")
    indices: set[int] = set()
    for word in listed.split(","):
        indices.update(_parse_range(text, word))
        if len(indices) > MAX_TASKS:
            raise _bad(text, f"more than {MAX_TASKS} tasks")
    return Tasks.of(indices), int(bound) if percent else 0


def _parse_range(text: str, word: str) -> range:
    span, colon, step = word.partition(":")
    first, dash, last = span.partition("-")
    numbers = [first, *([last] if dash else []), *([step] if colon else [])]
    if not all(map(_is_number, numbers)) or (colon and not dash):
        raise _bad(text, f"{word!r} is none of 3, 3-7 and 3-7:2")
    indices = (
        range(int(first), int(last or first) + 1, int(step) if colon else 1)
        if not colon or int(step) > 0
        else range(0)
    )
    if not indices or indices[-1] > MAX_INDEX:
        raise _bad(text, f"{word!r} is not a range of 0 to {MAX_INDEX}")
    if len(indices) > MAX_TASKS:
        raise _bad(text, f"more than {MAX_TASKS} tasks")
    return indices


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 10


def _bad(text: str, what: str) -> MgpuError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return MgpuError(
        "BadRequest",
        f"{shown!r}: {what}",
        path="spec.array",
        hint="write 0-15, 0,6,16-32:4 or 0-9%2",
    )


def _count(one: Range) -> int:
    first, last, step = one
    return (last - first) // step + 1


def _text(one: Range) -> str:
    first, last, step = one
    if first == last:
        return str(first)
    return f"{first}-{last}" if step == 1 else f"{first}-{last}:{step}"


def _runs(indices: list[int]) -> Iterator[Range]:
    """Ranges of equal steps; two that only make a step greater than 1 stay apart."""
    at = 0
    while at < len(indices):
        end = at + 1
        step = indices[end] - indices[at] if end < len(indices) else 1
        while end + 1 < len(indices) and indices[end + 1] - indices[end] == step:
            end += 1
        if end >= len(indices) or (end == at + 1 and step > 1):
            end, step = at, 1
        yield (indices[at], indices[end], step)
        at = end + 1


def _cut(one: Range, index: int) -> Iterator[Range]:
    """A range without one index."""
    first, last, step = one
    if index not in range(first, last + 1, step):
        yield one
        return
    if index > first:
        yield _plain(first, index - step, step)
    if index < last:
        yield _plain(index + step, last, step)


def _plain(first: int, last: int, step: int) -> Range:
    return (first, last, step if last > first else 1)
