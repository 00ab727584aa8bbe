"""The whole of the core, worked as the daemon works it, under any policy and any day.

Whatever is asked and whatever happens, every event is judged by rules of the test's own (see
``tests.lib.judge``), every waiting job says why it waits, nothing is missed between the moments
at which the core wants to be asked, and a world made of what is stored goes on as the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mgpu.core import extension
from mgpu.core.decide import Decision, decide
from mgpu.core.explain import reason_of
from mgpu.core.lifecycle import forget_boot
from mgpu.core.orders import RemoveQuota, Reserve, SetQuota, Unreserve
from mgpu.core.policy import Policy
from mgpu.core.requests import (
    Alter,
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Cancel,
    ChangeRepeat,
    Hold,
    Rebooted,
    Release,
    Repeat,
    Request,
    SetDependency,
    SetPriority,
    Submit,
    Update,
)
from mgpu.core.reservations import latest_end
from mgpu.core.schedule import Plan, next_deadline, schedule
from mgpu.core.settle import settle
from mgpu.core.why import why
from mgpu.core.wishes import Accepted
from mgpu.core.world import World
from mgpu.model.dependency import WHOLE, Dependency
from mgpu.model.errors import MgpuError
from mgpu.model.events import Event, Noted
from mgpu.model.gpu import Inventory
from mgpu.model.job import Job, JobSpec, Pending, Starting, Stopping
from mgpu.model.records import Quota, Recurring, Reservation
from mgpu.model.target import Name
from mgpu.model.time import Now
from mgpu.testing.builders import a_spec, an_inventory, at
from tests.lib import passes, worlds
from tests.lib.judge import Judge, check_arrays, copied

#: What a request that makes no sense in the world as it is may be refused with.
REFUSALS = ("Refused", "LimitReached", "Unknown", "BadRequest", "Denied")


class Everything(RuleBasedStateMachine):
    """Drives a world turn by turn. Jobs that run are ended at their limits, but may end before."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()
        self.now = at(0)
        self.promise: passes.Promise | None = None

    @initialize(policy=worlds.policies, prompt=st.sampled_from([True, True, False]))
    def begin(self, policy: Policy, *, prompt: bool) -> None:
        """``prompt``: what is started runs at once."""
        self.prompt = prompt
        self.world = World(policy, an_inventory(*worlds.TOTALS))
        self.world.next_run = worlds.every

    # -- a turn of the daemon -------------------------------------------------------------------

    def apply(self, events: Sequence[Event]) -> None:
        for event in events:
            self.judge.evolve(self.world, self.now, event)

    def ask(self, request: Request) -> Decision | None:
        """Decide and evolve; None where it is refused."""
        try:
            decision = decide(self.world, request, self.now)
        except MgpuError as error:
            if error.code not in REFUSALS:
                raise
            return None
        self.apply(decision.events)
        return decision

    def turn(self) -> None:
        """What follows from all that happened, one pass, and what it started."""
        for _ in range(100):
            events = settle(self.world, self.now)
            self.apply(events)
            if not events:
                break
        else:
            raise AssertionError("the world never settles")
        plan, extended = self.one_pass()
        due = self.next_turn()
        again = due is not None and due <= self.now.boot
        assert again == bool(extended), "the daemon would turn again and again"
        for start in plan.starts if self.prompt else ():
            self.launch(start.job)
        if extended or (self.prompt and plan.starts):
            self.turn()

    def one_pass(self) -> tuple[Plan, Sequence[Event]]:
        """The plan, and what became of the limits of jobs that run."""
        self.judge.before_pass(self.world, self.now)
        plan = schedule(self.world, self.now)
        self.apply(plan.events)
        self.judge.after_pass(self.world)
        passes.check_mode(self.world, self.now, plan, self.judge)
        self.promise = passes.kept(self.promise, self.world, self.now, plan, self.judge)
        extended = extension.extensions(self.world, plan.outlook, self.now)
        self.apply(extended)
        return plan, extended

    def next_turn(self) -> float | None:
        times = (next_deadline(self.world), extension.next_change(self.world))
        return min((due for due in times if due is not None), default=None)

    # -- wishes ---------------------------------------------------------------------------------

    @rule(data=st.data(), spec=worlds.specs, uid=worlds.users, hurry=st.integers(0, 9))
    def submit(self, data: st.DataObject, spec: JobSpec, uid: int, hurry: int) -> None:
        """A job, several or an array, mostly without frills; refused where it can never start."""
        fields = data.draw(worlds.submissions(self.now, self.judge.tasks)) if hurry > 3 else {}
        if hurry == 9:
            spec = replace(spec, deadline=self.now.wall + data.draw(st.integers(10, 500)))
        spec = replace(spec, spec_id=self.world.next_id)
        known = self.judge.known_ends()
        wish = Submit(uid, f"u{uid}", spec, known=known, groups=worlds.GROUPS[uid], **fields)
        decision = self.ask(wish)
        if decision is not None and wish.needs is not None:
            assert isinstance(decision.reply, Accepted)
            first, count = decision.reply.first, decision.reply.count
            self.judge.want(self.judge.all_names(range(first, first + count)), wish.needs)
        self.turn()

    @precondition(lambda self: any(j.spec.qos == "low" for j in self.world.placed.values()))
    @rule(uid=worlds.users)
    def submit_urgent(self, uid: int) -> None:
        """One for which others have to leave."""
        spec = replace(a_spec(3, spec_id=self.world.next_id), qos="high")
        self.ask(Submit(uid, f"u{uid}", spec, groups=worlds.GROUPS[uid]))
        self.turn()

    def draw_name(self, data: st.DataObject) -> Name:
        return data.draw(worlds.names(self.judge.tasks, self.active()))

    def active(self) -> list[int]:
        """The submissions that are not over, where any wait those that wait."""
        jobs = [*self.world.jobs.values()]
        waiting = [job for job in jobs if isinstance(job.phase, Pending)]
        return sorted({job.array or job.id for job in waiting or jobs})

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data(), uid=worlds.users, may_any=st.booleans(), how=st.integers(0, 9))
    def change(self, data: st.DataObject, uid: int, how: int, *, may_any: bool) -> None:
        """Cancel, move, hold, release, have it ask for something else."""
        one = (self.draw_name(data),)
        begin = data.draw(st.sampled_from([0.0, self.now.wall + 100]))
        wishes: list[Request] = [
            Cancel(one, uid, may_any),
            SetPriority(one, 1, uid, may_any),
            SetPriority(one, -1, uid, may_any),
            Hold(one, uid, may_any),
            Release(one, uid, may_any),
            Release(one, uid, may_any, begin),
            Alter(one, data.draw(st.sampled_from([0, 60, 600])), None, uid, may_any),
            Alter(one, None, None, uid, may_any, gpus=data.draw(st.integers(0, 3))),
            Alter(one, None, None, uid, may_any, gpu_mem=data.draw(st.sampled_from([0, 1, 9000]))),
        ]
        if isinstance(one[0], int):
            wishes.append(Update(one[0], data.draw(st.integers(0, 2)), uid, may_any))
        self.ask(wishes[how % len(wishes)])
        self.turn()

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data())
    def depend(self, data: st.DataObject) -> None:
        """Let a job or all that waits of an array wait for others."""
        number = data.draw(st.sampled_from(self.active()))
        needs: Dependency | None = data.draw(st.none() | worlds.dependencies(self.judge.tasks))
        parts = [job for job in self.world.jobs.values() if (job.array or job.id) == number]
        waiting = [job for job in parts if isinstance(job.phase, Pending)]
        names = [(number, task) for job in waiting for task in job.tasks or (WHOLE,)]
        wish = SetDependency((number,), needs, self.judge.known_ends(), 0, may_any=True)
        if self.ask(wish):
            self.judge.want(names, needs)
        self.turn()

    # -- orders ---------------------------------------------------------------------------------

    @rule(
        order=st.one_of(worlds.quotas, worlds.reservations, worlds.repeats),
        uid=worlds.users,
        start=st.integers(0, 300),
    )
    def order(self, order: SetQuota | Reserve | Repeat, uid: int, start: int) -> None:
        """What an administrator orders, and jobs that come again and again."""
        if isinstance(order, Reserve):
            order = replace(order, start=self.now.wall + start, users=(f"u{uid}",))
        self.ask(order)
        self.turn()

    @precondition(lambda self: self.orders())
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        self.ask(data.draw(st.sampled_from(self.orders())))
        self.turn()

    def orders(self) -> list[Request]:
        """The wishes that take back what was ordered."""
        records = self.world.records
        return [
            *(Unreserve(0, one.id) for one in records.all(Reservation)),
            *(RemoveQuota(0, one.subject) for one in records.all(Quota)),
            *(ChangeRepeat((one.id,), "remove", one.uid) for one in records.all(Recurring)),
        ]

    # -- what happens ---------------------------------------------------------------------------

    @precondition(lambda self: self.starting())
    @rule(data=st.data())
    def launched(self, data: st.DataObject) -> None:
        """One that was started runs now; a late one ends later than was promised."""
        job = self.world.jobs[data.draw(st.sampled_from(self.starting()))]
        if isinstance(job.phase, Starting) and job.phase.decided.boot < self.now.boot:
            self.promise = None
        self.launch(job.id)
        self.turn()

    def starting(self) -> list[int]:
        """Those that were started and do not run yet."""
        return [j.id for j in self.world.placed.values() if isinstance(j.phase, Starting)]

    def launch(self, number: int) -> None:
        attempt = self.world.jobs[number].attempt
        self.ask(AttemptRunning(number, attempt, 4000 + number, 77, self.now))

    @precondition(lambda self: self.world.placed)
    @rule(data=st.data(), how=st.integers(0, 9))
    def report(self, data: st.DataObject, how: int) -> None:
        """An attempt ends well, badly, or nobody knows how; or it never began."""
        job = self.world.jobs[data.draw(st.sampled_from(sorted(self.world.placed)))]
        name, transient = (job.id, job.attempt), data.draw(st.booleans())
        if how == 0:
            self.ask(AttemptRefused(*name, "fork", 11, "", transient))
        elif how == 1:
            self.ask(AttemptRefused(*name, "account", 11, "", transient))
        elif how == 2:
            self.ask(AttemptLost(*name))
        elif how == 3:
            self.ask(AttemptVanished(*name))
        else:
            self.over(job, "exit", [0, 0, 1, None][how % 4])
        self.turn()

    def over(self, job: Job, cause: str, code: int | None = None) -> None:
        signal = 15 if code is None else None
        self.ask(AttemptEnded(job.id, job.attempt, code, signal, cause, "", self.now.wall))

    @rule(seconds=st.sampled_from([5, 60, 150, 500]))
    def wait(self, seconds: int) -> None:
        """From one moment at which something is due to the next; limits are kept."""
        until = self.now.boot + seconds
        while self.now.boot < until:
            ends = [latest_end(j, self.world.policy, self.now) for j in self.world.placed.values()]
            times = [self.next_turn(), until, *ends]
            due = min(t for t in times if t is not None and t > self.now.boot)
            self.nothing_is_missed(due - 0.01)
            self.now = self.after(due)
            self.asking_costs_no_turn()
            for job in list(self.world.placed.values()):
                if isinstance(job.phase, Stopping):
                    self.over(job, "cancel")
                elif latest_end(job, self.world.policy, self.now) <= due:
                    self.over(job, "timelimit")
            self.turn()

    def after(self, boot: float) -> Now:
        return Now(self.now.wall + boot - self.now.boot, boot)

    def nothing_is_missed(self, boot: float) -> None:
        """Just before the moment that the daemon waits for there is nothing to do."""
        if boot <= self.now.boot:
            return
        assert settle(self.world, self.after(boot)) == []
        # GPU-hours that run out let others pass with the next look at the clock, within a minute.
        hours = any(quota.gpu_hours is not None for quota in self.world.records.all(Quota))
        if self.world.policy.order == "fifo" and not hours:
            assert schedule(self.world, self.after(boot)).events == []

    def asking_costs_no_turn(self) -> None:
        """Somebody who asks just when a turn is due does not keep it from being made."""
        due = self.next_turn()
        for job in self.world.jobs.values():
            reason_of(self.world, job, self.now)
        if due is not None and due <= self.now.boot:
            assert (self.next_turn() or self.now.boot) <= self.now.boot

    @rule(
        gpu=st.sampled_from(worlds.UUIDS),
        outside=st.sampled_from([0, 0, 600]),
        available=st.booleans(),
    )
    def gpu(self, gpu: str, outside: int, *, available: bool) -> None:
        gpus = {one.uuid: one for one in self.world.inventory.gpus}
        gpus[gpu] = replace(gpus[gpu], outside=outside, available=available)
        self.world.set_inventory(Inventory("simulated", tuple(gpus.values())))
        self.promise = None
        self.turn()

    @rule(reboot=st.sampled_from([False, False, True]))
    def reload(self, *, reboot: bool) -> None:
        """What is stored is the world: one made of it goes on as the old one does."""
        old, twin = self.world, copied(self.world)
        assert twin.jobs == old.jobs
        old.queue.forget_ranks()  # a ranking that is some seconds old is not stored
        assert lasting(settle(twin, self.now)) == lasting(settle(old, self.now))
        one, other = schedule(old, self.now), schedule(twin, self.now)
        assert one.events == other.events
        assert extension.extensions(old, one.outlook, self.now) == extension.extensions(
            twin, other.outlook, self.now
        )
        for number, job in old.jobs.items():
            assert reason_of(old, job, self.now) == reason_of(twin, twin.jobs[number], self.now)
        self.world = twin
        if reboot:
            self.boot()
        self.turn()

    def boot(self) -> None:
        self.now, self.promise = Now(self.now.wall + 60, 20.0), None
        forget_boot(self.world)
        for job in list(self.world.placed.values()):
            self.ask(Rebooted(job.id, job.attempt))

    # -- always ---------------------------------------------------------------------------------

    @invariant()
    def every_waiting_job_says_why(self) -> None:
        before = repr(self.world.jobs)
        waiting = [job for job in self.world.jobs.values() if isinstance(job.phase, Pending)]
        for job in self.world.jobs.values():
            assert bool(reason_of(self.world, job, self.now)[0]) == (job in waiting)
        if waiting:  # in sentences, which takes long: for one of them
            assert why(self.world, waiting[self.world.generation % len(waiting)], self.now)
        assert repr(self.world.jobs) == before

    @invariant()
    def arrays_are_counted(self) -> None:
        check_arrays(self.world)


def lasting(events: Iterable[Event]) -> list[Event]:
    """All but notes: for how long a GPU was seen silent or idle is not stored, but counted anew."""
    return [event for event in events if not isinstance(event, Noted)]


TestEverything = Everything.TestCase
TestEverything.settings = settings(
    deadline=None, max_examples=300, stateful_step_count=30, derandomize=True, database=None
)
