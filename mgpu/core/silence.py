"""GPUs of which nothing is heard: the driver does not answer for them, or they are gone.

Time is that of the looks. A moment of silence is none: the monitor may just have been replaced.
"""

from __future__ import annotations

from typing import Final

from mgpu.core.world import World
from mgpu.model.gpu import UNKNOWN
from mgpu.model.time import Now

#: Seconds of silence after which it is told of.
PATIENCE: Final = 10.0
_KEY: Final = "silence"

_Known = tuple[float, dict[str, float]]


def look(world: World, now: Now) -> None:
    """Take over what the last look at the GPUs says."""
    _, known = _known(world)
    silent = [gpu.uuid for gpu in world.gpus.values() if gpu.state == UNKNOWN]
    held = (uuid for job in world.placed.values() for uuid in job.gpus)
    silent += [uuid for uuid in held if uuid not in world.gpus]
    world.derived[_KEY] = (now.boot, {uuid: known.get(uuid, now.boot) for uuid in silent})


def silent(world: World) -> dict[str, str]:
    """The GPUs that have been silent for long, with the reason; those that are gone have none."""
    at, known = _known(world)
    return {
        uuid: world.gpus[uuid].note if uuid in world.gpus else ""
        for uuid, since in known.items()
        if at - since >= PATIENCE
    }


def next_look(world: World) -> float | None:
    """The boot time at which the GPUs are to be looked at for one that is silent for long then."""
    at, known = _known(world)
    times = (since + PATIENCE for since in known.values())
    return min((time for time in times if time > at), default=None)


def _known(world: World) -> _Known:
    known: _Known = world.derived.get(_KEY, (0.0, {}))
    return known
