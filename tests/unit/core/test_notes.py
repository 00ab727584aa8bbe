"""What the owner of a running job is told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.policy import Policy
from mgpu.core.settle import next_look
from mgpu.model.gpu import Gpu, Inventory, Process
from mgpu.testing.builders import Desk, a_gpu, a_spec

FIRST, SECOND = a_gpu(0), a_gpu(1)
TOLD = "uses gpu1, which it was not given"


def a_job_that_uses(second: Gpu, isolation: str = "detect") -> Desk:
    """Job 1 has gpu0; the second GPU is seen like this."""
    desk = Desk(24576, 24576, policy=Policy(isolation=isolation))
    desk.submit(a_spec())
    desk.run()
    desk.launched(1)
    look(desk, second)
    return desk


def look(desk: Desk, second: Gpu) -> None:
    desk.world.set_inventory(Inventory("nvml", (FIRST, second)))
    desk.run()


@pytest.mark.parametrize(
    "second",
    [
        replace(SECOND, measured=((1, 3000),)),
        replace(SECOND, processes=(Process(4001, -1, 1000, 1, 77),)),
    ],
    ids=["with its memory", "without"],
)
@pytest.mark.parametrize(
    ("isolation", "note"), [("detect", TOLD), ("enforce", TOLD), ("variables", "")]
)
def test_a_job_that_uses_another_gpu_is_found_out(second: Gpu, isolation: str, note: str) -> None:
    desk = a_job_that_uses(second, isolation)
    assert desk.job(1).note == note
    look(desk, SECOND)
    assert desk.job(1).note == ""


def silent(desk: Desk, second: Gpu | None = None) -> str:
    """The note of job 1, which has gpu0, while nothing is heard of gpu0."""
    first = replace(FIRST, available=False, note="NVML: unknown error")
    gpus = (first, SECOND) if second is None else (second,)
    desk.world.set_inventory(Inventory("nvml", gpus))
    desk.run()
    return desk.job(1).note


def test_a_gpu_that_does_not_answer_is_told_of_after_a_while() -> None:
    desk = a_job_that_uses(SECOND)
    assert silent(desk) == "", "its monitor may have been replaced just now"
    desk.wait(9)
    assert silent(desk) == ""
    desk.wait(1)
    assert silent(desk) == "gpu0 does not answer: NVML: unknown error"
    look(desk, SECOND)
    assert desk.job(1).note == ""
    assert silent(desk) == "", "it has answered in between"


def test_a_look_is_wanted_when_a_gpu_is_silent_for_long() -> None:
    desk = a_job_that_uses(SECOND)
    assert next_look(desk.world) is None
    silent(desk)
    assert next_look(desk.world) == desk.now.boot + 10
    desk.wait(10)
    silent(desk)
    assert next_look(desk.world) is None


def test_a_gpu_that_is_gone_is_told_of() -> None:
    desk = a_job_that_uses(SECOND)
    silent(desk, SECOND)
    desk.wait(10)
    assert silent(desk, SECOND) == "GPU-0, which it was given, is gone"


def test_processes_of_others_are_none_of_its() -> None:
    desk = a_job_that_uses(replace(SECOND, processes=(Process(9, 500, 1000, 0, 77),)))
    assert desk.job(1).note == ""
