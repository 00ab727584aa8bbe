"""What follows by itself from what has happened and from the time, before a pass over the queue.

Each rule is a function of the world and the time that gives events. The caller evolves them and
asks again until nothing follows any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.time import Now

Rule = Callable[[World, Now], Iterable[Event]]

#: The rules, in the order in which they are asked.
RULES: Final[tuple[Rule, ...]] = ()


def settle(world: World, now: Now) -> list[Event]:
    """The events of the first rule that has any, or none: then the world is settled."""
    for rule in RULES:
        events = list(rule(world, now))
        if events:
            return events
    world.over.clear()
    return []
