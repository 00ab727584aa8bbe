"""Requests about what single jobs are and were, and signals to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.model.units import MAX_MEMORY, MAX_SECONDS
from mgpu.protocol import names
from mgpu.protocol.fields import Fields, refuse
from mgpu.protocol.spec import LIMITS

#: Jobs that one signal may name.
MOST_SIGNALLED = 1000
_LAST_SIGNAL = 64
_CLASS = 64
#: What names the class of jobs that name none.
USUAL = "none"


@dataclass(frozen=True, slots=True)
class Signal:
    """Send the signal ``number`` to these jobs; with ``leader`` to their first process alone."""

    jobs: tuple[Name, ...]
    number: int
    leader: bool


@dataclass(frozen=True, slots=True)
class History:
    """What has happened to a job."""

    job: Name


@dataclass(frozen=True, slots=True)
class Submission:
    """What a job was submitted with."""

    job: Name


@dataclass(frozen=True, slots=True)
class Alter:
    """Give jobs another ``time_limit`` (seconds; 0: the machine's), ``qos`` or other sizes.

    Sizes are MiB; a ``gpu_mem`` of 0 means: the GPUs for itself. None is: as it is.
    """

    jobs: tuple[Name, ...]
    time_limit: int | None
    qos: str | None
    gpus: int | None
    gpu_mem: int | None
    host_mem: int | None


JobRequest = Alter | Signal | History | Submission


def _alter(fields: Fields) -> Alter:
    jobs = fields.jobs(names.MAX_IDS)
    limit = fields.maybe_integer("time_limit", 0, MAX_SECONDS)
    qos = fields.maybe_text("qos", _CLASS)
    gpus = fields.maybe_integer("gpus", 0, LIMITS.gpus)
    gpu_mem = fields.maybe_integer("gpu_mem", 0, MAX_MEMORY)
    host_mem = fields.maybe_integer("host_mem", 0, MAX_MEMORY)
    if (limit, qos, gpus, gpu_mem, host_mem) == (None,) * 5:
        refuse("time_limit", "is missing, and all others: there is nothing to change")
    return Alter(jobs, limit, "" if qos == USUAL else qos, gpus, gpu_mem, host_mem)


def _signal(fields: Fields) -> Signal:
    jobs = fields.jobs(MOST_SIGNALLED)
    number = fields.integer("signal", 1, _LAST_SIGNAL)
    return Signal(jobs, number, fields.boolean("leader", default=False))


PARSERS: dict[str, Callable[[Fields], JobRequest]] = {
    names.SIGNAL: _signal,
    names.ALTER: _alter,
    names.HISTORY: lambda fields: History(fields.jobs(1)[0]),
    names.SUBMISSION: lambda fields: Submission(fields.jobs(1)[0]),
}
