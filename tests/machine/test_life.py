"""The life of an installation: reboots, power cuts, upgrades, downgrades, removal, purge."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lib.machine import CONFIG, Machine
from tests.lib.waiting import eventually

ENDLESS = "--gpus 1 -- sleep 600"
#: Says how often it was begun, waits, and says whether it was told to end.
TOLD = (
    """sh -c 'echo run $MGPU_RESTART_COUNT; trap "echo told; exit" TERM; """
    """while :; do sleep 0.1; done'"""  # job
)
#: Files that come and go by themselves, and what dpkg, systemd and useradd note of what happened.
PASSING = re.compile(
    r"/(proc|sys|dev|run|tmp|var/tmp|var/log|var/cache|home|root)(/|$)"
    r"|/var/lib/(dpkg|systemd)(/|$)|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-"
    r"|/var/mail/|/var/spool/mail|/etc/\.(pwd|updated)|/var/\.updated|/etc/machine-id"
)


def repacked(deb: Path, folder: Path, change: Callable[[Path], None], version: str) -> Path:
    """The same package as another version, with a change in its files."""
    tree = folder / version
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    change(tree)
    target = folder / f"mgpu_{version}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, target],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    shutil.rmtree(tree)
    return target


def site(tree: Path) -> Path:
    """Where the package has its modules."""
    (found,) = tree.glob("usr/lib/mgpu/lib/python3*/site-packages/mgpu")
    return found


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = file.read_text()
    assert old in text, f"{file}: {old}"
    file.write_text(text.replace(old, new))


def test_a_reboot_tells_jobs_which_then_go_on(fresh: Machine) -> None:
    job = fresh.submit("alice", f"--gpus 1 --output log -- {TOLD}")
    fresh.wait(job, "RUNNING")
    eventually(lambda: fresh.as_user("alice", "cat log"), until=lambda log: "run 0" in log)
    waiting = fresh.submit("bob", "--hold --gpus 2 -- true")
    fresh.reboot()
    assert fresh.wait(job, "RUNNING")["attempt"] == 2
    words = eventually(lambda: fresh.as_user("alice", "cat log"), until=lambda log: "run 1" in log)
    said = [line for line in words.splitlines() if line.split()[0] in ("run", "told")]
    assert said == ["run 0", "told", "run 1"]
    assert fresh.job(waiting)["state"] == "PENDING"
    fresh.crash()
    assert fresh.wait(job, "RUNNING")["attempt"] == 3
    assert fresh.job(waiting)["state"] == "PENDING"


def test_an_upgrade_with_jobs_running_and_users_asking(
    fresh: Machine, deb: Path, tmp_path: Path
) -> None:
    def newer(tree: Path) -> None:
        edit(site(tree) / "__init__.py", '__version__ = "', '__version__ = "9.')
        # A daemon of a later version speaks a later version of the link, and knows the earlier.
        edit(site(tree) / "protocol/link.py", "VERSION = 2", "VERSION = 3")

    new = repacked(deb, tmp_path, newer, "9.0-1")
    job = fresh.submit("alice", '--gpus 1 -- sh -c "mkfifo p; read x < p; exit 7"')
    fresh.wait(job, "RUNNING")
    pid = fresh.pid_of(job)
    asking = fresh.begin("bob", "for n in $(seq 60); do mgpu_queue >/dev/null || echo no; done")
    waiting = fresh.begin("alice", 'mgpu_srun --wait --gpus 1 -- sh -c "sleep 4; exit 3"')  # job
    fresh.shell("echo '# mine' >> /etc/mgpu/config.toml")
    fresh.install(new)
    assert "9." in fresh.ok("mgpud", "--version")
    assert fresh.shell("tail -n 1 /etc/mgpu/config.toml") == "# mine\n"
    assert fresh.pid_of(job) == pid
    fresh.as_user("alice", "echo go > p")
    assert fresh.wait(job, "FAILED")["code"] == 7
    assert asking.communicate()[0] == ""
    assert waiting.wait(30) == 3
    assert "Traceback" not in fresh.log()


