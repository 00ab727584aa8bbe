"""Forgets what has been kept for long enough, a little at a time so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from mgpu.model.time import Now
from mgpu.store.base import FORGOTTEN, Store, StoreError
from mgpu.system.log import log

#: Rows that one pass removes at the most, of each kind.
ROWS: Final = 200
#: Seconds from the start to the first pass, between two while there is more, and else.
FIRST: Final = 30.0
AGAIN: Final = 1.0
PAUSE: Final = 3600.0


class Pruner:
    """Asks the store to forget what is older than the settings say; ``keep`` are jobs that stay."""

    def __init__(self, store: Store, keep: Callable[[], Collection[int]], now: Now) -> None:
        self._store = store
        self._keep = keep
        self._ages: dict[str, int] = {}
        self._at = now.boot + FIRST

    def set_ages(self, settings: Mapping[str, Any]) -> None:
        """Keep things for as long as these settings say."""
        ages = {what: settings[f"history.{what}"] for what in FORGOTTEN}
        self._ages = {what: age for what, age in ages.items() if age}

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        yield self._at if self._ages else None

    def expire(self, now: Now) -> None:
        """One pass, if it is time for one."""
        if not self._ages or now.boot < self._at:
            return
        try:
            counts = {what: self._forget(what, now) for what in self._ages}
        except StoreError as error:  # a full disk may deny even this: later
            log.warning("cannot forget what is old", action="prune-failed", error=error)
            counts = {}
        if any(counts.values()):
            log.debug("forgot what is old", action="pruned", **counts)
        self._at = now.boot + (AGAIN if ROWS in counts.values() else PAUSE)

    def _forget(self, what: str, now: Now) -> int:
        keep = self._keep() if what == "jobs" else ()
        return self._store.forget(what, now.wall - self._ages[what], ROWS, keep)
