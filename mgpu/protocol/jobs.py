"""Requests about what single jobs are and were, and signals to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.model.units import MAX_SECONDS
from mgpu.protocol import names
from mgpu.protocol.fields import Fields, refuse

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
    """Give jobs another ``time_limit`` (seconds; 0: the machine's) or ``qos``; None: as it is."""

    jobs: tuple[Name, ...]
    time_limit: int | None
    qos: str | None


JobRequest = Alter | Signal | History | Submission


def _alter(fields: Fields) -> Alter:
    jobs = fields.jobs(names.MAX_IDS)
    limit = fields.maybe_integer("time_limit", 0, MAX_SECONDS)
    qos = fields.maybe_text("qos", _CLASS)
    if limit is None and qos is None:
        refuse("time_limit", "is missing, and so is qos: there is nothing to change")
    return Alter(jobs, limit, "" if qos == USUAL else qos)


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
