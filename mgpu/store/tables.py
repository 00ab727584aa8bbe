"""What is stored of each kind of value: its number, its class, its fields in stored order.

Pinned byte for byte by ``tests/golden/state``. A number that was once given to a kind is never
used for another one. Of several kinds of one class the last one is written; all are read.
"""

from __future__ import annotations

from typing import Any, Final

from mgpu.model import events as ev
from mgpu.model import records as kept
from mgpu.model.dependency import Condition, Dependency
from mgpu.model.job import Ended, JobSpec, Pending, Running, Starting, Stopping
from mgpu.model.notice import Notify
from mgpu.model.sweep import Sweep
from mgpu.model.tasks import Tasks
from mgpu.store import shapes
from mgpu.store.codec import (
    Codec,
    Kind,
    check_uid,
    end_state,
    flag,
    integer,
    now,
    number,
    or_none,
    pair,
    text,
    texts,
)


def _record(value: Any) -> Any:
    return RECORD_CODEC.unpack(value, "event")


_AT: Final = ("at", now)
_JOB: Final = ("job", integer)
_ATTEMPT: Final = ("attempt", integer)
_UID: Final = ("uid", check_uid)
_GPUS: Final = ("gpus", texts)
_CODE: Final = ("code", or_none(integer))
_SIGNAL: Final = ("signal", or_none(integer))
_DETAIL: Final = ("detail", text)
_HELD: Final = ("held", text)
_BEGIN: Final = ("begin", number)
_NEEDS: Final = ("needs", or_none(shapes.dependency))
_TASKS: Final = ("tasks", or_none(shapes.tasks))
_PEAKS: Final = ("peaks", shapes.peaks)

_PROCESS: Final = (("pid", integer), ("ticks", integer))
_STOPPING_1: Final = (_GPUS, ("by", check_uid), ("started", or_none(now)), *_PROCESS)
_STOPPING_2: Final = (*_STOPPING_1, ("preempted", integer))
PHASES: Final = (
    Kind(1, Pending, (("since", number), ("eligible", number), ("reason", text), _DETAIL)),
    Kind(2, Starting, (_GPUS, ("decided", now))),
    Kind(3, Running, (_GPUS, ("started", now), *_PROCESS)),
    Kind(4, Stopping, _STOPPING_1),
    Kind(6, Stopping, _STOPPING_2),
    Kind(7, Stopping, (*_STOPPING_2, ("cause", text), _DETAIL)),
    Kind(
        5,
        Ended,
        (
            ("state", end_state),
            ("ended", number),
            ("started", or_none(number)),
            _CODE,
            _SIGNAL,
            _DETAIL,
            _GPUS,
        ),
    ),
)

