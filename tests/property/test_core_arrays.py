"""Any sequence of wishes about arrays and parts of them: no task is lost, doubled or too many.

Beside the world runs a plain model: for each array the set of its tasks, and how each ended.
"""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mgpu.core.invariants import check_invariants
from mgpu.core.policy import Policy
from mgpu.core.requests import (
    AttemptEnded,
    AttemptVanished,
    Cancel,
    Hold,
    Release,
    Request,
    SetPriority,
    Submit,
    Update,
)
from mgpu.core.settle import settle
from mgpu.core.wishes import Accepted
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.job import Ended, Job, Pending
from mgpu.model.records import Array
from mgpu.model.target import Name, Target
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import UID, Desk, a_spec

POLICY = Policy(max_pending_per_user=0, max_requeues=2, max_gpuless=0)
SETS = st.sets(st.integers(0, 12), min_size=1).map(Tasks.of)
BOUNDS = st.integers(0, 3)


class ArrayMachine(RuleBasedStateMachine):
    """Drives a desk with arrays that need a third of its only GPU, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(999, policy=POLICY)
        self.tasks: dict[int, set[int]] = {}
        self.over: dict[int, dict[int, str]] = {}

    @property
    def world(self) -> World:
        return self.desk.world

    @rule(tasks=SETS, bound=BOUNDS, gpus=st.integers(0, 1), held=st.sampled_from(["", "user"]))
    def submit(self, tasks: Tasks, bound: int, gpus: int, held: str) -> None:
        spec = a_spec(gpus, 333 if gpus else None)
        wish = Submit(UID, "u", spec, tasks=tasks, max_concurrent=bound, held=held)
        reply = self.desk.ask(wish)
        assert isinstance(reply, Accepted)
        self.tasks[reply.first], self.over[reply.first] = set(tasks), {}

    def names(self, data: st.DataObject) -> tuple[Name, ...]:
        numbers = st.integers(1, self.world.next_id)
        arrays = st.sampled_from(sorted(self.tasks) or [1])
        return tuple(
            data.draw(st.lists(st.one_of(numbers, st.builds(Target, arrays, SETS)), max_size=3))
        )

    @rule(data=st.data(), what=st.sampled_from(["cancel", "hold", "release", "priority"]))
    def change(self, data: st.DataObject, what: str) -> None:
        names = self.names(data)
        wishes: dict[str, Request] = {
            "cancel": Cancel(names, UID),
            "hold": Hold(names, UID),
            "release": Release(names, UID),
            "priority": SetPriority(names, data.draw(st.integers(-2, 0)), UID),
        }
        self.desk.ask(wishes[what])

    @precondition(lambda self: self.world.records.all(Array))
    @rule(data=st.data(), bound=BOUNDS)
    def update(self, data: st.DataObject, bound: int) -> None:
        array = data.draw(st.sampled_from(self.world.records.all(Array)))
        self.desk.ask(Update(array.id, bound, UID))
        now = self.world.records.get(Array, array.id)
        assert now is not None
        alive = self.world.arrays.has(array.id)
        assert now.max_concurrent == (bound if alive else array.max_concurrent)

    @rule()
    def one_pass(self) -> None:
        before = {number: self.running(number) for number in self.tasks}
        self.desk.run()
        for array in self.world.records.all(Array):
            now = self.running(array.id)
            assert not array.max_concurrent or now <= max(array.max_concurrent, before[array.id])
        assert self.desk.run() == {}
        assert {array.id for array in self.world.records.all(Array)} == {
            job.array for job in self.world.jobs.values()
        }

    @precondition(lambda self: self.world.placed)
    @rule(
        data=st.data(), code=st.sampled_from([0, 1]), cause=st.sampled_from(["exit", "timelimit"])
    )
    def end(self, data: st.DataObject, code: int, cause: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.world.placed)))
        attempt, wall = self.world.jobs[number].attempt, self.desk.now.wall
        self.desk.ask(AttemptEnded(number, attempt, code, None, cause, "", wall))

    @precondition(lambda self: self.world.placed)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.world.placed)))
        self.desk.ask(AttemptVanished(number, self.world.jobs[number].attempt))

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.desk.wait(seconds)

    @rule()
    def reload(self) -> None:
        """A world made from what is stored goes on as the old one would."""
        self.note_ends()
        old = self.world
        jobs = [copy.copy(job) for job in old.jobs.values()]
        records = [*old.records._kept.get("Array", {}).values()]
        numbers = {"next_id": old.next_id, "next_seq": old.next_seq}
        world = World(POLICY, self.desk.inventory(), jobs=jobs, records=records, **numbers)
        self.desk.world = world
        while events := settle(world, self.desk.now):
            self.desk.apply(*events)

    def running(self, array: int) -> int:
        placed = self.world.placed.values()
        return sum(job.array == array for job in placed)

    def note_ends(self) -> None:
        for job in self.world.take_changed():
            if isinstance(job.phase, Ended):
                for task in job.tasks or ():
                    assert task not in self.over[job.array], f"{job.array}_{task} ended twice"
                    self.over[job.array][task] = job.phase.state

    @invariant()
    def every_task_is_in_one_place(self) -> None:
        self.note_ends()
        active: dict[int, list[int]] = {number: [] for number in self.tasks}
        for job in self.world.jobs.values():
            active[job.array] += list(job.tasks or ())
        for number, tasks in self.tasks.items():
            assert sorted([*active[number], *self.over[number]]) == sorted(tasks)

    @invariant()
    def ends_are_counted(self) -> None:
        self.note_ends()
        for array in self.world.records.all(Array):
            ends = list(self.over[array.id].values())
            well = ends.count(states.COMPLETED)
            assert (array.done, array.failed) == (well, len(ends) - well)
            assert array.total == len(self.tasks[array.id])

    @invariant()
    def only_what_waits_has_many_tasks(self) -> None:
        for job in self.world.jobs.values():
            many = len(job.tasks or ()) != 1
            assert not many or (isinstance(job.phase, Pending) and job.attempt == 0)

    @invariant()
    def every_task_is_found(self) -> None:
        check_invariants(self.world)
        for job in self.world.jobs.values():
            for task in job.tasks or ():
                assert self.found(job.array, task) is job

    def found(self, array: int, task: int) -> Job | None:
        ((job, some),) = self.world.arrays.parts(array, Tasks.only(task))
        assert some is None or list(some) == [task]
        assert self.world.arrays.find(array, task) is job
        return job


TestArrays = ArrayMachine.TestCase
TestArrays.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=30, derandomize=True, database=None
)
