"""An oracle for what the core decides: every event is judged by what was true before it.

It remembers how jobs ended and what they were to wait for. What it demands is written anew from
the jobs, GPUs and records of a world, without the scheduler's own predicates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from mgpu.core import quotas
from mgpu.core.dependents import End, Parent
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import evolve
from mgpu.core.policy import effective_limit
from mgpu.core.queue import Key, Rank, key_of, rank
from mgpu.core.reservations import derive
from mgpu.core.tally import Load, memory_of, owner_of
from mgpu.core.world import World
from mgpu.model.dependency import WHOLE, Condition, Dependency
from mgpu.model.events import (
    Event,
    Extended,
    Launched,
    Preempted,
    Requeued,
    Retried,
    Started,
    Submitted,
)
from mgpu.model.job import Ended, Job, Pending, Running
from mgpu.model.records import Array, Reservation
from mgpu.model.time import Now


def names_of(job: Job) -> list[Parent]:
    """The submission of a record and each task that it stands for."""
    return [(job.array or job.id, task) for task in job.tasks or (WHOLE,)]


class Judge:
    """Evolves events and judges them. ``ends`` and ``begun`` are by submission and task."""

    def __init__(self) -> None:
        self.tasks: dict[int, tuple[int, ...]] = {}
        self.names: dict[int, tuple[int, str]] = {}
        self.wanted: dict[Parent, Dependency] = {}
        self.ends: dict[Parent, End] = {}
        self.begun: dict[Parent, float] = {}
        self.started: list[tuple[Key, Rank, tuple[float, ...]]] = []
        self._chosen: dict[int, tuple[str, ...]] = {}

    def want(self, names: Iterable[Parent], needs: Dependency | None) -> None:
        """These tasks are to wait for that from now on; None: for nothing."""
        for name in names:
            self.wanted.pop(name, None)
            if needs is not None:
                self.wanted[name] = needs

    def all_names(self, numbers: Iterable[int]) -> list[Parent]:
        """All tasks of these submissions."""
        return [(number, task) for number in numbers for task in self.tasks[number]]

    def before_pass(self, world: World, now: Now) -> None:
        """A pass begins: who has which GPU reserved is settled for it."""
        self.started.clear()
        self._chosen = derive(world, now).chosen

    def evolve(self, world: World, now: Now, event: Event) -> None:
        """Judge one event and let it happen."""
        job = world.jobs.get(event.job)
        if isinstance(event, Started):
            self._may_start(world, now, world.jobs[event.job], event)
        if isinstance(event, Preempted):
            _may_be_switched_out(world, now, world.jobs[event.job], event)
        if isinstance(event, Extended):
            _may_be_extended(world, now, world.jobs[event.job], event)
        evolve(world, event)
        check_invariants(world)
        if isinstance(event, Started):
            _keeps_bounds(world, now, world.jobs[event.job])
        self._remember(event, job)

    def _remember(self, event: Event, job: Job | None) -> None:
        if isinstance(event, Submitted):
            for number in range(event.job, event.job + event.count):
                self.tasks[number] = tuple(event.tasks or (WHOLE,))
                self.names[number] = (event.uid, event.spec.name)
        elif job is not None and isinstance(job.phase, Ended):
            began = job.phase.ended if job.phase.started is None else job.phase.started
            self.ends.update(dict.fromkeys(names_of(job), End(job.phase.state, began)))
        elif job is not None and isinstance(event, Launched | Requeued | Retried):
            for name in names_of(job):
                self.begun.setdefault(name, event.at.wall)

    # -- starts ---------------------------------------------------------------------------------

    def _may_start(self, world: World, now: Now, job: Job, event: Started) -> None:
        phase, limit = job.phase, effective_limit(job.spec, world.policy)
        assert isinstance(phase, Pending)
        assert not job.held
        assert job.needs is None
        assert phase.eligible <= now.boot
        assert job.begin <= now.wall
        assert job.tasks is None or len(job.tasks) == 1
        assert job.spec.deadline is None or now.wall + limit <= job.spec.deadline + 0.001
        assert len(set(event.gpus)) == len(event.gpus) == job.spec.gpus
        for uuid in event.gpus:
            _has_room(world, job, uuid)
        cpus = sum(one.spec.cpus for one in world.placed.values()) + job.spec.cpus
        assert cpus <= (world.policy.cpus or math.inf) or not job.spec.cpus
        self._breaks_no_reservation(world, now, job, event.gpus)
        self._has_what_it_waited_for(now, job)
        self.started.append((key_of(job), rank(job), place(world, job)))

    def _breaks_no_reservation(
        self, world: World, now: Now, job: Job, gpus: tuple[str, ...]
    ) -> None:
        end = now.wall + (effective_limit(job.spec, world.policy) or math.inf)
        for one in world.records.all(Reservation):
            if job.user in one.users or job.spec.project in one.projects:
                continue
            if one.end > now.wall and set(gpus).intersection(self._chosen[one.id]):
                leaves = one.preempt and job.spec.requeue and one.start > now.wall
                assert leaves or end <= one.start + 0.001, (job, one)

    def _has_what_it_waited_for(self, now: Now, job: Job) -> None:
        for name in names_of(job):
            needs = self.wanted.get(name)
            if needs is not None and not job.attempt:
                true = [self._is_true(now, job, one) for one in needs.conditions]
                assert any(true) if needs.any_of else all(true), (job, needs)

    def _is_true(self, now: Now, job: Job, condition: Condition) -> bool:
        if condition.kind == "singleton":
            mine = job.array or job.id
            same = (job.uid, job.spec.name)
            older = [n for n, name in self.names.items() if n < mine and name == same]
            return all(self.end_of(n, WHOLE) is not None for n in older)
        task = condition.task
        if condition.kind == "aftercorr" and job.tasks and self.is_array(condition.job):
            task = job.tasks.first
        if condition.kind == "after":
            return self._began(condition.job, task) + condition.delay <= now.wall + 0.001
        end = self.end_of(condition.job, task)
        well = end is not None and end.state == "COMPLETED"
        return end is not None and (
            condition.kind == "afterany" or well == (condition.kind != "afternotok")
        )

    def is_array(self, number: int) -> bool:
        """Whether a submission was an array."""
        return self.tasks[number] != (WHOLE,)

    def end_of(self, number: int, task: int) -> End | None:
        """How a job, a task or a whole array ended; None while it has not."""
        if task != WHOLE or not self.is_array(number):
            return self.ends.get((number, task))
        ends = [self.ends.get((number, one)) for one in self.tasks[number]]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends):
            return None
        well = {end.state for end in known} == {"COMPLETED"}
        return End("COMPLETED" if well else "FAILED", max(end.began for end in known))

    def _began(self, number: int, task: int) -> float:
        tasks = self.tasks[number] if task == WHOLE else (task,)
        times = []
        for one in tasks:
            end = self.ends.get((number, one))
            times.append(self.begun.get((number, one), end.began if end else math.inf))
        return max(times)

    def known_ends(self) -> dict[Parent, End]:
        """What a look into the store would find: ends of tasks, and of whole arrays."""
        whole = {(n, WHOLE): end for n in self.tasks if (end := self.end_of(n, WHOLE))}
        return self.ends | whole

    # -- the whole pass -------------------------------------------------------------------------

    def after_pass(self, world: World) -> None:
        """Within a line nobody started before an earlier one that could have."""
        first: dict[Key, Rank] = {}
        for key, its, _ in self.started:
            first[key] = max(its, first.get(key, its))
        for key, its in first.items():
            line = world.queue.lines.get(key)
            for job in line.jobs if line else []:
                assert rank(job) > its or is_full(world, job), (job, its)


def place(world: World, job: Job) -> tuple[float, ...]:
    """The place of a waiting job among all, where order is ``fifo``: the smaller, the earlier."""
    band = job.priority + world.policy.class_of(job.spec.qos).priority
    return (-band, job.seq)


def is_full(world: World, job: Job) -> bool:
    """Whether the array of a job has as many tasks running as it may."""
    array = world.records.get(Array, job.array)
    if array is None or not array.max_concurrent:
        return False
    return _running_of(world, job.array) >= array.max_concurrent


def _running_of(world: World, array: int) -> int:
    return sum(one.array == array for one in world.placed.values())


def _has_room(world: World, job: Job, uuid: str) -> None:
    gpu, policy, spec = world.gpus[uuid], world.policy, job.spec
    others = [one for one in world.placed.values() if uuid in one.gpus]
    left = gpu.total - policy.margin - gpu.outside - sum(one.spec.gpu_mem or 0 for one in others)
    assert gpu.available
    assert not spec.gpu_uuids or uuid in spec.gpu_uuids
    assert left >= (spec.gpu_mem or 0)
    assert all(one.spec.shares for one in others)
    assert spec.shares or (not others and gpu.outside <= policy.unmanaged_ignore)


def _keeps_bounds(world: World, now: Now, job: Job) -> None:
    """No bound of what runs is passed for the owner of a job that was just started."""
    policy = world.policy
    mine = [one for one in world.placed.values() if one.uid == job.uid]
    assert not policy.max_running_per_user or len(mine) <= policy.max_running_per_user
    without = sum(not one.gpus for one in world.placed.values())
    assert job.gpus or not policy.max_gpuless or without <= policy.max_gpuless
    array = world.records.get(Array, job.array)
    if array is not None and array.max_concurrent:
        assert _running_of(world, job.array) <= array.max_concurrent
    for subject, quota in quotas.bounds(world, owner_of(job), world.groups_of(job.uid)):
        load = held(world, subject)
        assert quota.running_jobs is None or load.jobs <= quota.running_jobs
        if job.gpus:
            spent = quotas.used(world, now, subject, quota)
            assert quota.running_gpus is None or load.gpus <= quota.running_gpus
            assert quota.gpu_memory is None or load.memory <= quota.gpu_memory
            assert quota.gpu_hours is None or spent < quota.gpu_hours * 3600.0


def held(world: World, subject: str) -> Load:
    """What the jobs of a subject hold, from the jobs alone."""
    mine = quotas.counts(world, subject)
    load = Load()
    for job in world.placed.values():
        if mine(owner_of(job)):
            sizes = [world.gpus[uuid].total for uuid in job.gpus if uuid in world.gpus]
            load = load.plus(Load(1, job.spec.gpus, memory_of(job.spec, sizes)))
    return load


def _may_be_switched_out(world: World, now: Now, victim: Job, event: Preempted) -> None:
    phase, its = victim.phase, world.policy.class_of(victim.spec.qos)
    assert isinstance(phase, Running)
    assert victim.spec.requeue
    if event.by > 0:
        winner = world.jobs[event.by]
        assert its.preemptible
        assert its.priority < world.policy.class_of(winner.spec.qos).priority
        assert now.boot - phase.started.boot >= its.min_run
        return
    one = world.records.get(Reservation, -event.by)
    assert one is not None
    assert one.preempt
    assert one.start <= now.wall < one.end
    assert victim.user not in one.users
    assert set(derive(world, now).chosen[one.id]).intersection(victim.gpus)


def _may_be_extended(world: World, now: Now, job: Job, event: Extended) -> None:
    own, bound = job.spec.time_limit, world.policy.max_job_time
    assert world.policy.on_time_limit == "extend-when-idle"
    assert isinstance(job.phase, Running)
    if event.extension <= job.extension:
        return  # it is taken back
    assert own is None or bound + event.extension <= own
    end = job.phase.started.wall + effective_limit(job.spec, world.policy) + event.extension
    for one in world.records.all(Reservation):
        if set(derive(world, now).chosen.get(one.id, ())).intersection(job.gpus):
            entitled = job.user in one.users or job.spec.project in one.projects
            leaves = one.preempt and job.spec.requeue and one.start > now.wall
            assert entitled or leaves or one.end <= now.wall or end <= one.start + 0.001


def check_arrays(world: World) -> None:
    """Every task of an array is active, or counted as over."""
    for array in world.records.all(Array):
        active = [job for job in world.jobs.values() if job.array == array.id]
        waiting = [task for job in active for task in job.tasks or ()]
        assert len(set(waiting)) == len(waiting)
        assert len(waiting) + array.done + array.failed == array.total


def copied(world: World) -> World:
    """A world made of what is stored of this one."""
    twin = World(
        world.policy,
        world.inventory,
        jobs=sorted((replace(job) for job in world.jobs.values()), key=lambda job: job.id),
        next_id=world.next_id,
        next_seq=world.next_seq,
        records=world.records.everything(),
    )
    twin.next_run = world.next_run
    return twin
