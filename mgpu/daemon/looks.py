"""Has the GPUs looked at when something may follow from it, whether the monitor polls or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mgpu.model.time import Now


class Looks:
    """``wanted`` tells the boot time of the next look, ``look`` asks for it.

    Each is asked for once: a driver that hangs answers none the sooner.
    """

    def __init__(self, wanted: Callable[[], float | None], look: Callable[[Now], None]) -> None:
        self._wanted = wanted
        self._look = look
        self._asked: float | None = None

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        yield self._due()

    def expire(self, now: Now) -> None:
        """Ask for the look that is due."""
        due = self._due()
        if due is not None and now.boot >= due:
            self._asked = due
            self._look(now)

    def _due(self) -> float | None:
        wanted = self._wanted()
        return wanted if wanted != self._asked else None
