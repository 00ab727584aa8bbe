"""Sets of array tasks: a few ranges stand for very many indices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tasks:
    """Task indices as (first, last, step) with both ends included; disjoint and in order."""

    ranges: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return sum((last - first) // step + 1 for first, last, step in self.ranges)

    @property
    def first(self) -> int:
        """The smallest index."""
        return self.ranges[0][0]
