"""Signals to real jobs: who gets them, who may send them."""

from __future__ import annotations

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

LOOP = "while :; do sleep 0.05; done"
FAMILY = f"""
setsid sh -c 'trap "echo child heard" USR1; echo child ready; {LOOP}' &
trap "echo leader heard" USR1; echo leader ready; {LOOP}
"""


def test_all_processes_of_a_job_or_its_first_one_hear_it(daemon: Daemon, alice: User) -> None:
    job = daemon.submit(alice, "--gpus", "0", "--", "sh", "-c", FAMILY)
    eventually(lambda: daemon.output(alice, job), until=lambda text: text.count("ready") == 2)
    done = daemon.command(alice, ["mgpu_job", "signal", "--batch", str(job), "USR1"])
    assert (done.stdout, done.returncode) == (f"Sent SIGUSR1 to job {job}\n", 0)
    eventually(lambda: daemon.output(alice, job), until=lambda text: "leader heard" in text)
    assert "child heard" not in daemon.output(alice, job)
    done = daemon.command(alice, ["mgpu_cancel", "--signal", "USR1", "--state", "R"])
    assert (done.stdout, done.returncode) == (f"Sent SIGUSR1 to job {job}\n", 0)
    eventually(lambda: daemon.output(alice, job), until=lambda text: "child heard" in text)
    assert daemon.job(job)["state"] == "RUNNING"
    daemon.command(alice, ["mgpu_job", "signal", str(job), "KILL"])
    assert daemon.wait_state(job, "FAILED")["signal"] == 9


def test_after_a_restart_of_the_daemon_signals_arrive(daemon: Daemon, alice: User) -> None:
    job = daemon.submit(alice, "--gpus", "0", "--", "sh", "-c", FAMILY)
    eventually(lambda: daemon.output(alice, job), until=lambda text: text.count("ready") == 2)
    daemon.kill9()
    daemon.start()
    daemon.wait_state(job, "RUNNING")
    assert daemon.command(alice, ["mgpu_job", "signal", str(job), "USR1"]).returncode == 0
    eventually(lambda: daemon.output(alice, job), until=lambda text: text.count("heard") == 2)


def test_others_send_none(daemon: Daemon, alice: User, bob: User, carol: User) -> None:
    job = daemon.submit(alice, "--gpus", "0", "--", "sleep", "600")
    waits = daemon.submit(alice, "--gpus", "0", "--hold", "--", "sleep", "600")
    daemon.wait_state(job, "RUNNING")
    refused = daemon.command(bob, ["mgpu_job", "signal", str(job), "KILL"])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"job {job}: unknown, or not yours" in refused.stderr
    early = daemon.command(alice, ["mgpu_job", "signal", str(waits), "KILL"])
    assert f"job {waits}: has not started" in early.stderr
    assert daemon.job(job)["state"] == "RUNNING"
    assert (
        daemon.command(carol, ["mgpu_job", "signal", "--admin", str(job), "KILL"]).returncode == 0
    )
    daemon.wait_state(job, "FAILED")