_SUBMITTED_1: Final = (
    _AT,
    _JOB,
    ("count", integer),
    _UID,
    ("user", text),
    ("spec", integer),
    ("priority", integer),
)
_ALTERED: Final = (_AT, _JOB, _UID, ("time_limit", or_none(integer)), ("qos", text))
EVENTS: Final = (
    Kind(1, ev.Submitted, _SUBMITTED_1),
    Kind(2, ev.Started, (_AT, _JOB, _ATTEMPT, _GPUS)),
    Kind(3, ev.Launched, (_AT, _JOB, _ATTEMPT, *_PROCESS)),
    Kind(4, ev.CancelRequested, (_AT, _JOB, _UID)),
    Kind(
        5,
        ev.Deferred,
        (
            _AT,
            _JOB,
            _ATTEMPT,
            ("eligible", number),
            ("reason", text),
            _DETAIL,
            ("counted", flag),
        ),
    ),
    Kind(6, ev.Requeued, (_AT, _JOB, _ATTEMPT, ("state", end_state))),
    Kind(7, ev.Finished, (_AT, _JOB, _ATTEMPT, ("state", end_state), _CODE, _SIGNAL, _DETAIL)),
    Kind(8, ev.PriorityChanged, (_AT, _JOB, _UID, ("priority", integer))),
    Kind(9, ev.Submitted, (*_SUBMITTED_1, _TASKS, _HELD, _BEGIN, _NEEDS)),
    Kind(10, ev.Split, (_AT, _JOB, ("child", integer), ("tasks", shapes.tasks))),
    Kind(11, ev.Held, (_AT, _JOB, _UID, _HELD)),
    Kind(12, ev.Released, (_AT, _JOB, _UID, _BEGIN)),
    Kind(13, ev.DependencyChanged, (_AT, _JOB, _NEEDS)),
    Kind(14, ev.Refused, (_AT, _JOB, ("reason", text), _DETAIL)),
    Kind(15, ev.Preempted, (_AT, _JOB, _ATTEMPT, ("by", integer))),
    Kind(16, ev.Retried, (_AT, _JOB, _ATTEMPT, _CODE, _SIGNAL, ("eligible", number))),
    Kind(17, ev.Extended, (_AT, _JOB, _ATTEMPT, ("extension", integer))),
    Kind(18, ev.Recorded, (_AT, _UID, ("record", _record))),
    Kind(19, ev.Erased, (_AT, _UID, ("kind", text), ("key", text))),
    Kind(20, ev.Evicted, (_AT, _JOB, _ATTEMPT, ("cause", text), _DETAIL)),
    Kind(21, ev.Measured, (_AT, _JOB, _ATTEMPT, _PEAKS)),
    Kind(22, ev.Noted, (_AT, _JOB, _ATTEMPT, ("text", text))),
    Kind(24, ev.Altered, _ALTERED),
    Kind(25, ev.Altered, (*_ALTERED, ("sizes", or_none(shapes.sizes)))),
    Kind(23, ev.Audited, (_AT, _UID, ("op", text), ("about", text), ("result", text))),
)

_SPEC_1: Final = (
    ("spec_id", integer),
    ("name", text),
    ("command", text),
    ("cwd", text),
    ("gpus", integer),
    ("gpu_mem", or_none(integer)),
    ("exclusive", flag),
    ("time_limit", or_none(integer)),
    ("requeue", flag),
    ("signal", or_none(pair)),
)

_SPEC_2: Final = (
    *_SPEC_1,
    ("project", text),
    ("qos", text),
    ("gpu_type", text),
    ("gpu_uuids", texts),
    ("min_gpu_total", integer),
    ("min_capability", pair),
    ("cpus", integer),
    ("host_mem", integer),
    ("deadline", or_none(number)),
    ("retries", integer),
    ("kill_on_invalid_dep", flag),
    ("sweep", or_none(shapes.sweep)),
    ("name_template", text),
)

_SPEC_3: Final = (*_SPEC_2, ("output", text), ("error", text))

SPEC: Final = (
    Kind(1, JobSpec, _SPEC_1),
    Kind(2, JobSpec, _SPEC_2),
    Kind(3, JobSpec, _SPEC_3),
    Kind(4, JobSpec, (*_SPEC_3, ("notify", or_none(shapes.notify)))),
)


_MORE_1: Final = (
    ("failures", integer),
    _TASKS,
    _HELD,
    _BEGIN,
    _NEEDS,
    ("extension", integer),
    ("crashes", integer),
)

_MORE_2: Final = (*_MORE_1, _PEAKS, ("note", text))
_MORE_3: Final = (*_MORE_2, ("altered", or_none(shapes.altered)))
_MORES: Final = enumerate((_MORE_1, _MORE_2, _MORE_3), start=1)
MORE: Final = tuple(Kind(number, shapes.More, fields) for number, fields in _MORES)

_UIDS: Final = (("id", integer), _UID)


def _whole_spec(value: Any) -> Any:
    return SPEC_CODEC.unpack(value, "record")


_RECURRING_1: Final = (
    *_UIDS,
    ("user", text),
    ("spec", _whole_spec),
    ("priority", integer),
    ("cron", text),
    ("zone", text),
    ("next", number),
    ("paused", flag),
    ("overlap", text),
    ("missed", text),
    ("active", integer),
    ("left_out", integer),
    ("note", text),
)

