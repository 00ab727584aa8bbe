"""Which GPUs may be given out: the driver's word, administrators' orders and what jobs left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mgpu.core.book import Book
from mgpu.core.ledger import Ledger
from mgpu.core.policy import Policy
from mgpu.core.traces import Trace, Traces
from mgpu.model.gpu import (
    AVAILABLE,
    CLEANING,
    DIRTY,
    DRAINED,
    FAULTY,
    RESTRICTED,
    UNKNOWN,
    Gpu,
    Process,
)
from mgpu.model.job import Job
from mgpu.model.records import Base, Drain, Ignored, Restriction

#: The kinds of records that decide here.
GATES: Final = frozenset(kind.__name__ for kind in (Drain, Restriction, Ignored, Base))


class Gates:
    """Judges what is known of a GPU."""

    def __init__(
        self,
        records: Book,
        policy: Policy,
        traces: Traces,
        placed: Mapping[int, Job],
        ledger: Ledger,
        stuck: Mapping[int, tuple[int, ...]],
    ) -> None:
        self._drains = {drain.uuid: drain for drain in records.all(Drain)}
        self._ignored = {(one.pid, one.ticks) for one in records.all(Ignored)}
        self._bases = {base.uuid: base.used for base in records.all(Base)}
        self._restriction = records.get(Restriction, "gpus")
        self._policy = policy
        self._traces = traces
        self._placed = placed
        self._ledger = ledger
        self._stuck = stuck

    def judged(self, gpu: Gpu) -> Gpu:
        """The GPU with its outsiders counted, and with the first thing that keeps jobs off it."""
        outside = self._outside(gpu)
        gpu = replace(gpu, outside=outside, foreign=self._foreign(gpu, outside))
        if not gpu.available:
            return replace(gpu, state=FAULTY if gpu.fault else UNKNOWN)
        state, why = self._order_against(gpu)
        if why:
            return replace(gpu, available=False, note=why, state=state)
        if why := hung(gpu.uuid, self._ledger, self._stuck):
            return replace(gpu, available=False, note=f"dirty: {why}", state=DIRTY)
        trace = self._traces.of(gpu.uuid)
        if trace is None:
            return gpu
        if self._traces.taken - trace.since > self._policy.cleaning_limit:
            note = f"dirty: {left(gpu, trace, self._traces.taken)}"
            return replace(gpu, available=False, note=note, state=DIRTY)
        note = left(gpu, trace, self._traces.taken)
        return replace(gpu, cleaning=True, note=note, state=CLEANING)

    def may_use(self, gpu: Gpu) -> bool:
        """Whether it is among the GPUs that mgpu is to use at all."""
        if self._restriction is not None:
            return gpu.uuid in self._restriction.uuids
        devices = self._policy.devices
        return devices is None or gpu.index in devices

    def _order_against(self, gpu: Gpu) -> tuple[str, str]:
        if not self.may_use(gpu):
            return RESTRICTED, "not among the GPUs that mgpu may use"
        drain = self._drains.get(gpu.uuid) or self._drains.get(gpu.card)
        if drain is None:
            return AVAILABLE, ""
        broken = drain.broken and f"; it reported {drain.broken}"
        return FAULTY if drain.fault or broken else DRAINED, f"drained: {drain.reason}{broken}"

    def _outside(self, gpu: Gpu) -> int:
        """What is used by others than the jobs that hold the GPU, or held it until just now."""
        over = self._traces.jobs(gpu.uuid)
        holders = [job for job in self._ledger.on(gpu.uuid) if job.id not in over]
        theirs = {job.id for job in holders} | over
        measured = dict(gpu.measured)
        others = gpu.outside + sum(n for job, n in measured.items() if job not in theirs)
        if over:
            return others  # the rest is what is looked at anew until it is gone
        if not theirs or (gpu.told and theirs.isdisjoint(gpu.untold)):
            known = sum(n for job, n in measured.items() if job in theirs)
        elif not all(job.spec.shares for job in holders):
            return others  # all of it was promised: what is not known to be another's is theirs
        else:
            known = sum(max(job.spec.gpu_mem or 0, measured.get(job.id, 0)) for job in holders)
        return max(others, gpu.used - known)

    def _foreign(self, gpu: Gpu, outside: int) -> int:
        if self._policy.outsiders == "ignore":
            return 0
        strangers = [process for process in gpu.processes if not process.job]
        ignored = [one for one in strangers if (one.pid, one.ticks) in self._ignored]
        nobodys = min(self._bases.get(gpu.uuid, 0), max(0, outside - gpu.outside))
        if _explains_the_rest(ignored, strangers):
            strayed = sum(n for job, n in gpu.measured if self._strays(job, gpu))
            nobodys = max(0, outside - gpu.outside - strayed)
        foreign = max(0, outside - nobodys - sum(max(0, one.memory) for one in ignored))
        if any(self._strays(job, gpu) for job in gpu.untold):
            return max(foreign, self._policy.unmanaged_ignore + 1)  # it may be as much as it likes
        return foreign

    def _strays(self, number: int, gpu: Gpu) -> bool:
        """Whether a job was given other GPUs."""
        job = self._placed.get(number)
        return job is not None and gpu.uuid not in job.gpus


def _explains_the_rest(ignored: list[Process], strangers: list[Process]) -> bool:
    """Whether what nobody is known to use can be that of ignored processes alone."""
    untold = [one for one in strangers if one.memory < 0]
    return bool(untold) and all(one in ignored for one in untold)


def left(gpu: Gpu, trace: Trace, taken: float) -> str:
    """What a job left of which a GPU has a trace, as it was seen when last looked at."""
    if trace.pids:
        return f"{_named(trace.pids)} of job {trace.job} still there"
    if trace.since >= taken:
        return f"job {trace.job} has just ended"
    return f"{gpu.used} MiB in use after the end of job {trace.job}"


def hung(uuid: str, ledger: Ledger, stuck: Mapping[int, tuple[int, ...]]) -> str:
    """What outlives SIGKILL of a job that holds a GPU, nothing where all is well."""
    for job in ledger.on(uuid):
        if stuck.get(job.id):
            return f"{_named(stuck[job.id])} of job {job.id} cannot be killed"
    return ""


def hangs(pids: tuple[int, ...]) -> str:
    """``pid 42 cannot be killed``; nothing where there is none."""
    return f"{_named(pids)} cannot be killed" if pids else ""


def _named(pids: tuple[int, ...]) -> str:
    rest = len(pids) - 3
    more = f" and {rest} more" if rest > 0 else ""
    return ", ".join(f"pid {pid}" for pid in pids[:3]) + more
