"""The stored form of specs, phases and events: pinned, checked on the way in."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.model import events as ev
from mgpu.model import job as jobs
from mgpu.store import records
from mgpu.store.base import StoreCorrupt
from tests.lib.golden import Golden
from tests.lib.samples import EVENTS, PHASES, spec

SPECS = {
    "plain": spec(1),
    "full": spec(2, gpus=4, gpu_mem=8000, exclusive=True, time_limit=60, signal=(10, 60)),
}


def lookup(spec_id: int) -> jobs.JobSpec:
    assert spec_id == 7
    found = EVENTS["Submitted"]
    assert isinstance(found, ev.Submitted)
    return found.spec


def test_every_kind_of_phase_and_event_has_a_sample() -> None:
    assert {type(phase) for phase in PHASES.values()} == set(jobs.Phase.__args__)
    assert {type(event) for event in EVENTS.values()} == set(ev.Event.__args__)


@pytest.mark.parametrize("name", sorted(PHASES))
def test_a_phase_comes_back(name: str, golden: Golden) -> None:
    data = records.pack_phase(PHASES[name])
    golden.check(f"state/phase-{name}.msgpack", data)
    assert records.unpack_phase(data, "here") == PHASES[name]


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_comes_back(name: str, golden: Golden) -> None:
    data = records.pack_event(EVENTS[name])
    golden.check(f"state/event-{name}.msgpack", data)
    assert records.unpack_event(data, "here", lookup) == EVENTS[name]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_spec_comes_back(name: str, golden: Golden) -> None:
    data = records.pack_spec(SPECS[name])
    golden.check(f"state/spec-{name}.msgpack", data)
    assert records.unpack_spec(data, "here") == SPECS[name]


def test_numbers_of_kinds_are_unique() -> None:
    for kinds in (records.PHASES, records.EVENTS, records.SPEC):
        assert len({kind.number for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("kind", [*records.PHASES, *records.EVENTS, *records.SPEC])
def test_a_kind_stores_every_field_of_its_class_in_order(kind: records.Kind) -> None:
    assert [name for name, _ in kind.fields] == list(kind.cls.__dataclass_fields__)


BAD_PHASES: list[tuple[Any, str]] = [
    (b"", "jobs row 5"),
    (b"\xc1", "jobs row 5"),
    ([], "jobs row 5"),
    (7, "jobs row 5"),
    ([2, 1, 0.0, 0.0, "", ""], "unknown record version 2"),
    ([1, 99], "unknown kind 99"),
    ([1, [1]], "jobs row 5"),
    ([1, 1, 0.0, 0.0, ""], "3 fields instead of 4"),
    ([1, 1, 0.0, 0.0, "", "", 1], "5 fields instead of 4"),
    ([1, 1, "soon", 0.0, "", ""], "expected a number, got 'soon'"),
    ([1, 1, math.nan, 0.0, "", ""], "expected a number, got nan"),
    ([1, 1, True, 0.0, "", ""], "expected a number, got True"),
    ([1, 1, 0.0, 0.0, 5, ""], "expected a text, got 5"),
    ([1, 2, "GPU-1", [1.0, 2.0]], "expected a list of texts"),
    ([1, 2, ["GPU-1"], [1.0]], "jobs row 5"),
    ([1, 3, [], [1.0, 2.0], True, 1], "expected an integer, got True"),
    ([1, 4, [], -1, None, 0, 0], "-1 is no uid"),
    ([1, 5, "RUNNING", 1.0, None, None, None, "", []], "'RUNNING' is no state"),
    ([1, 5, ["x"], 1.0, None, None, None, "", []], "jobs row 5"),
]


@pytest.mark.parametrize(("record", "words"), BAD_PHASES)
def test_a_damaged_record_is_refused_by_the_name_of_its_row(record: Any, words: str) -> None:
    data = record if isinstance(record, bytes) else msgpack.packb(record)
    with pytest.raises(StoreCorrupt, match="jobs row 5") as caught:
        records.unpack_phase(data, "jobs row 5")
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("uid", [-1, 2**32 - 1, 2**32, "0", True, None, 1.0])
def test_what_is_no_uid_is_refused(uid: object) -> None:
    with pytest.raises(ValueError, match="is no uid"):
        records.check_uid(uid)


def test_what_has_no_stored_form_cannot_be_packed() -> None:
    with pytest.raises(TypeError):
        records.pack_phase(jobs.Ended("FAILED", 1.0, code=object()))  # type: ignore[arg-type]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.tuples(st.just(1), st.integers(0, 9)).flatmap(
    lambda head: st.lists(PLAIN, max_size=9).map(lambda rest: msgpack.packb([*head, *rest]))
)


@given(st.binary(max_size=64) | RECORDS)
def test_bytes_are_a_record_or_are_refused(data: bytes) -> None:
    for unpack in (records.unpack_phase, records.unpack_spec):
        try:
            unpack(data, "row 1")
        except StoreCorrupt as error:
            assert error.message.startswith("row 1: ")  # noqa: PT017
