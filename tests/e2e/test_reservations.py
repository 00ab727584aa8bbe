"""Reservations that administrators make, as users meet them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

LONG = ("--", "sleep", "600")


def reserve(daemon: Daemon, admin: User, *args: str) -> str:
    """The id of a new reservation."""
    done = daemon.command(admin, ["mgpu_ctl", "reserve", "create", "--parsable", *args])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def cancel(daemon: Daemon, admin: User, number: str) -> None:
    done = daemon.command(admin, ["mgpu_ctl", "reserve", "cancel", number])
    assert (done.returncode, done.stdout) == (0, f"Cancelled reservation {number}\n"), done.stderr


def listed(daemon: Daemon, user: User) -> list[dict[str, Any]]:
    done = daemon.command(user, ["mgpu_ctl", "reserve", "list", "--json"])
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["reservations"]
    return rows


def waits_for(daemon: Daemon, job: int, reason: str) -> str:
    """Wait until the job waits for this reason; the detail."""
    row = eventually(
        lambda: daemon.job(job),
        until=lambda row: (row["state"], row["reason"]) == ("PENDING", reason),
    )
    return str(row["detail"])


def test_reserved_gpus_are_for_their_people(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    number = reserve(daemon, carol, "--user", "alice", "--gpus", "2", "--duration", "1h")
    theirs = daemon.submit(bob, *LONG)
    assert f"reservation {number}" in waits_for(daemon, theirs, "Reservation")
    own = daemon.submit(alice, *LONG)
    daemon.wait_state(own, "RUNNING")
    daemon.restart()
    assert [row["gpus"] for row in listed(daemon, bob)] == [[0, 1]]
    waits_for(daemon, theirs, "Reservation")
    cancel(daemon, carol, number)
    daemon.wait_state(theirs, "RUNNING")


def test_groups_are_those_of_the_system(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    """Each user is in a group of the same name."""
    reserve(daemon, carol, "--group", "alice", "--gpu-ids", "0,1", "--duration", "1h")
    theirs, own = daemon.submit(bob, *LONG), daemon.submit(alice, *LONG)
    daemon.wait_state(own, "RUNNING")
    waits_for(daemon, theirs, "Reservation")


def test_projects_are_for_their_members(
    make_daemon: Callable[..., Daemon], alice: User, bob: User, carol: User
) -> None:
    daemon = make_daemon({"projects": {"members": {"vision": ["bob"]}}})
    reserve(daemon, carol, "--project", "vision", "--gpus", "2", "--duration", "1h")
    other = daemon.submit(bob, *LONG)
    refused = daemon.srun(alice, "--project", "vision", *LONG)
    assert "the project vision is for its members" in refused.stderr.replace('"', "")
    own = daemon.submit(bob, "--project", "vision", *LONG)
    daemon.wait_state(own, "RUNNING")
    waits_for(daemon, other, "Reservation")


def test_before_it_begins_short_jobs_run(daemon: Daemon, bob: User, carol: User) -> None:
    reserve(daemon, carol, "--nobody", "--gpus", "2", "--start", "now+1h", "--duration", "1h")
    endless = daemon.submit(bob, *LONG)
    short = daemon.submit(bob, "--time-limit", "10m", *LONG)
    daemon.wait_state(short, "RUNNING")
    waits_for(daemon, endless, "Reservation")


def test_it_switches_out_and_gives_back(daemon: Daemon, bob: User, carol: User) -> None:
    goes = daemon.submit(bob, *LONG)
    stays = daemon.submit(bob, "--no-requeue", *LONG)
    for job in (goes, stays):
        daemon.wait_state(job, "RUNNING")
    who = ("--nobody", "--gpus", "2", "--preempt")
    reserve(daemon, carol, *who, "--start", "now+1", "--duration", "8s")
    waits_for(daemon, goes, "Reservation")
    assert daemon.job(stays)["state"] == "RUNNING"
    again = daemon.wait_state(goes, "RUNNING", timeout=20)
    assert again["restarts"] == 1
    assert listed(daemon, carol) == []


def test_only_administrators_reserve(daemon: Daemon, alice: User, bob: User, carol: User) -> None:
    order = ["mgpu_ctl", "reserve", "create", "--user", "bob", "--gpus", "1", "--duration", "60"]
    refused = daemon.command(bob, order)
    assert refused.returncode != 0
    assert listed(daemon, bob) == []
    reserve(daemon, carol, "--user", "alice", "--gpus", "1", "--duration", "1h", "--name", "secret")
    (seen,) = listed(daemon, bob)
    assert (seen["name"], seen["users"], seen["mine"], seen["gpus"]) == ("", [], False, [0])
    (own,) = listed(daemon, alice)
    assert (own["name"], own["users"], own["mine"]) == ("secret", ["alice"], True)
    assert listed(daemon, carol)[0]["name"] == "secret"


def test_too_much_is_refused_with_the_figures(daemon: Daemon, carol: User) -> None:
    reserve(daemon, carol, "--nobody", "--gpus", "1", "--start", "now+1h", "--duration", "1h")
    order = ["--nobody", "--gpus", "2", "--start", "now+90m", "--duration", "1h"]
    done = daemon.command(carol, ["mgpu_ctl", "reserve", "create", *order])
    assert done.returncode == 1
    assert "needs 2 GPUs; 1 of 2 GPUs are left, beside reservation 1" in done.stderr


def test_the_timeline_is_drawn(daemon: Daemon, bob: User, carol: User) -> None:
    reserve(
        daemon, carol, "--user", "bob", "--gpus", "1", "--cron", "0 9 * * *", "--duration", "2h"
    )
    done = daemon.command(bob, ["mgpu_ctl", "reserve", "list", "--timeline", "--range", "7d"])
    lines = done.stdout.splitlines()
    (gpu0,) = [line for line in lines if line.startswith("gpu0")]
    assert gpu0.count("A.") >= 6
    assert "user bob (yours)" in lines[-1]
