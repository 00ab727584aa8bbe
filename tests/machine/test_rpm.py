"""The RPM package: installed, upgraded and removed by rpm, with a database of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lib.machine import CONFIG, Machine, build, source
from tests.machine.test_life import edit, files

pytestmark = pytest.mark.slow

#: Stands for the packages of a distribution that has rpm: what mgpu requires of it, and no more.
SPEC = """
Name: distribution
Version: 1
Release: 1
Summary: what the machine has
License: MIT
BuildArch: noarch
Provides: /bin/sh
Provides: python(abi) = {python}
Provides: systemd
%description
What the machine has.
%files
"""
#: No systemd, a daemon that somebody has started, a job; then the removal.
CONTAINER = f"""
mount -t tmpfs tmpfs /run
rpm $(rpm --help | grep -o -e --force-debian) -i /opt/first.rpm
printf %s '{CONFIG}' > /etc/mgpu/config.toml
mgpud > /opt/log 2>&1 &
for n in $(seq 100); do mgpu_queue > /dev/null 2>&1 && break; sleep 0.1; done
runuser -u alice -- sh -c 'cd; mgpu_srun --gpus 1 -- sleep 600' > /dev/null
for n in $(seq 100); do pgrep -u alice -x sleep > /dev/null && break; sleep 0.1; done
pgrep -u alice -x sleep > /dev/null && echo running
rpm $(rpm --help | grep -o -e --force-debian) -e mgpu > /dev/null 2>&1
pgrep -u mgpu,alice | wc -l
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """mgpu as an RPM package, and a later version of it."""
    folder = tmp_path_factory.mktemp("rpm")
    later = folder / "source"
    shutil.copytree(source(), later, symlinks=True)
    edit(later / "pyproject.toml", 'version = "', 'version = "9.')
    edit(later / "mgpu/__init__.py", '__version__ = "', '__version__ = "9.')
    return [build("rpm", source(), folder / "first"), build("rpm", later, folder / "later")]


def rpm(machine: Machine, *words: str) -> str:
    """Run rpm as an administrator does; Debian's wants to be told that it is meant."""
    force = "--force-debian" if "--force-debian" in machine.ok("rpm", "--help") else "--quiet"
    return machine.ok("rpm", force, *words)


@pytest.fixture
def supplied(boot: Callable[[str], Machine], packages: list[Path]) -> Machine:
    """A machine that has what mgpu requires, as rpm sees it, and the packages in /opt."""
    machine = boot("rpm")
    for file, name in zip(packages, ("first", "later"), strict=True):
        machine.put(file, f"/opt/{name}.rpm")
    python = machine.ok("python3", "-c", 'import sys; print("%d.%d" % sys.version_info[:2])')
    machine.ok("sh", "-c", 'printf %s "$1" > /opt/spec', "sh", SPEC.format(python=python.strip()))
    machine.shell("rpmbuild -bb --quiet --define '_topdir /opt/build' /opt/spec")
    rpm(machine, "-i", "/opt/build/RPMS/noarch/distribution-1-1.noarch.rpm")
    machine.ok("useradd", "-m", "-s", "/bin/bash", "alice")
    return machine


def test_install_upgrade_and_remove(supplied: Machine) -> None:
    before = files(supplied)
    rpm(supplied, "-i", "/opt/first.rpm")
    assert supplied.show("mgpu", "ActiveState") == "active"
    assert rpm(supplied, "-V", "mgpu") == ""
    supplied.configure()
    job = supplied.submit("alice", '--gpus 1 -- sh -c "mkfifo p; read x < p; exit 7"')
    supplied.wait(job, "RUNNING")
    pid = supplied.pid_of(job)
    rpm(supplied, "-U", "/opt/later.rpm")
    assert "9." in supplied.ok("mgpu_ctl", "status")
    assert supplied.ok("cat", "/etc/mgpu/config.toml") == CONFIG
    assert supplied.pid_of(job) == pid
    supplied.as_user("alice", "echo go > p")
    assert supplied.wait(job, "FAILED")["code"] == 7
    left = supplied.submit("alice", "--gpus 1 -- sleep 600")
    supplied.wait(left, "RUNNING")
    rpm(supplied, "-e", "mgpu")
    running = supplied.run("ps", "-eo", "user,args").stdout
    assert not re.search(r"mgpu|sleep 600", running), running
    gone = {path for path in files(supplied) - before if "mgpu" in path}
    assert {path for path in gone if not path.startswith(("/var/lib/mgpu", "/etc/mgpu"))} == set()
    assert "/etc/mgpu/config.toml.rpmsave" in gone
    rpm(supplied, "-i", "/opt/later.rpm")
    supplied.configure()
    assert supplied.wait(left, "RUNNING")["attempt"] == 2


def test_removal_without_systemd_leaves_no_process(supplied: Machine) -> None:
    """As in a container: the same root, in which no systemd is to be seen."""
    done = supplied.run("unshare", "--mount", "--propagation", "private", "sh", "-ec", CONTAINER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["running", "0"]
