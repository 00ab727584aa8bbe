"""Ended jobs are found by the names that people give: jobs, arrays, and tasks of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mgpu.model.job import Ended, Job
from mgpu.model.target import Name, Target
from mgpu.model.tasks import Tasks
from mgpu.store.base import Batch, JobFilter, Store
from mgpu.store.memory import MemoryStore
from mgpu.store.sqlite import SqliteStore, open_store
from tests.lib.samples import NOW, job, submitted


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else open_store(tmp_path, NOW.wall)
    yield made
    made.close()


def ended(number: int, **fields: object) -> Job:
    return job(number, Ended("COMPLETED", 100.0 - number), **fields)


def task(number: int, index: int) -> Job:
    return ended(number, array=2, tasks=Tasks.only(index))


JOBS = [
    ended(1),
    ended(2, array=2, tasks=Tasks(((10, 20, 2),))),
    task(3, 0),
    task(4, 7),
    task(5, 8),
    ended(6),
    ended(7, array=7, tasks=Tasks.only(7)),
]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ([], []),
        ([1, 6, 9], [1, 6]),
        ([2], [2, 3, 4, 5]),
        ([4], [4]),
        ([7], [7]),
        ([Target(2, Tasks.only(7))], [4]),
        ([Target(2, Tasks(((1, 9, 7),)))], [5]),
        ([Target(2, Tasks(((0, 8, 1),))), 6], [3, 4, 5, 6]),
        ([Target(2, Tasks.only(14))], [2]),
        ([Target(2, Tasks.only(15))], []),
        ([Target(1, Tasks.only(0)), Target(0, Tasks.only(0))], []),
    ],
)
def test_jobs_are_found_by_name(store: Store, names: list[Name], ids: list[int]) -> None:
    store.commit(Batch(NOW.wall, [submitted(one) for one in JOBS], JOBS))
    assert [one.id for one in store.find(JobFilter(names=names))] == ids
    assert store.find(JobFilter(names=names, uids=[9999])) == []


def test_names_are_looked_up_in_an_index(tmp_path: Path) -> None:
    store = open_store(tmp_path, NOW.wall)
    seen: list[str] = []
    store._db.set_trace_callback(seen.append)
    store.find(JobFilter(names=[1, Target(2, Tasks.only(7))]))
    plan = " ".join(str(row) for row in store._db.execute(f"EXPLAIN QUERY PLAN {seen[0]}"))
    store.close()
    assert isinstance(store, SqliteStore)
    assert "jobs_of_array" in plan
    assert "SCAN jobs" not in plan
    assert "jobs_ended" not in plan
