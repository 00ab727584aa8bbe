"""Which jobs start now.

Order: priority, then score (``core.order``). The first job that cannot start gets a reservation
(EASY backfill; Lifka, JSSPP 1995): from the time limits of what runs follows when its GPUs are
free at the latest. A job behind it starts only if it is over by then, or fits beside it. So the
reserved job is never delayed, and every job becomes the first one at some time.

Where the jobs that it waits for have no time limit, nobody knows when that is. GPUs are then left
idle for it only once it has waited for ``drain_after``: after that, no job that came later takes
a GPU that it waits for, so it starts when those that ran at that moment are over.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mgpu.core import arrays, closure, people, preemption, quotas, reservations, settle
from mgpu.core.claims import NO_RIGHTS
from mgpu.core.foresight import Holding, holdings, reserve, waits_for_jobs
from mgpu.core.order import Scorer, since
from mgpu.core.outlook import Ask, Outlook, Reservation
from mgpu.core.placement import SMALLEST, Manner, Need, Room, choose
from mgpu.core.policy import Policy, shorter_limit
from mgpu.core.queue import Line, Walk
from mgpu.core.tally import Tally, owner_of
from mgpu.core.world import World
from mgpu.model.events import Event, Split, Started
from mgpu.model.job import Job
from mgpu.model.states import Reason
from mgpu.model.time import Now


class Plan(NamedTuple):
    """The events to commit and evolve now, and what the pass learned."""

    events: list[Event]
    outlook: Outlook

    @property
    def starts(self) -> list[Started]:
        """Those of the events that start jobs."""
        return [event for event in self.events if isinstance(event, Started)]


def schedule(world: World, now: Now) -> Plan:
    """One pass over the queue. It starts nothing by itself: evolve the events."""
    world.queue.release(now)
    run = _Pass(world, now)
    run.walk()
    world.outlook = run.outlook
    return Plan(run.events, run.outlook)


def outlook(world: World, now: Now) -> Outlook:
    """What the last pass learned, or a new one would if the world has changed since.

    Whoever asks starts nothing: a pass that was due still is.
    """
    known, due = world.outlook, _is_due(world, now)
    if known is None or known.generation != world.generation or due:
        known = schedule(world, now).outlook
        if due:
            known.again = now.boot
    return known


def next_deadline(world: World) -> float | None:
    """The boot time at which another pass is due though nothing happened, or None."""
    again = world.outlook.again if world.outlook is not None else None
    known = (world.queue.next_release(), settle.next_deadline(world), again)
    return min((at for at in known if at is not None), default=None)


def find_gpus(outlook: Outlook, ask: Ask, policy: Policy, strategy: str = "") -> list[Room] | None:
    """Where a job may start now, or None. The scheduler's one question.

    ``strategy`` is another one than the policy's.
    """
    need, held = ask.need, outlook.reservation
    if held is not None and not held.outlasted_by(ask.end):
        held = None
    if not outlook.host.fits(need) or (held is not None and not held.host.fits(need)):
        return None
    if need.gpus == 0:
        return [] if not policy.max_gpuless or outlook.gpuless < policy.max_gpuless else None
    manner = Manner(strategy or policy.placement, ask.seed)
    return choose(outlook.open_to(ask), need, held.later if held is not None else None, manner)


def latest_end(time_limit: int | None, policy: Policy, now: Now) -> float:
    """When a job that starts now is over at the latest; infinite without a limit."""
    limit = shorter_limit(time_limit, policy)
    return now.boot + limit if limit else math.inf


def ask_of(world: World, job: Job, need: Need, now: Now) -> Ask:
    """What a waiting job asks for now."""
    spec = job.spec
    rights = NO_RIGHTS
    if reservations.claims(world, now):
        rights = reservations.rights_of(world, job)
    end = latest_end(spec.time_limit, world.policy, now)
    return Ask(need, end, rights, spec.requeue, job.id)


def bar_of_owner(
    world: World, now: Now, job: Job, starting: Tally, running: int
) -> tuple[str, str] | None:
    """Why nothing of this owner may start now, whatever is free; None where it may.

    ``running`` are the owner's jobs that run or start, ``starting`` the starts of this pass.
    """
    if (locked := people.bar(world, job)) is not None:
        return locked
    bound = world.policy.max_running_per_user
    if bound and running >= bound:
        return Reason.QUOTA_JOBS, f"{running} of your jobs run; {bound} may run at once"
    if not world.has_quotas:
        return None
    memory = quotas.least_memory(world, job.spec)
    return quotas.blocking(world, now, owner_of(job), job.spec.gpus, memory, starting)


def within_quota(
    world: World, now: Now, job: Job, ask: Ask, seen: Outlook, rooms: list[Room], starting: Tally
) -> tuple[list[Room], tuple[str, str] | None]:
    """Where a job that could start on ``rooms`` does: there, or on smaller GPUs for a quota's sake.

    The second says why it may not start at all: the smallest are larger than a quota leaves.
    """
    if not _bar_of_gpus(world, now, job, rooms, starting):
        return rooms, None
    rooms = find_gpus(seen, ask, world.policy, SMALLEST) or rooms
    return rooms, _bar_of_gpus(world, now, job, rooms, starting)


def _bar_of_gpus(
    world: World, now: Now, job: Job, rooms: list[Room], starting: Tally
) -> tuple[str, str] | None:
    """Why the job may not start on these GPUs: they are larger than a quota leaves."""
    if job.spec.shares or not world.has_quotas:
        return None
    memory = quotas.memory_on(world, job.spec, [room.uuid for room in rooms])
    return quotas.blocking(world, now, owner_of(job), job.spec.gpus, memory, starting)


def _is_due(world: World, now: Now) -> bool:
    deadline = next_deadline(world)
    return deadline is not None and deadline <= now.boot


class _Pass:
    """One walk over the queue; ``outlook`` is filled as jobs find their places."""

    def __init__(self, world: World, now: Now) -> None:
        self.world = world
        self.now = now
        self.events: list[Event] = []
        claims = reservations.claims(world, now)
        self.outlook = Outlook(
            world.generation, world.ledger.gpuless, world.rooms(), claims=claims, boot=now.boot,
            host=world.ledger.host(world.policy),
        )  # fmt: skip
        self._score = Scorer(world, now)
        self._fresh: list[Holding] = []
        self._starting = Tally()
        self._started_of: dict[int, int] = {}
        self._tasks_of: dict[int, int] = {}
        self._next_id = world.next_id
        self._tried = False
        self._blocked: set[tuple[int, frozenset[int]]] = set()
        self._walk: Walk

    def walk(self) -> None:
        if closure.of(self.world) is not None:
            return
        self._walk = self.world.queue.walk(self.now.boot, self._score)
        for line, job in self._walk:
            if self._is_barred(line, job):
                continue
            ask = self._ask(line, job)
            if (line.kind, ask.rights) in self._blocked:
                continue
            rooms = find_gpus(self.outlook, ask, self.world.policy)
            if rooms is not None:
                self._start_within_quota(line, job, ask, rooms)
            elif self._block(line, job, ask):
                return

    def _is_barred(self, line: Line, job: Job) -> bool:
        """Whether the job waits for something else than GPUs; others may go before it then."""
        world = self.world
        if job.tasks is not None and not arrays.may_start(world, job, self._tasks_of):
            self._walk.pass_over(line)
            return True
        policy = world.policy
        free = not (policy.max_running_per_user or policy.denied or policy.submitters)
        if free and not world.has_quotas:
            return False
        running = world.placed_of.get(job.uid, 0) + self._started_of.get(job.uid, 0)
        return bar_of_owner(world, self.now, job, self._starting, running) is not None

    def _ask(self, line: Line, job: Job) -> Ask:
        ask = ask_of(self.world, job, line.need, self.now)
        # The array's own number is the same for all of its tasks: they would be placed alike.
        return ask if job.tasks is None else ask._replace(seed=self._next_id)

    def _start_within_quota(self, line: Line, job: Job, ask: Ask, rooms: list[Room]) -> None:
        seen, starting = self.outlook, self._starting
        rooms, bar = within_quota(self.world, self.now, job, ask, seen, rooms, starting)
        if bar is None:
            self._start(line, job, ask, rooms)

    def _start(self, line: Line, job: Job, ask: Ask, rooms: list[Room]) -> None:
        gpus = tuple(room.uuid for room in rooms)
        number, stays = self._split(job)
        self.events.append(Started(self.now, number, job.attempt + 1, gpus))
        self._fresh.append(Holding(ask.end, self.now.boot, number, ask.need, gpus))
        for room in rooms:
            room.take(number, ask.need)
        self.outlook.host.take(ask.need)
        held = self.outlook.reservation
        if held is not None and held.outlasted_by(ask.end):
            for uuid in gpus:
                held.later[uuid].take(number, ask.need)
            held.host.take(ask.need)
        self.outlook.note_start(number, gpuless=not gpus)
        self._count(job, gpus)
        self._walk.take(line, stays=stays)

    def _split(self, job: Job) -> tuple[int, bool]:
        """The record that starts, and whether the array's own has more tasks to start."""
        if job.tasks is None:
            return job.id, False
        taken = self._tasks_of.get(job.id, 0)
        self._tasks_of[job.id] = taken + 1
        if taken + 1 == len(job.tasks):
            return job.id, False
        child, self._next_id = self._next_id, self._next_id + 1
        self.events.append(Split(self.now, job.id, child, job.tasks.only(job.tasks[taken])))
        return child, True

    def _count(self, job: Job, gpus: tuple[str, ...]) -> None:
        self._score.started(job)
        self._started_of[job.uid] = self._started_of.get(job.uid, 0) + 1
        if self.world.has_quotas:
            self._starting.add(job, quotas.memory_on(self.world, job.spec, gpus))

    def _block(self, line: Line, job: Job, ask: Ask) -> bool:
        """Leave out all that asks for the same, and reserve. True: nobody may pass."""
        mode, first = self.world.policy.backfill, not self._tried
        if self.outlook.claims:
            self._blocked.add((line.kind, ask.rights))
        else:
            self._walk.skipped.add(line.kind)
        # A job without GPUs that the machine has room for waits for the bound on their number.
        room_lacks = ask.need.gpus or not self.outlook.host.fits(ask.need)
        if room_lacks and first and mode == "reserve":
            self._reserve(job, ask)
        if mode == "none":
            return waits_for_jobs(self.outlook.rooms, ask.need)
        return bool(self.outlook.reservation) and self._is_full()

    def _is_full(self) -> bool:
        """Whether nothing that waits can start any more, whoever it belongs to."""
        if self.world.queue.gpuless_lines:
            return False
        return not any(r.available and not r.alone and r.free > 0 for r in self.outlook.rooms)

    def _reserve(self, job: Job, ask: Ask) -> None:
        """Reserve for the first blocked job, if the end of jobs is all that it waits for."""
        if not waits_for_jobs(self.outlook.rooms, ask.need):
            return
        self._tried = True
        held = [*holdings(self.world, self.now, job), *self._fresh]
        found = reserve(job, ask, self.outlook, held)
        if found is None or found.at > self.now.boot:
            gone = preemption.choose(self.world, self.now, job, ask, self.outlook)
            if gone:
                self.events += gone
                leaving = {event.job for event in gone}
                held = [h._replace(end=self.now.boot) if h.job in leaving else h for h in held]
                found = reserve(job, ask, self.outlook, held)
            else:
                self.outlook.again = preemption.next_change(self.world, self.now, job)
        self.outlook.reservation = None if self._may_be_passed(job, found) else found

    def _may_be_passed(self, job: Job, found: Reservation | None) -> bool:
        """Whether it is too early to leave GPUs idle for a job that waits for nobody knows what."""
        waited = self.now.wall - since(job)
        return found is not None and found.at == math.inf and waited < self.world.policy.drain_after
