"""Classes, time slices, times and what the queue tells, as users meet them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

LONG = ("--", "sleep", "600")
CLASSES = [
    {"name": "idle", "priority": -100, "preemptible": True, "min_run": 0},
    {"name": "urgent", "priority": 100, "groups": ["nobody-is-in-this"]},
]
ONE = [{"name": "Sim", "memory": 1000, "count": 1}]
MakeDaemon = Callable[..., Daemon]


def test_an_idle_job_leaves_for_one_that_outranks_it_and_comes_back(
    make_daemon: MakeDaemon, alice: User, bob: User
) -> None:
    daemon = make_daemon({"scheduling": {"classes": CLASSES}}, gpus=ONE)
    idle = daemon.submit(alice, "--qos", "idle", *LONG)
    daemon.wait_state(idle, "RUNNING")
    other = daemon.submit(bob, "--", "sleep", "1")
    daemon.wait_state(other, "COMPLETED")
    daemon.wait_state(idle, "RUNNING")
    assert daemon.job(idle)["restarts"] == 1


def test_the_warning_comes_before_it_is_switched_out(
    make_daemon: MakeDaemon, alice: User, bob: User
) -> None:
    daemon = make_daemon({"scheduling": {"classes": CLASSES}}, gpus=ONE)
    note = alice.home / "warned"
    script = f"trap 'touch {note}' USR1; while :; do sleep 0.1; done"
    idle = daemon.submit(
        alice,
        "--qos",
        "idle",
        "--signal",
        "USR1@1",
        "--time-limit",
        "900",
        "--",
        "bash",
        "-c",
        script,
    )
    daemon.wait_state(idle, "RUNNING")
    other = daemon.submit(bob, "--", "true")
    daemon.wait_state(other, "COMPLETED")
    assert note.exists()


def test_a_class_for_a_group_is_denied_to_others(make_daemon: MakeDaemon, alice: User) -> None:
    daemon = make_daemon({"scheduling": {"classes": CLASSES}})
    for name, words in (("urgent", "is for members of"), ("none", "there is no class")):
        done = daemon.command(alice, ["mgpu_srun", "--qos", name, "--", "true"])
        assert done.returncode == 1
        assert words in done.stderr


def test_users_lower_their_priority_and_do_not_raise_it(daemon: Daemon, alice: User) -> None:
    done = daemon.command(alice, ["mgpu_srun", "--priority", "1", "--", "true"])
    assert done.returncode == 1
    assert "1 is more than the 0 that users may give" in done.stderr
    low = daemon.submit(alice, "--nice", "--hold", "--", "true")
    assert daemon.job(low)["priority"] == -100


def test_a_job_goes_on_beyond_the_machine_s_limit_while_nobody_waits(
    make_daemon: MakeDaemon, alice: User, bob: User
) -> None:
    policy = {"max_job_time": 3, "on_time_limit": "extend-when-idle"}
    daemon = make_daemon({"scheduling": policy}, gpus=ONE)
    first = daemon.submit(alice, "--", "sleep", "5")
    daemon.wait_state(first, "COMPLETED")
    assert daemon.job(first)["restarts"] == 0
    second = daemon.submit(alice, *LONG)
    daemon.wait_state(second, "RUNNING")
    third = daemon.submit(bob, "--", "true")
    daemon.wait_state(third, "COMPLETED")
    eventually(lambda: daemon.job(second)["restarts"], until=lambda count: count == 1)


def test_held_released_and_begun_later(daemon: Daemon, alice: User, bob: User) -> None:
    held = daemon.submit(alice, "--hold", "-G", "0", "--", "true")
    assert daemon.job(held)["reason"] == "JobHeldUser"
    assert daemon.command(bob, ["mgpu_job", "release", str(held)]).returncode == 1
    done = daemon.command(alice, ["mgpu_job", "release", str(held), "--at", "now+2"])
    assert done.stdout == "Released 1 of 1\n"
    assert daemon.job(held)["reason"] == "BeginTime"
    daemon.wait_state(held, "COMPLETED")


def test_a_recurring_job_runs_when_it_is_due(daemon: Daemon, alice: User) -> None:
    done = daemon.command(alice, ["mgpu_srun", "--cron", "* * * * *", "-G", "0", "--", "true"])
    assert done.stdout == "Submitted recurring job 1\n"
    assert "* * * * *" in daemon.command(alice, ["mgpu_job", "cron", "list"]).stdout
    assert daemon.command(alice, ["mgpu_job", "cron", "remove", "1"]).returncode == 0
    assert "* * * * *" not in daemon.command(alice, ["mgpu_job", "cron", "list"]).stdout


def test_the_queue_explains_itself_to_everybody(
    make_daemon: MakeDaemon, alice: User, bob: User
) -> None:
    daemon = make_daemon(gpus=ONE)
    first = daemon.submit(alice, "--time-limit", "600", *LONG)
    daemon.wait_state(first, "RUNNING")
    second = daemon.submit(bob, "--time-limit", "60", *LONG)

    def asked(*options: str) -> Any:
        done = daemon.command(alice, ["mgpu_queue", *options, "--json"])
        return json.loads(done.stdout)["jobs"]

    assert [row["id"] for row in asked("--priority")] == [second]
    (start,) = asked("--start")
    assert (start["id"], start["after"], start["gpu_ids"]) == (second, str(first), [0])
    (why,) = asked("--why", str(second))
    assert why["why"][0].startswith("Resources: needs 1 GPU for itself")
    assert "Expected to start in" in why["why"][-1]