@pytest.mark.slow
def test_a_supervisor_that_speaks_no_common_version_runs_its_job_to_the_end(
    fresh: Machine, deb: Path, tmp_path: Path
) -> None:
    def later(tree: Path) -> None:
        edit(site(tree) / "protocol/link.py", "VERSION = 2\nOLDEST = 1", "VERSION = 9\nOLDEST = 9")

    new = repacked(deb, tmp_path, later, "9.0-1")
    job = fresh.submit("alice", '--gpus 1 -- sh -c "mkfifo p; read x < p; exit 7"')
    cancelled = fresh.submit("bob", ENDLESS)
    fresh.wait(job, "RUNNING")
    fresh.wait(cancelled, "RUNNING")
    fresh.install(new)
    assert fresh.log().count("action=link-version") == 2
    assert fresh.job(job)["state"] == "RUNNING"
    fresh.as_user("bob", f"mgpu_cancel {cancelled}")
    fresh.wait(cancelled, "CANCELLED", "FAILED")
    fresh.as_user("alice", "echo go > p")
    assert fresh.wait(job, "FAILED")["code"] == 7
    after = fresh.submit("alice", "--gpus 1 -- true")
    fresh.wait(after, "COMPLETED")


@pytest.mark.slow
def test_a_state_of_a_later_version_is_refused_in_one_line(fresh: Machine) -> None:
    job = fresh.submit("alice", ENDLESS)
    pid = fresh.pid_of(job)
    fresh.ok("systemctl", "stop", "mgpu.socket", "mgpu-admin.socket", "mgpu")
    change = "import sqlite3; d = sqlite3.connect('/var/lib/mgpu/mgpu.db', isolation_level=None)\n"
    fresh.ok("python3", "-c", f"{change}d.execute('PRAGMA user_version = 99')")
    assert fresh.run("systemctl", "start", "mgpu").returncode != 0
    lines = [line for line in fresh.log().splitlines() if "state-unusable" in line]
    assert len(lines) == 1
    assert "the state has version 99" in lines[0]
    assert "install the mgpu that wrote it, or restore the backup" in lines[0]
    assert fresh.show("mgpu", "NRestarts") == "0"
    assert fresh.run("kill", "-0", str(pid)).returncode == 0
    version = "from mgpu.store.schema import VERSION; print(VERSION)"
    known = fresh.ok("/usr/lib/mgpu/bin/python3", "-I", "-c", version).strip()
    fresh.ok("python3", "-c", f"{change}d.execute('PRAGMA user_version = {known}')")
    fresh.ok("systemctl", "start", "mgpu")
    assert fresh.wait(job, "RUNNING")["attempt"] == 1


def test_removal_leaves_no_process_and_purge_no_file(
    boot: Callable[[str], Machine], deb: Path
) -> None:
    machine = boot("purge")
    machine.ok("groupadd", "mgpu-admin")
    machine.make_users()
    before = files(machine)
    machine.install(deb)
    machine.configure()
    job = machine.submit("alice", ENDLESS)
    machine.wait(job, "RUNNING")
    machine.ok("dpkg", "-r", "mgpu")
    left = machine.run("ps", "-eo", "user,args").stdout
    assert not re.search(r"mgpu|sleep 600", left), left
    assert machine.ok("ls", "/var/lib/mgpu").split()  # what a removal keeps, a purge does not
    machine.install(deb)
    machine.configure()
    assert machine.wait(job, "RUNNING")["attempt"] == 2
    machine.ok("dpkg", "-P", "mgpu")
    left = machine.run("ps", "-eo", "user,args").stdout
    assert not re.search(r"mgpu|sleep 600", left), left
    assert files(machine) - before == set()
    assert "mgpu" not in machine.run("systemctl", "list-units", "--all", "--no-legend").stdout


