"""A snapshot of all metrics: what is cheap to say of the world, and what was counted.

Its cost grows with GPUs, jobs that run and users, never with the jobs that wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mgpu import __version__
from mgpu.core.world import World
from mgpu.daemon.counts import Counts, class_of
from mgpu.model.gpu import Gpu
from mgpu.model.time import Now

#: One value: the name of the metric, the values of its labels, the value or the histogram.
Sample = tuple[str, tuple[str, ...], Any]

_MIB: Final = 1 << 20
#: More users are counted, and not named.
_MOST_USERS: Final = 500


def samples(world: World, counts: Counts, started: Now, now: Now, *, users: bool) -> list[Sample]:
    """All metrics but those of the exporter itself; ``users``: also those that name users."""
    return [
        ("mgpu_info", (__version__,), 1),
        ("mgpu_uptime_seconds", (), now.boot - started.boot),
        *_queue(world, now),
        *_classes(world),
        *(_users(world) if users else ()),
        *(sample for gpu in world.gpus.values() for sample in _gpu(world, gpu)),
        *_counted(counts),
    ]


def _queue(world: World, now: Now) -> Iterator[Sample]:
    queued, running = world.tally.queued, world.tally.running
    jobs = sum(load.jobs for load in running.values())
    yield "mgpu_jobs", ("PENDING",), sum(queued.values())
    yield "mgpu_jobs", ("RUNNING",), jobs
    yield "mgpu_users", ("PENDING",), len({owner.uid for owner in queued})
    yield "mgpu_users", ("RUNNING",), len({owner.uid for owner in running})
    first = world.outlook.reservation if world.outlook is not None else None
    waited = now.wall - first.job.submitted if first is not None else 0.0
    yield "mgpu_first_in_line_seconds", (), max(0.0, waited)


def _classes(world: World) -> Iterator[Sample]:
    jobs = dict.fromkeys((one.name for one in world.policy.classes.values()), 0)
    held: dict[str, list[str]] = {name: [] for name in jobs}
    for job in world.placed.values():
        name = class_of(world, job.spec)
        jobs[name] += 1
        held[name] += job.gpus
    for name, count in jobs.items():
        gpus = dict.fromkeys(held[name])
        yield "mgpu_class_jobs", (name,), count
        yield "mgpu_class_gpus", (name,), len(gpus)
        used = [world.gpus[uuid].reading.utilization for uuid in gpus if uuid in world.gpus]
        known = [percent for percent in used if percent >= 0]
        if known:
            yield "mgpu_class_utilization_ratio", (name,), sum(known) / len(known) / 100


def _users(world: World) -> Iterator[Sample]:
    jobs: dict[str, int] = {}
    gpus: dict[str, int] = {}
    waiting: dict[str, int] = {}
    for owner, load in world.tally.running.items():
        jobs[owner.user] = jobs.get(owner.user, 0) + load.jobs
        gpus[owner.user] = gpus.get(owner.user, 0) + load.gpus
    for owner, count in world.tally.queued.items():
        waiting[owner.user] = waiting.get(owner.user, 0) + count
    named = list(dict.fromkeys([*jobs, *waiting]))[:_MOST_USERS]
    for user in named:
        yield "mgpu_user_jobs", (user,), jobs.get(user, 0)
        yield "mgpu_user_gpus", (user,), gpus.get(user, 0)
        yield "mgpu_user_waiting", (user,), waiting.get(user, 0)


def _gpu(world: World, gpu: Gpu) -> Iterator[Sample]:
    name = (f"gpu{gpu.index}",)
    yield "mgpu_gpu_info", (*name, gpu.uuid, gpu.name), 1
    yield "mgpu_gpu_state", (*name, gpu.state), 1
    yield "mgpu_gpu_jobs", name, len(list(world.ledger.on(gpu.uuid)))
    yield "mgpu_gpu_memory_bytes", name, gpu.total * _MIB
    yield "mgpu_gpu_memory_used_bytes", name, gpu.used * _MIB
    yield "mgpu_gpu_memory_reserved_bytes", name, world.ledger.reserved(gpu.uuid) * _MIB
    yield "mgpu_gpu_memory_outside_bytes", name, gpu.outside * _MIB
    reading = gpu.reading
    if reading.utilization >= 0:
        yield "mgpu_gpu_utilization_ratio", name, reading.utilization / 100
    if reading.temperature >= 0:
        yield "mgpu_gpu_temperature_celsius", name, reading.temperature
    if reading.power >= 0:
        yield "mgpu_gpu_power_watts", name, reading.power


def _counted(counts: Counts) -> Iterator[Sample]:
    for name, rows in counts.counters.items():
        for labels, number in rows.items():
            yield name, labels, number
    for name, histogram in counts.histograms.items():
        for labels, buckets in histogram.items():
            yield name, labels, list(buckets)
