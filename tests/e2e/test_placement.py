"""Which GPUs, CPUs and memory jobs get, as users ask for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

LONG = ("--", "sleep", "600")
A100, L4 = "NVIDIA A100-SXM4-80GB", "NVIDIA L4"
#: gpu0 and gpu3 are joined by NVLink, as are gpu1 and gpu2; gpu4 is smaller, and on its own.
GPUS = [
    {"name": A100, "memory": 80000, "capability": "8.0", "nvlink": pair, "numa": 0}
    for pair in (1, 2, 2, 1)
] + [{"name": L4, "memory": 23000, "capability": "8.9", "numa": 1}]
HOST = {"cpus": 8, "host_memory": "64G"}


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A running daemon with these GPUs, and CPUs and memory in round numbers."""
    return make_daemon({"scheduling": HOST}, gpus=GPUS)


def placed(daemon: Daemon, user: User, *args: str) -> list[int]:
    """Submit a job that stays, and the GPUs that it runs on."""
    gpus: list[int] = daemon.wait_state(daemon.submit(user, *args, *LONG), "RUNNING")["gpu_ids"]
    return gpus


def waits_for(daemon: Daemon, job: int, reason: str) -> str:
    """Wait until the job waits for this reason; the detail."""
    row = eventually(
        lambda: daemon.job(job),
        until=lambda row: (row["state"], row["reason"]) == ("PENDING", reason),
    )
    return str(row["detail"])


def machine(daemon: Daemon, user: User) -> Any:
    return json.loads(daemon.command(user, ["mgpu_info", "--json"]).stdout)


def test_a_job_sees_the_gpus_that_it_named(daemon: Daemon, alice: User, bob: User) -> None:
    show = ("--", "sh", "-c", "echo sees $CUDA_VISIBLE_DEVICES")
    for asked, seen in (("2", "2"), ("4,1", "1,4")):
        job = daemon.submit(alice, "--gpu-ids", asked, *show)
        daemon.wait_state(job, "COMPLETED")
        assert f"sees {seen}\n" in daemon.output(alice, job)
    assert placed(daemon, alice, "--gpu-ids", "1,2", "--gpus", "1") == [1]
    assert placed(daemon, alice, "--gpu-ids", "3") == [3]
    late = daemon.submit(bob, "--gpu-ids", "3", *LONG)
    assert waits_for(daemon, late, "Resources") == (
        "needs 1 GPU of those it names for itself; free: none; gpu3 held by job 4"
    )


def test_the_kind_of_gpu_that_was_asked_for(daemon: Daemon, alice: User) -> None:
    assert placed(daemon, alice, "--min-capability", "8.6") == [4]
    assert placed(daemon, alice, "--gpus", "a100:2", "--min-gpu-memory", "40G") == [0, 3]
    late = daemon.submit(alice, "--gpu-type", "l4", *LONG)
    assert "free: none" in waits_for(daemon, late, "Resources")
    daemon.kill9()
    daemon.start()
    assert "of type l4" in waits_for(daemon, late, "Resources")


def test_what_the_machine_does_not_have_is_refused(daemon: Daemon, alice: User) -> None:
    for options, words in (
        (
            ("--gpu-ids", "7"),
            "there is no gpu7\nmgpu_srun: hint: there are: gpu0, gpu1, gpu2, gpu3, gpu4",
        ),
        (("--gpu-type", "h100"), f"of type h100; this machine has 0 (there are: 4 {A100}, 1 {L4})"),
        (("--min-gpu-memory", "100G"), "of 102400 MiB or more; this machine has 0 (largest: 80000"),
        (
            ("--min-capability", "9.0"),
            "of capability 9.0 or more; this machine has 0 (highest: 8.9",
        ),
        (("--gpu-type", "l4", "--mem", "24G"), "of type l4 with 24576 MiB; this machine has 0"),
        (("--cpus-per-task", "9"), "asks for 9 CPUs; this machine has 8 for jobs"),
        (("--host-mem", "65G"), "asks for 66560 MiB of host memory; this machine has 65536"),
    ):
        refused = daemon.srun(alice, *options, *LONG)
        assert refused.returncode == 1
        assert words in refused.stderr
    assert daemon.jobs() == []


def test_jobs_wait_for_cpus_and_memory_of_the_machine(
    daemon: Daemon, alice: User, bob: User
) -> None:
    first = daemon.submit(alice, "--cpus-per-task", "6", "--host-mem", "60G", *LONG)
    daemon.wait_state(first, "RUNNING")
    second = daemon.submit(bob, "--cpus-per-task", "3", *LONG)
    third = daemon.submit(bob, "--gpus", "0", "--host-mem", "5G", *LONG)
    assert waits_for(daemon, second, "Resources") == "needs 3 CPUs; 2 of 8 are free"
    assert waits_for(daemon, third, "Resources") == (
        "needs 5120 MiB of host memory; 4096 of 65536 are free"
    )
    assert placed(daemon, bob) == [0]  # it names none, and needs none
    daemon.kill9()
    daemon.start()
    assert machine(daemon, bob)["host"] == {
        "cpus": 8, "cpus_reserved": 6, "memory": 65536, "memory_reserved": 61440,
    }  # fmt: skip
    daemon.cancel(alice, str(first))
    for job in (second, third):
        daemon.wait_state(job, "RUNNING")


def test_several_gpus_are_joined_by_nvlink(daemon: Daemon, alice: User, bob: User) -> None:
    shown = daemon.command(bob, ["mgpu_info", "--topology"]).stdout
    assert shown.splitlines()[1].split() == ["gpu0", "-", "NUMA", "NUMA", "NVLINK", "SYSTEM"]
    assert placed(daemon, alice, "--gpus", "2") == [0, 3]
    assert placed(daemon, bob, "--gpus", "2") == [1, 2]


def test_jobs_that_share_leave_gpus_whole(daemon: Daemon, alice: User, bob: User) -> None:
    # The smallest that is large enough, then the one that is in use already, as long as it fits.
    assert [placed(daemon, alice, "--mem", "10G") for _ in range(3)] == [[4], [4], [0]]
    assert placed(daemon, bob, "--mem", "60000") == [0]
    assert placed(daemon, bob, "--mem", "1G") == [4]
    assert placed(daemon, bob, "--mem", "1G", "--exclusive") == [3]
    assert placed(daemon, bob, "--gpus", "2") == [1, 2]


@pytest.mark.parametrize(("strategy", "gpus"), [("spread", [0, 1, 2]), ("sequential", [0, 0, 0])])
def test_the_strategy_of_the_machine(
    make_daemon: Callable[..., Daemon], alice: User, strategy: str, gpus: list[int]
) -> None:
    daemon = make_daemon({"gpus": {"placement": strategy}}, gpus=GPUS)
    assert [placed(daemon, alice, "--mem", "10G") for _ in gpus] == [[index] for index in gpus]
