"""The programs of ``scripts/build binaries`` on a machine that has nothing else of mgpu."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lib.docs import ROOT
from tests.lib.machine import CONFIG, Machine
from tests.lib.waiting import eventually

pytestmark = pytest.mark.slow

PROGRAMS = "/opt/mgpu"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of binaries, in a file."""
    subprocess.run([ROOT / "scripts/build", "binaries"], check=True, capture_output=True)
    file = tmp_path_factory.mktemp("binaries") / "binaries.tar"
    subprocess.run(["tar", "-C", ROOT / "dist/binaries", "-cf", file, "."], check=True)
    return file


@pytest.fixture
def bare(boot: Callable[[str], Machine], archive: Path) -> Machine:
    """A machine without Python's programs in its path, with the folder of binaries."""
    machine = boot("binaries")
    machine.put(archive, "/opt/binaries.tar")
    machine.shell(f"mkdir {PROGRAMS} && tar -C {PROGRAMS} --no-same-owner -xf /opt/binaries.tar")
    machine.shell("groupadd -r mgpu-admin; useradd -r -U -s /usr/sbin/nologin mgpu")
    machine.make_users()
    machine.shell("mkdir /etc/mgpu")
    machine.ok("sh", "-c", 'printf %s "$1" > /etc/mgpu/config.toml', "sh", CONFIG)
    return machine


def test_the_daemon_and_the_commands(bare: Machine) -> None:
    daemon = f"{PROGRAMS}/mgpu_scheduler_server"
    bare.ok("systemd-run", "--unit", "mgpu-binaries", "-p", "KillMode=process", daemon)
    eventually(lambda: bare.run(f"{PROGRAMS}/mgpu_queue").returncode == 0, what="it answers")
    script = f"cd; {PROGRAMS}/mgpu_srun --wait --gpus 1 --output log -- sh -c 'id -un; exit 3'"
    done = bare.run("runuser", "-l", "alice", "-c", script)
    assert done.returncode == 3
    assert bare.as_user("alice", "tail -n 1 log") == "alice\n"
    job = f"{PROGRAMS}/mgpu_srun --parsable --gpus 1 -- sleep 600"
    number = bare.as_user("alice", job).strip()
    bare.as_user("alice", f"{PROGRAMS}/mgpu_cancel {number}")
    assert bare.run(f"{PROGRAMS}/mgpu_info").returncode == 0


def test_it_runs_no_library_that_others_could_have_changed(bare: Machine) -> None:
    bare.shell(f"chmod -R o+w {PROGRAMS}/_internal")
    done = bare.run(f"{PROGRAMS}/mgpu_scheduler_server")
    assert done.returncode == 78
    assert "can be written by others than root" in done.stderr
