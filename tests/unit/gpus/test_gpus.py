"""How memory and processes of a GPU are accounted."""

from __future__ import annotations

import pytest

from mgpu.gpus.base import MAX_PROCESSES, largest, measured, outside_memory, pack, unpack
from mgpu.gpus.simulated import inventory_of
from mgpu.model.gpu import Gpu, Process
from mgpu.protocol import link


def process(memory: int, job: int = 0, pid: int = 1) -> Process:
    return Process(pid, memory, 1000, job)


OUTSIDE: list[tuple[int, list[Process], int]] = [
    (0, [], 0),
    (500, [], 500),
    (1000, [process(400, job=1)], 600),
    (1000, [process(400, job=1), process(600)], 600),
    (100, [process(400, job=1)], 0),
    (1000, [process(-1)], 1000),
    (1000, [process(-1, job=1)], 0),
    (1000, [process(-1, job=1), process(300), process(-1)], 300),
]


@pytest.mark.parametrize(("used", "processes", "outside"), OUTSIDE)
def test_what_jobs_use_is_not_outside(used: int, processes: list[Process], outside: int) -> None:
    assert outside_memory(used, processes) == outside


def test_the_largest_processes_are_reported() -> None:
    many = [process(memory, pid=memory) for memory in range(100)]
    assert [one.memory for one in largest(many)] == list(range(99, 99 - MAX_PROCESSES, -1))


def test_of_each_job_a_process_is_reported() -> None:
    many = [process(memory, pid=memory) for memory in range(100, 200)]
    small = [process(1, job=7, pid=1), process(2, job=7, pid=2), process(-1, job=8, pid=3)]
    reported = largest(many + small)
    assert len(reported) == MAX_PROCESSES
    assert [one.pid for one in reported][-3:] == [200 - MAX_PROCESSES + 2, 2, 3]


MEASURED: list[tuple[list[Process], tuple[tuple[int, int], ...]]] = [
    ([], ()),
    ([process(500)], ()),
    ([process(400, job=2), process(5, job=1), process(100, job=2)], ((1, 5), (2, 500))),
    ([process(400, job=2), process(5, job=1), process(-1, job=2)], ((1, 5),)),
]


@pytest.mark.parametrize(("processes", "expected"), MEASURED)
def test_what_jobs_use_is_summed(
    processes: list[Process], expected: tuple[tuple[int, int], ...]
) -> None:
    assert measured(processes) == expected


def test_the_fullest_gpu_fits_into_one_message() -> None:
    everything = tuple(
        Process(2**31, 2**20, 2**31, 2**31, 2**62, 2e9) for _ in range(MAX_PROCESSES)
    )
    gpu = Gpu(
        *("GPU-" + "x" * 36, 1, "N" * 60, 2**20, 2**20, True, "y" * 80, 2**20, everything),
        measured=tuple((2**31 + job, 2**20) for job in range(1000)),
        fault="z" * 80,
    )
    assert unpack(link.decode(link.encode({"op": "gpu", "gpu": pack(gpu)}))["gpu"]) == gpu


def test_use_that_is_simulated_is_not_more_than_there_is() -> None:
    (one,) = inventory_of([{"name": "A", "memory": 100, "count": 1, "used": 500}]).gpus
    assert (one.total, one.used, one.outside) == (100, 100, 100)
