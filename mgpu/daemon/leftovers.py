"""The launch payloads of jobs that have ended: kept for a while, so that jobs can be repeated."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from mgpu.store.base import Leftover

#: So many are kept for one user at most.
MOST = 1000


class Leftovers:
    """Those of each user, the oldest first, for ``seconds`` (0: none are kept).

    Of one user at most ``MOST`` are kept, and ``most`` bytes in all; 0 is no bound of bytes.
    """

    def __init__(self, stored: Iterable[Leftover], seconds: int, most: int) -> None:
        self.seconds = seconds
        self.most = most
        self._of: dict[int, deque[Leftover]] = {}
        self._bytes: dict[int, int] = {}
        for one in stored:
            self._put(one)

    def add(self, one: Leftover) -> list[int]:
        """Keep another one; the specs of those that have to go for it."""
        self._put(one)
        return [gone.spec for gone in self._surplus(one.uid)]

    def overdue(self, at: float) -> list[int]:
        """Forget those whose time is over; their specs. ``at`` is Unix time."""
        gone: list[int] = []
        for uid in list(self._of):
            while uid in self._of and self._of[uid][0].at + self.seconds <= at:
                gone.append(self._pop(uid).spec)
        return gone

    def due(self) -> float | None:
        """When the next one's time is over (Unix time)."""
        oldest = min((kept[0].at for kept in self._of.values()), default=None)
        return None if oldest is None else oldest + self.seconds

    def _put(self, one: Leftover) -> None:
        self._of.setdefault(one.uid, deque()).append(one)
        self._bytes[one.uid] = self._bytes.get(one.uid, 0) + one.size

    def _surplus(self, uid: int) -> Iterator[Leftover]:
        while uid in self._of and (
            len(self._of[uid]) > MOST or (self.most and self._bytes[uid] > self.most)
        ):
            yield self._pop(uid)

    def _pop(self, uid: int) -> Leftover:
        one = self._of[uid].popleft()
        self._bytes[uid] -= one.size
        if not self._of[uid]:
            del self._of[uid], self._bytes[uid]
        return one
