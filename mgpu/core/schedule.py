"""Which jobs start now.

Order: priority, then the place in the queue. The first job that cannot start gets a reservation
(EASY backfill): from the time limits of what runs follows when its GPUs are free at the latest.
A job behind it starts only if it is over by then, or fits beside it. So the reserved job is
never delayed, and every job becomes the first one at some time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mgpu.core import settle
from mgpu.core.outlook import Outlook, Reservation
from mgpu.core.placement import Need, Room, choose, fits, need_of, would_fit
from mgpu.core.policy import Policy, effective_limit, shorter_limit
from mgpu.core.queue import Bucket
from mgpu.core.world import World
from mgpu.model.events import Event, Started
from mgpu.model.job import Job, Running, Starting
from mgpu.model.time import Now


class Plan(NamedTuple):
    """The events to commit and evolve now, and what the pass learned."""

    events: list[Event]
    outlook: Outlook

    @property
    def starts(self) -> list[Started]:
        """Those of the events that start jobs."""
        return [event for event in self.events if isinstance(event, Started)]


class Holding(NamedTuple):
    """A job that holds GPUs until ``end`` at the latest; sorted by when it gives them back.

    Of jobs whose end is not known the oldest counts as the first. Later ones thus never push
    the reserved job away from GPUs that it already waits for.
    """

    end: float
    begun: float
    job: int
    need: Need
    gpus: tuple[str, ...]


def schedule(world: World, now: Now) -> Plan:
    """One pass over the queue. It starts nothing by itself: evolve the starts."""
    world.queue.release(now.boot)
    run = _Pass(world, now)
    run.walk()
    world.outlook = run.outlook
    return Plan(run.events, run.outlook)


def outlook(world: World, now: Now) -> Outlook:
    """What the last pass learned, or a new one would if the world has changed since."""
    known = world.outlook
    if known is None or known.generation != world.generation or _is_due(world, now):
        known = schedule(world, now).outlook
    return known


def next_deadline(world: World) -> float | None:
    """The boot time at which another pass is due though nothing happened, or None."""
    known = (world.queue.next_release(), settle.next_deadline(world))
    return min((at for at in known if at is not None), default=None)


def find_gpus(outlook: Outlook, need: Need, end: float, policy: Policy) -> list[Room] | None:
    """Where a job that runs until ``end`` may start now, or None. The scheduler's one question."""
    if need.gpus == 0:
        return [] if not policy.max_gpuless or outlook.gpuless < policy.max_gpuless else None
    held = outlook.reservation
    late = held is not None and held.outlasted_by(end)
    return choose(outlook.rooms, need, held.later if held is not None and late else None)


def waits_for_jobs(rooms: list[Room], need: Need) -> bool:
    """Whether ``need`` could be met once all jobs have ended, so that a reservation has a point."""
    return sum(would_fit(room, need) for room in rooms) >= need.gpus


def latest_end(time_limit: int | None, policy: Policy, now: Now) -> float:
    """When a job that starts now is over at the latest; infinite without a limit."""
    limit = shorter_limit(time_limit, policy)
    return now.boot + limit if limit else math.inf


def _is_due(world: World, now: Now) -> bool:
    deadline = next_deadline(world)
    return deadline is not None and deadline <= now.boot


class _Pass:
    """One walk over the queue; ``outlook`` is filled as jobs find their places."""

    def __init__(self, world: World, now: Now) -> None:
        self.world = world
        self.now = now
        self.events: list[Event] = []
        self.outlook = Outlook(world.generation, world.ledger.gpuless, world.rooms())
        self._fresh: list[Holding] = []

    def walk(self) -> None:
        heads = self.world.queue.heads()
        for bucket, job in heads:
            end = latest_end(bucket.time_limit, self.world.policy, self.now)
            rooms = find_gpus(self.outlook, bucket.need, end, self.world.policy)
            if rooms is None:
                self._block(bucket, job)
                heads.drop()
            else:
                self._start(job, bucket.need, rooms, end)
                heads.advance()

    def _start(self, job: Job, need: Need, rooms: list[Room], end: float) -> None:
        gpus = tuple(room.uuid for room in rooms)
        self.events.append(Started(self.now, job.id, job.attempt + 1, gpus))
        self._fresh.append(Holding(end, self.now.boot, job.id, need, gpus))
        for room in rooms:
            room.take(job.id, need)
        held = self.outlook.reservation
        if held is not None and held.outlasted_by(end):
            for uuid in gpus:
                held.later[uuid].take(job.id, need)
        self.outlook.note_start(job.id, gpuless=not gpus)

    def _block(self, bucket: Bucket, job: Job) -> None:
        """Reserve for the first blocked job, if the end of jobs is all that it waits for."""
        need, rooms = bucket.need, self.outlook.rooms
        if self.outlook.reservation is None and need.gpus and waits_for_jobs(rooms, need):
            holdings = [*_holdings(self.world, self.now), *self._fresh]
            self.outlook.reservation = _reserve(job, need, rooms, holdings)


def _reserve(job: Job, need: Need, rooms: list[Room], holdings: list[Holding]) -> Reservation:
    """Let the jobs end one after the other until ``job`` fits, and put it there."""
    later = {room.uuid: room.copy() for room in rooms}
    fitting = {uuid for uuid, room in later.items() if fits(room, need)}
    for holding in sorted(holdings):
        fitting |= _vacate(later, holding, need)
        if len(fitting) >= need.gpus:
            gpus = choose(later.values(), need) or []
            for room in gpus:
                room.take(job.id, need)
            return Reservation(
                job, tuple(room.index for room in gpus), holding.end, holding.job, later
            )
    raise AssertionError(f"job {job.id} fits on an empty machine, but not when all have ended")


def _vacate(later: dict[str, Room], holding: Holding, need: Need) -> set[str]:
    """Take a job away; which of its GPUs suit ``need`` then."""
    rooms = [later[uuid] for uuid in holding.gpus if uuid in later]
    for room in rooms:
        room.give(holding.job, holding.need)
    return {room.uuid for room in rooms if fits(room, need)}


def _holdings(world: World, now: Now) -> list[Holding]:
    return [_holding(job, world.policy, now) for job in world.placed.values() if job.gpus]


def _holding(job: Job, policy: Policy, now: Now) -> Holding:
    phase = job.phase
    limit = effective_limit(job.spec, policy)
    begun = now.boot
    end = now.boot  # one that is being stopped, or is past its limit, can end at any moment
    if isinstance(phase, Starting | Running):
        begun = (phase.decided if isinstance(phase, Starting) else phase.started).boot
        end = max(end, begun + limit) if limit else math.inf
    return Holding(end, begun, job.id, need_of(job.spec), job.gpus)
