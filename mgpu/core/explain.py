"""Why a job waits, with the figures. Made from what the pass left, by the pass's own questions.

Nothing is written while a pass runs: a text is made when somebody asks, once per shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from mgpu.core import arrays, bounds, closure, dependency
from mgpu.core.claims import barrier
from mgpu.core.foresight import waits_for_jobs
from mgpu.core.machine import counted, describe_unfit, described
from mgpu.core.outlook import Ask, Outlook, Reservation
from mgpu.core.placement import Host, Need, Room, choose, could_do, fits, need_of
from mgpu.core.policy import effective_limit
from mgpu.core.schedule import ask_of, bar_of_owner, find_gpus, outlook, within_quota
from mgpu.core.tally import Tally
from mgpu.core.world import World
from mgpu.model.job import Job, JobSpec, Pending, Stopping
from mgpu.model.records import Array
from mgpu.model.states import Reason
from mgpu.model.time import Now
from mgpu.model.units import format_duration, format_wait

Explained = tuple[str, str]

_NAMED_HOLDERS = 3


def reason_of(world: World, job: Job, now: Now) -> Explained:
    """The reason and its detail for a waiting job; two empty strings for one that does not."""
    phase = job.phase
    if not isinstance(phase, Pending):
        return "", ""
    return _not_ready(world, job, phase, now) or _in_line(world, job, now)


def _not_ready(world: World, job: Job, phase: Pending, now: Now) -> Explained | None:
    """Why a job is not in the queue yet."""
    if job.held:
        admin = job.held == "admin"
        return (Reason.HELD_ADMIN, "") if admin else (Reason.HELD_USER, "")
    if job.needs is not None:
        return dependency.describe(world, job)
    if phase.eligible > now.boot:
        return _backing_off(phase, now)
    if job.begin > now.wall:
        return Reason.BEGIN_TIME, f"begins in {format_wait(job.begin - now.wall)}"
    return None


def _in_line(world: World, job: Job, now: Now) -> Explained:
    if (closed := closure.of(world)) is not None:
        return Reason.DRAINED, closure.told(closed)
    seen = outlook(world, now)
    if job.id in seen.started:
        return Reason.NONE, "starts with the next pass"
    if job.tasks is not None and not arrays.may_start(world, job, {}):
        return Reason.ARRAY_LIMIT, _bounded(world, job)
    running = world.placed_of.get(job.uid, 0)
    barred = bar_of_owner(world, now, job, Tally(), running)
    return barred or _too_large(world, seen, job, now) or _blocked(world, seen, job, now)


def _bounded(world: World, job: Job) -> str:
    if bounds.are_back(world, job.uid):
        back, bound = world.back_of[job.uid], world.policy.max_pending_per_user
        told = f"{back} jobs of {job.user} wait to run again"
        return f"{told}; new tasks start when fewer than {bound} do"
    array = world.records.get(Array, job.array)
    most = array.max_concurrent if array is not None else 0
    return f"{world.arrays.running(job.array)} tasks of array {job.array} run, at most {most} may"


def _too_large(world: World, seen: Outlook, job: Job, now: Now) -> Explained | None:
    """The quota that the GPUs which it could have would pass."""
    if not world.has_quotas:
        return None
    ask = ask_of(world, job, need_of(job.spec), now)
    rooms = find_gpus(seen, ask, world.policy)
    return within_quota(world, now, job, ask, seen, rooms, Tally())[1] if rooms else None


def leaving_for(world: World, job: Job) -> list[int]:
    """The jobs that are being switched out for this one."""
    return [
        one.id
        for one in world.placed.values()
        if isinstance(one.phase, Stopping) and one.phase.preempted == job.id
    ]


def needs(need: Need) -> str:
    """What a job needs, in words: ``2 GPUs with 20480 MiB each``."""
    words = counted(need.gpus) + described(need.wants)
    if need.mem is not None:
        words += f" with {need.mem} MiB" + " each" * (need.gpus > 1)
    return words if need.shares else words + " for itself"


def _backing_off(phase: Pending, now: Now) -> Explained:
    wait = f"next try in {format_wait(phase.eligible - now.boot)}"
    return phase.reason or Reason.BEGIN_TIME, f"{phase.detail}; {wait}" if phase.detail else wait


def _blocked(world: World, seen: Outlook, job: Job, now: Now) -> Explained:
    ask = ask_of(world, job, need_of(job.spec), now)
    reason, text = _shortage(world, seen, job.spec)
    if not text and (claimed := _claimed(seen, ask, now)):
        return Reason.RESERVATION, claimed
    held = seen.reservation
    if held is not None and held.job is job and (leaving := leaving_for(world, job)):
        return (
            Reason.PREEMPTING,
            f"{text}; {_holders(world, leaving)} {'leave' if leaving[1:] else 'leaves'} for it",
        )
    if reason or held is None or held.job is job:
        return reason or Reason.RESOURCES, text
    first = f"behind job {arrays.named(held.job)}"
    return Reason.PRIORITY, f"{first}; {text}" if text else first + _yields(world, held, job, now)


def _claimed(seen: Outlook, ask: Ask, now: Now) -> str:
    """The reservation that keeps a job off GPUs that are free, or nothing."""
    rooms = seen.open_to(ask)
    if not seen.claims or choose(rooms, ask.need) is not None:
        return ""
    open_ones = {room.uuid for room in rooms}
    shut = [room for room in seen.rooms if room.uuid not in open_ones and fits(room, ask.need)]
    texts = []
    for room in shut:
        claim = barrier(seen.claims[room.uuid], ask.rights, now.boot, ask.end, requeue=ask.requeue)
        if claim is not None:
            start = claim.start - now.boot
            begins = f"begins in {format_wait(start)}, " if start > 0 else ""
            until = f"{begins}ends in {format_wait(claim.end - now.boot)}"
            texts.append(f"gpu{room.index} is kept by reservation {claim.reservation} ({until})")
    return f"needs {needs(ask.need)}; {', '.join(texts)}"


def _shortage(world: World, seen: Outlook, spec: JobSpec) -> Explained:
    """What lacks for ``spec`` now. A reason comes with it when it does not wait for its turn."""
    known = seen.texts.get(spec.shape)
    if known is None:
        known = seen.texts[spec.shape] = _describe(world, seen, need_of(spec))
    return known


def _describe(world: World, seen: Outlook, need: Need) -> Explained:
    lacking = _short_of_host(seen.host, need)
    if need.gpus == 0:
        most = world.policy.max_gpuless
        many = f"{seen.gpuless} jobs without GPUs run, at most {most} may"
        full = 0 < most <= seen.gpuless and not lacking
        return (Reason.RESOURCES, many) if full else ("", lacking)
    named = need.wants.uuids
    rooms = [room for room in seen.rooms if not named or room.uuid in named]
    usable = [room for room in rooms if room.available and could_do(room, need)]
    if len(usable) < need.gpus:
        return Reason.GPU_NOT_AVAILABLE, _unusable(world, rooms, need, len(usable))
    if choose(rooms, need) is not None:
        return "", lacking
    short = _short(world, rooms, need) + f"; {lacking}" * bool(lacking)
    return "" if waits_for_jobs(rooms, need) else Reason.RESOURCES, short


def _short_of_host(host: Host, need: Need) -> str:
    """What lacks of the machine's own CPUs and memory, or nothing."""
    texts = []
    if host.lacks_cpus(need):
        free = f"{max(0, host.cpus)} of {host.total_cpus} are free"
        texts.append(f"needs {need.cpus} CPU{'s' * (need.cpus > 1)}; {free}")
    if host.lacks_mem(need):
        free = f"{max(0, host.mem)} of {host.total_mem} are free"
        texts.append(f"needs {need.host_mem} MiB of host memory; {free}")
    return "; ".join(texts)


