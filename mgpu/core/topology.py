"""Which GPUs reach each other best.

A set of GPUs is as good as its worst link, since collective operations go at the pace of that one;
among sets with the same worst link the sum of all links decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mgpu.model.gpu import Topology

#: Steps after which a search is content with the best set so far. That is never reached for up
#: to 8 of 16 GPUs: those have fewer than 40,000 subsets of up to 8.
MOST_STEPS: Final = 40_000


class Links:
    """How the GPUs of a machine reach each other; ``matrix`` is square and symmetric."""

    def __init__(self, matrix: Topology) -> None:
        self._matrix = matrix
        self._kinds = _kinds(matrix)

    def between(self, one: int, others: Sequence[int]) -> int:
        """How well a GPU is linked with others in all; 0 with none."""
        row = self._matrix[one]
        return sum(row[other] for other in others if other != one)

    def best(self, held: Sequence[int], pool: Sequence[int], count: int) -> list[int]:
        """The best connected set of ``held`` and ``count`` others of ``pool``.

        Of equally good ones it is the one whose members stand first in ``pool``, which has at
        least ``count``.
        """
        if count == len(pool):
            return [*held, *pool]
        search = _Search(self._matrix, self._kinds, held, pool)
        return search.run(count)


def links_of(topology: Topology, gpus: int) -> Links | None:
    """The links of so many GPUs; None where they are unknown, or all alike."""
    if len(topology) < gpus or gpus < 3:
        return None
    values = {topology[one][other] for one in range(gpus) for other in range(one)}
    return Links(topology) if len(values) > 1 else None


def _kinds(matrix: Topology) -> list[int]:
    """A number for each GPU; the same for those that no other GPU can tell apart."""
    kinds: list[int] = []
    for one, row in enumerate(matrix):
        alike = (other for other in range(one) if _is_alike(row, matrix[other], one, other))
        found = next(alike, None)
        kinds.append(one if found is None else kinds[found])
    return kinds


def _is_alike(row: Sequence[int], other_row: Sequence[int], one: int, other: int) -> bool:
    pairs = enumerate(zip(row, other_row, strict=True))
    return all(mine == its for at, (mine, its) in pairs if at not in (one, other))


class _Search:
    """Depth first with a bound, from the best worst link downwards.

    Of GPUs that are alike only the first is tried at each place.
    """

    def __init__(
        self, matrix: Topology, kinds: list[int], held: Sequence[int], pool: Sequence[int]
    ) -> None:
        self._matrix = matrix
        self._kinds = kinds
        self._held = list(held)
        self._pool = pool
        members = [*held, *pool]
        values = {matrix[one][other] for one in members for other in members if one != other}
        self._levels = sorted(values, reverse=True)
        self._steps = 0
        self._level = 0
        self._best: list[int] = []
        self._most = -1

    def run(self, count: int) -> list[int]:
        for level in self._levels:
            self._level = level
            if self._is_above(self._held):
                able = [one for one in self._pool if self._is_above([one, *self._held])]
                gains = [(one, sum(self._matrix[one][h] for h in self._held)) for one in able]
                self._extend([], 0, gains, count)
                if self._best:
                    return [*self._held, *self._best]
        return [*self._held, *self._pool[:count]]

    def _is_above(self, members: list[int]) -> bool:
        return all(
            self._matrix[one][other] >= self._level
            for place, one in enumerate(members)
            for other in members[:place]
        )

    def _extend(
        self, chosen: list[int], total: int, able: list[tuple[int, int]], count: int
    ) -> None:
        """Complete ``chosen`` by ``count`` of ``able``: (GPU, its links with the chosen ones)."""
        if count == 0:
            if total > self._most:
                self._best, self._most = chosen, total
            return
        self._steps += 1
        if self._bound(total, able, count) <= self._most or self._is_tired():
            return
        tried: set[int] = set()
        for place, (one, gain) in enumerate(able[: len(able) - count + 1]):
            if self._kinds[one] in tried:
                continue
            tried.add(self._kinds[one])
            row, level = self._matrix[one], self._level
            rest = [(n, known + row[n]) for n, known in able[place + 1 :] if row[n] >= level]
            self._extend([*chosen, one], total + gain, rest, count - 1)

    def _bound(self, total: int, able: list[tuple[int, int]], count: int) -> int:
        """No completion has more links than this."""
        gains = sorted((gain for _, gain in able), reverse=True)
        return total + sum(gains[:count]) + count * (count - 1) // 2 * self._levels[0]

    def _is_tired(self) -> bool:
        return self._steps > MOST_STEPS and (bool(self._best) or self._level > self._levels[-1])
