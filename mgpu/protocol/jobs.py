"""Requests about what single jobs are and were, and signals to them."""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.model.units import MAX_SECONDS
from mgpu.protocol.fields import Fields, refuse
from mgpu.protocol.names import MAX_IDS

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


def parse_alter(fields: Fields) -> Alter:
    """A change of jobs."""
    jobs = fields.names("jobs", MAX_IDS)
    if not jobs:
        refuse("jobs", "names no job")
    limit = fields.maybe_integer("time_limit", 0, MAX_SECONDS)
    qos = fields.maybe_text("qos", _CLASS)
    if limit is None and qos is None:
        refuse("time_limit", "is missing, and so is qos: there is nothing to change")
    return Alter(jobs, limit, "" if qos == USUAL else qos)


def parse_history(fields: Fields) -> History:
    """The question for the history of a job."""
    return History(_one(fields))


def parse_submission(fields: Fields) -> Submission:
    """The question for a submission."""
    return Submission(_one(fields))


def _one(fields: Fields) -> Name:
    found = fields.names("jobs", 1)
    if not found:
        refuse("jobs", "names no job")
    return found[0]


def parse_signal(fields: Fields) -> Signal:
    """A signal."""
    jobs = fields.names("jobs", MOST_SIGNALLED)
    if not jobs:
        refuse("jobs", "names no job")
    number = fields.integer("signal", 1, _LAST_SIGNAL)
    return Signal(jobs, number, fields.boolean("leader", default=False))
