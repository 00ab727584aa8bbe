from __future__ import annotations

import pytest

from mgpu.simulator.trace import Shaping, TraceError, TraceJob, offered_load, read, shape

PHILLY = """id,user,gpu_num,interval,run_time
0,1,1,0,100
1,2,16,50,100
2,3,2,50,200
"""


def test_the_general_kind_is_read_with_defaults_for_what_is_missing() -> None:
    text = "submit,user,gpus,run,limit,gpu_mem,priority,project,qos\n5,ann,2,60,600,,,,\n"
    assert read(text.splitlines()) == [TraceJob(5.0, "ann", 2, 60.0, 600)]
    assert read(["submit,user,gpus,run", "0,bob,1,30.5"]) == [TraceJob(0.0, "bob", 1, 30.5)]


def test_every_column_of_the_general_kind_counts() -> None:
    heads = "submit,user,gpus,run,limit,gpu_mem,priority,project,qos,requeue"
    jobs = read([heads, "5,ann,1,60,600,4096,7,p,low,1"])
    assert jobs == [TraceJob(5.0, "ann", 1, 60.0, 600, 4096, 7, "p", "low", True)]


def test_intervals_of_a_philly_trace_add_up_over_the_jobs_left_out_later() -> None:
    jobs = read(PHILLY.splitlines())
    assert [(job.submit, job.user, job.gpus) for job in jobs] == [
        (0.0, "u1", 1),
        (50.0, "u2", 16),
        (100.0, "u3", 2),
    ]


def test_jobs_come_in_the_order_of_submission() -> None:
    jobs = read(["submit,user,gpus,run", "9,a,1,1", "3,b,1,1"])
    assert [job.user for job in jobs] == ["b", "a"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0,ann,one,5", "line 2: gpus: 'one' is no number >= 0"),
        ("-1,ann,1,5", "line 2: submit: '-1' is no number >= 0"),
        ("0,ann,1", "line 2: run: '' is no number >= 0"),
        ("0,ann,1,nan", "line 2: run: 'nan' is no number >= 0"),
        ("0,ann,1,inf", "line 2: run: 'inf' is no number >= 0"),
    ],
)
def test_a_bad_cell_is_named(line: str, problem: str) -> None:
    with pytest.raises(TraceError, match=problem):
        read(["submit,user,gpus,run", line])


@pytest.mark.parametrize("text", ["", "when,who\n1,ann\n"])
def test_a_file_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(TraceError, match="line 1: has not the columns"):
        read(text.splitlines())


def test_what_is_too_large_or_took_no_time_is_left_out_before_the_first_are_counted() -> None:
    jobs = [
        TraceJob(0, "a", 4, 9),
        TraceJob(10, "b", 1, 0),
        TraceJob(20, "c", 1, 9),
        TraceJob(30, "d", 0, 9),
        TraceJob(40, "e", 2, 9),
        TraceJob(50, "f", 1, 9),
    ]
    kept = shape(jobs, Shaping(2, first=2))
    assert [(job.user, job.submit) for job in kept] == [("c", 0), ("e", 20)]


def test_the_load_is_what_was_asked_for() -> None:
    jobs = [TraceJob(0, "a", 1, 50), TraceJob(10, "b", 2, 75)]  # 200 GPU-seconds in 10 s
    assert offered_load(jobs, 4) == 5.0
    stretched = shape(jobs, Shaping(4, load=0.5))
    assert [job.submit for job in stretched] == [0, 100]
    assert offered_load(stretched, 4) == 0.5


def test_jobs_that_come_all_at_once_cannot_be_stretched() -> None:
    jobs = [TraceJob(3, "a", 1, 50), TraceJob(3, "b", 1, 50)]
    assert [job.submit for job in shape(jobs, Shaping(4, load=0.5))] == [0, 0]


@pytest.mark.parametrize(
    ("run", "limit"),
    [(1, 600), (461, 600), (462, 1800), (2000, 3600), (10 * 86400, 336 * 3600), (1e9, 1000 * 3600)],
)
def test_a_limit_is_the_next_usual_one(run: float, limit: int) -> None:
    (job,) = shape([TraceJob(0, "a", 1, run)], Shaping(1, limit_factor=1.3))
    assert job.limit == limit


def test_limits_of_the_trace_stay_unless_others_are_asked_for() -> None:
    (job,) = shape([TraceJob(0, "a", 1, 60, 100)], Shaping(1))
    assert job.limit == 100
    assert shape([], Shaping(1)) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_what_no_load_is(number: float) -> None:
    with pytest.raises(TraceError, match="no finite number"):
        Shaping(8, load=number)
    with pytest.raises(TraceError, match="no finite number"):
        Shaping(8, limit_factor=number)
