"""How memory and processes of a GPU are accounted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from mgpu.gpus.base import MAX_PROCESSES, largest, outside_memory, pack, unpack
from mgpu.gpus.owners import Owners
from mgpu.gpus.simulated import inventory_of
from mgpu.model.gpu import Gpu, Inventory, Process
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


def test_the_largest_machine_fits_into_one_message() -> None:
    everything = tuple(Process(2**31, 2**20, 2**31, 2**31) for _ in range(MAX_PROCESSES))
    gpus = tuple(
        Gpu("GPU-" + "x" * 36, n, "N" * 60, 2**20, 2**20, True, "y" * 80, 2**20, everything)
        for n in range(32)
    )
    inventory = Inventory("nvml", gpus)
    message = link.encode({"op": "inventory", "inventory": pack(inventory), "final": False})
    assert unpack(link.decode(message)["inventory"]) == inventory


def test_use_that_is_simulated_is_not_more_than_there_is() -> None:
    (one,) = inventory_of([{"name": "A", "memory": 100, "count": 1, "used": 500}]).gpus
    assert (one.total, one.used, one.outside) == (100, 100, 100)


@pytest.fixture
def child() -> Iterator[tuple[int, int]]:
    """A session leader and a child of it, as (pid, pid)."""
    read, write = os.pipe()
    leader = os.fork()
    if not leader:
        os.setsid()
        inner = os.fork()
        if inner:
            os.write(write, b"%d\n" % inner)
        signal.pause()
    text = os.read(read, 20)
    yield leader, int(text)
    os.killpg(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    os.close(read)
    os.close(write)


def test_a_process_belongs_to_the_job_of_its_ancestor(child: tuple[int, int]) -> None:
    leader, inner = child
    owners = Owners("mgpu", {leader: 42})
    assert owners.process(inner, 5) == Process(inner, 5, os.getuid(), 42)
    assert owners.process(leader, 5).job == 42
    assert owners.process(os.getpid(), 5).job == 0


def test_a_process_that_is_gone_belongs_to_nobody() -> None:
    assert Owners("mgpu", {}).process(2**22 + 1, 5) == Process(2**22 + 1, 5, -1, 0)


GROUPS = [
    ("0::/mgpu/42.3\n", 42),
    ("0::/mgpu/42.3/inner\n", 42),
    ("1:name=systemd:/user.slice\n0::/mgpu.slice/mgpu/7.1\n", 7),
    ("0::/mgpu2/42.3\n", 0),
    ("0::/mgpu/x42.3\n", 0),
    ("0::/user.slice\n", 0),
]


@pytest.mark.parametrize(("text", "job"), GROUPS)
def test_a_process_belongs_to_the_job_of_its_control_group(
    text: str, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgpu.gpus.owners._read", lambda _, name: text if name == "cgroup" else "")
    assert Owners("mgpu", {}).process(os.getpid(), 5).job == job
