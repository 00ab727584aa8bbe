"""States that released versions wrote must open for ever: ``tests/golden/state/vN.db``.

A file of a new version is made once, by ``python -m tests.unit.store.test_versions FILE``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from mgpu.daemon.opening import open_state
from mgpu.model.job import altered
from mgpu.model.records import Record
from mgpu.model.runs import Run
from mgpu.store.base import Batch, JobFilter, Store, StoreNewer
from mgpu.store.schema import VERSION
from mgpu.store.sqlite import open_store
from tests.lib.golden import FOLDER
from tests.lib.samples import (
    EVENTS,
    GPUS,
    NEEDS,
    NOW,
    PHASES,
    RECORDS,
    RUN_SAMPLES,
    TASKS,
    job,
    spec,
)

AT = NOW.wall
SPEC = spec(7, gpu_mem=8000, signal=(10, 60))
SIZES = (2, 4000, 512)
RESIZED = altered(SPEC, (None, "", SIZES))
PLAIN = [job(n, phase, spec=SPEC, attempt=n) for n, phase in enumerate(PHASES.values(), start=7)]
LATER = [
    job(30, spec=SPEC, array=30, tasks=TASKS, held="user", begin=1_700_000_100.5, needs=NEEDS),
    job(
        31,
        PHASES["Running"],
        spec=SPEC,
        attempt=2,
        failures=1,
        restarts=1,
        extension=600,
        crashes=1,
    ),
]

#: What the samples were when the file of a version was made: jobs and events.
JOBS = {1: PLAIN[:9], 2: [*PLAIN, *LATER], 3: [*PLAIN, *LATER], 4: [*PLAIN, *LATER]}
JOBS[5] = JOBS[4]
JOBS[6] = [*JOBS[5], job(32, spec=RESIZED, altered=(None, "", SIZES))]
_NEW = ("Audited", "Altered")
OLD_EVENTS = [one for name, one in EVENTS.items() if name.partition("-")[0] not in _NEW]
HISTORY = {1: OLD_EVENTS[:8], 2: OLD_EVENTS[:22], 3: OLD_EVENTS}
HISTORY |= {4: OLD_EVENTS, 6: list(EVENTS.values())}
HISTORY[5] = [one for name, one in EVENTS.items() if name != "Altered-sizes"]


def _kept(*new: str) -> list[Record]:
    """The records, without the samples that are ``new``."""
    kept = [one for name, one in RECORDS.items() if name not in new]
    return sorted(kept, key=lambda one: type(one).__name__)


KEPT = {1: [], 2: _kept("Notice", "Seen", "Closure"), 3: _kept("Closure"), 4: _kept("Closure")}
KEPT |= {5: _kept(), 6: _kept()}
#: Of jobs that had ended before attempts were kept, the last one is known from the job.
OLD_RUN = Run(
    *(13, 13, 1001, "alice", "", "COMPLETED", True, 10.0, 20.5, 11.0),
    code=0,
    gpus=GPUS,
    gpu_mem=8000,
)
RUNS = {1: [OLD_RUN], 2: [OLD_RUN], 3: RUN_SAMPLES, 4: RUN_SAMPLES, 5: RUN_SAMPLES}
RUNS[6] = RUN_SAMPLES


def fill(store: Store) -> None:
    answers = [(1001, "key", {"first": 7, "count": 3})]
    kept = {(type(one).__name__, one.key): one for one in RECORDS.values()}
    store.commit(
        Batch(
            AT,
            HISTORY[VERSION],
            JOBS[VERSION],
            {7: b"payload"},
            answers,
            {"boot_id": "b"},
            records=kept,
            runs=RUN_SAMPLES,
        )
    )


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_state_of_every_version_opens(version: int, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "state" / f"v{version}.db", tmp_path / "mgpu.db")
    store = open_store(tmp_path, AT)
    loaded, found = store.load(), store.find(JobFilter())
    jobs = JOBS[version]
    assert sorted([*loaded.jobs, *found], key=lambda one: one.id) == jobs
    assert (loaded.next_id, loaded.boot_id) == (jobs[-1].id + 1, "b")
    assert [event for _, event in store.history()] == HISTORY[version]
    assert loaded.records == KEPT[version]
    for run in RUNS[version]:
        assert run in store.runs(run.job)
    assert store.payload(7) == b"payload"
    assert store.answer(1001, "key") == {"first": 7, "count": 3}
    store.close()


def test_an_old_state_goes_on_with_what_is_new(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "state" / "v1.db", tmp_path / "mgpu.db")
    store = open_store(tmp_path, AT)
    new, array = LATER[0], RECORDS["Array"]
    store.commit(Batch(AT, jobs=[new], records={("Array", "42"): array}))
    store.close()
    again = open_store(tmp_path, AT)
    assert again.job(new.id) == new
    assert again.load().records == [array]
    again.close()


def test_a_state_of_a_later_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    for file in (FOLDER / "state/refuse").iterdir():
        shutil.copy(file, tmp_path / "mgpu.db")
        with pytest.raises(StoreNewer, match="has version 99") as caught:
            open_store(tmp_path, AT)
        assert "install the mgpu that wrote it" in str(caught.value.hint)
        assert (tmp_path / "mgpu.db").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["damaged", "cut", "foreign"])
def test_a_state_that_cannot_be_read_is_warned_about_and_put_aside(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = FOLDER / f"state/recover/{name}.db"
    shutil.copy(file, tmp_path / "mgpu.db")
    opened = open_state(str(tmp_path), NOW)
    assert opened.recovery
    assert "action=recovery-mode" in capfd.readouterr().err
    copies = list(tmp_path.glob("mgpu.db.damaged.*Z"))
    assert [copy.read_bytes() for copy in copies] == [file.read_bytes()]
    assert (tmp_path / "mgpu.db").read_bytes() == file.read_bytes()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = open_store(folder, AT)
        fill(made)
        made.close()
        shutil.copy(Path(folder) / "mgpu.db", sys.argv[1])
