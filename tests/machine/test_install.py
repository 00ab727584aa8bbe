"""scripts/install and scripts/uninstall on a machine with systemd and no package of mgpu."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lib.machine import CONFIG, Machine, source, wheels
from tests.machine.test_life import files

pytestmark = pytest.mark.slow

SOURCE = "/opt/source"
#: There is no network in the machine: pip takes what it needs from a folder.
OFFLINE = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/wheels"

#: No systemd, another prefix, a daemon that somebody has started, a job; then all of it goes.
ELSEWHERE = f"""
mount -t tmpfs tmpfs /run
{OFFLINE} {SOURCE}/scripts/install --prefix /srv/tools/mgpu > /opt/log 2>&1
printf %s '{CONFIG}' > /etc/mgpu/config.toml
mgpud >> /opt/log 2>&1 &
for n in $(seq 100); do mgpu_queue > /dev/null 2>&1 && break; sleep 0.1; done
runuser -u alice -- sh -c 'cd; mgpu_srun --gpus 1 -- sleep 600' > /dev/null
for n in $(seq 100); do pgrep -u alice -x sleep > /dev/null && break; sleep 0.1; done
pgrep -u alice -x sleep > /dev/null && echo running
{SOURCE}/scripts/uninstall --prefix /srv/tools/mgpu --purge >> /opt/log 2>&1
pgrep -x 'sleep|python3' | wc -l
"""


def put_source(machine: Machine, tmp_path: Path) -> None:
    """A checkout of root's in SOURCE."""
    tar = tmp_path / "source.tar"
    subprocess.run(["tar", "-C", source(), "-cf", tar, "."], check=True)
    machine.put(tar, f"{SOURCE}/source.tar")
    machine.shell(f"cd {SOURCE} && tar --no-same-owner -xf source.tar && rm source.tar")
    machine.shell(f"chown -R root:root {SOURCE} && chmod -R go-w {SOURCE}")


@pytest.fixture
def bare(boot: Callable[[str], Machine], tmp_path: Path) -> Machine:
    """A machine with a checkout and no mgpu."""
    machine = boot("bare")
    put_source(machine, tmp_path)
    for wheel in wheels().iterdir():
        machine.put(wheel, f"/opt/wheels/{wheel.name}")
    return machine


def install(machine: Machine, *options: str) -> str:
    return machine.ok(
        "sh", "-c", f"{OFFLINE} {SOURCE}/scripts/install {' '.join(options)} 2>&1", timeout=200
    )


def test_install_again_and_uninstall(bare: Machine) -> None:
    before = files(bare)
    would = install(bare, "--dry-run")
    assert "would install /usr/local/bin/mgpu_srun" in would
    assert files(bare) == before
    install(bare)
    assert "nologin" in bare.ok("getent", "passwd", "mgpu-notify")
    (page,) = re.findall(r"/usr/\S+\.md", bare.ok("cat", "/etc/mgpu/config.toml"))
    bare.ok("test", "-e", page)
    bare.make_users()
    bare.configure()
    job = bare.submit("alice", "--gpus 1 -- sleep 600")
    bare.wait(job, "RUNNING")
    pid = bare.pid_of(job)
    assert "every file is as it should be" in install(bare)
    assert bare.ok("cat", "/etc/mgpu/config.toml") == CONFIG
    assert (bare.wait(job, "RUNNING")["attempt"], bare.pid_of(job)) == (1, pid)
    assert bare.ok("man", "-w", "mgpu_srun").startswith("/usr/local/")
    done = bare.run(f"{SOURCE}/scripts/uninstall", "--purge", "--prefix", "/opt/other")
    assert (done.returncode, "--prefix /opt/mgpu" in done.stderr) == (1, True)
    bare.wait(job, "RUNNING")
    done = bare.run(f"{SOURCE}/scripts/install", "--prefix", "/opt/other")
    assert (done.returncode, "--prefix /opt/mgpu" in done.stderr) == (1, True)
    bare.ok(f"{SOURCE}/scripts/uninstall", "--purge")
    assert not re.search(r"mgpud|mgpu\.|sleep 600", bare.ok("ps", "-eo", "args"))
    assert {path for path in files(bare) - before if "/opt/" not in path} == set()
    assert "mgpu" not in bare.ok("getent", "passwd")
    assert "nothing is installed" in bare.ok(f"{SOURCE}/scripts/uninstall")


def test_it_installs_nothing_that_a_user_could_have_changed(bare: Machine) -> None:
    bare.ok("useradd", "-m", "mallory")
    for weaken, strengthen, named in (
        (
            f"chown mallory {SOURCE}/mgpu/cli/srun.py",
            f"chown root {SOURCE}/mgpu/cli/srun.py",
            "srun.py",
        ),
        (f"chmod o+w {SOURCE}", f"chmod o-w {SOURCE}", SOURCE),
        ("chmod o+w /opt", "chmod o-w /opt", "/opt"),
    ):
        bare.shell(weaken)
        done = bare.run("sh", "-c", f"{OFFLINE} {SOURCE}/scripts/install")
        assert done.returncode == 1
        assert "can be changed by others than root" in done.stderr
        assert named in done.stderr
        bare.shell(strengthen)
    assert bare.run("test", "-e", "/opt/mgpu").returncode == 1


def test_nobody_but_root_installs(bare: Machine) -> None:
    bare.ok("useradd", "-m", "mallory")
    done = bare.run("runuser", "-u", "mallory", f"{SOURCE}/scripts/install")
    assert (done.returncode, "must be root" in done.stderr) == (1, True)


def test_the_queue_of_a_package_is_not_purged(machine: Machine, tmp_path: Path) -> None:
    put_source(machine, tmp_path)
    done = machine.run(f"{SOURCE}/scripts/uninstall", "--purge")
    assert (done.returncode, "the package mgpu is installed" in done.stderr) == (1, True)
    machine.ok("test", "-e", "/etc/mgpu/config.toml")
    machine.ok("test", "-e", "/var/lib/mgpu/mgpu.db")
    machine.ok("mgpu_ctl", "status")


def test_what_an_interrupted_installation_has_left_is_taken_away(bare: Machine) -> None:
    before = files(bare)
    bare.ok("mkdir", "-p", "/usr/local/bin/mgpu_srun/in-the-way")
    done = bare.run("sh", "-c", f"{OFFLINE} {SOURCE}/scripts/install 2>&1", timeout=200)
    assert done.returncode != 0
    assert "mgpu_srun" in done.stdout
    bare.ok("test", "-e", "/etc/systemd/system/mgpu.service")
    bare.ok("rm", "-r", "/usr/local/bin/mgpu_srun")
    bare.ok(f"{SOURCE}/scripts/uninstall", "--purge")
    assert files(bare) - before == set()


def test_another_prefix_without_systemd(bare: Machine) -> None:
    bare.ok("useradd", "-m", "-s", "/bin/bash", "alice")
    before = files(bare)
    done = bare.run(
        "unshare", "--mount", "--propagation", "private", "sh", "-ec", ELSEWHERE, timeout=200
    )
    assert done.stdout.split() == ["running", "0"], bare.ok("cat", "/opt/log")
    assert files(bare) - before == {"/opt/log"}
