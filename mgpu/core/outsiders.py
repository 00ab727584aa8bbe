"""What is done about processes that use GPUs and belong to no job: outsiders, and leftovers.

Outsiders are told of or ended where the policy says so; what a job left is ended in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mgpu.core.effects import KillProcess
from mgpu.core.world import World
from mgpu.model.events import Erased, Event, Recorded
from mgpu.model.gpu import Gpu, Process
from mgpu.model.records import Ignored, Outsider
from mgpu.model.time import Now

REPORT: Final = "report"
KILL: Final = "kill"
OUTSIDER: Final = "outsider"
LEFTOVER: Final = "leftover"

Identity = tuple[int, int]


def settle(world: World, now: Now) -> Iterator[Event]:
    """Note each outsider once, and forget those that are gone or do not count any more.

    Where they are killed, one that is not in the way now has its whole grace when it is again.
    """
    known = {(one.pid, one.ticks): one for one in world.records.all(Outsider)}
    watched = world.policy.outsiders in (REPORT, KILL)
    if not known and not watched:
        return
    way = _in_the_way(world) if watched else {}
    there = way if world.policy.outsiders != REPORT else _outside(world)
    for identity, one in known.items():
        if identity not in there:
            yield Erased(now, 0, Outsider.__name__, one.key)
    for identity, (gpu, process) in way.items():
        if identity not in known:
            found = Outsider(*identity, process.uid, gpu.uuid, process.memory, now.boot)
            yield Recorded(now, 0, found)


def next_look(world: World) -> float | None:
    """The boot time at which the GPUs are to be looked at for whose grace is over then."""
    if world.policy.outsiders != KILL:
        return None
    grace, taken = world.policy.outsider_grace, world.inventory.taken
    times = (one.at + grace for one in world.records.all(Outsider))
    return min((at for at in times if at > taken), default=None)


def kills(world: World, now: Now) -> list[KillProcess]:
    """The processes that are to end, as the GPUs were seen last."""
    return [*_leftovers(world), *_late(world, now)]


def _leftovers(world: World) -> Iterator[KillProcess]:
    """What jobs left that are over; what was seen before the end is not known to be left."""
    told: set[int] = set()
    for gpu in world.gpus.values():
        left = {trace.job for trace in world.traces.left(gpu.uuid)}
        for pid, _, uid, job, ticks, _ in gpu.processes:
            if job in left and pid not in told and _may_kill(world, uid, ticks):
                told.add(pid)
                yield KillProcess(pid, ticks, uid, LEFTOVER, job)


def _late(world: World, now: Now) -> Iterator[KillProcess]:
    """Outsiders that were in the way for the grace and still are."""
    policy = world.policy
    if policy.outsiders != KILL:
        return
    seen = {(one.pid, one.ticks): one.at for one in world.records.all(Outsider)}
    for identity, (_, process) in _in_the_way(world).items():
        late = identity in seen and now.boot - seen[identity] >= policy.outsider_grace
        if late and _may_kill(world, process.uid, process.ticks):
            yield KillProcess(*identity, process.uid, OUTSIDER)


def _may_kill(world: World, uid: int, ticks: int) -> bool:
    """Whether it is known which process it is, and that it is no system account's."""
    return bool(ticks) and uid >= world.policy.min_uid


def _in_the_way(world: World) -> dict[Identity, tuple[Gpu, Process]]:
    """The outsiders that keep a GPU from jobs, as far as it would be given to them otherwise."""
    most = world.policy.unmanaged_ignore
    return {
        identity: (gpu, process)
        for identity, (gpu, process) in _outside(world).items()
        if gpu.available and process.memory > most and process.ticks and process.uid >= 0
    }


def _outside(world: World) -> dict[Identity, tuple[Gpu, Process]]:
    """Each process outside mgpu that is not ignored, on the GPU of which it uses most."""
    ignored = {(one.pid, one.ticks) for one in world.records.all(Ignored)}
    found: dict[Identity, tuple[Gpu, Process]] = {}
    for gpu in world.gpus.values():
        for process in gpu.processes:
            identity = (process.pid, process.ticks)
            if process.job or identity in ignored:
                continue
            if identity not in found or process.memory > found[identity][1].memory:
                found[identity] = (gpu, process)
    return found
