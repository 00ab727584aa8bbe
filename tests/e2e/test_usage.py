"""What jobs use of their GPUs, and what comes of it: memory and idleness, on simulated GPUs."""

from __future__ import annotations

from collections.abc import Callable

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

GPUS = [{"name": "Sim A", "memory": 16384, "count": 2}]
Make = Callable[..., Daemon]


def a_daemon(make_daemon: Make, **settings: object) -> Daemon:
    return make_daemon({"gpus": settings}, gpus=GPUS)


def a_job(daemon: Daemon, user: User, *options: str) -> tuple[int, int]:
    """A job that runs and does nothing, and its process."""
    asked = ("--gpus", "1", "--mem", "8000", *options)
    job = daemon.submit(user, *asked, "--", "sh", "-c", "echo pid $$; exec sleep 600")
    text = eventually(lambda: daemon.output(user, job), until=lambda text: "pid " in text)
    return job, int(text.rpartition("pid ")[2].split()[0])


def simulate(daemon: Daemon, admin: User, gpu: int, *facts: str) -> None:
    done = daemon.command(admin, ["mgpu_ctl", "gpu", "simulate", str(gpu), *facts])
    assert done.returncode == 0, done.stderr


def noted(daemon: Daemon, job: int, wanted: str) -> None:
    eventually(lambda: daemon.job(job)["note"], until=lambda note: wanted in note)


def test_memory_beyond_what_was_asked_for_is_told_and_kept_off_neighbours(
    make_daemon: Make, alice: User, bob: User, carol: User
) -> None:
    daemon = a_daemon(make_daemon, over_memory_grace="1s")
    job, pid = a_job(daemon, alice, "--gpu-ids", "0")
    simulate(daemon, carol, 0, "--process", f"{pid}:9000")
    noted(daemon, job, "uses 9000 MiB of gpu0, asked for 8000")
    assert "gpu0 (uses 9000 MiB of gpu0, asked for 8000)" in daemon.queue(bob)
    waits = daemon.submit(bob, "--gpu-ids", "0", "--mem", "8000", "--", "true")
    daemon.wait_state(waits, "PENDING")
    screen = daemon.command(bob, ["mgpu_info"]).stdout
    assert "8000M reserved, 9000M used" in screen
    simulate(daemon, carol, 0, "--process", f"{pid}:8100")
    daemon.wait_state(waits, "COMPLETED")
    assert (daemon.job(job)["state"], daemon.job(job)["note"]) == ("RUNNING", "")


def test_the_peak_survives_a_kill_and_stays_in_the_history(
    make_daemon: Make, alice: User, carol: User
) -> None:
    daemon = a_daemon(make_daemon)
    job, pid = a_job(daemon, alice, "--gpu-ids", "1")
    simulate(daemon, carol, 1, "--process", f"{pid}:7000")
    eventually(lambda: daemon.job(job)["peak"], until=lambda peak: peak == [[1, 7000]])
    daemon.kill9()
    daemon.start()
    assert daemon.job(job)["peak"] == [[1, 7000]]
    daemon.cancel(alice, str(job))
    assert daemon.wait_state(job, "CANCELLED")["peak"] == [[1, 7000]]
    assert "7000M" in daemon.queue(alice, "-j", str(job), "--all", "-o", "%i %x")


def test_by_order_a_job_that_uses_too_much_ends(
    make_daemon: Make, alice: User, carol: User
) -> None:
    daemon = a_daemon(make_daemon, over_memory="kill", over_memory_grace="1s")
    job, pid = a_job(daemon, alice)
    gpu = daemon.job(job)["gpu_ids"][0]
    simulate(daemon, carol, gpu, "--process", f"{pid}:8512")
    simulate(daemon, carol, gpu, "--process", f"{pid}:8600")
    row = daemon.wait_state(job, "OUT_OF_MEMORY")
    told = f"(uses 8600 MiB of gpu{gpu}, asked for 8000)"
    assert told in daemon.queue(alice, "-j", str(job), "--all", "-o", "%i %R")
    assert row["peak"] == [[gpu, 8600]]


def test_a_job_that_becomes_idle_is_told_of_until_it_is_busy_again(
    make_daemon: Make, alice: User, carol: User
) -> None:
    daemon = a_daemon(make_daemon, idle_after="2s")
    for gpu in (0, 1):
        simulate(daemon, carol, gpu, "--utilization", "90")
    job, _ = a_job(daemon, alice, "--gpu-ids", "0")
    assert daemon.job(job)["note"] == ""
    simulate(daemon, carol, 0, "--utilization", "0")
    noted(daemon, job, "its GPUs idle for 0:0")
    simulate(daemon, carol, 0, "--utilization", "55")
    eventually(lambda: daemon.job(job)["note"], until=lambda note: note == "")


def test_by_order_an_idle_job_is_switched_out(make_daemon: Make, alice: User, carol: User) -> None:
    daemon = a_daemon(make_daemon, idle_after="1s", idle_policy="requeue")
    for gpu in (0, 1):
        simulate(daemon, carol, gpu, "--utilization", "0")
    job, _ = a_job(daemon, alice)
    stays, _ = a_job(daemon, alice, "--no-requeue")
    eventually(lambda: daemon.job(job)["restarts"], until=lambda restarts: restarts >= 1)
    noted(daemon, stays, "its GPUs idle for")
    assert (daemon.job(stays)["restarts"], daemon.job(stays)["state"]) == (0, "RUNNING")
