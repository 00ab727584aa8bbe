"""Administrators control the daemon and anybody's jobs; what they did is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User
from tests.lib.waiting import eventually

pytestmark = pytest.mark.root


def ctl(daemon: Daemon, *args: str) -> str:
    done = daemon.command(ROOT, ["mgpu_ctl", *args])
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return str(done.stdout)


def status(daemon: Daemon) -> dict[str, Any]:
    return dict(json.loads(ctl(daemon, "status", "--json")))


def test_jobs_of_anybody_are_held_moved_and_requeued(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(alice, "--gpus", "2", "--", "sleep", "600")
    second = daemon.submit(alice, "--gpus", "2", "--", "sleep", "600")
    daemon.wait_state(first, "RUNNING")
    assert ctl(daemon, "requeue", str(first)) == "Requeued 1 of 1\n"
    daemon.wait_state(second, "RUNNING")
    assert daemon.job(first)["restarts"] == 1
    ctl(daemon, "hold", str(first))
    assert daemon.job(first)["reason"] == "JobHeldAdmin"
    ctl(daemon, "release", str(first))
    ctl(daemon, "priority", str(first), "--to", "500")
    assert daemon.job(first)["priority"] == 500
    ctl(daemon, "cancel", f"{first},{second}")
    daemon.wait_state(second, "CANCELLED")


def test_what_was_done_is_kept_with_who_did_it(daemon: Daemon, alice: User, bob: User) -> None:
    job = daemon.submit(alice, "--gpus", "2", "--", "sleep", "600")
    daemon.cancel(bob, str(job))
    ctl(daemon, "cancel", str(job))
    daemon.wait_state(job, "CANCELLED")
    daemon.kill9_scheduler()
    daemon.wait_ready()
    entries = json.loads(ctl(daemon, "audit", "--job", str(job), "--json"))["entries"]
    assert [(one["user"], one["op"], one["result"]) for one in entries] == [
        (alice.name, "submit", "ok"),
        (bob.name, "cancel", "unknown"),
        ("root", "cancel", "cancelling"),
    ]
    assert daemon.command(bob, ["mgpu_ctl", "audit"]).returncode != 0


def test_a_drained_machine_starts_nothing_until_it_is_resumed(daemon: Daemon, alice: User) -> None:
    assert ctl(daemon, "drain", "--reason", "new fans") == "Drained the machine\n"
    job = daemon.submit(alice, "--gpus", "0", "--", "true")
    assert daemon.job(job)["reason"] == "PartitionDown"
    daemon.restart()
    assert status(daemon)["mode"] == "drained"
    ctl(daemon, "resume")
    daemon.wait_state(job, "COMPLETED")


def test_shutdown_leaves_or_awaits_or_ends_what_runs(alice: User) -> None:
    with Daemon() as daemon:
        assert daemon.process is not None
        go = alice.home / "go"
        job = daemon.submit(alice, "--", "sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done")
        daemon.wait_state(job, "RUNNING")
        ctl(daemon, "shutdown")
        assert daemon.process.wait(10) == 0
        daemon.start()
        assert daemon.wait_state(job, "RUNNING")["restarts"] == 0, "it went on"
        ctl(daemon, "shutdown", "--drain")
        waiting = daemon.submit(alice, "--", "sleep", "600")
        assert status(daemon)["mode"] == "stopping"
        go.touch()
        assert daemon.process.wait(10) == 0
        daemon.start()
        assert daemon.job(job)["state"] == "COMPLETED"
        daemon.wait_state(waiting, "RUNNING")
        ctl(daemon, "shutdown", "--cancel")
        assert daemon.process.wait(10) == 0
        go.unlink()
        daemon.start()
        assert daemon.job(waiting)["state"] == "CANCELLED"


def test_the_log_can_tell_more_for_a_while(daemon: Daemon) -> None:
    ctl(daemon, "log-level", "error")
    assert status(daemon)["log_level"] == "error"
    scheduler = daemon.scheduler_pid()
    assert scheduler is not None
    assert processes.alive(scheduler)
    ctl(daemon, "log-level", "info")
    eventually(lambda: "action=log_level" in daemon.log(), what="the order is in the log")


def test_the_database_is_copied_while_in_use_and_put_back(alice: User, tmp_path: Path) -> None:
    with Daemon() as daemon:
        first = daemon.submit(alice, "--", "true")
        daemon.wait_state(first, "COMPLETED")
        assert "The database is whole: 1 job record" in ctl(daemon, "db", "check")
        copy = tmp_path / "copy.db"
        assert f"Copied to {copy}: 1 job record" in ctl(daemon, "db", "backup", "--to", str(copy))
        second = daemon.submit(alice, "--", "true")
        daemon.wait_state(second, "COMPLETED")
        restore = ["mgpu_ctl", "db", "restore", "--config", str(daemon.config_file), str(copy)]
        busy = daemon.command(ROOT, restore)
        assert (busy.returncode, busy.stdout) == (1, "")
        assert "another scheduler uses this state" in busy.stderr
        daemon.stop()
        assert "Restored: 1 job record" in daemon.command(ROOT, restore).stdout
        database = daemon.state / "mgpu.db"
        assert database.owner() == "mgpu"
        assert database.stat().st_mode & 0o777 == 0o600
        daemon.start()
        assert [row["id"] for row in daemon.jobs("--all")] == [first]
        entries = json.loads(ctl(daemon, "audit", "--json"))["entries"]
        assert [one["op"] for one in entries] == ["submit", "backup", "restore"]


def test_jobs_that_wait_in_a_copy_run_although_they_run_when_it_is_put_back(
    alice: User, tmp_path: Path
) -> None:
    with Daemon() as daemon:
        blocker = daemon.submit(alice, "--gpus", "2", "--", "sleep", "300")
        daemon.wait_state(blocker, "RUNNING")
        waits = daemon.submit(alice, "--gpus", "2", "--", "sleep", "300")
        copy = tmp_path / "copy.db"
        ctl(daemon, "db", "backup", "--to", str(copy))
        daemon.cancel(alice, str(blocker))
        daemon.wait_state(waits, "RUNNING")
        daemon.stop()
        restore = ["mgpu_ctl", "db", "restore", "--config", str(daemon.config_file), str(copy)]
        assert daemon.command(ROOT, restore).returncode == 0
        daemon.start()
        daemon.wait_state(waits, "RUNNING")
        newer = daemon.submit(alice, "--gpus", "0", "--", "true")
        daemon.wait_state(newer, "COMPLETED")
        row = daemon.job(waits)
        assert (row["state"], row["attempt"]) == ("RUNNING", 2)
