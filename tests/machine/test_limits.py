"""The kernel keeps the limits of jobs. In an emulated machine, where all controllers are free."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lib.docs import ROOT
from tests.lib.machine import CONFIG, lower

pytestmark = pytest.mark.slow

SETTINGS = CONFIG + "processes_per_job = 20\n"
#: Runs in the machine: submits as alice, and prints what became of the jobs as one line of JSON.
SCRIPT = r"""#!/bin/sh
exec 2>&1
mount -o remount,rw / 2>/dev/null
systemctl start mgpu || { systemctl status mgpu; journalctl -u mgpu; exit 1; }
as() { runuser -u alice -- sh -c "cd; $1"; }
printf 'd = []\nwhile True: d.append(bytes(4 << 20))\n' > /opt/hog.py
as "mgpu_srun --wait --gpus 0 --host-mem 64 --output hog -- python3 /opt/hog.py"
as "mgpu_srun --wait --gpus 0 --host-mem 64 --output fits -- python3 -c 'bytes(20 << 20)'"
as "mgpu_srun --wait --gpus 0 --output forks -- sh -c \
  'for n in \$(seq 60); do sleep 30 & done; wait'"
as "mgpu_srun --wait --gpus 0 --cpus-per-task 1 --output cpu -- sh -c \
  'cat /sys/fs/cgroup\$(sed -n s/^0:://p /proc/self/cgroup)/cpu.max'"
as "mgpu_srun --wait --gpus 0 --output none -- sh -c \
  'cat /sys/fs/cgroup\$(sed -n s/^0:://p /proc/self/cgroup)/memory.max'"
echo "JOBS $(as 'mgpu_queue --all --json' | tr -d '\n')"
for name in forks cpu none; do echo "FILE $name $(tail -n 1 /home/alice/$name)"; done
echo "LOG $(journalctl --no-pager -u mgpu | grep -c limits-unavailable)"
systemctl stop mgpu mgpu-jobs
"""


@contextmanager
def installed(folder: Path, deb: Path) -> Iterator[Path]:
    """A copy of the small Debian with the package in it: emulated, dpkg would take a minute."""
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    root = folder / "root"
    options = f"lowerdir={lower()},upperdir={folder}/upper,workdir={folder}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    try:
        (root / "opt/mgpu.deb").write_bytes(deb.read_bytes())
        for command in ("dpkg -i /opt/mgpu.deb", "useradd -m alice", "rm /opt/mgpu.deb"):
            subprocess.run(["chroot", root, *command.split()], check=True, capture_output=True)
        (root / "etc/mgpu/config.toml").write_text(SETTINGS)
        yield root
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, deb: Path) -> dict[str, Any]:
    """What the machine printed."""
    folder = tmp_path_factory.mktemp("vm")
    script = folder / "script"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    with installed(folder, deb) as root:
        done = subprocess.run(
            [ROOT / "tests/lib/vmrun", root, script], capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip().partition(" ")[::2] for line in done.stdout.splitlines()]
    (jobs,) = [json.loads(rest) for word, rest in lines if word == "JOBS"]
    files = dict(rest.partition(" ")[::2] for word, rest in lines if word == "FILE")
    (log,) = [rest for word, rest in lines if word == "LOG"]
    return {"jobs": {row["id"]: row for row in jobs["jobs"]}, "files": files, "log": log}


def test_a_job_that_takes_more_memory_than_it_asked_for_is_ended(seen: dict[str, Any]) -> None:
    assert seen["jobs"][1]["state"] == "OUT_OF_MEMORY"
    assert "more than its 64 MiB of --host-mem" in seen["jobs"][1]["detail"]
    assert seen["jobs"][2]["state"] == "COMPLETED"


def test_a_job_has_so_many_processes(seen: dict[str, Any]) -> None:
    assert seen["jobs"][3]["state"] == "FAILED"
    assert "Cannot fork" in seen["files"]["forks"]


def test_a_job_has_the_cpus_that_it_asked_for(seen: dict[str, Any]) -> None:
    assert seen["files"]["cpu"] == "100000 100000"


def test_a_job_that_asked_for_nothing_has_no_limit_of_memory(seen: dict[str, Any]) -> None:
    assert seen["files"]["none"] == "max"


def test_no_limit_is_missing(seen: dict[str, Any]) -> None:
    assert seen["log"] == "0"
