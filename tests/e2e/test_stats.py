"""What has run is told by mgpu_stats, to owners and to others, and at the end of logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

GPUS = [{"name": "Sim A", "memory": 16384, "count": 2}]
Make = Callable[..., Daemon]


def told(daemon: Daemon, user: User, *options: str) -> dict[str, Any]:
    done = daemon.command(user, ["mgpu_stats", "--json", *options])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_attempts_are_told_with_their_use_to_the_owner_and_without_names_to_others(
    make_daemon: Make, alice: User, bob: User, carol: User
) -> None:
    daemon = make_daemon(gpus=GPUS)
    job = daemon.submit(
        alice, "-G", "2", "--mem", "8000", "-J", "secret", "-P", "vision", "--", "sleep", "600"
    )
    daemon.wait_state(job, "RUNNING")
    pid = daemon.job(job)["id"]
    for gpu in ("0", "1"):
        simulate = ["mgpu_ctl", "gpu", "simulate", gpu, "--utilization", "40"]
        assert daemon.command(carol, simulate).returncode == 0
    assert told(daemon, alice, "--by", "job")["runs"][0]["state"] == "RUNNING"
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    (run,) = told(daemon, alice, "--by", "job")["runs"]
    assert (run["job"], run["name"], run["project"]) == (pid, "secret", "vision")
    assert (run["state"], run["gpus"], run["gpu_mem"]) == ("CANCELLED", [0, 1], 8000)
    assert run["gpu_seconds"] > 0
    (theirs,) = told(daemon, bob, "--by", "job")["runs"]
    assert (theirs["user"], theirs["name"], theirs["project"]) == ("alice", None, None)
    assert told(daemon, bob, "--by", "project")["project"][0]["project"] == "*"
    report = daemon.command(bob, ["mgpu_stats"]).stdout
    assert "secret" not in report
    assert "vision" not in report


def test_the_history_survives_a_kill(make_daemon: Make, alice: User) -> None:
    daemon = make_daemon(gpus=GPUS)
    job = daemon.submit(alice, "--", "true")
    daemon.wait_state(job, "COMPLETED")
    daemon.kill9()
    daemon.start()
    assert told(daemon, alice)["total"][0]["completed"] == 1


def test_by_order_users_learn_nothing_of_each_other(
    make_daemon: Make, alice: User, bob: User
) -> None:
    daemon = make_daemon({"privacy": {"usage": "own"}}, gpus=GPUS)
    job = daemon.submit(alice, "--", "true")
    daemon.wait_state(job, "COMPLETED")
    assert told(daemon, bob)["user"] == []
    assert [row["user"] for row in told(daemon, alice)["user"]] == ["alice"]


def test_by_order_a_log_ends_with_a_report(make_daemon: Make, alice: User) -> None:
    daemon = make_daemon({"jobs": {"report": True}}, gpus=GPUS)
    job = daemon.submit(alice, "-G", "1", "--mem", "8000", "--", "sh", "-c", "echo hello; exit 3")
    daemon.wait_state(job, "FAILED")
    log = eventually(lambda: daemon.output(alice, job), until=lambda text: "memory of" in text)
    lines = log.splitlines()
    assert lines[1] == "hello"
    assert lines[2].startswith(f"[mgpu] job {job}, attempt 1: FAILED, code 3; ran ")
    assert lines[3].startswith("[mgpu] 1 GPU: 0.00 GPU-hours")
    assert lines[4].startswith("[mgpu] memory of each GPU: asked for 8000M")


def test_a_report_goes_only_into_a_log(make_daemon: Make, alice: User) -> None:
    daemon = make_daemon({"jobs": {"report": True}}, gpus=GPUS)
    job = daemon.submit(alice, "--output", "/dev/null", "--", "true")
    daemon.wait_state(job, "COMPLETED")
    daemon.wait_state(daemon.submit(alice, "--", "true"), "COMPLETED")


def test_without_the_order_a_log_is_the_programs(daemon: Daemon, alice: User) -> None:
    job = daemon.submit(alice, "--", "echo", "hello")
    daemon.wait_state(job, "COMPLETED")
    daemon.wait_state(daemon.submit(alice, "--", "true"), "COMPLETED")
    assert daemon.output(alice, job).splitlines()[1:] == ["hello"]
