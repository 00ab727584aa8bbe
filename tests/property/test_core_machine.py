"""Any sequence of wishes, reports (late, doubled, of old attempts), passes and faults.

After every step the world is sound, every waiting job says why it waits, and what was started
has what it asked for.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mgpu.core.decide import decide
from mgpu.core.effects import required_effects
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import forget_boot
from mgpu.core.policy import Policy
from mgpu.core.reports import Stale
from mgpu.core.requests import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Cancel,
    Hold,
    Rebooted,
    Release,
    Report,
    SetPriority,
)
from mgpu.core.schedule import next_deadline, schedule
from mgpu.core.world import World
from mgpu.model.job import Ended, Job, JobSpec, Pending
from mgpu.testing.builders import Desk, a_spec

TOTALS = (1000, 1000, 2000)
POLICY = Policy(max_requeues=2, start_retries=2, max_gpuless=2, margin=50, unmanaged_ignore=100)

plain = st.builds(
    a_spec,
    st.integers(0, 3),
    st.sampled_from([None, None, 200, 500, 950]),
    exclusive=st.booleans(),
    limit=st.sampled_from([None, 10, 60]),
    requeue=st.booleans(),
)
specs = st.builds(replace, plain, retries=st.sampled_from([0, 0, 2]))
users = st.integers(1000, 1002)
seconds = st.integers(0, 40)


def reports(job: int, attempt: int) -> st.SearchStrategy[Report]:
    """Everything that launcher and supervisors can say of one attempt."""
    codes, signals = st.sampled_from([0, 1, None]), st.sampled_from([None, 9])
    causes, stages = st.sampled_from(["exit", "timelimit", "cancel"]), ["fork", "account"]
    name = (st.just(job), st.just(attempt))
    started = st.sampled_from([None, 1.0])
    return st.one_of(
        st.builds(AttemptRunning, *name, st.just(1), st.just(1), st.just(Desk().now)),
        st.builds(AttemptEnded, *name, codes, signals, causes, st.just(""), st.just(9.0), started),
        st.builds(
            AttemptRefused, *name, st.sampled_from(stages), st.just(11), st.just("x"), st.booleans()
        ),
        st.builds(AttemptLost, *name),
        st.builds(AttemptVanished, *name),
        st.builds(Rebooted, *name),
    )


class CoreMachine(RuleBasedStateMachine):
    """Drives a desk; remembers what the store would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(*TOTALS, policy=POLICY)
        self.stored: dict[int, Job] = {}

    @property
    def world(self) -> World:
        return self.desk.world

    @rule(spec=specs, uid=users, priority=st.integers(-1, 1), count=st.integers(1, 3))
    def submit(self, spec: JobSpec, uid: int, priority: int, count: int) -> None:
        if spec.gpus == 3 and spec.gpu_mem == 950:
            count = 1
        self.desk.submit(spec, uid=uid, priority=priority, count=count)

    @rule(data=st.data(), uid=users, may_any=st.booleans())
    def cancel(self, data: st.DataObject, uid: int, may_any: bool) -> None:
        numbers = data.draw(st.lists(st.integers(1, self.world.next_id), max_size=3))
        self.desk.ask(Cancel(tuple(numbers), uid, may_any))

    @rule(data=st.data(), uid=users, priority=st.integers(-2, 2))
    def set_priority(self, data: st.DataObject, uid: int, priority: int) -> None:
        number = data.draw(st.integers(1, self.world.next_id))
        self.desk.ask(SetPriority((number,), priority, uid))

    @rule(data=st.data(), uid=users, admin=st.booleans())
    def hold(self, data: st.DataObject, uid: int, *, admin: bool) -> None:
        number = data.draw(st.integers(1, self.world.next_id))
        self.desk.ask(Hold((number,), uid, admin))

    @rule(data=st.data(), uid=users, admin=st.booleans(), wait=st.integers(-5, 20))
    def release(self, data: st.DataObject, uid: int, wait: int, *, admin: bool) -> None:
        number = data.draw(st.integers(1, self.world.next_id))
        begin = self.desk.now.wall + wait if wait > 0 else 0.0
        self.desk.ask(Release((number,), uid, admin, begin))

    @precondition(lambda self: self.world.placed)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.world.placed)))
        self.desk.ask(data.draw(reports(job, self.desk.job(job).attempt)))

    @precondition(lambda self: self.world.next_id > 1)
    @rule(data=st.data(), back=st.integers(-1, 2))
    def late_report(self, data: st.DataObject, back: int) -> None:
        number = data.draw(st.integers(1, self.world.next_id - 1))
        job = self.world.placed.get(number)
        attempt = (job.attempt if job else 1) - back
        report = data.draw(reports(number, attempt))
        if job is None or back:
            decision = decide(self.world, report, self.desk.now)
            assert decision.events == []
            assert isinstance(decision.reply, Stale)
        self.desk.ask(report)

    @rule()
    def one_pass(self) -> None:
        plan = schedule(self.world, self.desk.now)
        free = {room.uuid: room for room in self.world.rooms()}
        for start in plan.starts:
            spec = self.desk.job(start.job).spec
            assert all(free[uuid].available for uuid in start.gpus)
            assert spec.gpu_mem is None or all(
                free[uuid].free >= spec.gpu_mem for uuid in start.gpus
            )
            assert spec.shares or not any(free[uuid].jobs for uuid in start.gpus)
            assert spec.shares or all(free[uuid].quiet for uuid in start.gpus)
            self.desk.apply(start)
            free = {room.uuid: room for room in self.world.rooms()}
        assert self.desk.run() == {}

    @rule(wait=seconds)
    def wait(self, wait: int) -> None:
        self.desk.wait(wait)
        deadline = next_deadline(self.world)
        assert deadline is None or deadline <= self.desk.now.boot + 600

    @rule(index=st.integers(0, 2), outside=st.sampled_from([0, 100, 600]), available=st.booleans())
    def gpu(self, index: int, outside: int, available: bool) -> None:
        self.desk.set_gpu(index, outside=outside, available=available)

    @rule(reboot=st.booleans())
    def reload(self, reboot: bool) -> None:
        """What is stored is the world: a new one made from it goes on as the old one would."""
        self.store()
        jobs = [copy.copy(job) for job in self.stored.values() if not isinstance(job.phase, Ended)]
        old = self.world
        world = World(
            POLICY,
            self.desk.inventory(),
            jobs=jobs,
            next_id=old.next_id,
            next_seq=old.next_seq,
        )
        now = self.desk.now
        assert schedule(world, now).starts == schedule(old, now).starts
        self.desk.world = world
        if reboot:
            forget_boot(world)
            assert not world.queue.delayed

    @rule()
    def store(self) -> None:
        self.stored |= {job.id: job for job in self.world.take_changed()}
        active = {n: job for n, job in self.stored.items() if not isinstance(job.phase, Ended)}
        assert active == self.world.jobs

    @invariant()
    def the_world_is_sound(self) -> None:
        check_invariants(self.world)

    @invariant()
    def every_waiting_job_says_why(self) -> None:
        for number, job in self.world.jobs.items():
            reason, detail = self.desk.reason(number)
            assert bool(reason) == isinstance(job.phase, Pending)
            assert bool(detail) == (bool(reason) and not job.held)

    @invariant()
    def effects_are_asked_for_until_they_are_done(self) -> None:
        first = required_effects(self.world, {})
        assert len(first) == len(self.world.placed)
        seen = {(job.id, job.attempt): "stopping" for job in self.world.placed.values()}
        assert required_effects(self.world, seen) == []


TestCoreMachine = CoreMachine.TestCase
TestCoreMachine.settings = settings(
    deadline=None, max_examples=100, stateful_step_count=40, derandomize=True, database=None
)