_ARRAY_1: Final = (
    *_UIDS,
    ("total", integer),
    ("max_concurrent", integer),
    ("done", integer),
    ("failed", integer),
)

_DRAIN_1: Final = (
    ("uuid", text),
    ("reason", text),
    ("by", check_uid),
    ("at", number),
    ("fault", flag),
)

RECORDS: Final = (
    Kind(1, kept.Array, _ARRAY_1),
    Kind(9, kept.Array, (*_ARRAY_1, ("first", integer), ("last", integer))),
    Kind(2, kept.Usage, (("account", text), ("gpu_seconds", number), ("at", number))),
    Kind(
        3,
        kept.Reservation,
        (
            ("id", integer),
            ("name", text),
            ("by", check_uid),
            ("start", number),
            ("duration", integer),
            ("count", integer),
            _GPUS,
            ("users", texts),
            ("groups", texts),
            ("projects", texts),
            ("cron", text),
            ("zone", text),
            ("preempt", flag),
        ),
    ),
    Kind(
        4,
        kept.Quota,
        (
            ("subject", text),
            ("running_gpus", or_none(integer)),
            ("running_jobs", or_none(integer)),
            ("gpu_memory", or_none(integer)),
            ("queued_jobs", or_none(integer)),
            ("gpu_hours", or_none(number)),
            ("period", integer),
            ("since", number),
        ),
    ),
    Kind(5, kept.Recurring, _RECURRING_1),
    Kind(15, kept.Recurring, (*_RECURRING_1, ("by_admin", flag))),
    Kind(6, kept.Membership, (_UID, ("groups", texts))),
    Kind(
        7,
        kept.Spending,
        (("subject", text), ("since", number), ("gpu_seconds", number)),
    ),
    Kind(8, kept.Counter, (("name", text), ("last", integer))),
    Kind(10, kept.Drain, _DRAIN_1),
    Kind(16, kept.Drain, (*_DRAIN_1, ("broken", text))),
    Kind(20, kept.Closure, (("reason", text), ("by", check_uid), ("at", number), ("stop", flag))),
    Kind(11, kept.Restriction, (("uuids", texts), ("by", check_uid))),
    Kind(12, kept.Ignored, (*_PROCESS, ("by", check_uid))),
    Kind(13, kept.Excused, (("uuid", text), ("fault", text))),
    Kind(17, kept.Base, (("uuid", text), ("used", integer), ("by", check_uid))),
    Kind(14, kept.Outsider, (*_PROCESS, _UID, ("gpu", text), ("memory", integer), ("at", number))),
    Kind(
        18,
        kept.Notice,
        (
            *_UIDS,
            *((name, text) for name in ("lane", "event", "about", "target", "body")),
            ("at", number),
            ("due", number),
            ("tries", integer),
            ("sent", number),
            ("done", flag),
        ),
    ),
    Kind(
        19,
        kept.Seen,
        (
            _JOB,
            _ATTEMPT,
            *((name, number) for name in ("seconds", "memory", "told", "busy", "idle")),
        ),
    ),
)


def plain(value: object) -> Any:
    """What msgpack stores of a value inside another one; a spec is stored as its id."""
    if isinstance(value, JobSpec):
        return value.spec_id
    if isinstance(value, Tasks):
        return value.ranges
    if isinstance(value, Sweep):
        return value.axes
    if isinstance(value, Notify):
        return [value.events, value.targets, value.tasks]
    if isinstance(value, Dependency):
        return [value.any_of, value.conditions]
    if isinstance(value, Condition):
        return [value.kind, value.job, value.task, value.delay, value.ripe, value.never]
    if isinstance(value, kept.Record):
        return RECORD_CODEC.pack(value)
    raise TypeError(f"{value!r} cannot be stored")


def _plain_of_record(value: object) -> Any:
    """As :func:`plain`; but a record holds its spec itself, since no job may be left to hold it."""
    return SPEC_CODEC.pack(value) if isinstance(value, JobSpec) else plain(value)


SPEC_CODEC: Final = Codec("spec", SPEC, plain)
RECORD_CODEC: Final = Codec("record", RECORDS, _plain_of_record)
