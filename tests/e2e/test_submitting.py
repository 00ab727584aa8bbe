"""Scripts with options in them, and Slurm's variables."""

from __future__ import annotations

from tests.lib.daemon import Daemon
from tests.lib.users import User

BATCH = """#!/bin/sh
#SBATCH --job-name=batch --nodes=1 --mem=1G
#SBATCH --gpus=2 --cpus-per-task=1
#MGPU --export-slurm
echo "$SLURM_JOB_ID $SLURM_JOB_NAME $SLURM_GPUS_ON_NODE $SLURM_CPUS_PER_TASK $MGPU_JOB_ID $1"
echo "$SLURM_SUBMIT_DIR"
"""


def test_a_batch_script(daemon: Daemon, alice: User) -> None:
    path = alice.home / "batch.sh"
    path.write_text(BATCH)
    done = daemon.command(alice, ["mgpu_sbatch", "--wait", str(path), "word"])
    assert (done.returncode, done.stdout) == (0, "Submitted job 1\n")
    assert daemon.output(alice, 1).splitlines()[-2:] == ["1 batch 2 1 1 word", str(alice.home)]


def test_the_command_line_goes_first(daemon: Daemon, alice: User) -> None:
    path = alice.home / "batch.sh"
    path.write_text(BATCH)
    daemon.srun(alice, "--wait", "-G", "1", "--no-export-slurm", "-J", "other", str(path))
    assert daemon.output(alice, 1).splitlines()[-2].split() == ["1"]
    assert daemon.job(1)["host_mem"] == 1024
    assert daemon.queue(alice, "-h", "--all", "-o", "%j") == "other\n"


def test_following_a_job(daemon: Daemon, alice: User) -> None:
    done = daemon.srun(alice, "--follow", "--", "sh", "-c", "echo one; sleep 0.5; echo two; exit 3")
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (3, ["one", "two"])
