"""What follows by itself from what has happened and from the time, before a pass over the queue.

Each rule is a function of the world and the time that gives events. The caller evolves them and
asks again until nothing follows any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mgpu.core import (
    arrays,
    deadline,
    dependency,
    idleness,
    notes,
    outsiders,
    quotas,
    recurring,
    reservations,
    seen,
    serving,
    silence,
    usage,
)
from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.time import Now

Rule = Callable[[World, Now], Iterable[Event]]

#: The rules, in the order in which they are asked.
RULES: Final[tuple[Rule, ...]] = (
    reservations.settle,
    quotas.settle,
    recurring.settle,
    deadline.settle,
    usage.settle,
    seen.settle,
    idleness.settle,
    dependency.settle,  # looks at arrays that are over: before these are forgotten
    arrays.settle,
    serving.settle,
    outsiders.settle,
    notes.settle,  # tells of what the rules above found
)

#: When something follows though nothing happens (boot time), as of the last :func:`settle`.
DEADLINES: Final[tuple[Callable[[World], float | None], ...]] = (
    reservations.next_change,
    quotas.next_change,
    dependency.next_change,
    deadline.next_change,
    recurring.next_change,
)

#: When something may follow from a look at the GPUs that is made then (boot time).
LOOKS: Final[tuple[Callable[[World], float | None], ...]] = (
    usage.next_look,
    idleness.next_look,
    serving.next_look,
    silence.next_look,
    outsiders.next_look,
)


def settle(world: World, now: Now) -> list[Event]:
    """The events of the first rule that has any, or none: then the world is settled."""
    for rule in RULES:
        events = list(rule(world, now))
        if events:
            return events
    world.over.clear()
    return []


def next_deadline(world: World) -> float | None:
    """The boot time at which the world is to be settled again though nothing happened."""
    known = [deadline(world) for deadline in DEADLINES]
    return min((at for at in known if at is not None), default=None)


def next_look(world: World) -> float | None:
    """The boot time at which the GPUs are to be looked at, whatever else happens."""
    known = [look(world) for look in LOOKS]
    return min((at for at in known if at is not None), default=None)
