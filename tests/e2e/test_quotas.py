"""Quotas that administrators set, as users meet them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

LONG = ("--", "sleep", "600")


def quota(daemon: Daemon, admin: User, *args: str) -> None:
    done = daemon.command(admin, ["mgpu_ctl", "quota", *args])
    assert done.returncode == 0, done.stderr


def listed(daemon: Daemon, user: User) -> dict[str, Any]:
    done = daemon.command(user, ["mgpu_ctl", "quota", "list", "--json"])
    assert done.returncode == 0, done.stderr
    return {row["subject"]: row for row in json.loads(done.stdout)["quotas"]}


def waits_for(daemon: Daemon, job: int, reason: str) -> str:
    """Wait until the job waits for this reason; the detail."""
    row = eventually(
        lambda: daemon.job(job),
        until=lambda row: (row["state"], row["reason"]) == ("PENDING", reason),
    )
    return str(row["detail"])


def test_a_job_over_a_quota_waits_and_nobody_behind_it(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    quota(daemon, carol, "set", "--default-user", "--running-gpus", "1")
    first, second = (daemon.submit(alice, *LONG) for _ in range(2))
    daemon.wait_state(first, "RUNNING")
    assert waits_for(daemon, second, "QuotaGpus") == (
        "user alice: 1 of at most 1 GPUs held; this job needs 1"
    )
    daemon.wait_state(daemon.submit(bob, *LONG), "RUNNING")
    assert listed(daemon, alice)["user:alice"]["used"]["running_gpus"] == 1


def test_quotas_outlive_the_scheduler_and_are_lifted(
    daemon: Daemon, alice: User, carol: User
) -> None:
    quota(daemon, carol, "set", "--user", "alice", "--running-jobs", "1", "--gpu-memory", "20G")
    first, second = (daemon.submit(alice, *LONG) for _ in range(2))
    daemon.wait_state(first, "RUNNING")
    waits_for(daemon, second, "QuotaJobs")
    daemon.kill9()
    daemon.start()
    waits_for(daemon, second, "QuotaJobs")
    quota(daemon, carol, "set", "--user", "alice", "--running-jobs", "none")
    assert waits_for(daemon, second, "QuotaGpuMemory") == (
        "user alice: 16384 of at most 20480 MiB held; this job needs 16384 MiB"
    )
    quota(daemon, carol, "remove", "--user", "alice")
    daemon.wait_state(second, "RUNNING")


def test_members_of_a_group_share_its_quota(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    subprocess.run(["groupadd", "--force", "lab"], check=True)
    for user in (alice, bob):
        subprocess.run(["usermod", "--append", "--groups", "lab", user.name], check=True)
    quota(daemon, carol, "set", "--group", "lab", "--running-gpus", "1")
    first = daemon.submit(alice, *LONG)
    daemon.wait_state(first, "RUNNING")
    assert "group lab: 1 of at most 1" in waits_for(daemon, daemon.submit(bob, *LONG), "QuotaGpus")
    daemon.wait_state(daemon.submit(carol, *LONG), "RUNNING")


def test_hours_that_are_used_up(daemon: Daemon, alice: User, carol: User) -> None:
    quota(daemon, carol, "set", "--project", "vision", "--gpu-hours", "0.0005")
    daemon.wait_state(daemon.submit(alice, "-P", "vision", "--", "sleep", "2.5"), "COMPLETED")
    late = daemon.submit(alice, "-P", "vision", *LONG)
    assert "of at most 0.000555556 GPU-hours used" in waits_for(daemon, late, "QuotaGpuHours")
    daemon.wait_state(daemon.submit(alice, *LONG), "RUNNING")


def test_over_the_queue_s_bound_a_submission_is_refused(
    daemon: Daemon, alice: User, carol: User
) -> None:
    quota(daemon, carol, "set", "--default-user", "--queued-jobs", "1", "--running-jobs", "0")
    daemon.submit(alice, *LONG)
    refused = daemon.srun(alice, *LONG)
    assert refused.returncode == 1
    assert "user alice: 1 of at most 1 queued jobs wait; 1 more are too many" in refused.stderr


def test_only_administrators_set_quotas(daemon: Daemon, alice: User, carol: User) -> None:
    done = daemon.command(
        alice, ["mgpu_ctl", "quota", "set", "--user", "bob", "--running-gpus", "0"]
    )
    assert done.returncode != 0
    quota(daemon, carol, "set", "--user", "bob", "--running-gpus", "1")
    assert listed(daemon, alice) == {}
    assert set(listed(daemon, carol)) == {"user:bob"}
