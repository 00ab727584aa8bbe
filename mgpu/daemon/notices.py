"""What the scheduler found out about GPUs, for administrators: lines in the log.

The events are stored with all others, for whoever wants to pass them on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mgpu.core import silence
from mgpu.core.draining import dirt
from mgpu.core.serving import label
from mgpu.core.world import World
from mgpu.model.events import Event, Recorded
from mgpu.model.records import Drain, Outsider
from mgpu.system.log import log

#: GPUs (UUID) and what is to be said of them.
Known = Mapping[str, str]


class Notices:
    """Remembers what was told of each GPU, so that it is told once."""

    def __init__(self) -> None:
        self._faults: Known = {}
        self._dirty: Known = {}
        self._silent: Known = {}

    def tell(self, world: World, events: Iterable[Event]) -> None:
        """Write down what has come up in a turn that is stored."""
        for event in events:
            if isinstance(event, Recorded) and isinstance(event.record, Outsider):
                _outsider(world, event.record)
        self._faults = _tell_faults(world, self._faults)
        self._dirty = _tell_dirty(world, self._dirty)
        self._silent = _tell_silent(world, self._silent)


def _tell_faults(world: World, before: Known) -> Known:
    drains = world.records.all(Drain)
    faults = {one.uuid: one.error for one in drains if one.error}
    for uuid, fault in faults.items():
        if fault != before.get(uuid):
            gpu = label(world, uuid)
            log.error("a GPU is broken and drained", action="gpu-fault", gpu=gpu, fault=fault)
    return faults


def _tell_dirty(world: World, before: Known) -> Known:
    dirty = {uuid: why for uuid in world.gpus if (why := dirt(world, uuid))}
    for uuid in sorted(dirty.keys() - before.keys()):
        gpu = label(world, uuid)
        log.warning("a GPU is dirty", action="gpu-dirty", gpu=gpu, why=dirty[uuid])
    for uuid in sorted(before.keys() - dirty.keys()):
        log.info("a GPU is not dirty any more", action="gpu-clean", gpu=label(world, uuid))
    return dirty


def _tell_silent(world: World, before: Known) -> Known:
    silent = silence.silent(world)
    for uuid in sorted(silent.keys() - before.keys()):
        gpu, why = label(world, uuid), silent[uuid] or "it is gone"
        log.error("nothing is heard of a GPU", action="gpu-silent", gpu=gpu, why=why)
    for uuid in sorted((before.keys() - silent.keys()) & world.gpus.keys()):
        log.info("a GPU answers again", action="gpu-answers", gpu=label(world, uuid))
    return silent


def missing(world: World) -> None:
    """Warn of GPUs that the configuration names and this machine does not have."""
    named = world.policy.devices or frozenset()
    absent = sorted(named - {gpu.index for gpu in world.gpus.values()})
    if absent:
        gpus = ",".join(f"gpu{index}" for index in absent)
        log.warning("gpus.devices names GPUs that are not there", action="gpus-absent", gpus=gpus)


def _outsider(world: World, one: Outsider) -> None:
    log.warning(
        "a process outside mgpu keeps jobs off a GPU",
        action="outsider-seen",
        gpu=label(world, one.gpu),
        pid=one.pid,
        uid=one.uid,
        memory=one.memory,
    )
