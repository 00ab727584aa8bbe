"""What the scheduler found out about GPUs, for administrators: lines in the log.

The events are stored with all others, for whoever wants to pass them on.
"""

from __future__ import annotations

from collections.abc import Iterable

from mgpu.core.serving import label
from mgpu.core.world import World
from mgpu.model.events import Event, Recorded
from mgpu.model.records import Drain, Outsider
from mgpu.system.log import log


def tell(world: World, events: Iterable[Event]) -> None:
    """Write down what has come up in a turn that is stored."""
    for event in events:
        record = event.record if isinstance(event, Recorded) else None
        if isinstance(record, Outsider):
            _outsider(world, record)
        elif isinstance(record, Drain) and record.fault:
            gpu = label(world, record.uuid)
            log.error("drained a GPU", action="gpu-fault", gpu=gpu, fault=record.reason)


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
