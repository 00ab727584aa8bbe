"""What is true of every world, derived anew from the jobs alone.

For tests, and for a daemon in debug mode: it looks at everything and costs accordingly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from mgpu.core.placement import need_of
from mgpu.core.queue import eligible_at, key_of, rank
from mgpu.core.tally import Load, Owner, memory_of, owner_of, weight
from mgpu.core.world import World
from mgpu.model.job import Ended, Job, Pending, Running, Starting, Stopping


def check_invariants(world: World) -> None:
    """Raise AssertionError with what is wrong, if anything is."""
    for check in (
        _check_jobs, _check_counters, _check_arrays, _check_queue, _check_placed, _check_ledger,
        _check_promises, _check_tally,
    ):  # fmt: skip
        check(world)


def _require(truth: bool, what: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if not truth:
        raise AssertionError(what)


def _check_jobs(world: World) -> None:
    for number, job in world.jobs.items():
        _require(job.id == number, f"job {job.id} is filed as {number}")
        _require(not isinstance(job.phase, Ended), f"job {number} has ended and is still here")
        _require(job.attempt >= job.restarts + job.deferrals, f"job {number}: too few attempts")
        placed = isinstance(job.phase, Starting | Running | Stopping)
        _require(job.attempt > 0 or not placed, f"job {number} runs without an attempt")
    for number, job in world.changed.items():
        known = world.jobs.get(number)
        ended = isinstance(job.phase, Ended)
        _require(known is job or (known is None and ended), f"job {number} changed unnoticed")


def _check_counters(world: World) -> None:
    jobs = world.jobs.values()
    seqs = [job.seq for job in jobs]
    places = {(job.seq, job.array or job.id) for job in jobs}
    _require(len(set(seqs)) == len(places), "two jobs have the same place in the queue")
    _require(max(seqs, default=0) < world.next_seq, "a place in the queue is given twice")
    _require(max(world.jobs, default=0) < world.next_id, "an id is given twice")
    waits = {job.id for job in jobs if isinstance(job.phase, Pending)}
    waiting = Counter(world.jobs[number].uid for number in waits)
    _require(world.pending_of == waiting, f"waiting per user: {world.pending_of} != {waiting}")
    back = Counter(world.jobs[number].uid for number in waits if world.jobs[number].attempt)
    _require(world.back_of == back, f"back again per user: {world.back_of} != {back}")
    needs = Counter[int]()
    for job in jobs:
        needs[job.uid] += len(job.needs.conditions) if job.needs and job.id in waits else 0
    known = world.dependents.conditions_of
    _require(known == +needs, f"conditions per user: {known} != {+needs}")


def _check_arrays(world: World) -> None:
    """Every task is in one record, and is found there."""
    members = [job for job in world.jobs.values() if job.array]
    for job in members:
        _require(job.tasks is not None and len(job.tasks) > 0, f"job {job.id} has no task")
        first = job.tasks.first if job.tasks is not None else 0
        found = world.arrays.find(job.array, first)
        _require(found is job, f"task {job.array}_{first} is in two records, or not found")
    for array in {job.array for job in members}:
        running = sum(job.array == array for job in world.placed.values())
        _require(world.arrays.running(array) == running, f"array {array}: not {running} run")
        known = sorted(job.id for job in world.arrays.of(array))
        its = sorted(job.id for job in members if job.array == array)
        _require(known == its, f"array {array}: records {known} are known of {its}")


def _check_queue(world: World) -> None:
    queue = world.queue
    for key, line in queue.lines.items():
        _require(bool(line.jobs), f"the line {key} is empty")
        _require(line.need == need_of(line.jobs[0].spec), f"the line {key} needs more")
        alike = all(key_of(job) == key == line.key for job in line.jobs)
        _require(alike, f"the line {key} holds another's jobs")
        _require(_rises(rank(job) for job in line.jobs), f"the line {key} is out of order")
        ready = not any(job.held or job.needs for job in line.jobs)
        _require(ready, f"the line {key} holds jobs that may not start")
    _require(_rises((eligible_at(j), j.id) for j in queue.delayed), "delayed jobs are out of order")
    _require(_rises((j.begin, j.id) for j in queue.later), "later jobs are out of order")
    apart = [*queue.delayed, *queue.later, *queue.parked.values()]
    in_line = [job for line in queue.lines.values() for job in line.jobs]
    waiting = [job for job in world.jobs.values() if isinstance(job.phase, Pending)]
    _require(_same([*in_line, *apart], waiting), "the queue is not what waits")


def _check_placed(world: World) -> None:
    placed = [job for job in world.jobs.values() if not isinstance(job.phase, Pending)]
    _require(_same(world.placed.values(), placed), "the attempts under way are not what runs")
    gpuless = sum(not job.gpus for job in placed)
    _require(world.ledger.gpuless == gpuless, f"{world.ledger.gpuless} != {gpuless} without GPUs")
    for job in placed:
        distinct = len(set(job.gpus)) == len(job.gpus) == job.spec.gpus
        _require(distinct, f"job {job.id} holds {job.gpus} and asked for {job.spec.gpus}")


def _check_ledger(world: World) -> None:
    holders: dict[str, dict[int, Job]] = {}
    for job in world.placed.values():
        for uuid in job.gpus:
            holders.setdefault(uuid, {})[job.id] = job
    _require(world.ledger.holders == holders, "the ledger is not what is held")
    promised = (world.ledger.cpus, world.ledger.host_mem)
    specs = [job.spec for job in world.placed.values()]
    named = (sum(spec.cpus for spec in specs), sum(spec.host_mem for spec in specs))
    _require(promised == named, f"CPUs and memory promised: {promised} != {named}")
    for room in world.rooms():
        gpu = world.gpus[room.uuid]
        used = dict(gpu.measured)
        jobs = holders.get(room.uuid, {}).values()
        held = sum(max(job.spec.gpu_mem or 0, used.get(job.id, 0)) for job in jobs)
        free = gpu.total - world.policy.margin - gpu.outside - held
        _require(room.free == free, f"gpu{room.index}: {room.free} MiB free, should be {free}")
        settled = world.policy.cleaning and gpu.available and not gpu.cleaning
        if settled and all(job.spec.shares for job in jobs):
            enough = held + gpu.outside >= gpu.used
            _require(enough, f"gpu{room.index}: {gpu.used} MiB in use, some of it promised")


def _check_promises(world: World) -> None:
    """No GPU and no memory is promised twice."""
    for uuid, jobs in world.ledger.holders.items():
        alone = [job.id for job in jobs.values() if not job.spec.shares]
        _require(not alone or len(jobs) == 1, f"{uuid} is promised to {alone} alone, and to others")
        gpu = world.gpus.get(uuid)
        if gpu is not None:
            held = sum(job.spec.gpu_mem or 0 for job in jobs.values())
            _require(held <= gpu.total - world.policy.margin, f"{uuid}: {held} MiB are promised")
    host = world.ledger.host(world.policy)
    _require(host.cpus >= 0, f"{-host.cpus} CPUs are promised twice")
    _require(host.mem >= 0, f"{-host.mem} MiB of host memory are promised twice")


def _check_tally(world: World) -> None:
    """What quotas are held against."""
    running: dict[Owner, Load] = {}
    queued = Counter[Owner]()
    for job in world.jobs.values():
        owner = owner_of(job)
        if isinstance(job.phase, Pending):
            queued[owner] += weight(job)
        else:
            sizes = [world.gpus[uuid].total for uuid in job.gpus if uuid in world.gpus]
            load = Load(1, job.spec.gpus, memory_of(job.spec, sizes))
            running[owner] = running.get(owner, Load()).plus(load)
    _require(world.tally.running == running, "the tally is not what runs")
    _require(world.tally.queued == queued, "the tally is not what waits")


def _rises(values: Iterable[tuple[float, ...]]) -> bool:
    row = list(values)
    return all(one < two for one, two in pairwise(row))


def _same(some: Iterable[Job], others: Iterable[Job]) -> bool:
    return sorted(id(job) for job in some) == sorted(id(job) for job in others)
