"""The configuration of a daemon that runs: shown, read again, refused."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User
from tests.lib.waiting import eventually

pytestmark = pytest.mark.root


def ctl(daemon: Daemon, *args: str) -> Any:
    return daemon.command(ROOT, ["mgpu_ctl", *args])


def shown(daemon: Daemon, key: str) -> dict[str, Any]:
    (row,) = json.loads(ctl(daemon, "config", "show", "--json", key).stdout)["settings"]
    return dict(row)


def test_every_value_tells_where_it_comes_from() -> None:
    env = {"MGPU_QUEUE_DEFAULT": "me"}
    with Daemon({"log": {"level": "debug"}}, flags=["--max-job-time", "1h"], env=env) as daemon:
        assert shown(daemon, "scheduling.max_job_time")["from"] == "command line"
        assert shown(daemon, "queue.default")["from"] == "variable MGPU_QUEUE_DEFAULT"
        assert shown(daemon, "log.level")["from"].startswith(f"file {daemon.config_file}:")
        assert shown(daemon, "gpus.placement")["from"] == "default"


def test_a_reload_takes_a_good_file_whole_and_of_a_bad_one_nothing(alice: User) -> None:
    with Daemon(flags=["--log-level", "info"]) as daemon:
        daemon.configure({"jobs": {"activate": False}, "access": {"min_uid": 60000}})
        done = ctl(daemon, "reload")
        assert (done.returncode, done.stdout) == (0, "Applied: access.min_uid, jobs.activate\n")
        refused = daemon.srun(alice, "--", "true")
        assert "below 60000" in refused.stderr or "under 60000" in refused.stderr
        daemon.configure({"queue": {"default": "me"}, "scheduling": {"kill_grace": -1}})
        done = ctl(daemon, "reload")
        assert done.returncode == 1
        assert "scheduling.kill_grace: " in done.stderr
        assert shown(daemon, "queue.default")["value"] == '"all"'
        daemon.configure({"paths": {"cgroup": "another"}})
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: "waiting=paths.cgroup" in daemon.log(), what="it was read again")
        assert shown(daemon, "paths.cgroup")["waiting"] == '"another"'
        daemon.kill9_scheduler()
        daemon.wait_ready()
        assert shown(daemon, "paths.cgroup")["value"] == f'"{daemon.name}"'
        job = daemon.submit(alice, "--", "true")
        daemon.wait_state(job, "COMPLETED")


def test_a_job_that_starts_after_a_reload_is_started_by_it(alice: User) -> None:
    with Daemon({"jobs": {"export_slurm": False}}) as daemon:
        daemon.configure({"jobs": {"export_slurm": True}})
        assert ctl(daemon, "reload").returncode == 0
        job = daemon.submit(alice, "--", "sh", "-c", "echo job=$SLURM_JOB_ID")
        daemon.wait_state(job, "COMPLETED")
        assert f"job={job}\n" in daemon.output(alice, job)