def _yields(world: World, held: Reservation, job: Job, now: Now) -> str:
    """Why a job that would fit now leaves the place to the reserved one."""
    limit = effective_limit(job.spec, world.policy)
    gpus = ", ".join(f"gpu{index}" for index in held.gpus) or "its place"
    span = f"may run {format_duration(limit)}" if limit else "has no time limit"
    return f", which gets {gpus} {when(world, held, now)}; this job {span}"


def when(world: World, held: Reservation, now: Now) -> str:
    """When the first job in line gets its GPUs."""
    if held.at == math.inf:
        return f"when job {arrays.name_in(world, held.after)} ends, which has no time limit"
    soon = [gpu.index for gpu in world.gpus.values() if gpu.cleaning and gpu.index in held.gpus]
    if soon and held.at <= now.boot:
        return f"as soon as what was left on {', '.join(f'gpu{index}' for index in soon)} is gone"
    return f"in {format_wait(held.at - now.boot)} at the latest"


def _unusable(world: World, rooms: list[Room], need: Need, usable: int) -> str:
    unfit = [
        _defect(world, room, need)
        for room in rooms
        if not (room.available and could_do(room, need))
    ]
    text = f"needs {needs(need)}; this machine has {usable} that can be used"
    return f"{text} ({', '.join(unfit)})" if unfit else text


def _short(world: World, rooms: list[Room], need: Need) -> str:
    free = [room for room in rooms if fits(room, need)]
    rest = [room for room in rooms if not fits(room, need)]
    have = ", ".join(_free(room, need) for room in free) or "none"
    taken = ", ".join(_taken(world, room, need) for room in rest)
    return "; ".join(filter(None, (f"needs {needs(need)}", f"free: {have}", taken)))


def _free(room: Room, need: Need) -> str:
    return f"gpu{room.index}" if need.mem is None else f"gpu{room.index} ({room.free} MiB)"


def _taken(world: World, room: Room, need: Need) -> str:
    if not room.available or not could_do(room, need):
        return _defect(world, room, need)
    if room.cleaning:
        return f"gpu{room.index} soon: {world.gpus[room.uuid].note}"
    if not room.jobs:
        return f"gpu{room.index} taken by processes outside mgpu"
    left = f" ({max(0, room.free)} MiB left)" if need.shares and not room.alone else ""
    others = "" if room.quiet else " and by processes outside mgpu"
    return f"gpu{room.index}{left} held by {_holders(world, room.jobs)}{others}"


def _defect(world: World, room: Room, need: Need) -> str:
    if room.available:
        lacks = describe_unfit(world.gpus[room.uuid], need.wants)
        return f"gpu{room.index} {lacks or f'has {max(0, room.usable)} MiB in all'}"
    note = world.gpus[room.uuid].note
    return f"gpu{room.index} not available: {note}" if note else f"gpu{room.index} not available"


def _holders(world: World, jobs: Iterable[int]) -> str:
    numbers = sorted(jobs)
    shown = ", ".join(arrays.name_in(world, number) for number in numbers[:_NAMED_HOLDERS])
    rest = len(numbers) - _NAMED_HOLDERS
    words = f"job{'s' * (len(numbers) > 1)} {shown}"
    return f"{words} and {rest} more" if rest > 0 else words
