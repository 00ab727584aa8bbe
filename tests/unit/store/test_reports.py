"""Reports over the history: sums by what is asked for, what each may see, the hours of a week."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mgpu.model.runs import Run
from mgpu.store import reports
from mgpu.store.base import Batch
from mgpu.store.reports import Question
from mgpu.store.sqlite import SqliteStore, open_store
from tests.lib.samples import job, spec, submitted

HOUR = 3600.0
ALICE, BOB = 1001, 1002


def a_run(number: int, ended: float, elapsed: float = HOUR, **fields: Any) -> Run:
    """A run of alice on one GPU that came to its end."""
    given = {"attempt": 1, "uid": ALICE, "user": "alice", "project": "", "state": "COMPLETED"}
    given |= {"final": True, "submitted": ended - elapsed - 60, "started": ended - elapsed}
    given |= {"wait": 60.0, "gpus": ("GPU-1",), "code": 0}
    return Run(job=number, ended=ended, **{**given, **fields})


RUNS = [
    a_run(
        1, 10 * HOUR, peak=4000, mean=3000.0, gpu_mem=6000, utilization=80.0, idle=0.0, seen=HOUR
    ),
    a_run(2, 11 * HOUR, state="TIMEOUT", final=False, project="vision", gpus=("GPU-1", "GPU-2")),
    a_run(2, 12 * HOUR, attempt=2, wait=None, project="vision", gpus=("GPU-1", "GPU-2")),
    a_run(3, 13 * HOUR, uid=BOB, user="bob", state="FAILED", code=1, project="secret"),
    Run(4, 0, BOB, "bob", "", "CANCELLED", True, 5.0, 14 * HOUR, tasks=3),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = open_store(tmp_path, 1.0)
    jobs = [job(n, spec=spec(n, name=f"name{n}")) for n in range(1, 5)]
    found.commit(Batch(1.0, [submitted(one) for one in jobs], jobs, runs=RUNS))
    yield found
    found.close()


@pytest.fixture
def db(store: SqliteStore, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = reports.connect(tmp_path)
    yield connection
    connection.close()


def asked(*tables: str, **fields: Any) -> Question:
    """A question of an administrator about everything."""
    given = {"since": 0.0, "until": 100 * HOUR, "uid": 0, "all": True, "own": False, "names": False}
    return Question(list(tables), **{**given, **fields})


def told(db: sqlite3.Connection, question: Question) -> list[dict[str, Any]]:
    """The rows of its only table."""
    ((_, fields, rows),) = reports.answer(db, question)
    return [dict(zip(fields, row, strict=True)) for row in rows]


def test_everything_adds_up(db: sqlite3.Connection) -> None:
    (total,) = told(db, asked("total"))
    assert (total["jobs"], total["attempts"]) == (6, 4)
    assert (total["completed"], total["failed"], total["cancelled"]) == (2, 1, 3)
    assert total["gpu_seconds"] == 6 * HOUR
    assert total["success"] == pytest.approx(200 / 3)
    assert (total["waits"], total["wait_mean"], total["wait_max"]) == (3, 60, 60)


def test_half_and_nearly_all_waited_no_longer(store: SqliteStore, db: sqlite3.Connection) -> None:
    waits = [0.26, *(n + 0.5 for n in range(1, 96)), 5000.9, 20_000.0, 20_000.0, 90_000.0]
    runs = [
        a_run(10 + n, 20 * HOUR + n, wait=wait, uid=2000 + n % 3, user=f"u{n % 3}")
        for n, wait in enumerate(waits)
    ]
    store.commit(Batch(2.0, runs=runs))
    question = asked("total", since=15 * HOUR)
    (total,) = told(db, question)
    assert (total["waits"], total["wait_median"], total["wait_p95"]) == (100, 49.5, 94.5)
    (one,) = told(db, replace(question, users=["u0"], running=[replace(runs[3], wait=0.0)]))
    found = (one["waits"], one["wait_median"], one["wait_p95"], one["wait_max"])
    assert found == (35, 48.5, 5000.0, 90_000.0)
    (listed,) = told(db, replace(question, jobs=[10, 108]))
    assert (listed["wait_median"], listed["wait_p95"]) == (0.2, 19_980.0)
    (none,) = told(db, replace(question, users=["nobody"], tables=["user"])) or [{}]
    assert none == {}


def test_days_have_what_ended_in_them_and_the_last_what_runs(db: sqlite3.Connection) -> None:
    days = [int(HOUR * n) for n in (0, 10, 12, 14, 16)]
    running = Run(9, 1, ALICE, "alice", "", "RUNNING", False, 0.0, 17 * HOUR, started=16 * HOUR,
                  gpus=("GPU-1",))  # fmt: skip
    rows = told(db, asked("day", days=days, since=5 * HOUR, until=17 * HOUR, running=[running]))
    found = [(row["day"], row["jobs"], row["attempts"], row["gpu_seconds"]) for row in rows]
    assert found == [
        (0, 0, 0, 0),
        (10 * HOUR, 1, 2, 3 * HOUR),
        (12 * HOUR, 2, 2, 3 * HOUR),
        (14 * HOUR, 3, 0, 0),
        (16 * HOUR, 0, 1, HOUR),
    ]
    rows = told(db, asked("day", days=days, since=13.5 * HOUR, until=17 * HOUR, users=["bob"]))
    assert [row["jobs"] for row in rows] == [0, 0, 0, 3, 0]


def test_use_is_that_of_what_was_seen(db: sqlite3.Connection) -> None:
    (total,) = told(db, asked("total"))
    assert (total["utilization"], total["idle_gpu_seconds"]) == (80, 0)
    assert (total["memory"], total["peak"]) == (50, 4000)


def test_sums_by_user_the_largest_first(db: sqlite3.Connection) -> None:
    rows = told(db, asked("user"))
    assert [(row["user"], row["gpu_seconds"]) for row in rows] == [
        ("alice", 5 * HOUR),
        ("bob", HOUR),
    ]


def test_sums_by_gpu_have_a_part_of_jobs_on_several(db: sqlite3.Connection) -> None:
    rows = told(db, asked("gpu", indices={"GPU-1": 0}))
    found = {row["gpu"]: row["gpu_seconds"] for row in rows}
    assert found == {"gpu0": 4 * HOUR, "GPU-2": 2 * HOUR}


def test_what_ended_in_the_time_counts(db: sqlite3.Connection) -> None:
    (total,) = told(db, asked("total", since=11 * HOUR, until=12 * HOUR))
    assert (total["jobs"], total["attempts"], total["gpu_seconds"]) == (0, 1, 2 * HOUR)


@pytest.mark.parametrize(
    ("fields", "jobs"),
    [
        ({"users": ["bob"]}, {3, 4}),
        ({"states": ["TIMEOUT", "FAILED"]}, {2, 3}),
        ({"projects": ["vision"]}, {2}),
        ({"jobs": [1, 3]}, {1, 3}),
        ({"jobs": [1, 3], "users": ["bob"]}, {3}),
        ({"users": ["' OR 1=1 --"]}, set()),
        ({"limit": 2}, {3, 4}),
    ],
)
def test_filters(db: sqlite3.Connection, fields: dict[str, Any], jobs: set[int]) -> None:
    assert {row["job"] for row in told(db, asked("runs", **fields))} == jobs


def test_attempts_are_listed_newest_first_with_names(db: sqlite3.Connection) -> None:
    rows = told(db, asked("runs"))
    assert [(row["job"], row["attempt"]) for row in rows] == [
        (4, 0),
        (3, 1),
        (2, 2),
        (2, 1),
        (1, 1),
    ]
    assert rows[-1]["name"] == "name1"


def test_names_and_projects_are_told_of_ones_own_jobs_alone(db: sqlite3.Connection) -> None:
    mine = {"uid": ALICE, "all": False}
    rows = told(db, asked("runs", **mine))
    assert {(row["job"], row["name"], row["project"]) for row in rows} == {
        (1, "name1", ""),
        (2, "name2", "vision"),
        (3, None, None),
        (4, None, None),
    }
    assert {row["project"] for row in told(db, asked("project", **mine))} == {"", "vision", "*"}
    assert told(db, asked("runs", projects=["secret"], **mine)) == []
    assert {row["name"] for row in told(db, asked("top", **mine))} == {"name1", "name2", None}


def test_with_own_nothing_is_told_of_others(db: sqlite3.Connection) -> None:
    rows = told(db, asked("user", uid=BOB, all=False, own=True))
    assert [row["user"] for row in rows] == ["bob"]


def test_the_largest_jobs_have_all_their_attempts(db: sqlite3.Connection) -> None:
    rows = told(db, asked("top", top=2))
    assert [(row["job"], row["attempts"], row["gpu_seconds"]) for row in rows] == [
        (2, 2, 4 * HOUR),
        (1, 1, HOUR),
    ]


def test_what_runs_counts_so_far(db: sqlite3.Connection) -> None:
    running = a_run(9, 20 * HOUR, 2 * HOUR, state="RUNNING", final=False)
    (total,) = told(db, asked("total", running=[running]))
    assert (total["jobs"], total["attempts"], total["gpu_seconds"]) == (6, 5, 8 * HOUR)
    assert told(db, asked("runs", running=[running]))[0]["state"] == "RUNNING"


def hours(db: sqlite3.Connection, **fields: Any) -> dict[int, float]:
    """GPU-seconds by hour, where there are any."""
    rows = told(db, asked("hours", **fields))
    assert len(rows) == reports.WEEK
    return {int(r["hour"] // HOUR): r["gpu_seconds"] for r in rows if r["gpu_seconds"] > 1e-6}


def test_each_hour_has_what_was_in_use_in_it(db: sqlite3.Connection) -> None:
    assert hours(db) == {9: HOUR, 10: 2 * HOUR, 11: 2 * HOUR, 12: HOUR}


def test_parts_of_hours_count_as_parts(store: SqliteStore, db: sqlite3.Connection) -> None:
    store.commit(Batch(1.0, runs=[a_run(5, 52.5 * HOUR, 2 * HOUR, uid=BOB, user="eve")]))
    assert hours(db, users=["eve"]) == {50: HOUR / 2, 51: HOUR, 52: HOUR / 2}


def test_a_week_is_cut_out_of_what_is_longer(store: SqliteStore, db: sqlite3.Connection) -> None:
    store.commit(Batch(1.0, runs=[a_run(5, 1000 * HOUR, 990 * HOUR, uid=BOB, user="eve")]))
    found = hours(db, users=["eve"], until=500.5 * HOUR)
    assert min(found) == 501 - reports.WEEK
    assert sum(found.values()) == pytest.approx((reports.WEEK - 0.5) * HOUR)


def test_many_projects_cost_no_more_queries(store: SqliteStore, db: sqlite3.Connection) -> None:
    everything = asked("total", "user", "project", "gpu", "state", "hours", top=3)
    queries: list[str] = []
    db.set_trace_callback(lambda query: queries.append(query))
    before = {name: rows for name, _, rows in reports.answer(db, everything)}
    few = len(queries)
    runs = [a_run(100 + n, 20 * HOUR, project=f"p{n}") for n in range(300)]
    store.commit(Batch(1.0, runs=runs))
    after = {name: rows for name, _, rows in reports.answer(db, everything)}
    assert len(queries) == 2 * few
    assert len(after["project"]) == len(before["project"]) + 300
    assert after["total"][0][1] == before["total"][0][1] + 300


def test_the_projects_of_others_are_one_row(store: SqliteStore, db: sqlite3.Connection) -> None:
    store.commit(Batch(1.0, runs=[a_run(100 + n, 20 * HOUR, project=f"p{n}") for n in range(9)]))
    rows = told(db, asked("project", uid=BOB, all=False))
    assert {row["project"]: row["jobs"] for row in rows} == {"*": 11, "secret": 1, "": 3}


def test_readers_do_not_hold_the_writer_up(store: SqliteStore, db: sqlite3.Connection) -> None:
    tables = reports.answer(db, asked("total", "runs"))
    next(tables)
    store.commit(Batch(1.0, runs=[replace(RUNS[0], job=77)]))
    ((_, _, rows),) = tables
    assert 77 not in {row[0] for row in rows}, "one question sees one state"
    assert 77 in {row["job"] for row in told(db, asked("runs"))}


def test_the_reader_cannot_write(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError):
        db.execute("DELETE FROM runs")
