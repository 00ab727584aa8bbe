"""How values inside of stored ones are read back; :func:`mgpu.store.tables.plain` wrote them."""

from __future__ import annotations

from typing import Any, NamedTuple

from mgpu.model.dependency import Condition, Dependency
from mgpu.model.job import Change, Sizes
from mgpu.model.notice import Notify
from mgpu.model.sweep import Sweep
from mgpu.model.tasks import Tasks
from mgpu.store.codec import flag, integer, number, or_none, text, texts


class More(NamedTuple):
    """What few jobs have, kept apart from the columns that all have."""

    failures: int = 0
    tasks: Tasks | None = None
    held: str = ""
    begin: float = 0.0
    needs: Dependency | None = None
    extension: int = 0
    crashes: int = 0
    peaks: tuple[tuple[str, int], ...] = ()
    note: str = ""
    altered: Change | None = None


def tasks(value: Any) -> Tasks:
    """The tasks of an array."""
    return Tasks(tuple((integer(a), integer(b), integer(c)) for a, b, c in value))


def sweep(value: Any) -> Sweep:
    """The parameters of a sweep."""
    return Sweep(tuple((texts(names), tuple(texts(row) for row in rows)) for names, rows in value))


def dependency(value: Any) -> Dependency:
    """What a job waits for."""
    any_of, conditions = value
    return Dependency(tuple(map(_condition, conditions)), flag(any_of))


def _condition(value: Any) -> Condition:
    kind, job, task, delay, ripe, never = value
    where = (integer(job), integer(task))
    return Condition(text(kind), *where, integer(delay), number(ripe), text(never))


def peaks(value: Any) -> Any:
    """The most MiB of each GPU."""
    return tuple((text(uuid), integer(memory)) for uuid, memory in value)


def notify(value: Any) -> Notify:
    """Whom a job tells of what."""
    events, targets, each = value
    return Notify(texts(events), texts(targets), flag(each))


def sizes(value: Any) -> Sizes:
    """GPUs, memory of each, memory of the machine."""
    gpus, gpu_mem, host_mem = value
    return (integer(gpus), or_none(integer)(gpu_mem), integer(host_mem))


def altered(value: Any) -> Change:
    """A time limit and a class, as states up to version 5 have them; and sizes."""
    limit, qos, *more = value
    (given,) = more or (None,)
    return (or_none(integer)(limit), text(qos), or_none(sizes)(given))
