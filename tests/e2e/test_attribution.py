"""To which job a process on a GPU belongs, where the kernel tells little of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lib import cgroups
from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

SHARED = ("--gpu-ids", "0", "--mem", "4G", "--")
#: Leaves its session and both its parents, and writes its pid down.
DAEMONISED = "(setsid bash -c 'echo $$ > {}; exec sleep 600' &); sleep 600"


def of_gpu(daemon: Daemon, user: User) -> dict[str, Any]:
    """What mgpu_info knows of gpu0."""
    done = daemon.command(user, ["mgpu_info", "--json"])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["gpus"][0]
    return found


def simulate(daemon: Daemon, admin: User, *args: str) -> None:
    done = daemon.command(admin, ["mgpu_ctl", "gpu", "simulate", "0", *args])
    assert done.returncode == 0, done.stderr


def daemonised(daemon: Daemon, user: User) -> int:
    """The pid of a process that a running job has let go of."""
    file = user.home / "pid-of-attribution"
    file.unlink(missing_ok=True)
    daemon.wait_state(
        daemon.submit(user, *SHARED, "bash", "-c", DAEMONISED.format(file)), "RUNNING"
    )
    return int(eventually(lambda: file.exists() and file.read_text().strip()))


def test_without_cgroups_a_daemonised_process_of_a_job_is_the_jobs(
    make_daemon: Callable[..., Daemon], alice: User, carol: User
) -> None:
    policy = {"outsiders": "kill", "outsider_grace": 0, "unmanaged_ignore": 0}
    daemon = make_daemon({"gpus": policy}, prefix=cgroups.hidden())
    assert "action=cgroup-unavailable" in daemon.log()
    pid = daemonised(daemon, alice)
    simulate(daemon, carol, "--process", f"{pid}:3G")
    used = eventually(lambda: of_gpu(daemon, alice)["jobs"][0][5])
    assert (used, of_gpu(daemon, alice)["outsiders"]) == (3072, [])
    daemon.kill9()
    daemon.start()
    simulate(daemon, carol, "--process", f"{pid}:3G")
    assert eventually(lambda: of_gpu(daemon, alice)["jobs"][0][5]) == 3072, "a new scheduler too"
    assert "action=outsider" not in daemon.log()
    assert Path(f"/proc/{pid}").exists()
