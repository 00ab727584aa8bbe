"""Who may what, as configured: kept by the kernel's identities, changed by a reload."""

from __future__ import annotations

import json

import pytest

from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User

pytestmark = pytest.mark.root


def test_who_sees_reserves_and_administers(alice: User, bob: User) -> None:
    group = f"@{bob.name}"
    with Daemon({"access": {"see_all": [group], "reserve": [bob.name]}}) as daemon:
        job = daemon.submit(alice, "--name", "secret", "--gpus", "2", "--", "sleep", "600")
        rows = json.loads(daemon.queue(bob, "--json"))["jobs"]
        assert [row["name"] for row in rows if row["id"] == job] == ["secret"]
        daemon.cancel(bob, str(job))
        assert daemon.job(job)["state"] in ("PENDING", "RUNNING")
        daemon.configure({"access": {"deny": [alice.name]}})
        assert daemon.command(ROOT, ["mgpu_ctl", "reload"]).returncode == 0
        refused = daemon.srun(alice, "--", "true")
        assert refused.returncode == 1
        assert f"{alice.name} may not run jobs here (access.deny)" in refused.stderr
        assert "secret" not in daemon.queue(bob)


def test_further_groups_of_administrators(alice: User, bob: User) -> None:
    with Daemon({"access": {"admin_groups": [bob.name]}}) as daemon:
        job = daemon.submit(alice, "--gpus", "2", "--", "sleep", "600")
        daemon.wait_state(job, "RUNNING")
        assert daemon.command(alice, ["mgpu_ctl", "cancel", str(job)]).returncode != 0
        done = daemon.command(bob, ["mgpu_ctl", "cancel", str(job)])
        assert (done.returncode, done.stdout) == (0, "Cancelled 1 of 1\n"), done.stderr
        daemon.wait_state(job, "CANCELLED")
