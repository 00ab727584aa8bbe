"""Any graph of dependencies: nobody starts too early, and nobody waits for ever.

An oracle remembers how every job ended and judges the conditions as they were written.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mgpu.core.dependents import End
from mgpu.core.policy import Policy
from mgpu.core.requests import AttemptEnded, SetDependency, Submit
from mgpu.core.wishes import Accepted
from mgpu.core.world import World
from mgpu.model.dependency import WHOLE, Condition, Dependency
from mgpu.model.errors import MgpuError
from mgpu.model.events import Split, Started
from mgpu.model.job import Ended, Job, Pending
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import UID, Desk, a_spec

POLICY = Policy(max_pending_per_user=0, max_gpuless=4, max_requeues=2)
KINDS = ("afterok", "afterany", "afternotok", "after", "aftercorr", "singleton")
NAMES = ("a", "b")


class Dependencies(RuleBasedStateMachine):
    """Drives a desk; ``wanted`` are the dependencies as they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(policy=POLICY)
        self.wanted: dict[int, Dependency] = {}
        self.total: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.ends: dict[tuple[int, int], str] = {}
        self.begun: set[tuple[int, int]] = set()
        self.seen = 0

    @property
    def world(self) -> World:
        return self.desk.world

    # -- what happens ---------------------------------------------------------------------------

    @rule(data=st.data(), tasks=st.integers(0, 3), any_of=st.booleans(), kill=st.booleans())
    def submit(self, data: st.DataObject, tasks: int, *, any_of: bool, kill: bool) -> None:
        needs = self.draw(data, any_of=any_of)
        name = data.draw(st.sampled_from(NAMES))
        spec = replace(a_spec(0), name=name, kill_on_invalid_dep=kill)
        its = Tasks(((0, tasks - 1, 1),)) if tasks else None
        known = {key: End(state, self.desk.now.wall) for key, state in self.known().items()}
        reply = self.desk.ask(Submit(UID, "u", spec, tasks=its, needs=needs, known=known))
        assert isinstance(reply, Accepted)
        self.total[reply.first], self.names[reply.first] = tasks, name
        if needs is not None:
            self.wanted[reply.first] = needs

    def draw(self, data: st.DataObject, *, any_of: bool) -> Dependency | None:
        if not self.total:
            return None
        ids = st.sampled_from(sorted(self.total))
        found: dict[Condition, None] = {}
        for kind in data.draw(st.lists(st.sampled_from(KINDS), max_size=3)):
            job = 0 if kind == "singleton" else data.draw(ids)
            one_task = kind not in ("singleton", "aftercorr") and self.total[job]
            task = data.draw(st.integers(0, self.total[job] - 1)) if one_task else WHOLE
            task = data.draw(st.sampled_from([task, WHOLE]))
            found[Condition(kind, job, task)] = None
        return Dependency(tuple(found), any_of and len(found) > 1) if found else None

    def known(self) -> dict[tuple[int, int], str]:
        """What a look into the store would find: ends of tasks, and of whole arrays."""
        return self.ends | {(n, WHOLE): s for n in self.total if (s := self.end_of(n, WHOLE))}

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data(), any_of=st.booleans())
    def change(self, data: st.DataObject, *, any_of: bool) -> None:
        waiting = [n for n in self.total if not self.total[n] and self.is_waiting(n)]
        if not waiting:
            return
        job, needs = data.draw(st.sampled_from(waiting)), self.draw(data, any_of=any_of)
        known = {key: End(state, self.desk.now.wall) for key, state in self.known().items()}
        try:
            self.desk.ask(SetDependency((job,), needs, known, UID))
        except MgpuError as error:
            assert error.code == "Refused"  # noqa: PT017 - a circle
            return
        self.wanted.pop(job, None)
        if needs is not None:
            self.wanted[job] = needs

    @rule()
    def one_pass(self) -> None:
        self.desk.run()
        self.note()
        self.desk.launched(
            *(n for n, job in self.world.placed.items() if job.state != "COMPLETING")
        )

    @precondition(lambda self: self.world.placed)
    @rule(data=st.data(), code=st.integers(0, 1), cause=st.sampled_from(["exit", "timelimit"]))
    def end(self, data: st.DataObject, code: int, cause: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.world.placed)))
        job = self.desk.job(number)
        self.desk.ask(AttemptEnded(number, job.attempt, code, None, cause, "", self.desk.now.wall))
        self.note()

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.desk.cancel(data.draw(st.sampled_from(sorted(self.total))))
        self.note()

    @rule()
    def reload(self) -> None:
        """A new world goes on as the old one, once that is settled."""
        self.one_pass()
        old = self.world
        jobs = [replace(job) for job in sorted(old.jobs.values(), key=lambda job: job.id)]
        records = tuple(r for kept in old.records._kept.values() for r in kept.values())
        self.desk.world = World(
            POLICY, jobs=jobs, next_id=old.next_id, next_seq=old.next_seq, records=records
        )
        known = {key: End(state, self.desk.now.wall) for key, state in self.known().items()}
        self.world.dependents.learn(known)

    # -- the oracle -----------------------------------------------------------------------------

    def note(self) -> None:
        """Take over what happened, in order; judge each start by what was true before it."""
        for job in self.world.take_changed():
            if isinstance(job.phase, Ended):
                for task in job.tasks or [WHOLE]:
                    self.ends[job.array or job.id, task] = job.state
        started = [event for event in self.desk.log[self.seen :] if isinstance(event, Started)]
        self.seen = len(self.desk.log)
        for event in started:
            if event.job in self.world.jobs and event.attempt == 1:
                self.judge_start(self.world.jobs[event.job])
        for job in self.world.placed.values():
            if job.state == "RUNNING":
                self.begun.add((job.array or job.id, job.tasks.first if job.tasks else WHOLE))

    def judge_start(self, job: Job) -> None:
        needs = self.wanted.get(job.array or job.id)
        if needs is not None:
            true = [self.is_true(job, one) for one in needs.conditions]
            assert any(true) if needs.any_of else all(true), (job, needs)

    def is_true(self, job: Job, condition: Condition) -> bool:
        if condition.kind == "singleton":
            mine = job.array or job.id
            older = [n for n, name in self.names.items() if n < mine and name == job.spec.name]
            return not any(self.end_of(n, WHOLE) == "" for n in older)
        task = condition.task
        if condition.kind == "aftercorr" and job.tasks and self.total[condition.job]:
            task = job.tasks.first
        if condition.kind == "after":
            return self.has_begun(condition.job, task)
        state = self.end_of(condition.job, task)
        well = state == "COMPLETED"
        return bool(state) and (
            condition.kind == "afterany" or well == (condition.kind != "afternotok")
        )

    def end_of(self, number: int, task: int) -> str:
        """How it ended, "" while it has not."""
        if task != WHOLE or not self.total[number]:
            return self.ends.get((number, task), "")
        states = [self.ends.get((number, t), "") for t in range(self.total[number])]
        if "" in states:
            return ""
        return "COMPLETED" if set(states) == {"COMPLETED"} else "FAILED"

    def has_begun(self, number: int, task: int) -> bool:
        tasks = range(self.total[number]) if task == WHOLE and self.total[number] else [task]
        return all((number, t) in self.begun or (number, t) in self.ends for t in tasks)

    def is_waiting(self, number: int) -> bool:
        job = self.world.jobs.get(number)
        return job is not None and isinstance(job.phase, Pending)

    @invariant()
    def what_waits_says_for_what(self) -> None:
        for number, job in self.world.jobs.items():
            if job.needs is not None and isinstance(job.phase, Pending):
                reason, detail = self.desk.reason(number)
                assert reason in ("Dependency", "DependencyNeverSatisfied")
                assert detail

    def teardown(self) -> None:
        """When everything that starts ends, only those remain who wanted to stay for ever."""
        for _ in range(10 * len(self.total) + 10):
            self.one_pass()
            for number, job in list(self.world.placed.items()):
                self.desk.ask(AttemptEnded(number, job.attempt, 0, None, "exit", "", 0.0))
                self.note()
        stay = {n for n, job in self.world.jobs.items() if self.stays(job)}
        assert set(self.world.jobs) == stay
        assert not any(isinstance(event, Split) for event in self.desk.log[self.seen :])

    def stays(self, job: Job) -> bool:
        """Whether it waits for ever by its own wish, or for one of the same name that does."""
        if job.needs is None:
            return False
        if job.needs.hopeless:
            return not job.spec.kill_on_invalid_dep
        lasting = {j.array or j.id for j in self.world.jobs.values() if j is not job}
        names = {j.spec.name for j in self.world.jobs.values() if j is not job}
        return any(
            one.job in lasting or (one.kind == "singleton" and job.spec.name in names)
            for one in job.needs.conditions
        )


TestDependencies = Dependencies.TestCase
TestDependencies.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=30, derandomize=True, database=None
)
