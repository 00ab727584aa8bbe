"""How memory and processes of a GPU are accounted."""

from __future__ import annotations

import pytest

from mgpu.gpus.base import MAX_PROCESSES, accounted, largest, measured, pack, unpack
from mgpu.gpus.simulated import inventory_of
from mgpu.model.gpu import Gpu, Process
from mgpu.protocol import link


def process(memory: int, job: int = 0, pid: int = 1) -> Process:
    return Process(pid, memory, 1000, job)


OUTSIDE: list[tuple[list[Process] | None, int, bool, tuple[int, ...]]] = [
    (None, 0, False, ()),
    ([], 0, True, ()),
    ([process(400, job=1), process(600)], 600, True, ()),
    ([process(-1), process(200)], 200, True, (0,)),
    ([process(-1, job=1), process(300, job=1), process(-1)], 0, True, (0, 1)),
]


@pytest.mark.parametrize(("processes", "outside", "told", "untold"), OUTSIDE)
def test_what_the_driver_tells_of_outsiders_is_told_and_what_it_does_not_tell_is_named(
    processes: list[Process] | None, outside: int, told: bool, untold: tuple[int, ...]
) -> None:
    gpu = accounted(Gpu("GPU-a", 0, "A", 2000), 1000, processes)
    assert (gpu.used, gpu.outside, gpu.told, gpu.untold) == (1000, outside, told, untold)


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
        untold=tuple(2**31 + job for job in range(1000)),
    )
    assert unpack(link.decode(link.encode({"op": "gpu", "gpu": pack(gpu)}))["gpu"]) == gpu


def test_use_that_is_simulated_is_not_more_than_there_is() -> None:
    (one,) = inventory_of([{"name": "A", "memory": 100, "count": 1, "used": 500}]).gpus
    assert (one.total, one.used) == (100, 100)
