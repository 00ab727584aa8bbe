"""What the engine tells who passes news on."""

from __future__ import annotations

from typing import Protocol

from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.time import Now


class Post(Protocol):
    """Who passes on what happens; what it puts into the world is stored with the turn."""

    def started(self) -> None:
        """Jobs are scheduled from now on."""
        ...

    def before(self, world: World, event: Event, *, asked: bool) -> None:
        """An event is about to happen; ``asked``: because a caller wants it."""
        ...

    def after(self, world: World, event: Event, *, asked: bool) -> None:
        """An event has happened; ``asked``: because a caller wanted it."""
        ...

    def settle(self, world: World, now: Now) -> None:
        """The turn is about to be stored."""
        ...

    def stored(self) -> None:
        """The turn is stored."""
        ...

    def undone(self) -> None:
        """The turn is not stored, and forgotten."""
        ...

    def deadline(self) -> float | None:
        """The boot time at which it needs a turn."""
        ...
