"""What jobs leave on GPUs: a GPU is given out again when its last job is seen to be gone."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

from mgpu.core.ledger import Ledger
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Job

#: MiB by which the use of an unused GPU may differ from what it was before.
SLACK: Final = 64


class Trace(NamedTuple):
    """``job`` ended at ``since`` (boot time) and ``pids`` are those of it that are still there.

    Without any, memory is in use for which nobody answers, or nobody has looked yet.
    """

    job: int
    since: float
    pids: tuple[int, ...] = ()


class Traces:
    """The jobs that are not known to have left, by GPU (UUID) and id.

    ``taken`` is when the GPUs were last looked at (boot time). ``unseen``: a job has given GPUs
    back of which nothing has been heard since.
    """

    def __init__(self) -> None:
        self.taken = 0.0
        self.unseen = False
        self._left: dict[str, dict[int, Trace]] = {}
        self._base: dict[str, int] = {}

    def of(self, uuid: str) -> Trace | None:
        """The oldest trace on a GPU."""
        return min(self._left.get(uuid, {}).values(), key=lambda trace: trace.since, default=None)

    def jobs(self, uuid: str) -> set[int]:
        """The jobs that are over and not known to have left a GPU."""
        return set(self._left.get(uuid, ()))

    def left(self, uuid: str) -> list[Trace]:
        """The jobs whose processes are on a GPU though they were over when it was looked at."""
        traces = self._left.get(uuid, {}).values()
        return [trace for trace in traces if trace.pids and trace.since < self.taken]

    def times(self) -> Iterator[float]:
        """Since when each job that is not known to have left is over (boot times)."""
        return (trace.since for jobs in self._left.values() for trace in jobs.values())

    def leave(self, job: Job, at: float) -> None:
        """A job gives its GPUs back."""
        for uuid in job.gpus:
            self._left.setdefault(uuid, {})[job.id] = Trace(job.id, at)
            self.unseen = True

    def accept(self, uuid: str, used: int) -> None:
        """So many MiB of a GPU are in use when nobody is there: jobs have not left them."""
        self._left.pop(uuid, None)
        self._base[uuid] = used

    def look(self, inventory: Inventory, placed: Container[int], ledger: Ledger) -> None:
        """Compare with what is there; ``placed`` are the jobs that may be."""
        self.taken, self.unseen = inventory.taken, False
        for gpu in inventory.gpus:
            if gpu.available:
                self._look_at(gpu, placed, unused=not ledger.on(gpu.uuid))
        for uuid in self._left.keys() - {gpu.uuid for gpu in inventory.gpus}:
            del self._left[uuid]

    def _look_at(self, gpu: Gpu, placed: Container[int], *, unused: bool) -> None:
        there = _pids(gpu, placed)
        left = self._left.pop(gpu.uuid, {})
        more = gpu.used - self._base.get(gpu.uuid, gpu.used)
        lost = unused and not gpu.processes and more > SLACK
        for job in there.keys() | left.keys():
            trace = left.get(job, Trace(job, self.taken))
            if job in there or lost or trace.since >= self.taken:
                kept = trace._replace(pids=there.get(job, ()))
                self._left.setdefault(gpu.uuid, {})[job] = kept
        if unused and not gpu.processes and gpu.uuid not in self._left:
            self._base[gpu.uuid] = gpu.used


def _pids(gpu: Gpu, placed: Container[int]) -> dict[int, tuple[int, ...]]:
    """The processes of jobs that are over, by job."""
    found: dict[int, tuple[int, ...]] = {}
    for process in gpu.processes:
        if process.job and process.job not in placed:
            found[process.job] = (*found.get(process.job, ()), process.pid)
    return found
