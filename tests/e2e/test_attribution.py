"""To which job a process on a GPU belongs, where the kernel tells little of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lib import cgroups
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User, as_user
from tests.lib.waiting import eventually, never

SHARED = ("--gpu-ids", "0", "--mem", "4G", "--")
#: Leaves its session and both its parents, and writes its pid down.
DAEMONISED = "(setsid bash -c 'echo $$ > {}; exec sleep 600' &); sleep 600"


#: ``/proc`` as with ``hidepid=2``, for one daemon.
HIDE_PROC = "mount -t proc -o hidepid=2 proc /proc"


def info(daemon: Daemon, user: User) -> dict[str, Any]:
    """What mgpu_info knows."""
    done = daemon.command(user, ["mgpu_info", "--json"])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of_gpu(daemon: Daemon, user: User) -> dict[str, Any]:
    """What mgpu_info knows of gpu0."""
    found: dict[str, Any] = info(daemon, user)["gpus"][0]
    return found


def doctor(daemon: Daemon, user: User) -> dict[str, dict[str, str]]:
    """What mgpu_ctl doctor finds."""
    done = daemon.command(user, ["mgpu_ctl", "doctor", "--json"])
    return {found["what"]: found for found in json.loads(done.stdout)}


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


def test_where_proc_hides_processes_nobody_is_accused(
    make_daemon: Callable[..., Daemon], alice: User, bob: User, carol: User
) -> None:
    policy = {"outsiders": "kill", "outsider_grace": 0, "unmanaged_ignore": 0}
    daemon = make_daemon({"gpus": policy}, prefix=cgroups.mounted(HIDE_PROC))
    assert daemon.log().count("action=processes-hidden") == 1
    pid = daemonised(daemon, alice)
    with subprocess.Popen(as_user(bob, ["sleep", "600"])) as stranger:
        simulate(daemon, carol, "--process", f"{pid}:3G", "--process", f"{stranger.pid}:1G")
        eventually(lambda: of_gpu(daemon, alice)["used"] == 4096)
        assert of_gpu(daemon, alice)["outsiders"] == []
        fits = daemon.submit(bob, "--gpu-ids", "0", "--mem", "12G", "--", "sleep", "600")
        daemon.wait_state(fits, "RUNNING")
        assert stranger.poll() is None
        stranger.kill()
    found = doctor(daemon, alice)
    assert found["isolation"]["text"].startswith("variables: detect is configured")
    assert "gid=" in found["/proc"]["remedy"]
    assert "hides from mgpu" in daemon.command(alice, ["mgpu_info"]).stdout
    assert "action=outsider" not in daemon.log()


def test_the_remedy_for_a_hidden_proc_is_one(
    make_daemon: Callable[..., Daemon], alice: User, bob: User, carol: User
) -> None:
    daemon = make_daemon(prefix=cgroups.mounted(f"{HIDE_PROC},gid=$(id -g mgpu)"))
    with subprocess.Popen(as_user(bob, ["sleep", "600"])) as stranger:
        simulate(daemon, carol, "--process", f"{stranger.pid}:1G")
        (row,) = eventually(lambda: of_gpu(daemon, alice)["outsiders"])
        stranger.kill()
    assert (row["pid"], row["uid"]) == (stranger.pid, bob.uid)
    assert "/proc" not in doctor(daemon, alice)


def test_a_tree_of_cgroups_that_cannot_be_written_is_done_without(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    root = cgroups.v2_root()
    assert root is not None
    folder = root / "mgpu-test-read-only"
    folder.mkdir(exist_ok=True)
    prefix = cgroups.mounted(f"mount --bind {root} {root} && mount -o remount,bind,ro {root}")
    daemon = make_daemon({"paths": {"cgroup": folder.name}}, prefix=prefix)
    folder.rmdir()
    assert "action=cgroup-unavailable" in daemon.log()
    daemon.wait_state(daemon.submit(alice, "--", "true"), "COMPLETED")
    assert info(daemon, alice)["tracking"] == "subreaper"
    assert doctor(daemon, alice)["processes"]["level"] == "warn"
    assert "jobs followed by subreaper" in daemon.command(alice, ["mgpu_info"]).stdout


def test_the_group_of_a_job_that_ended_under_another_launcher_goes_too(
    make_daemon: Callable[..., Daemon], alice: User
) -> None:
    settings = {"gpus": {"isolation": "enforce"}}
    daemon = make_daemon(settings, prefix=cgroups.hidden())
    assert "action=fence-old" in daemon.log()
    assert info(daemon, alice)["fenced_by"] == "cgroup-v1"
    job = daemon.submit(alice, "--", "sleep", "600")
    daemon.wait_state(job, "RUNNING")
    folder = cgroups.old_root("devices") / daemon.name / f"{job}.1"
    assert folder.is_dir()
    daemon.kill9()
    daemon.start()
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    eventually(lambda: not folder.exists(), what="the group is removed")
    folder.parent.rmdir()


def mps(folder: Path, control: User, client: User) -> subprocess.Popen[bytes]:
    """A control daemon and its server, as the kernel shows them; the pid of that is in ``pid``."""
    for name, program in (("nvidia-cuda-mps-control", "bash"), ("nvidia-cuda-mps-server", "bash")):
        shutil.copy(f"/bin/{program}", folder / name)
    serve = f"{folder}/nvidia-cuda-mps-server -c 'echo $$ > {folder}/pid; read'"
    start = " ".join([*map(str, as_user(client, [])), serve]) if client != control else serve
    command = [f"{folder}/nvidia-cuda-mps-control", "-c", f"{start}; true"]
    return subprocess.Popen(as_user(control, command), stdin=subprocess.PIPE)


def test_a_server_of_roots_mps_is_roots_whatever_user_it_serves(
    make_daemon: Callable[..., Daemon], alice: User, bob: User, carol: User
) -> None:
    policy = {"outsiders": "kill", "outsider_grace": 0, "unmanaged_ignore": 0}
    daemon = make_daemon({"gpus": policy})
    folder = Path(tempfile.mkdtemp(dir="/run"))
    folder.chmod(0o777)
    with mps(folder, ROOT, bob) as control:
        pid = int(eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text()))
        simulate(daemon, carol, "--process", f"{pid}:3G")
        (row,) = eventually(lambda: of_gpu(daemon, alice)["outsiders"])
        assert (row["pid"], row["uid"], os.stat(f"/proc/{pid}").st_uid) == (pid, 0, bob.uid)
        never(control.poll, for_seconds=1, until=lambda code: code is not None)
        control.communicate()
    assert "action=outsider-kill" not in daemon.log()
    shutil.rmtree(folder)


def test_a_server_of_a_users_own_mps_is_as_any_process_of_theirs(
    make_daemon: Callable[..., Daemon], bob: User, carol: User
) -> None:
    policy = {"outsiders": "kill", "outsider_grace": 0, "unmanaged_ignore": 0}
    daemon = make_daemon({"gpus": policy})
    folder = Path(tempfile.mkdtemp(dir="/run"))
    folder.chmod(0o777)
    with mps(folder, bob, bob) as control:
        pid = int(eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text()))
        simulate(daemon, carol, "--process", f"{pid}:3G")
        eventually(lambda: f"action=outsider-kill pid={pid}" in daemon.log())
        control.communicate()
    shutil.rmtree(folder)
