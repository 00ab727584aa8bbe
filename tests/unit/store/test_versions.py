"""States that released versions wrote must open for ever: ``tests/golden/state/vN.db``.

A file of a new version is made once, by ``python -m tests.unit.store.test_versions FILE``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from mgpu.store.base import Batch, JobFilter, Store
from mgpu.store.schema import VERSION
from mgpu.store.sqlite import open_store
from tests.lib.golden import FOLDER
from tests.lib.samples import EVENTS, NOW, PHASES, job, spec

AT = NOW.wall
SPEC = spec(7, gpu_mem=8000, signal=(10, 60))
JOBS = [job(n, phase, spec=SPEC, attempt=n) for n, phase in enumerate(PHASES.values(), start=7)]


def fill(store: Store) -> None:
    answers = [(1001, "key", {"first": 7, "count": 3})]
    events = list(EVENTS.values())
    store.commit(Batch(AT, events, JOBS, {7: b"payload"}, answers, {"boot_id": "b"}))


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_state_of_every_version_opens(version: int, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "state" / f"v{version}.db", tmp_path / "mgpu.db")
    store = open_store(tmp_path, AT)
    loaded, found = store.load(), store.find(JobFilter())
    assert sorted([*loaded.jobs, *found], key=lambda one: one.id) == JOBS
    assert (loaded.next_id, loaded.boot_id) == (JOBS[-1].id + 1, "b")
    assert [event for _, event in store.history()] == list(EVENTS.values())
    assert store.payload(7) == b"payload"
    assert store.answer(1001, "key") == {"first": 7, "count": 3}
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = open_store(folder, AT)
        fill(made)
        made.close()
        shutil.copy(Path(folder) / "mgpu.db", sys.argv[1])
