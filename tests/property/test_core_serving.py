"""Any sequence of orders about GPUs, faults, outsiders, leftovers, looks and restarts.

Nothing is started where it must not be, nobody is killed who is to be spared, and what is kept
about processes does not outlive them.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import forget_boot
from mgpu.core.orders import (
    DrainGpus,
    HeedProcess,
    IgnoreProcess,
    Order,
    RestrictGpus,
    ResumeGpus,
)
from mgpu.core.outsiders import kills
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Gpu, Inventory, Process
from mgpu.model.job import Running
from mgpu.model.records import Drain, Ignored, Outsider
from mgpu.testing.builders import Desk, a_gpu, a_spec

GPUS = range(3)
SIZE = 20000
GRACE = 20.0
LEAST = 1000
names = st.sampled_from(["0", "gpu1", "GPU-2", "0-1", "1-2", "all", "9"])
some = st.lists(names, min_size=1, max_size=2).map(tuple)
pids = st.integers(1, 4)
indices = st.sampled_from(GPUS)
faults = st.sampled_from(["", "Xid 48", "Xid 79"])
processes = st.builds(
    Process,
    pids,
    st.sampled_from([6000, 700, 100, -1]),
    st.sampled_from([1000, 999, -1]),
    st.sampled_from([0, 1]),
    st.sampled_from([5, 6, 0]),
)
orders: st.SearchStrategy[Order] = st.one_of(
    st.builds(DrainGpus, st.just(0), some, st.just("new fans")),
    st.builds(ResumeGpus, st.just(0), some),
    st.builds(RestrictGpus, st.just(0), some),
    st.builds(IgnoreProcess, st.just(0), pids),
    st.builds(HeedProcess, st.just(0), pids),
)


class Serving(RuleBasedStateMachine):
    """Drives a desk whose GPUs are looked at now and then."""

    def __init__(self) -> None:
        super().__init__()
        policy = Policy(
            cleaning=True, outsiders="kill", outsider_grace=GRACE, min_uid=LEAST, devices=None
        )
        self.desk = Desk(policy=policy)
        self.there: list[dict[int, Process]] = [{} for _ in GPUS]
        self.faults = [""] * len(GPUS)
        self.look(silent=False)

    @rule(index=indices, process=processes)
    def come(self, index: int, process: Process) -> None:
        self.there[index][process.pid] = process

    @rule(index=indices, pid=pids)
    def go(self, index: int, pid: int) -> None:
        self.there[index].pop(pid, None)

    @rule(index=indices, fault=faults)
    def fail(self, index: int, fault: str) -> None:
        self.faults[index] = fault

    @rule(silent=st.sampled_from([False, False, False, True]))
    def look(self, silent: bool) -> None:
        """The GPUs are looked at, and the scheduler has a turn; a ``silent`` one says nothing."""
        self.desk.wait(1)
        found = [as_seen(i, [*self.there[i].values()], self.faults[i]) for i in GPUS]
        if silent:
            found[0] = replace(a_gpu(0, SIZE), available=False, note="NVML: unknown error")
        self.desk.world.set_inventory(Inventory("nvml", tuple(found), taken=self.desk.now.boot))
        self.turn()

    @rule(order=orders)
    def order(self, order: Order) -> None:
        """One that is refused says what to do instead, and changes nothing."""
        before, refusal = self.desk.world.records.everything(), None
        try:
            self.desk.ask(order)
        except MgpuError as error:
            refusal = error
        if refusal is not None:
            assert refusal.hint
            assert self.desk.world.records.everything() == before

    @rule(count=st.integers(1, 2), mem=st.sampled_from([None, 5000]))
    def submit(self, count: int, mem: int | None) -> None:
        self.desk.submit(a_spec(count, mem))

    def turn(self) -> None:
        """Settle and schedule, as the daemon does; it ends."""
        world = self.desk.world
        open_ = {gpu.index for gpu in world.gpus.values() if gpu.available and not gpu.cleaning}
        for job, indices in self.desk.run().items():
            assert set(indices) <= open_
            self.desk.launched(job)
        drained = {drain.uuid for drain in world.records.all(Drain)}
        in_use = [gpu for gpu in world.gpus.values() if gpu.available]
        assert all(gpu.uuid not in drained and world.may_use(gpu) for gpu in in_use)
        self.check_kept()

    def check_kept(self) -> None:
        gpus_ = self.desk.world.inventory.gpus
        there = {(p.pid, p.ticks): p for gpu in gpus_ for p in gpu.processes if not p.job}
        known = self.desk.world.records
        assert all((one.pid, one.ticks) in there for one in known.all(Outsider))
        if all(gpu.available for gpu in gpus_):
            every = {(p.pid, p.ticks) for gpu in gpus_ for p in gpu.processes}
            assert all((one.pid, one.ticks) in every for one in known.all(Ignored))

    @rule(seconds=st.sampled_from([1, 30]))
    def wait(self, seconds: int) -> None:
        self.desk.wait(seconds)

    @rule(pick=st.integers(0, 9))
    def end(self, pick: int) -> None:
        """A job that runs ends."""
        running = [j for j in self.desk.world.placed.values() if isinstance(j.phase, Running)]
        if running:
            self.desk.end(running[pick % len(running)].id)

    @rule(boot=st.booleans())
    def restart(self, boot: bool) -> None:
        """The scheduler begins anew on what is stored; after a ``boot`` no job runs any more."""
        old = self.desk.world
        if boot:
            for job in list(old.placed.values()):
                self.desk.end(job.id)
        new = World(
            old.policy,
            old.inventory,
            jobs=old.jobs.values(),
            next_id=old.next_id,
            next_seq=old.next_seq,
            records=old.records.everything(),
        )
        if boot:
            forget_boot(new)
            assert not [drain for drain in new.records.all(Drain) if drain.fault]
        self.desk.world = new

    @invariant()
    def sound(self) -> None:
        check_invariants(self.desk.world)

    @invariant()
    def only_who_may_be_killed_is(self) -> None:
        world = self.desk.world
        spared = {(one.pid, one.ticks) for one in world.records.all(Ignored)}
        seen = {(p.pid, p.ticks, p.uid): p for gpu in world.gpus.values() for p in gpu.processes}
        for kill in kills(world, self.desk.now):
            process = seen[kill.pid, kill.ticks, kill.uid]
            assert kill.uid >= LEAST
            assert kill.ticks
            if kill.why == "leftover":
                assert process.job not in world.placed
            else:
                assert not process.job
                assert (kill.pid, kill.ticks) not in spared
                one = world.records.get(Outsider, f"{kill.pid}.{kill.ticks}")
                assert one is not None
                assert self.desk.now.boot - one.at >= GRACE


def as_seen(index: int, there: list[Process], fault: str) -> Gpu:
    """A GPU with these processes."""
    used = sum(max(0, process.memory) for process in there)
    outside = sum(max(0, process.memory) for process in there if not process.job)
    gpu = a_gpu(index, SIZE, outside=outside)
    return replace(gpu, used=used, processes=tuple(there), fault=fault)


TestServing = Serving.TestCase
TestServing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
