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
from mgpu.model.job import Ended, JobSpec, Pending, Phase, Running, Starting, Stopping
from mgpu.model.states import ENDED
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
)

SPEC: Final = (
    Kind(
        1,
        JobSpec,
        (
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
        ),
    ),
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
    packed: bytes = msgpack.packb(record, default=_spec_id)
    return packed


def _spec_id(value: object) -> int:
    if isinstance(value, JobSpec):
        return value.spec_id
    raise TypeError(f"{value!r} cannot be stored")


def corrupt(where: str, what: str) -> StoreCorrupt:
    """The error for a row that cannot be trusted."""
    return StoreCorrupt(f"{where}: {what}", "restore a backup, or see docs/recovery.md")


_phases: Final = Codec("phase", PHASES)
_events: Final = Codec("event", EVENTS)
_specs: Final = Codec("spec", SPEC)


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


def _with_spec(event: Any, specs: Specs) -> list[Any]:
    values = [getattr(event, name) for name, _ in EVENTS[0].fields]
    values[5] = specs(values[5])
    return values
