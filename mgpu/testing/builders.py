"""Small worlds in one line, and a desk that works them as the daemon does.

A test says only what matters to it; everything else has a plain default.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from mgpu.core.decide import Reply, decide
from mgpu.core.explain import reason_of
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import evolve
from mgpu.core.policy import Policy
from mgpu.core.requests import (
    AttemptEnded,
    AttemptRunning,
    Cancel,
    Report,
    Request,
    Submit,
)
from mgpu.core.schedule import schedule
from mgpu.core.settle import settle
from mgpu.core.wishes import Accepted
from mgpu.core.world import World
from mgpu.model.events import Event
from mgpu.model.gpu import Gpu, Inventory, Link, Topology
from mgpu.model.job import Job, JobSpec, Phase
from mgpu.model.time import Now

UID = 1000
EPOCH = 1_700_000_000.0


def at(seconds: float) -> Now:
    """``seconds`` after the start of the test, on both clocks."""
    return Now(EPOCH + seconds, 1000.0 + seconds)


def a_gpu(index: int, total: int = 24576, *, outside: int = 0) -> Gpu:
    """A GPU whose UUID is ``GPU-`` and its index."""
    return Gpu(f"GPU-{index}", index, "Test", total, outside, foreign=outside)


def an_inventory(*totals: int) -> Inventory:
    """GPUs with these sizes in MiB."""
    return Inventory("simulated", tuple(a_gpu(i, total) for i, total in enumerate(totals)))


def links(*groups: str) -> Topology:
    """Links of GPUs from one word for each: letters that two begin with alike join them.

    None: SYSTEM; one: NUMA; two: SWITCH; three or more: NVLINK. ``links("aaa", "aaa", "ab", "b")``.
    """
    row = range(len(groups))
    return tuple(tuple(_link(groups, one, other) for other in row) for one in row)


def _link(groups: tuple[str, ...], one: int, other: int) -> Link:
    if one == other:
        return Link.SELF
    pairs = zip(groups[one], groups[other], strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return Link(min(Link.SYSTEM + common, Link.NVLINK))


def a_spec(
    gpus: int = 1,
    mem: int | None = None,
    *,
    exclusive: bool = False,
    limit: int | None = None,
    requeue: bool = True,
    spec_id: int = 1,
    cpus: int = 0,
    host_mem: int = 0,
) -> JobSpec:
    """What a job asks for."""
    return JobSpec(
        spec_id, "train", "python train.py", "/home/u", gpus, mem, exclusive, limit, requeue,
        cpus=cpus, host_mem=host_mem,
    )  # fmt: skip


def a_job(number: int, phase: Phase, spec: JobSpec | None = None, *, attempt: int = 0) -> Job:
    """A job in ``phase``, of the usual user."""
    spec = spec or a_spec()
    return Job(number, UID, "u", spec, EPOCH, number, phase, attempt=attempt)


class Desk:
    """A world with a clock. Every step checks the invariants; ``log`` holds the events so far."""

    def __init__(self, *totals: int, policy: Policy | None = None) -> None:
        self.world = World(policy or Policy(), an_inventory(*totals))
        self.now = at(0)
        self.log: list[Event] = []

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now = Now(self.now.wall + seconds, self.now.boot + seconds)

    def ask(self, request: Request) -> Reply:
        """Decide and evolve one request."""
        decision = decide(self.world, request, self.now)
        self.apply(*decision.events)
        return decision.reply

    def apply(self, *events: Event) -> None:
        """Evolve events and check the world."""
        for event in events:
            evolve(self.world, event)
        self.log += events
        check_invariants(self.world)

    def submit(
        self, spec: JobSpec | None = None, *, uid: int = UID, priority: int = 0, count: int = 1
    ) -> int:
        """Submit jobs; the id of the first."""
        user = f"u{uid}"
        reply = self.ask(Submit(uid, user, spec or a_spec(), priority, count))
        assert isinstance(reply, Accepted)  # noqa: S101 - a builder is part of the tests
        return reply.first

    def cancel(self, *jobs: int, uid: int = UID) -> Reply:
        """Cancel jobs as their owner."""
        return self.ask(Cancel(jobs, uid))

    def run(self) -> dict[int, tuple[int, ...]]:
        """One pass; the jobs it started and the indices of their GPUs."""
        while events := settle(self.world, self.now):
            self.apply(*events)
        plan = schedule(self.world, self.now)
        self.apply(*plan.events)
        index = {uuid: gpu.index for uuid, gpu in self.world.gpus.items()}
        return {start.job: tuple(index[uuid] for uuid in start.gpus) for start in plan.starts}

    def launched(self, *jobs: int) -> None:
        """The programs of these jobs run now."""
        for job in jobs:
            self.ask(AttemptRunning(job, self.job(job).attempt, 4000 + job, 77, self.now))

    def end(
        self, number: int, code: int | None = 0, signal: int | None = None, cause: str = "exit"
    ) -> Job:
        """The current attempt of a job is over; the job as it is then."""
        job = self.job(number)
        self.ask(AttemptEnded(number, job.attempt, code, signal, cause, "", self.now.wall))
        return job

    def report(self, kind: type[Report], number: int, *details: object) -> Job:
        """Any other report about the current attempt of a job; the job as it is then."""
        job = self.job(number)
        self.ask(kind(number, job.attempt, *details))  # type: ignore[arg-type]
        return job

    def job(self, number: int) -> Job:
        """An active job."""
        return self.world.jobs[number]

    def reason(self, number: int) -> tuple[str, str]:
        """Why it waits."""
        return reason_of(self.world, self.job(number), self.now)

    def set_gpus(self, *gpus: Gpu, links: Topology = ()) -> None:
        """These are the GPUs from now on, and how they reach each other."""
        self.world.set_inventory(Inventory("simulated", gpus, links))

    def set_gpu(
        self,
        index: int,
        *,
        outside: int | None = None,
        available: bool | None = None,
        note: str | None = None,
    ) -> None:
        """Change what is known of one GPU."""
        known = self.world.gpus[f"GPU-{index}"]
        new = replace(
            known,
            outside=known.outside if outside is None else outside,
            available=known.available if available is None else available,
            note=known.note if note is None else note,
        )
        gpus = {**self.world.gpus, known.uuid: new}
        self.world.set_inventory(self.inventory()._replace(gpus=tuple(gpus.values())))
        check_invariants(self.world)

    def renumber(self, order: dict[str, int]) -> None:
        """Give the GPUs other indices, as a boot can."""
        gpus = tuple(replace(self.world.gpus[uuid], index=index) for uuid, index in order.items())
        self.world.set_inventory(Inventory("simulated", gpus))

    def keep_gpus(self, count: int) -> bool:
        """Only the first ``count`` GPUs are seen from now on; whether that is news."""
        known = tuple(self.world.gpus.values())[:count]
        return self.world.set_inventory(Inventory("simulated", known))

    def inventory(self) -> Inventory:
        """The GPUs as they are known now."""
        return self.world.inventory
