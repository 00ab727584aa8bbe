"""What a whole pass over the queue must be like, in each mode of backfill."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from mgpu.core.foresight import waits_for_jobs
from mgpu.core.order import band
from mgpu.core.placement import need_of
from mgpu.core.reservations import latest_end
from mgpu.core.schedule import Plan, ask_of, bar_of_owner, find_gpus
from mgpu.core.tally import Tally
from mgpu.core.world import World
from mgpu.model.job import Job, Pending
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from tests.lib.judge import Judge, is_full, place


def check_mode(world: World, now: Now, plan: Plan, judge: Judge) -> None:
    """``greedy`` leaves nobody out who fits, ``none`` lets nobody pass, ``reserve`` is kept."""
    seen, policy = plan.outlook, world.policy
    heads = [line.jobs[0] for line in world.queue.lines.values()]
    waiting = [job for job in heads if not is_barred(world, now, job)]
    if policy.backfill == "greedy":
        asks = [ask_of(world, job, need_of(job.spec), now) for job in waiting]
        assert seen.reservation is None
        assert all(find_gpus(seen, ask, policy) is None for ask in asks)
    if policy.backfill == "none" and policy.order == "fifo":
        last = max((its for _, _, its in judge.started), default=(-math.inf,))
        blocked = [job for job in waiting if waits_for_jobs(seen.rooms, need_of(job.spec))]
        assert all(place(world, job) >= last for job in blocked)
    held = seen.reservation
    if held is not None and held.at < math.inf and not seen.claims:
        assert _fits_at(world, now, held.job, held.at), held


def is_barred(world: World, now: Now, job: Job) -> bool:
    """Whether something else than GPUs keeps a job in line from starting."""
    if is_full(world, job) or world.has_quotas:
        return True
    running = world.placed_of.get(job.uid, 0)
    return bar_of_owner(world, now, job, Tally(), running) is not None


def _fits_at(world: World, now: Now, job: Job, boot: float) -> bool:
    """Whether what will be over by then leaves enough for a job."""
    placed, policy = world.placed.values(), world.policy
    seen = [one if outranks(world, one, job) else replace(one, extension=0) for one in placed]
    staying = [one for one in seen if latest_end(one, policy, now) > boot]
    open_to = [uuid for uuid in world.gpus if _takes(world, uuid, job, staying)]
    cpus = sum(one.spec.cpus for one in staying) + job.spec.cpus
    return len(open_to) >= job.spec.gpus and cpus <= (policy.cpus or math.inf)


def outranks(world: World, one: Job, other: Job) -> bool:
    """Whether the first may go on beyond its limit though the other waits."""
    return band(world, one) > band(world, other)


def _takes(world: World, uuid: str, job: Job, staying: list[Job]) -> bool:
    """Whether a GPU has room for a job beside those that stay."""
    gpu, spec, policy = world.gpus[uuid], job.spec, world.policy
    beside = [one for one in staying if uuid in one.gpus]
    left = gpu.total - policy.margin - gpu.outside - sum(one.spec.gpu_mem or 0 for one in beside)
    alone = not beside and gpu.outside <= policy.unmanaged_ignore
    shared = spec.shares and all(one.spec.shares for one in beside)
    suits = not spec.gpu_uuids or uuid in spec.gpu_uuids
    return gpu.available and suits and left >= (spec.gpu_mem or 0) and (alone or shared)


class Promise(NamedTuple):
    """What the first blocked job was told, where order is ``fifo``: ``at`` is a boot time."""

    job: int
    tasks: Tasks | None
    place: tuple[float, ...]
    at: float


def kept(known: Promise | None, world: World, now: Now, plan: Plan, judge: Judge) -> Promise | None:
    """The promise that this pass makes; none is later than the one before, for the same job.

    Unless somebody outranks it now, or what it asks for has changed.
    """
    held = plan.outlook.reservation
    if world.policy.order != "fifo" or plan.outlook.claims or world.has_quotas:
        return None
    if known is not None and _holds(known, world, now, judge):
        first = held is not None and place(world, held.job) < known.place
        assert first or (held is not None and held.job.id == known.job), known
        assert first or (held is not None and held.at <= max(known.at, now.boot)), (known, held)
    if held is None or held.at == math.inf:
        return None
    job = held.job
    return Promise(job.id, job.tasks, place(world, job), held.at)


def _holds(known: Promise, world: World, now: Now, judge: Judge) -> bool:
    """Whether it is about a job that still stands where it stood, for what it stood for.

    Jobs of a higher priority may go on beyond their limits, whoever waits.
    """
    job, queue = world.jobs.get(known.job), world.queue
    if job is None or not isinstance(job.phase, Pending) or is_barred(world, now, job):
        return False
    apart = job.id in queue.parked or job in queue.later or job in queue.delayed
    passed = any(its < known.place for _, _, its in judge.started)
    extended = [one for one in world.placed.values() if one.extension]
    outranked = any(outranks(world, one, job) for one in extended)
    return not (apart or passed or outranked) and (job.tasks, place(world, job)) == (
        known.tasks,
        known.place,
    )
