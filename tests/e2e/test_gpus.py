"""Which GPUs are given out, as administrators order it, and who else uses them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lib import cgroups, processes
from tests.lib.daemon import Daemon
from tests.lib.stubbox import Box
from tests.lib.users import User
from tests.lib.waiting import eventually

LONG = ("--", "sleep", "600")


def ctl(daemon: Daemon, admin: User, *args: str) -> str:
    done = daemon.command(admin, ["mgpu_ctl", *args])
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(daemon: Daemon, user: User) -> Any:
    """What mgpu_ctl show-gpus knows."""
    return json.loads(ctl(daemon, user, "show-gpus", "--json"))


def info(daemon: Daemon, user: User) -> str:
    """What mgpu_info prints."""
    return daemon.command(user, ["mgpu_info"]).stdout


def states(daemon: Daemon, user: User) -> list[str]:
    return [row["state"] for row in shown(daemon, user)["gpus"]]


def become(daemon: Daemon, user: User, *wanted: str) -> None:
    """Wait until the GPUs are in these states."""
    eventually(lambda: states(daemon, user), until=lambda seen: seen == [*wanted], timeout=20)


def placed(daemon: Daemon, job: int) -> list[int]:
    """The GPUs of a job, once it runs."""
    gpus: list[int] = daemon.wait_state(job, "RUNNING")["gpu_ids"]
    return gpus


# -- orders ----------------------------------------------------------------------------------------


def test_drained_gpus_stay_so_over_a_restart_until_they_are_resumed(
    daemon: Daemon, alice: User, carol: User
) -> None:
    first = daemon.submit(alice, "--gpus", "2", *LONG)
    daemon.wait_state(first, "RUNNING")
    told = ctl(daemon, carol, "drain", "0", "gpu1", "--reason", "new fans")
    assert told == "Drained gpu0, gpu1\n"
    assert daemon.job(first)["state"] == "RUNNING"
    daemon.cancel(alice, str(first))
    daemon.wait_state(first, "CANCELLED")
    second = daemon.submit(alice, *LONG)
    daemon.kill9()
    daemon.start()
    table = ctl(daemon, alice, "show-gpus")
    assert table.count("drained by carol since 20") == table.count("new fans") == 2
    assert daemon.job(second)["state"] == "PENDING"
    assert ctl(daemon, carol, "resume", "1") == "Resumed gpu1\n"
    assert placed(daemon, second) == [1]
    done = daemon.command(carol, ["mgpu_ctl", "drain", "0", "--reason", "again"])
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [
            "mgpu_ctl: error: gpus: gpu0 is drained already: new fans",
            "mgpu_ctl: hint: to give another reason: mgpu_ctl resume gpu0, then drain it again",
        ],
    )


def test_an_order_goes_before_the_flag_before_the_variable_before_the_file(
    make_daemon: Callable[..., Daemon], alice: User, carol: User
) -> None:
    config = {"gpus": {"devices": "0"}}
    gpus = [{"name": "Sim A", "memory": 16384, "count": 4}]
    daemon = make_daemon(config, gpus=gpus, flags=["--gpus", "2"], env={"MGPU_GPUS_DEVICES": "1"})
    assert placed(daemon, daemon.submit(alice, *LONG)) == [2]
    ctl(daemon, carol, "set-gpus", "0-1,3")
    daemon.kill9()
    daemon.start()
    assert sorted(placed(daemon, daemon.submit(alice, *LONG))[0] for _ in range(3)) == [0, 1, 3]
    assert "carol said so with mgpu_ctl set-gpus" in ctl(daemon, alice, "show-gpus")
    assert daemon.job(1)["state"] == "RUNNING", "new starts only"
    ctl(daemon, carol, "set-gpus", "all")
    assert shown(daemon, alice)["restriction"]["gpus"] == [2]
    daemon.stop()
    daemon.flags = []
    daemon.start()
    assert shown(daemon, alice)["restriction"]["gpus"] == [1]


def test_users_look_and_do_not_order(daemon: Daemon, alice: User) -> None:
    for order in (["drain", "0", "--reason", "mine"], ["set-gpus", "1"], ["gpu", "ignore", "1"]):
        assert daemon.command(alice, ["mgpu_ctl", *order]).returncode != 0
    assert states(daemon, alice) == ["available", "available"]
    assert ctl(daemon, alice, "gpu", "list").split() == [
        "PID", "USER", "GPU", "MEMORY", "SINCE", "IGNORED",
    ]  # fmt: skip


def test_a_fault_drains_the_gpu_and_its_job_is_told(
    daemon: Daemon, alice: User, carol: User
) -> None:
    job = daemon.submit(alice, "--gpu-ids", "1", *LONG)
    daemon.wait_state(job, "RUNNING")
    ctl(daemon, carol, "gpu", "simulate", "1", "--fault", "Xid 48: double bit ECC error")
    told = "gpu1 reported Xid 48: double bit ECC error: the GPU is drained"
    eventually(lambda: daemon.job(job)["note"], until=lambda note: note == told)
    assert "action=gpu-fault gpu=gpu1" in daemon.log()
    assert placed(daemon, daemon.submit(alice, *LONG)) == [0]
    ctl(daemon, carol, "resume", "1")
    become(daemon, alice, "available", "available")


def test_a_fault_of_a_drained_gpu_outlives_its_drain_and_a_restart(
    daemon: Daemon, alice: User, carol: User
) -> None:
    ctl(daemon, carol, "drain", "1", "--reason", "new fans")
    ctl(daemon, carol, "gpu", "simulate", "1", "--fault", "Xid 79: fallen off the bus")
    become(daemon, alice, "available", "fault")
    daemon.kill9()
    daemon.start()
    assert ctl(daemon, carol, "resume", "1") == (
        "Resumed gpu1\ngpu1 is still drained for its fault: Xid 79: fallen off the bus; "
        "once repaired, resume it again\n"
    )
    assert states(daemon, alice) == ["available", "fault"]
    assert ctl(daemon, carol, "resume", "1") == "Resumed gpu1\n"
    become(daemon, alice, "available", "available")


# -- outsiders and what jobs leave, as the driver tells --------------------------------------------


def test_a_job_that_wants_a_gpu_for_itself_avoids_outsiders_unless_they_are_ignored(
    make_box: Callable[..., Box], alice: User, bob: User, carol: User
) -> None:
    box = make_box()
    daemon, pid = box.daemon, box.stranger(bob).pid
    box.show((pid, 6000))

    def listed() -> Any:
        return json.loads(ctl(daemon, alice, "gpu", "list", "--json"))["processes"]

    (row,) = eventually(listed)
    assert (row["pid"], row["uid"], row["gpu"], row["memory"]) == (pid, bob.uid, 0, 6000)
    told = ctl(daemon, alice, "gpu", "list").splitlines()[1].split()
    assert (told[:4], told[-1]) == ([str(pid), "bob", "gpu0", "6000M"], "no")
    assert placed(daemon, daemon.submit(alice, *LONG)) == [1]
    assert placed(daemon, daemon.submit(alice, "--mem", "8G", *LONG)) == [0]
    daemon.cancel(alice, "2")
    daemon.wait_state(2, "CANCELLED")
    alone = daemon.submit(alice, *LONG)
    assert daemon.job(alone)["state"] == "PENDING"
    ctl(daemon, carol, "gpu", "ignore", str(pid))
    assert placed(daemon, alone) == [0]
    box.show()
    eventually(lambda: not listed())
    assert daemon.command(carol, ["mgpu_ctl", "gpu", "unignore", str(pid)]).returncode == 1


def test_an_outsider_is_killed_after_the_grace_where_the_policy_says_so(
    make_box: Callable[..., Box], bob: User
) -> None:
    box = make_box(outsiders="kill", outsider_grace=2)
    ours = User("root", 0, 0, Path("/root"))
    spared, stranger = box.stranger(ours), box.stranger(bob)
    box.show((stranger.pid, 6000), (spared.pid, 7000))
    assert stranger.wait(20) == -9
    box.show((spared.pid, 7000))
    told = f"action=outsider-seen gpu=gpu0 pid={stranger.pid} uid={bob.uid} memory=6000"
    assert box.daemon.log().count(told) == 1
    assert f"action=outsider-kill pid={stranger.pid}" in box.daemon.log()
    assert "action=process-killed" in box.daemon.log()
    assert spared.poll() is None
    assert f"action=outsider-kill pid={spared.pid}" not in box.daemon.log()


def test_a_gpu_that_a_job_has_not_left_is_given_out_when_it_has(
    make_box: Callable[..., Box], alice: User
) -> None:
    box = make_box(cleaning_limit=2)
    daemon = box.daemon
    job = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    daemon.wait_state(job, "RUNNING")
    box.show(used=3000)
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    become(daemon, alice, "cleaning", "available")
    late = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    become(daemon, alice, "dirty", "available")
    assert "3000 MiB in use after the end of job 1" in ctl(daemon, alice, "show-gpus")
    assert daemon.job(late)["state"] == "PENDING"
    box.show()
    assert placed(daemon, late) == [0]
    assert "action=gpu-dirty gpu=gpu0" in daemon.log()
    assert "action=gpu-clean gpu=gpu0" in daemon.log()


def test_what_a_job_leaves_on_its_gpu_is_killed(make_box: Callable[..., Box], alice: User) -> None:
    box = make_box()
    daemon = box.daemon
    script = "setsid sleep 600 & echo $!; wait"
    job = daemon.submit(alice, "--gpu-ids", "0", "--no-requeue", "--", "sh", "-c", script)
    daemon.wait_state(job, "RUNNING")
    pid = int(eventually(lambda: daemon.output(alice, job).splitlines()[1:])[0])
    elsewhere = cgroups.beside(daemon.name, "elsewhere")  # where killing the job's group is in vain
    (elsewhere / "cgroup.procs").write_text(str(pid))
    box.show((pid, 3000))
    eventually(
        lambda: f"job {job} of alice" in info(daemon, alice) and "3000M used" in info(daemon, alice)
    )
    (found,) = re.findall(r"action=supervisor-start job=1 attempt=1 pid=(\d+)", daemon.log())
    os.kill(int(found), signal.SIGKILL)
    daemon.wait_state(job, "FAILED")
    eventually(lambda: not processes.alive(pid))
    elsewhere.rmdir()
    assert f"action=leftover-kill pid={pid}" in daemon.log()
    box.show()
    become(daemon, alice, "available", "available")


@pytest.fixture
def frozen() -> Iterator[Callable[[int, bool], None]]:
    """Has a process hang in the kernel, where no signal reaches it, and go on."""
    group = cgroups.old_root("freezer") / f"mgpu-test-{os.getpid()}"
    group.mkdir()

    def freeze(pid: int, stop: bool) -> None:
        if stop:
            (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN" if stop else "THAWED")

    yield freeze
    freeze(0, False)
    eventually(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@pytest.mark.slow
def test_a_process_that_cannot_be_killed_keeps_its_gpu_until_it_is_gone(
    daemon: Daemon, alice: User, frozen: Callable[[int, bool], None]
) -> None:
    job = daemon.submit(alice, "--gpu-ids", "0", "--", "sh", "-c", "echo $$; exec sleep 600")
    daemon.wait_state(job, "RUNNING")
    pid = int(eventually(lambda: daemon.output(alice, job).splitlines()[1:])[0])
    late = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    frozen(pid, True)
    daemon.cancel(alice, str(job))
    become(daemon, alice, "dirty", "available")
    daemon.kill9_scheduler()
    become(daemon, alice, "dirty", "available")
    daemon.kill9()
    daemon.start()
    become(daemon, alice, "dirty", "available")
    assert f"pid {pid} of job {job} cannot be killed" in ctl(daemon, alice, "show-gpus")
    assert f"(pid {pid} cannot be killed)" in daemon.queue(alice)
    assert daemon.job(late)["state"] == "PENDING"
    frozen(pid, False)
    assert placed(daemon, late) == [0]
    assert daemon.job(job)["state"] == "CANCELLED"
    assert daemon.log().count("action=gpu-dirty gpu=gpu0") == 3


def test_memory_that_is_rightly_in_use_is_accepted_by_resuming(
    make_box: Callable[..., Box], alice: User, carol: User
) -> None:
    box = make_box(cleaning_limit=1)
    daemon = box.daemon
    job = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    daemon.wait_state(job, "RUNNING")
    box.show(used=3000)
    daemon.cancel(alice, str(job))
    become(daemon, alice, "dirty", "available")
    late = daemon.submit(alice, "--gpu-ids", "0", *LONG)
    assert ctl(daemon, carol, "resume", "0") == "Resumed gpu0\n"
    assert placed(daemon, late) == [0]
    daemon.kill9()
    daemon.start()
    daemon.cancel(alice, str(late))
    become(daemon, alice, "available", "available")