def test_a_policy_against_services_keeps_it_from_starting_and_not_from_going(
    boot: Callable[[str], Machine], deb: Path
) -> None:
    machine = boot("policy")
    machine.shell("printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d")
    machine.shell("chmod 755 /usr/sbin/policy-rc.d")
    machine.install(deb)
    assert machine.show("mgpu", "ActiveState") == "inactive"
    assert machine.show("mgpu.socket", "ActiveState") == "inactive"
    machine.make_users()
    machine.configure()
    job = machine.submit("alice", ENDLESS)
    machine.wait(job, "RUNNING")
    machine.ok("dpkg", "-P", "mgpu")
    left = machine.run("ps", "-eo", "user,args").stdout
    assert not re.search(r"mgpu|sleep 600", left), left


def test_a_volume_is_emptied_by_a_purge(boot: Callable[[str], Machine], deb: Path) -> None:
    machine = boot("volume")
    machine.shell("mkdir -m 700 /var/lib/mgpu && mount -t tmpfs volume /var/lib/mgpu")
    machine.install(deb)
    machine.ok("test", "-e", "/var/lib/mgpu/mgpu.db")
    machine.ok("dpkg", "-P", "mgpu")
    assert machine.ok("ls", "-A", "/var/lib/mgpu") == ""
    assert "mgpu" not in machine.ok("dpkg", "-l")


def test_a_spoilt_configuration_costs_jobs_nothing(fresh: Machine) -> None:
    trap = "trap 'echo saved; exit 0' TERM; sleep 600 & wait"
    job = fresh.submit("alice", f'--gpus 1 -- bash -c "{trap}"')
    fresh.wait(job, "RUNNING")
    fresh.shell(
        "cp -p /etc/mgpu/config.toml /etc/good.toml && echo 'nonsense =' >> /etc/mgpu/config.toml"
    )
    fresh.ok("systemctl", "stop", "mgpu-jobs")
    assert "saved" in fresh.ok("cat", f"/home/alice/.local/state/mgpu/logs/{job}.log")
    assert fresh.run("systemctl", "start", "mgpu").returncode != 0
    assert fresh.show("mgpu", "ExecMainStatus") == "78"
    assert "config.toml" in fresh.log("-n", "5")
    fresh.ok("mv", "/etc/good.toml", "/etc/mgpu/config.toml")
    fresh.ok("systemctl", "restart", "mgpu.socket", "mgpu-admin.socket", "mgpu")
    assert fresh.wait(job, "RUNNING")["attempt"] == 2


def files(machine: Machine) -> set[str]:
    """All files of the machine but those that come and go by themselves."""
    listed = machine.shell("find / -xdev -path /proc -prune -o -path /sys -prune -o -print")
    return {path for path in listed.splitlines() if not PASSING.match(path)}


@pytest.mark.slow
def test_installing_twice_changes_nothing(fresh: Machine, deb: Path) -> None:
    job = fresh.submit("alice", ENDLESS)
    pid = fresh.pid_of(job)
    fresh.install(deb)
    assert fresh.ok("cat", "/etc/mgpu/config.toml") == CONFIG
    assert fresh.wait(job, "RUNNING")["attempt"] == 1
    assert fresh.pid_of(job) == pid


@pytest.mark.slow
def test_an_upgrade_that_is_killed_is_made_good_by_the_next(fresh: Machine, deb: Path) -> None:
    job = fresh.submit("alice", ENDLESS)
    pid = fresh.pid_of(job)
    fresh.put(deb, "/opt/mgpu.deb")
    for seconds in ("0.2", "0.5", "1"):  # while files are replaced, while they are compiled
        done = fresh.run("timeout", "--signal=KILL", seconds, "dpkg", "-i", "/opt/mgpu.deb")
        assert done.returncode in (0, 137, -9), done.stderr
        fresh.ok("dpkg", "-i", "/opt/mgpu.deb")
        assert fresh.show("mgpu", "ActiveState") == "active"
        assert fresh.wait(job, "RUNNING")["attempt"] == 1
        assert fresh.pid_of(job) == pid
