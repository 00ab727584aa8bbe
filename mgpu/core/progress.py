"""How far an array has come, for arrays that follow it task by task: how its tasks have ended.

Many arrays may follow one, and each may be long in doing so. So each end is kept once, whoever
follows, and each follower reads it once: it goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from mgpu.model.tasks import Tasks

#: So many ends are kept as they came; then they are put together as ranges.
_LOOSE: Final = 1000


class Place(NamedTuple):
    """Where a reader stopped; the beginning unless it has begun."""

    chunk: int = 0
    offset: int = 0


class Progress:
    """The ends of one array's tasks in about the order in which they came."""

    def __init__(self) -> None:
        self.count = 0
        self._chunks: list[list[tuple[str, Tasks]]] = []
        self._last: list[tuple[str, Tasks]] = []

    def note(self, state: str, tasks: Tasks) -> None:
        """These have ended."""
        self.count += len(tasks)
        self._last.append((state, tasks))
        if len(self._last) == _LOOSE:
            self._chunks.append(list(together(self._last).items()))
            self._last = []

    def since(self, place: Place) -> Iterator[tuple[str, Tasks]]:
        """What ended since then, with some of what ended before."""
        yield from chain.from_iterable(self._chunks[place.chunk :])
        yield from self._last[place.offset if place.chunk == len(self._chunks) else 0 :]

    @property
    def place(self) -> Place:
        """Behind the last end."""
        return Place(len(self._chunks), len(self._last))

    def state_of(self, task: int) -> str:
        """How a task ended; nothing where it has not."""
        return next((state for state, tasks in self.since(Place()) if task in tasks), "")


def together(ends: list[tuple[str, Tasks]]) -> dict[str, Tasks]:
    """The tasks of each state."""
    found: dict[str, list[Tasks]] = {}
    for state, tasks in ends:
        found.setdefault(state, []).append(tasks)
    return {state: Tasks(()).join(*some) for state, some in found.items()}
