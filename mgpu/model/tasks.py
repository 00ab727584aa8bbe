"""Sets of array tasks: a few ranges stand for very many indices, and are all that is looked at."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from mgpu.model.errors import MgpuError
from mgpu.model.units import quoted

#: The greatest index, and the most tasks of one array.
MAX_INDEX = 2**31 - 1
MAX_TASKS = 100_000

#: First and last index, both included, and the step between them; the step of one index is 1.
Range = tuple[int, int, int]

_HINT = "write 0-15, 0,6,16-32:4 or 0-9%2"


@dataclass(frozen=True, slots=True)
class Tasks:
    """Task indices in ranges; each range begins behind the end of the one before."""

    ranges: tuple[Range, ...]

    def __len__(self) -> int:
        return sum(map(_count, self.ranges))

    def __iter__(self) -> Iterator[int]:
        for first, last, step in self.ranges:
            yield from range(first, last + 1, step)

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        at = bisect_left(self.ranges, index, key=_end)
        if at == len(self.ranges):
            return False
        first, last, step = self.ranges[at]
        return index in range(first, last + 1, step)

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
    def of(indices: Iterable[int]) -> Tasks:
        """These tasks."""
        return Tasks(tuple(_runs(sorted(set(indices)))))

    def meet(self, other: Tasks) -> Tasks:
        """Those that are in ``other`` too."""
        found: list[Range] = []
        i = bisect_left(self.ranges, other.ranges[0][0], key=_end) if other.ranges else 0
        j = bisect_left(other.ranges, self.ranges[0][0], key=_end) if self.ranges else 0
        while i < len(self.ranges) and j < len(other.ranges):
            mine, its = self.ranges[i], other.ranges[j]
            found += _common(mine, its)
            i, j = (i + 1, j) if mine[1] < its[1] else (i, j + 1)
        return Tasks(tuple(found))

    def without(self, other: Tasks) -> Tasks:
        """Those that are not in ``other``."""
        gone = list(reversed(self.meet(other).ranges))
        left: list[Range] = []
        for one in self.ranges:
            here = []
            while gone and gone[-1][1] <= one[1]:
                here.append(gone.pop())
            left += _cut(one, here)
        return Tasks(tuple(left))

    def join(self, *others: Tasks) -> Tasks:
        """Those of all."""
        return _tidy([one for tasks in (self, *others) for one in tasks.ranges])


def parse_tasks(text: str) -> tuple[Tasks, int]:
    """The tasks of ``0,6,16-32:4%2`` and how many may run at once (0: no bound).

    The form is Slurm's (sbatch(1), --array). Raises MgpuError with what is wrong.
    """
    listed, percent, bound = text.partition("%")
    if percent and not (_is_number(bound) and 0 < int(bound) <= MAX_TASKS):
        raise _bad(text, f"{quoted(bound)} behind % is not a number of 1 to {MAX_TASKS}")
    ranges = [_parse_range(text, word) for word in listed.split(",")]
    if sum(map(_count, ranges)) > MAX_TASKS:
        raise _bad(text, f"more than {MAX_TASKS} tasks")
    return _tidy(ranges), int(bound) if percent else 0


def _parse_range(text: str, word: str) -> Range:
    span, colon, step = word.partition(":")
    first, dash, last = span.partition("-")
    numbers = [first, *([last] if dash else []), *([step] if colon else [])]
    if not all(map(_is_number, numbers)) or (colon and not dash):
        raise _bad(text, f"{quoted(word)} is none of 3, 3-7 and 3-7:2")
    if colon and not int(step):
        raise _bad(text, f"the step of {quoted(word)} is 0")
    low, high = int(first), int(last or first)
    if not low <= high <= MAX_INDEX:
        raise _bad(text, f"{quoted(word)} is not a range within 0 to {MAX_INDEX}")
    return _plain(low, high, int(step) if colon else 1)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 10


def _bad(text: str, what: str) -> MgpuError:
    return MgpuError("BadRequest", f"{quoted(text)}: {what}", path="spec.array", hint=_HINT)


def _end(one: Range) -> int:
    return one[1]


def _count(one: Range) -> int:
    first, last, step = one
    return (last - first) // step + 1


def _text(one: Range) -> str:
    first, last, step = one
    if first == last:
        return str(first)
    if last - first == step > 1:
        return f"{first},{last}"
    return f"{first}-{last}" if step == 1 else f"{first}-{last}:{step}"


def _plain(first: int, last: int, step: int) -> Range:
    last -= (last - first) % step
    return (first, last, step if last > first else 1)


def _tidy(ranges: list[Range]) -> Tasks:
    """The tasks of ranges in any order, which may overlap; what stands alone is put together."""
    ranges.sort()
    if any(two[0] <= one[1] for one, two in pairwise(ranges)):
        return Tasks.of(index for one in ranges for index in range(one[0], one[1] + 1, one[2]))
    found: list[Range] = []
    for alone, some in groupby(ranges, key=_is_alone):
        same = [*some]
        found += _runs([first for first, _, _ in same]) if alone else same
    return Tasks(tuple(found))


def _is_alone(one: Range) -> bool:
    return one[0] == one[1]


def _runs(indices: list[int]) -> Iterator[Range]:
    """Ranges of equal steps; two indices alone make one only if they are neighbours."""
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


def _common(one: Range, other: Range) -> Iterator[Range]:
    """What two arithmetic progressions share is one again (the Chinese remainder theorem)."""
    first, last, step = one
    gcd = math.gcd(step, other[2])
    distance = other[0] - first
    if distance % gcd:
        return
    modulus = other[2] // gcd
    start = first + step * (distance // gcd * pow(step // gcd, -1, modulus) % modulus)
    both = step * modulus
    start += max(0, -(-(other[0] - start) // both)) * both
    end = min(last, other[1])
    if start <= end:
        yield _plain(start, end, both)


def _cut(one: Range, gone: list[Range]) -> Iterator[Range]:
    """A range without parts of it, whose steps are multiples of its own."""
    first, last, step = one
    for start, end, stride in gone:
        if start > first:
            yield _plain(first, start - step, step)
        if end > start:
            yield from _between(start, end, stride, step)
        first = end + step
    if first <= last:
        yield _plain(first, last, step)


def _between(start: int, end: int, stride: int, step: int) -> Iterator[Range]:
    """What lies in steps of ``step`` between the indices from ``start`` to ``end``."""
    if stride == 2 * step:
        yield _plain(start + step, end - step, stride)
    elif stride > step:
        for at in range(start, end, stride):
            yield _plain(at + step, at + stride - step, step)
