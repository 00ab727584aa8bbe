"""How specs, phases and events lie in the database: msgpack arrays ``[version, kind, field...]``.

The kinds and their fields are the tables below, pinned byte for byte by ``tests/golden/state``.
A number that was once given to a kind is never used for another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgpack

from mgpu.model import events as ev
from mgpu.model import records as kept
from mgpu.model.dependency import Condition, Dependency
from mgpu.model.job import Ended, JobSpec, Pending, Phase, Running, Starting, Stopping
from mgpu.model.states import ENDED
from mgpu.model.sweep import Sweep
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from mgpu.store.base import StoreCorrupt

VERSION: Final = 1

Check = Callable[[Any], Any]
Specs = Callable[[int], JobSpec]


def _integer(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError(f"expected an integer, got {value!r}")
    return value


def _number(value: Any) -> Any:
    if type(value) not in (float, int) or not math.isfinite(value):
        raise ValueError(f"expected a number, got {value!r}")
    return value


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def _flag(value: Any) -> Any:
    if type(value) is not bool:
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _now(value: Any) -> Now:
    wall, boot = value
    return Now(_number(wall), _number(boot))


def _texts(value: Any) -> Any:
    if type(value) is not tuple or not all(type(item) is str for item in value):
        raise ValueError(f"expected a list of texts, got {value!r}")
    return value


def _pair(value: Any) -> Any:
    first, second = value
    return (_integer(first), _integer(second))


def _end_state(value: Any) -> Any:
    if value not in ENDED:
        raise ValueError(f"{value!r} is no state of a job that has ended")
    return value


def check_uid(value: Any) -> Any:
    """A uid that an account can have: -1 and what does not fit 32 bits mean "unchanged"."""
    if type(value) is not int or not 0 <= value < 2**32 - 1:
        raise ValueError(f"{value!r} is no uid")
    return value


def _tasks(value: Any) -> Tasks:
    return Tasks(tuple((_integer(a), _integer(b), _integer(c)) for a, b, c in value))


def _sweep(value: Any) -> Sweep:
    return Sweep(
        tuple((_texts(names), tuple(_texts(row) for row in rows)) for names, rows in value)
    )


def _dependency(value: Any) -> Dependency:
    any_of, conditions = value
    return Dependency(tuple(map(_condition, conditions)), _flag(any_of))


def _condition(value: Any) -> Condition:
    kind, job, task, delay, ripe = value
    return Condition(_text(kind), _integer(job), _integer(task), _integer(delay), _number(ripe))


def _record(value: Any) -> Any:
    return unpack_record(value, "event")


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


class Kind(NamedTuple):
    """One row of the tables: its number, its class, its fields in stored order."""

    number: int
    cls: Any
    fields: tuple[tuple[str, Check], ...]


_AT: Final = ("at", _now)
_JOB: Final = ("job", _integer)
_ATTEMPT: Final = ("attempt", _integer)
_UID: Final = ("uid", check_uid)
_GPUS: Final = ("gpus", _texts)
_CODE: Final = ("code", _or_none(_integer))
_SIGNAL: Final = ("signal", _or_none(_integer))
_DETAIL: Final = ("detail", _text)
_HELD: Final = ("held", _text)
_BEGIN: Final = ("begin", _number)
_NEEDS: Final = ("needs", _or_none(_dependency))
_TASKS: Final = ("tasks", _or_none(_tasks))

PHASES: Final = (
    Kind(1, Pending, (("since", _number), ("eligible", _number), ("reason", _text), _DETAIL)),
    Kind(2, Starting, (_GPUS, ("decided", _now))),
    Kind(3, Running, (_GPUS, ("started", _now), ("pid", _integer), ("ticks", _integer))),
    Kind(
        4,
        Stopping,
        (
            _GPUS,
            ("by", check_uid),
            ("started", _or_none(_now)),
            ("pid", _integer),
            ("ticks", _integer),
        ),
    ),
    Kind(
        6,
        Stopping,
        (
            _GPUS,
            ("by", check_uid),
            ("started", _or_none(_now)),
            ("pid", _integer),
            ("ticks", _integer),
            ("preempted", _integer),
        ),
    ),
    Kind(
        5,
        Ended,
        (
            ("state", _end_state),
            ("ended", _number),
            ("started", _or_none(_number)),
            _CODE,
            _SIGNAL,
            _DETAIL,
            _GPUS,
        ),
    ),
)

EVENTS: Final = (
    Kind(
        1,
        ev.Submitted,
        (
            _AT,
            _JOB,
            ("count", _integer),
            _UID,
            ("user", _text),
            ("spec", _integer),
            ("priority", _integer),
        ),
    ),
    Kind(2, ev.Started, (_AT, _JOB, _ATTEMPT, _GPUS)),
    Kind(3, ev.Launched, (_AT, _JOB, _ATTEMPT, ("pid", _integer), ("ticks", _integer))),
    Kind(4, ev.CancelRequested, (_AT, _JOB, _UID)),
    Kind(
        5,
        ev.Deferred,
        (
            _AT,
            _JOB,
            _ATTEMPT,
            ("eligible", _number),
            ("reason", _text),
            _DETAIL,
            ("counted", _flag),
        ),
    ),
    Kind(6, ev.Requeued, (_AT, _JOB, _ATTEMPT, ("state", _end_state))),
    Kind(7, ev.Finished, (_AT, _JOB, _ATTEMPT, ("state", _end_state), _CODE, _SIGNAL, _DETAIL)),
    Kind(8, ev.PriorityChanged, (_AT, _JOB, _UID, ("priority", _integer))),
    Kind(
        9,
        ev.Submitted,
        (
            _AT,
            _JOB,
            ("count", _integer),
            _UID,
            ("user", _text),
            ("spec", _integer),
            ("priority", _integer),
            _TASKS,
            _HELD,
            _BEGIN,
            _NEEDS,
        ),
    ),
    Kind(10, ev.Split, (_AT, _JOB, ("child", _integer), ("tasks", _tasks))),
    Kind(11, ev.Held, (_AT, _JOB, _UID, _HELD)),
    Kind(12, ev.Released, (_AT, _JOB, _UID, _BEGIN)),
    Kind(13, ev.DependencyChanged, (_AT, _JOB, _NEEDS)),
    Kind(14, ev.Refused, (_AT, _JOB, ("reason", _text), _DETAIL)),
    Kind(15, ev.Preempted, (_AT, _JOB, _ATTEMPT, ("by", _integer))),
    Kind(16, ev.Retried, (_AT, _JOB, _ATTEMPT, _CODE, _SIGNAL, ("eligible", _number))),
    Kind(17, ev.Extended, (_AT, _JOB, _ATTEMPT, ("extension", _integer))),
    Kind(18, ev.Recorded, (_AT, _UID, ("record", _record))),
    Kind(19, ev.Erased, (_AT, _UID, ("kind", _text), ("key", _text))),
)

_SPEC_1: Final = (
    ("spec_id", _integer),
    ("name", _text),
    ("command", _text),
    ("cwd", _text),
    ("gpus", _integer),
    ("gpu_mem", _or_none(_integer)),
    ("exclusive", _flag),
    ("time_limit", _or_none(_integer)),
    ("requeue", _flag),
    ("signal", _or_none(_pair)),
)

SPEC: Final = (
    Kind(1, JobSpec, _SPEC_1),
    Kind(
        2,
        JobSpec,
        (
            *_SPEC_1,
            ("project", _text),
            ("qos", _text),
            ("gpu_type", _text),
            ("gpu_uuids", _texts),
            ("min_gpu_total", _integer),
            ("min_capability", _pair),
            ("cpus", _integer),
            ("host_mem", _integer),
            ("deadline", _or_none(_number)),
            ("retries", _integer),
            ("kill_on_invalid_dep", _flag),
            ("sweep", _or_none(_sweep)),
            ("name_template", _text),
        ),
    ),
)


class More(NamedTuple):
    """What few jobs have, kept apart from the columns that all have."""

    failures: int = 0
    tasks: Tasks | None = None
    held: str = ""
    begin: float = 0.0
    needs: Dependency | None = None
    extension: int = 0


MORE: Final = (
    Kind(
        1,
        More,
        (("failures", _integer), _TASKS, _HELD, _BEGIN, _NEEDS, ("extension", _integer)),
    ),
)

_UIDS: Final = (("id", _integer), _UID)
RECORDS: Final = (
    Kind(
        1,
        kept.Array,
        (
            *_UIDS,
            ("total", _integer),
            ("max_concurrent", _integer),
            ("done", _integer),
            ("failed", _integer),
        ),
    ),
    Kind(2, kept.Usage, (("account", _text), ("gpu_seconds", _number), ("at", _number))),
    Kind(
        3,
        kept.Reservation,
        (
            ("id", _integer),
            ("name", _text),
            ("by", check_uid),
            ("start", _number),
            ("duration", _integer),
            ("count", _integer),
            _GPUS,
            ("users", _texts),
            ("groups", _texts),
            ("projects", _texts),
            ("cron", _text),
            ("zone", _text),
            ("preempt", _flag),
        ),
    ),
    Kind(
        4,
        kept.Quota,
        (
            ("subject", _text),
            ("running_gpus", _or_none(_integer)),
            ("running_jobs", _or_none(_integer)),
            ("gpu_memory", _or_none(_integer)),
            ("queued_jobs", _or_none(_integer)),
            ("gpu_hours", _or_none(_number)),
            ("period", _integer),
            ("since", _number),
        ),
    ),
    Kind(
        5,
        kept.Recurring,
        (
            *_UIDS,
            ("user", _text),
            ("spec_id", _integer),
            ("cron", _text),
            ("zone", _text),
            ("next", _number),
            ("paused", _flag),
            ("overlap", _text),
            ("missed", _text),
            ("active", _integer),
            ("priority", _integer),
        ),
    ),
    Kind(6, kept.Membership, (_UID, ("groups", _texts))),
    Kind(
        7,
        kept.Spending,
        (("subject", _text), ("since", _number), ("gpu_seconds", _number)),
    ),
    Kind(8, kept.Counter, (("name", _text), ("last", _integer))),
)


class Codec:
    """Packs the values of one table and reads them back, checking every field."""

    def __init__(self, name: str, kinds: tuple[Kind, ...]) -> None:
        self.name = name
        self._by_class = {kind.cls: kind for kind in kinds}
        self._by_number = {kind.number: kind for kind in kinds}

    def pack(self, value: object) -> bytes:
        """The bytes of ``value``; a spec inside an event is stored as its id."""
        kind = self._by_class[type(value)]
        fields = [getattr(value, name) for name, _ in kind.fields]
        return _packb([VERSION, kind.number, *fields])

    def unpack(self, data: bytes, where: str) -> Any:
        """The value of ``data``; raises :class:`StoreCorrupt` naming ``where`` it was found."""
        try:
            return self._build(msgpack.unpackb(data, use_list=False))
        except StoreCorrupt:
            raise
        except Exception as error:  # msgpack raises many kinds; all mean the same here
            raise corrupt(where, f"{self.name}: {error}") from error

    def _build(self, record: Any) -> Any:
        version, number, *values = record
        if version != VERSION:
            raise ValueError(f"unknown record version {version!r}")
        kind = self._by_number.get(number)
        if kind is None:
            raise ValueError(f"unknown kind {number!r}")
        if len(values) != len(kind.fields):
            raise ValueError(f"{len(values)} fields instead of {len(kind.fields)}")
        checks = zip(kind.fields, values, strict=True)
        return kind.cls(*[check(value) for (_, check), value in checks])


def _packb(record: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(record, default=_plain)
    return packed


def _plain(value: object) -> Any:
    """What msgpack stores of a value inside another one; a spec is stored as its id."""
    if isinstance(value, JobSpec):
        return value.spec_id
    if isinstance(value, Tasks):
        return value.ranges
    if isinstance(value, Sweep):
        return value.axes
    if isinstance(value, Dependency):
        return [value.any_of, value.conditions]
    if isinstance(value, Condition):
        return [value.kind, value.job, value.task, value.delay, value.ripe]
    if isinstance(value, kept.Record):
        return pack_record(value)
    raise TypeError(f"{value!r} cannot be stored")


def corrupt(where: str, what: str) -> StoreCorrupt:
    """The error for a row that cannot be trusted."""
    return StoreCorrupt(f"{where}: {what}", "restore a backup, or see docs/recovery.md")


_phases: Final = Codec("phase", PHASES)
_events: Final = Codec("event", EVENTS)
_specs: Final = Codec("spec", SPEC)
_mores: Final = Codec("more", MORE)
_records_codec: Final = Codec("record", RECORDS)


def pack_phase(phase: Phase) -> bytes:
    """The bytes of a phase."""
    return _phases.pack(phase)


def unpack_phase(data: bytes, where: str) -> Phase:
    """The phase that the row ``where`` holds."""
    phase: Phase = _phases.unpack(data, where)
    return phase


def pack_spec(spec: JobSpec) -> bytes:
    """The bytes of a spec."""
    return _specs.pack(spec)


def unpack_spec(data: bytes, where: str) -> JobSpec:
    """The spec that the row ``where`` holds."""
    spec: JobSpec = _specs.unpack(data, where)
    return spec


def pack_more(more: More) -> bytes | None:
    """The bytes of what few jobs have; None where there is nothing of it."""
    return None if more == More() else _mores.pack(more)


def unpack_more(data: bytes | None, where: str) -> More:
    """What the row ``where`` holds."""
    more: More = More() if data is None else _mores.unpack(data, where)
    return more


def pack_record(record: kept.Record) -> bytes:
    """The bytes of a record."""
    return _records_codec.pack(record)


def unpack_record(data: bytes, where: str) -> kept.Record:
    """The record that the row ``where`` holds."""
    record: kept.Record = _records_codec.unpack(data, where)
    return record


def pack_event(event: ev.Event) -> bytes:
    """The bytes of an event."""
    return _events.pack(event)


def unpack_event(data: bytes, where: str, specs: Specs) -> ev.Event:
    """The event that the row ``where`` holds; ``specs`` finds the spec of a submission."""
    event: Any = _events.unpack(data, where)
    if isinstance(event, ev.Submitted):
        return ev.Submitted(*_with_spec(event, specs))
    result: ev.Event = event
    return result


_SUBMITTED: Final = EVENTS[8].fields


def _with_spec(event: Any, specs: Specs) -> list[Any]:
    values = [getattr(event, name) for name, _ in _SUBMITTED]
    values[5] = specs(values[5])
    return values
