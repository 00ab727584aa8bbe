"""Everything the core knows, and the indices that make its questions cheap.

Only ``core.lifecycle`` changes jobs; it keeps the indices right through the methods here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from mgpu.core.book import Book
from mgpu.core.dependents import Dependents
from mgpu.core.gates import Gates
from mgpu.core.ledger import Ledger
from mgpu.core.machine import Machine
from mgpu.core.outlook import Outlook
from mgpu.core.placement import Room
from mgpu.core.policy import Policy
from mgpu.core.queue import Queue
from mgpu.core.roster import Roster
from mgpu.core.share import commitment
from mgpu.core.tally import Tally, memory_of
from mgpu.core.traces import Traces
from mgpu.model.gpu import NOTHING_READ, Gpu, Inventory, Topology
from mgpu.model.job import Ended, Job, Pending
from mgpu.model.records import Array, Base, Membership, Quota, Record
from mgpu.model.runs import Run
from mgpu.model.time import Now

#: The first Unix time after a given one that a cron expression names in a time zone.
NextRun = Callable[[str, str, float], float]

NO_GPUS = Inventory("none", ())


class World:
    """The active jobs, the GPUs, and who waits for and holds what.

    ``jobs`` holds the active ones by id, ``placed`` those of them with an attempt under way.
    ``pending_of`` counts each user's jobs that wait, ``back_of`` those of them that have run.
    ``generation`` grows with every change, so that what was derived can be recognised as old.
    ``records`` are reservations, quotas and the like; ``due`` are the jobs with a
    deadline, ``over`` the jobs that ended and whose
    consequences for others are not drawn yet (see ``core.settle``), ``closed`` the attempts that
    are over and not stored yet. ``derived`` is what modules
    of the core remember of what they derived from it. ``stuck`` has the processes that outlive
    SIGKILL, by job. ``next_run`` knows the calendar.
    """

    def __init__(
        self,
        policy: Policy,
        inventory: Inventory = NO_GPUS,
        *,
        jobs: Iterable[Job] = (),
        next_id: int = 1,
        next_seq: int = 1,
        records: Iterable[Record] = (),
    ) -> None:
        self.policy = policy
        self.gpus: dict[str, Gpu] = {}
        self.inventory = NO_GPUS
        self.traces = Traces()
        self.machine = Machine()
        self.jobs: dict[int, Job] = {}
        self.placed: dict[int, Job] = {}
        self.queue = Queue()
        self.ledger = Ledger()
        self.tally = Tally()
        self.committed: dict[int, float] = {}
        self.pending_of: dict[int, int] = {}
        self.back_of: dict[int, int] = {}
        self.placed_of: dict[int, int] = {}
        self.arrays = Roster()
        self.dependents = Dependents()
        self.next_id = next_id
        self.next_seq = next_seq
        self.generation = 0
        self.outlook: Outlook | None = None
        self.changed: dict[int, Job] = {}
        self.over: list[Job] = []
        self.closed: list[Run] = []
        self.due: dict[int, Job] = {}
        self.records = Book(tuple(records))
        self.derived: dict[str, Any] = {}
        self.stuck: dict[int, tuple[int, ...]] = {}
        self.next_run: NextRun | None = None
        for base in self.records.all(Base):
            self.traces.accept(base.uuid, base.used)
        self._load(list(jobs))
        self.set_inventory(inventory)

    def _load(self, jobs: list[Job]) -> None:
        self.add({job.id: job for job in jobs})
        self.changed.clear()
        known = self.records.all(Array)
        self.arrays.empty.update(array.id for array in known if not self.arrays.has(array.id))
        for job in jobs:
            if not isinstance(job.phase, Pending):
                self.place(job)
        self.enqueue([job for job in jobs if isinstance(job.phase, Pending)])
        self.next_id = max([self.next_id, *(job.id + 1 for job in jobs)])
        self.next_seq = max([self.next_seq, *(job.seq + 1 for job in jobs)])

    def set_inventory(self, inventory: Inventory) -> bool:
        """Take over what is known of the GPUs; False when nothing is new but readings."""
        self.inventory, known = inventory, self.inventory
        self.traces.look(inventory, self.placed, self.ledger)
        changed = self.judge()
        if changed or known.topology != inventory.topology:
            self.machine = Machine(self.gpus.values(), inventory.topology)
            for job in self.placed.values():  # what a job has of a GPU follows from its size
                self.tally.give(job)
                self.tally.take(job, self._memory(job))
            self.generation += 1
        return changed or known.backend != inventory.backend

    def stick(self, key: tuple[int, int], pids: tuple[int, ...]) -> bool:
        """These processes of an attempt outlive SIGKILL; False when that is known, or it is over.

        Its GPUs are not given out before they are gone, and it with them.
        """
        job = self.placed.get(key[0])
        if job is None or job.attempt != key[1] or self.stuck.get(job.id, ()) == pids:
            return False
        self.stuck[job.id] = pids
        self.judge()
        return True

    def judge(self) -> bool:
        """Say anew of each GPU whether it may be given out; False when nothing is new."""
        found = sorted(self.inventory.gpus, key=lambda gpu: gpu.index)
        gates = self._gates()
        gpus = {gpu.uuid: gates.judged(gpu) for gpu in found}
        changed = self.gpus.keys() != gpus.keys() or any(
            replace(gpu, reading=NOTHING_READ) != replace(gpus[uuid], reading=NOTHING_READ)
            for uuid, gpu in self.gpus.items()
        )
        self.gpus = gpus
        self.generation += changed
        return changed

    def may_use(self, gpu: Gpu) -> bool:
        """Whether mgpu is to use this GPU at all, as ordered or configured."""
        return self._gates().may_use(gpu)

    def _gates(self) -> Gates:
        known = (self.traces, self.placed, self.ledger, self.stuck)
        return Gates(self.records, self.policy, *known)

    @property
    def backend(self) -> str:
        """Where the knowledge of the GPUs comes from."""
        return self.inventory.backend

    @property
    def topology(self) -> Topology:
        """How the GPUs reach each other, by index."""
        return self.inventory.topology

    def set_policy(self, policy: Policy) -> None:
        """Take over other rules; what runs keeps the limits it was started with."""
        placed = list(self.placed.values())
        for job in placed:
            self._commit(job, -1)
        self.policy = policy
        for job in placed:
            self._commit(job, 1)
        self.queue.forget_ranks()
        self.generation += 1

    @property
    def has_quotas(self) -> bool:
        """Whether any quota is set."""
        return bool(self.records.all(Quota))

    def groups_of(self, uid: int) -> tuple[str, ...]:
        """The names of a user's groups, as they were when they last submitted."""
        known = self.records.get(Membership, uid)
        return known.groups if known is not None else ()

    def rooms(self) -> list[Room]:
        """What each GPU can take now, in index order; the caller may fill them."""
        ledger, policy, machine = self.ledger, self.policy, self.machine
        return [ledger.room(gpu, policy, machine) for gpu in self.gpus.values()]

    def move_on(self, started: int = 0) -> None:
        """Count a change; ``started`` is the job whose start it was.

        What the last pass foresaw, its own starts, does not make its outlook old.
        """
        seen = self.outlook
        if seen is not None and seen.generation == self.generation and started in seen.started:
            seen.generation += 1
        self.generation += 1

    def take_changed(self) -> list[Job]:
        """The jobs that changed since the last call, ended ones included, for the store."""
        changed = list(self.changed.values())
        self.changed.clear()
        return changed

    def take_closed(self) -> list[Run]:
        """The attempts that are over since the last call, for the store."""
        closed, self.closed = self.closed, []
        return closed

    def add(self, jobs: dict[int, Job]) -> None:
        """Take in new jobs, by id; ``enqueue`` them next."""
        self.jobs.update(jobs)
        for job in jobs.values():
            if job.array:
                self.arrays.add(job)
            if job.spec.deadline is not None:
                self.due[job.id] = job
        self.dependents.arrive(jobs.values())
        self.changed.update(jobs)

    def enqueue(self, jobs: list[Job]) -> None:
        """Index jobs that wait from now on."""
        for job in jobs:
            _add(self.pending_of, job.uid, 1)
            _add(self.back_of, job.uid, job.attempt > 0)
            self.tally.queue(job)
            if job.needs is not None:
                self.dependents.add(job)
        if len(jobs) == 1:
            self.queue.add(jobs[0])
        else:
            self.queue.extend(jobs)

    def dequeue(self, job: Job) -> None:
        """Forget the place of a waiting job, before its phase or place changes."""
        self.queue.remove(job)
        self.tally.unqueue(job)
        if job.needs is not None:
            self.dependents.remove(job)
        _add(self.pending_of, job.uid, -1)
        _add(self.back_of, job.uid, -(job.attempt > 0))

    def place(self, job: Job) -> None:
        """Index a job that has an attempt under way from now on."""
        self.placed[job.id] = job
        _add(self.placed_of, job.uid, 1)
        if job.array:
            self.arrays.place(job)
        self._commit(job, 1)
        self.ledger.take(job)
        self.tally.take(job, self._memory(job))

    def displace(self, job: Job, at: Now) -> None:
        """Give back what a job holds, before its phase changes."""
        del self.placed[job.id]
        was_stuck = self.stuck.pop(job.id, ())
        if self.policy.cleaning:
            self.traces.leave(job, at.boot)
        if job.array:
            self.arrays.displace(job)
        _add(self.placed_of, job.uid, -1)
        self._commit(job, -1)
        self.ledger.give(job)
        self.tally.give(job)
        if (self.policy.cleaning or was_stuck) and job.gpus:
            self.judge()

    def _commit(self, job: Job, sign: int) -> None:
        left = self.committed.get(job.uid, 0.0) + sign * commitment(job.spec, self.policy)
        if left > 0:
            self.committed[job.uid] = left
        else:
            self.committed.pop(job.uid, None)

    def _memory(self, job: Job) -> int:
        return memory_of(job.spec, [self.gpus[u].total for u in job.gpus if u in self.gpus])

    def touch(self, job: Job) -> None:
        """Note that a job changed; an ended one leaves."""
        self.changed[job.id] = job
        if isinstance(job.phase, Ended):
            self.jobs.pop(job.id, None)
            self.due.pop(job.id, None)
            self.over.append(job)
            if job.array:
                self.arrays.leave(job)
        self.dependents.note(job, over=not self.arrays.has(job.array))


def _add(counts: dict[int, int], uid: int, more: int) -> None:
    """Count; who has none is not listed."""
    count = counts.get(uid, 0) + more
    if count:
        counts[uid] = count
    else:
        counts.pop(uid, None)
