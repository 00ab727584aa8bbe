"""The stored form of specs, phases, events and records: pinned, checked on the way in."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.model import events as ev
from mgpu.model import job as jobs
from mgpu.model import records as kept
from mgpu.model.notice import Notify
from mgpu.store import records, shapes, tables
from mgpu.store.base import StoreCorrupt
from mgpu.store.codec import Kind, check_uid
from tests.lib.golden import FOLDER, Golden
from tests.lib.samples import EVENTS, NEEDS, PHASES, RECORDS, SAMPLE, SWEPT, TASKS, spec

SPECS = {
    "plain": spec(1),
    "full": spec(2, gpus=4, gpu_mem=8000, exclusive=True, time_limit=60, signal=(10, 60)),
    "swept": SWEPT,
    "logged": spec(4, output="out/%j.log", error="/tmp/%x-%r.err"),
    "told": spec(5, notify=Notify(("job_failed",), ("mailto:a@b.de", "https://x.de/y"), True)),
}
MORES = {
    "array": shapes.More(0, TASKS, "user", 1_700_000_100.5, NEEDS),
    "tried": shapes.More(failures=2, extension=600, crashes=1),
    "altered": shapes.More(altered=(600, "low", None)),
    "unlimited": shapes.More(altered=(None, "", None)),
    "resized": shapes.More(altered=(None, "", (2, 8000, 512))),
    "shared-no-more": shapes.More(altered=(None, "", (1, None, 0))),
}
TABLES = (tables.PHASES, tables.EVENTS, tables.SPEC, tables.MORE, tables.RECORDS)


def lookup(spec_id: int) -> jobs.JobSpec:
    return {SAMPLE.spec_id: SAMPLE, SWEPT.spec_id: SWEPT}[spec_id]


def test_every_kind_of_phase_and_event_has_a_sample() -> None:
    assert {type(phase) for phase in PHASES.values()} == set(jobs.Phase.__args__)
    assert {type(event) for event in EVENTS.values()} == set(ev.Event.__args__)
    assert {type(record) for record in RECORDS.values()} == set(kept.Record.__args__)


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


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_comes_back(name: str, golden: Golden) -> None:
    data = records.pack_record(RECORDS[name])
    golden.check(f"state/record-{name}.msgpack", data)
    assert records.unpack_record(data, "here") == RECORDS[name]


@pytest.mark.parametrize("name", sorted(MORES))
def test_what_few_jobs_have_comes_back(name: str, golden: Golden) -> None:
    data = records.pack_more(MORES[name])
    assert data is not None
    golden.check(f"state/more-{name}.msgpack", data)
    assert records.unpack_more(data, "here") == MORES[name]


def test_what_no_job_has_is_not_stored() -> None:
    assert records.pack_more(shapes.More()) is None
    assert records.unpack_more(None, "here") == shapes.More()


def before(name: str, version: int = 1) -> bytes:
    """What an earlier version stored for a sample: it is read, and never written again."""
    return (FOLDER / "state" / f"{name}-{version}.msgpack").read_bytes()


@pytest.mark.parametrize("name", ["Stopping", "Stopping-early"])
def test_a_phase_of_before_is_read(name: str) -> None:
    assert records.unpack_phase(before(f"phase-{name}"), "here") == PHASES[name]


@pytest.mark.parametrize("name", ["array", "tried"])
def test_what_few_jobs_had_before_is_read(name: str) -> None:
    assert records.unpack_more(before(f"more-{name}", 2), "here") == MORES[name]


@pytest.mark.parametrize("name", ["altered", "unlimited"])
def test_a_change_from_before_sizes_could_be_changed_is_read(name: str) -> None:
    assert records.unpack_more(before(f"more-{name}", 5), "here") == MORES[name]
    event = "Altered" if name == "altered" else "Altered-unlimited"
    assert records.unpack_event(before(f"event-{event}", 5), "here", lookup) == EVENTS[event]


def test_a_submission_of_before_is_read() -> None:
    event = records.unpack_event(before("event-Submitted"), "here", lookup)
    assert event == EVENTS["Submitted"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *(("plain", 1), ("full", 1), ("plain", 2), ("full", 2), ("swept", 2)),
        *((name, 3) for name in ("plain", "full", "swept", "logged")),
    ],
)
def test_a_spec_of_before_is_read(name: str, version: int) -> None:
    assert records.unpack_spec(before(f"spec-{name}", version), "here") == SPECS[name]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_recurring_job_of_before_is_read(version: int) -> None:
    found = records.unpack_record(before("record-Recurring", version), "here")
    assert found == RECORDS["Recurring"]


def test_a_drain_of_before_is_read() -> None:
    assert records.unpack_record(before("record-Drain"), "here") == RECORDS["Drain"]


def test_numbers_of_kinds_are_unique() -> None:
    for kinds in TABLES:
        assert len({kind.number for kind in kinds}) == len(kinds)


def fields_of(kind: Kind) -> list[str]:
    if is_dataclass(kind.cls):
        return [field.name for field in fields(kind.cls)]
    return list(kind.cls._fields)


@pytest.mark.parametrize("kind", [kind for kinds in TABLES for kind in kinds])
def test_a_kind_stores_fields_of_its_class_in_order(kind: Kind) -> None:
    stored = [name for name, _ in kind.fields]
    assert stored == fields_of(kind)[: len(stored)]


@pytest.mark.parametrize("kinds", TABLES)
def test_the_kind_that_is_written_stores_every_field(kinds: tuple[Kind, ...]) -> None:
    for kind in {kind.cls: kind for kind in kinds}.values():
        assert len(kind.fields) == len(fields_of(kind))


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
    ([1, 6, [], 0, None, 0, 0, "9"], "expected an integer, got '9'"),
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


BAD_MORES: list[tuple[Any, str]] = [
    ([1, 1, 0, [[1, 2]], "", 0.0, None, 0, 0], "jobs row 5"),
    ([1, 1, 0, None, 7, 0.0, None, 0, 0], "expected a text, got 7"),
    ([1, 1, 0, None, "", 0.0, [1, []], 0, 0], "expected true or false, got 1"),
    (
        [1, 1, 0, None, "", 0.0, [False, [["after", "12", -1, 0, 0.0, ""]]], 0, 0],
        "an integer, got '12'",
    ),
]


@pytest.mark.parametrize(("more", "words"), BAD_MORES)
def test_damage_inside_a_field_is_refused(more: Any, words: str) -> None:
    with pytest.raises(StoreCorrupt, match="jobs row 5") as caught:
        records.unpack_more(msgpack.packb(more), "jobs row 5")
    assert words in caught.value.message


@pytest.mark.parametrize("uid", [-1, 2**32 - 1, 2**32, "0", True, None, 1.0])
def test_what_is_no_uid_is_refused(uid: object) -> None:
    with pytest.raises(ValueError, match="is no uid"):
        check_uid(uid)


def test_what_has_no_stored_form_cannot_be_packed() -> None:
    with pytest.raises(TypeError):
        records.pack_phase(jobs.Ended("FAILED", 1.0, code=object()))  # type: ignore[arg-type]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PACKED = st.tuples(st.just(1), st.integers(0, 9)).flatmap(
    lambda head: st.lists(PLAIN, max_size=9).map(lambda rest: msgpack.packb([*head, *rest]))
)


@given(st.binary(max_size=64) | PACKED)
def test_bytes_are_a_record_or_are_refused(data: bytes) -> None:
    for unpack in (
        records.unpack_phase,
        records.unpack_spec,
        records.unpack_record,
        records.unpack_more,
    ):
        try:
            unpack(data, "row 1")
        except StoreCorrupt as error:
            assert error.message.startswith("row 1: ")  # noqa: PT017
