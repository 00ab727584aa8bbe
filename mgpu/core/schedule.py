"""Which jobs start now (skeleton of the signatures)."""

from __future__ import annotations

from typing import NamedTuple

from mgpu.core.outlook import Outlook
from mgpu.core.world import World
from mgpu.model.events import Started
from mgpu.model.time import Now


class Plan(NamedTuple):
    """The starts to commit and evolve now, and what the pass learned."""

    starts: list[Started]
    outlook: Outlook


def schedule(world: World, now: Now) -> Plan:
    """One pass over the queue."""
    raise NotImplementedError


def next_deadline(world: World) -> float | None:
    """The boot time at which another pass is due though nothing happened, or None."""
    return world.queue.next_release()
