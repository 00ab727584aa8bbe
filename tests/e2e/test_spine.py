"""The main job from end to end: submit, run as the caller, see, cancel, outlive the daemon."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

IDS = "import os; print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))"


def test_a_job_runs_as_its_submitter(daemon: Daemon, alice: User, bob: User) -> None:
    jobs = {
        user: daemon.submit(user, "--mem", "1000", "--", "/usr/bin/python3", "-c", IDS)
        for user in (alice, bob)
    }
    for user, job in jobs.items():
        daemon.wait_state(job, "COMPLETED")
        ids = f"({user.uid}, {user.uid}, {user.uid}) ({user.gid}, {user.gid}, {user.gid})"
        groups = sorted(os.getgrouplist(user.name, user.gid))
        assert f"{ids} {groups}\n" in daemon.output(user, job)


def test_wait_returns_the_code_of_the_job(daemon: Daemon, alice: User) -> None:
    assert daemon.srun(alice, "--wait", "--", "sh", "-c", "exit 7").returncode == 7
    assert daemon.srun(alice, "--wait", "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9


def test_a_script_is_copied_at_submission(daemon: Daemon, alice: User) -> None:
    script = alice.home / "job.sh"
    script.write_text('#!/bin/sh\necho "first $1"\n')
    blocker = daemon.submit(alice, "--gpus", "2", "--", "sleep", "600")
    job = daemon.submit(alice, "./job.sh", "arg")
    script.write_text("#!/bin/sh\necho second\n")
    daemon.cancel(alice, str(blocker))
    daemon.wait_state(job, "COMPLETED")
    assert "first arg" in daemon.output(alice, job)


def test_a_waiting_job_says_why_and_can_be_cancelled(daemon: Daemon, alice: User) -> None:
    running = daemon.submit(alice, "--gpus", "2", "--", "sleep", "600")
    daemon.wait_state(running, "RUNNING")
    waiting = daemon.submit(alice, "--gpus", "1", "--mem", "8000", "--", "true")
    row = daemon.wait_state(waiting, "PENDING")
    assert row["reason"] == "Resources"
    assert f"job {running}" in row["detail"]
    assert daemon.cancel(alice, str(waiting), str(running)).returncode == 0
    daemon.wait_state(waiting, "CANCELLED")
    daemon.wait_state(running, "CANCELLED")


def test_nobody_cancels_anothers_job(daemon: Daemon, alice: User, bob: User, carol: User) -> None:
    job = daemon.submit(alice, "--", "sleep", "600")
    denied = daemon.cancel(bob, str(job))
    unknown = daemon.cancel(bob, "999")
    assert denied.returncode == unknown.returncode == 1
    assert denied.stderr.replace(str(job), "999") == unknown.stderr
    assert daemon.cancel(carol, "--admin", str(job)).returncode == 0
    daemon.wait_state(job, "CANCELLED")


def test_at_the_limit_a_job_goes_back_to_the_queue(daemon: Daemon, alice: User) -> None:
    line = 'echo "run $MGPU_RESTART_COUNT"; [ $MGPU_RESTART_COUNT = 1 ] || exec sleep 600'
    job = daemon.submit(alice, "--time-limit", "1", "--", "sh", "-c", line)
    row = daemon.wait_state(job, "COMPLETED")
    assert row["attempt"] == 2
    assert row["restarts"] == 1
    output = daemon.output(alice, job)
    assert output.index("run 0") < output.index("run 1")


def test_without_requeue_the_limit_is_the_end(daemon: Daemon, alice: User) -> None:
    job = daemon.submit(alice, "--time-limit", "1", "--no-requeue", "--", "sleep", "600")
    assert daemon.wait_state(job, "TIMEOUT")["attempt"] == 1


def test_four_jobs_at_once_on_one_gpu_of_16_gib(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    daemon = make_daemon(gpus=[{"name": "Sim", "memory": 16384}])
    jobs = [daemon.submit(alice, "--mem", "6G", "--", "sleep", "600") for _ in range(4)]
    daemon.wait_state(jobs[1], "RUNNING")
    assert [daemon.job(job)["state"] for job in jobs] == ["RUNNING"] * 2 + ["PENDING"] * 2


def sleeper(user: User) -> list[int]:
    return [p.pid for p in processes.of_user(user.uid) if p.command == "sleep 600"]


def test_a_running_job_outlives_every_process_of_the_daemon(daemon: Daemon, alice: User) -> None:
    job = daemon.submit(alice, "--", "sleep", "600")
    (pid,) = eventually(lambda: sleeper(alice))
    daemon.kill9_scheduler()
    daemon.wait_ready()
    daemon.wait_state(job, "RUNNING")
    daemon.kill9()
    daemon.start()
    daemon.wait_state(job, "RUNNING")
    daemon.restart()
    daemon.wait_state(job, "RUNNING")
    assert sleeper(alice) == [pid]
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    eventually(lambda: not sleeper(alice))


def test_the_end_of_a_job_while_the_daemon_is_down_is_known(daemon: Daemon, alice: User) -> None:
    flag = alice.home / "flag"
    line = f"while [ ! -e {flag} ]; do read -t 0.02 <> <(:); done; exit 9"
    job = daemon.submit(alice, "--", "bash", "-c", line)
    daemon.wait_state(job, "RUNNING")
    daemon.stop()
    flag.touch()
    eventually(lambda: not processes.of_user(alice.uid), what="the job has ended")
    daemon.start()
    row = daemon.wait_state(job, "FAILED")
    assert row["code"] == 9
