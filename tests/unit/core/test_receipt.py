"""What a job is told at the end of its log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.receipt import receipt
from mgpu.model.runs import Run

RUN = Run(
    *(42, 1, 1001, "alice", "vision", "COMPLETED", True, 0.0, 7260.0, 60.0),
    code=0,
    gpus=("GPU-1", "GPU-2"),
    gpu_mem=8000,
    time_limit=10800,
    peak=7000,
    mean=5000.4,
    utilization=61.4,
    idle=600.0,
    seen=7190.0,
)


def test_what_was_asked_used_and_left_idle() -> None:
    assert receipt(RUN).splitlines() == [
        "[mgpu] job 42, attempt 1: COMPLETED, code 0; ran 2:00:00 of 3:00:00",
        "[mgpu] 2 GPUs: 4.00 GPU-hours; busy 61%, idle 10:00 of 1:59:50 seen",
        "[mgpu] memory of each GPU: asked for 8000M, peak 7000M, mean 5000M",
    ]


def test_what_is_not_known_is_called_so() -> None:
    run = replace(RUN, gpu_mem=None, peak=None, mean=None, utilization=None, idle=None, seen=0.0)
    assert receipt(run).splitlines()[1:] == [
        "[mgpu] 2 GPUs: 4.00 GPU-hours; how busy is not known",
        "[mgpu] memory of each GPU: asked for all, peak not known",
    ]


def test_an_attempt_that_goes_on_says_so() -> None:
    run = replace(RUN, state="TIMEOUT", final=False, code=None, signal=15, time_limit=None)
    first = receipt(run).splitlines()[0]
    assert first == "[mgpu] job 42, attempt 1: TIMEOUT, signal 15, goes on later; ran 2:00:00"


def test_a_job_without_gpus_has_one_line() -> None:
    assert len(receipt(replace(RUN, gpus=())).splitlines()) == 1


def test_nothing_is_said_where_nothing_ran() -> None:
    assert receipt(replace(RUN, started=None)) == ""


@pytest.mark.parametrize(
    ("known", "hint"),
    [
        ({"idle": 4000.0}, "did nothing most of the time"),
        ({"utilization": 10.0}, "hardly busy"),
        ({"peak": 2000}, "--mem 2500M would have been enough"),
        ({"ended": 660.0}, "a shorter --time-limit"),
        ({"state": "TIMEOUT", "code": None, "signal": 15}, "met its time limit"),
        ({"idle": 4000.0, "utilization": 10.0, "peak": 2000}, "did nothing"),
    ],
)
def test_the_most_important_hint_is_given(known: dict[str, object], hint: str) -> None:
    last = receipt(replace(RUN, **known)).splitlines()[-1]  # type: ignore[arg-type]
    assert last.startswith("[mgpu] hint: ")
    assert hint in last


def test_little_that_was_seen_is_no_reason_for_a_hint() -> None:
    assert "hint" not in receipt(replace(RUN, idle=5.0, seen=5.0))
