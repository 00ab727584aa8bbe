"""The bytes of specs, phases, events and records, and back. What is stored: ``store.tables``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mgpu.model import events as ev
from mgpu.model import records as kept
from mgpu.model.job import JobSpec, Phase
from mgpu.store.codec import Codec, Specs
from mgpu.store.shapes import More
from mgpu.store.tables import EVENTS, MORE, PHASES, RECORD_CODEC, SPEC_CODEC, plain

_phases: Final = Codec("phase", PHASES, plain)
_events: Final = Codec("event", EVENTS, plain)
_specs: Final = SPEC_CODEC
_mores: Final = Codec("more", MORE, plain)


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
    return RECORD_CODEC.pack(record)


def unpack_record(data: bytes, where: str) -> kept.Record:
    """The record that the row ``where`` holds."""
    record: kept.Record = RECORD_CODEC.unpack(data, where)
    return record


def pack_event(event: ev.Event) -> bytes:
    """The bytes of an event."""
    return _events.pack(event)


def unpack_event(data: bytes, where: str, specs: Specs) -> ev.Event:
    """The event that the row ``where`` holds; ``specs`` finds the spec of a submission."""
    event: Any = _events.unpack(data, where)
    stored: ev.Event = event
    return replace(stored, spec=specs(event.spec)) if isinstance(stored, ev.Submitted) else stored
