"""What a store is: one atomic commit per turn, a load at the start, a few questions.

Everything that implements :class:`Store` passes ``tests/contract/test_store.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from mgpu.model.events import Audited, Event, Submitted
from mgpu.model.job import Job
from mgpu.model.records import Record
from mgpu.model.runs import Run
from mgpu.model.target import Name
from mgpu.model.tasks import Tasks

#: Answers to requests are kept for this long, and about this many for each user.
ANSWER_AGE: Final = 7 * 86400.0
ANSWERS_KEPT: Final = 1000
#: After so many new answers of one user the surplus ones are removed.
ANSWERS_SLACK: Final = 64


#: What tells who asked for something.
Asked = Audited | Submitted
#: What can be forgotten: jobs that have ended, attempts that are over, the audit trail.
FORGOTTEN: Final = ("jobs", "usage", "events")


class StoreError(Exception):
    """The store cannot do its work: ``message`` says what is wrong, ``hint`` what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class StoreFull(StoreError):
    """No space is left on the disk. Nothing of the batch was stored; the store goes on."""


class StoreCorrupt(StoreError):
    """What is stored cannot be trusted. The files are as they were."""


class StoreNewer(StoreError):
    """A later mgpu wrote the files. They are as they were."""


class StoreReadOnly(StoreError):
    """The folder or the file cannot be written."""


class StoreBusy(StoreError):
    """Another process has the store open."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one turn changes; stored as a whole or not at all.

    ``jobs`` are the full records after ``events``; the spec of a :class:`Submitted` is stored
    with it. ``payloads`` are launch payloads by spec id, ``drop_payloads`` the specs whose last
    active job has ended (an environment can hold secrets: it is not kept longer than is asked
    for), ``leave_payloads`` those of which it is kept for some time still. ``answers``
    are (uid, request key, reply). ``records`` are by class name and key; None removes one.
    ``runs`` are the attempts that are over, for the history.
    ``at`` is the Unix time of the turn.
    """

    at: float
    events: Sequence[Event] = ()
    jobs: Sequence[Job] = ()
    payloads: Mapping[int, bytes] = field(default_factory=dict)
    answers: Sequence[tuple[int, str, Mapping[str, Any]]] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    drop_payloads: Sequence[int] = ()
    leave_payloads: Sequence[int] = ()
    records: Mapping[tuple[str, str], Record | None] = field(default_factory=dict)
    runs: Sequence[Run] = ()

    @property
    def new_work(self) -> bool:
        """Whether it enlarges the queue; such a batch is refused first when space runs out."""
        return any(isinstance(event, Submitted) for event in self.events)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was durable: the active jobs by id, and the next numbers to give out.

    ``next_seq`` is greater than every active job's. ``boot_id`` is the value last stored under
    that name in ``meta`` ("" at the very first start).
    """

    jobs: list[Job]
    next_id: int
    next_seq: int
    boot_id: str
    records: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which ended jobs to find; None means any. The newest end comes first.

    ``ids`` are those of records. ``names`` are what people write: the number of an array is all
    of it, and of a record with several tasks one is enough.
    """

    ids: Sequence[int] | None = None
    names: Sequence[Name] | None = None
    uids: Sequence[int] | None = None
    users: Sequence[str] | None = None
    states: Sequence[str] | None = None
    since: float | None = None
    limit: int = 1000


class Outcome(NamedTuple):
    """How some tasks of an array ended, and when (Unix time)."""

    tasks: Tasks
    state: str
    ended: float


class Leftover(NamedTuple):
    """A payload that no active job needs: whose it is, its bytes, since when (Unix time)."""

    spec: int
    uid: int
    size: int
    at: float


class Store(Protocol):
    """Where the scheduler keeps what must not be lost. Used from one thread."""

    def load(self) -> Loaded:
        """Everything that is active. Jobs of one submission share their spec object."""
        ...

    def commit(self, batch: Batch) -> None:
        """Make the batch durable, or raise and store nothing of it.

        :class:`StoreFull`: space has run out. A batch without new work may use a reserve that
        batches with new work leave alone; so take the new work out and try again.
        Any other :class:`StoreError`: the state on disk is unknown, stop.
        """
        ...

    def payload(self, spec_id: int) -> bytes:
        """The launch payload of a spec; raises :class:`StoreCorrupt` where there is none."""
        ...

    def payload_sizes(self) -> dict[int, int]:
        """The bytes of each launch payload that is kept, by spec."""
        ...

    def leftovers(self) -> list[Leftover]:
        """The payloads of ``leave_payloads`` that were not dropped since, the oldest first."""
        ...

    def answer(self, uid: int, key: str) -> dict[str, Any] | None:
        """What the request ``key`` of ``uid`` was answered, if that is still known."""
        ...

    def find(self, wanted: JobFilter) -> list[Job]:
        """Jobs that have ended, newest end first."""
        ...

    def job(self, job_id: int) -> Job | None:
        """One job, active or ended."""
        ...

    def newest(self, uid: int, limit: int) -> list[int]:
        """Ids of submissions of ``uid`` that are over or in part so, the newest first."""
        ...

    def outcomes(self, array: int, task: int | None = None) -> list[Outcome]:
        """The tasks of an array that have ended; ``task`` asks for the one it is in alone."""
        ...

    def runs(self, job_id: int) -> list[Run]:
        """The attempts of a job that are over, in order."""
        ...

    def history(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Event]]:
        """The audit trail in order: (number, event) with numbers greater than ``after``."""
        ...

    def events_of(self, jobs: Sequence[int], limit: int = 1000) -> list[Event]:
        """The newest events of these records, in order."""
        ...

    def first_event(self, job: int) -> Event | None:
        """The oldest event of this record."""
        ...

    def trail(self, before: int, span: int) -> tuple[list[Asked], int]:
        """Who asked for what, newest first: of the ``span`` events before number ``before``.

        Those are :class:`Audited` and :class:`Submitted`. ``before`` 0 begins with the newest
        event. The second is the number to go on with, 0 when there are no earlier events.
        """
        ...

    def hold_file(self, *, held: bool) -> None:
        """Keep the file of the database as it is, up to date, so that it can be copied."""
        ...

    def forget(self, what: str, before: float, limit: int, keep: Collection[int] = ()) -> int:
        """Remove what is older than ``before`` (Unix time), ``limit`` rows at most; how many.

        ``what`` is one of :data:`FORGOTTEN`. ``keep`` are jobs and arrays that stay.
        """
        ...

    def close(self) -> None:
        """Give the files back. What was committed stays."""
        ...
