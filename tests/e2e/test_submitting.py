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


def test_tasks_and_plain_jobs_know_themselves_by_slurms_names(daemon: Daemon, alice: User) -> None:
    words = 'echo "$SLURM_ARRAY_JOB_ID/$SLURM_ARRAY_TASK_ID/$SLURM_JOB_GPUS/$SLURM_NTASKS"'
    slurm = ("--export-slurm", "--wait", "-o", "out-%a")
    stale = {"SLURM_ARRAY_JOB_ID": "99", "SLURM_ARRAY_TASK_ID": "9"}
    daemon.srun(alice, *slurm, "-a", "3-4", "-G", "0", "--", "sh", "-c", words, env=stale)
    daemon.srun(alice, *slurm, "--gpu-ids", "1", "--", "sh", "-c", words, env=stale)
    last = {name: (alice.home / f"out-{name}").read_text().splitlines()[-1] for name in "034"}
    assert last == {"0": "//1/1", "3": "1/3//1", "4": "1/4//1"}


def test_one_s_newest_job_needs_no_number(daemon: Daemon, alice: User, bob: User) -> None:
    first = daemon.submit(alice, "-G", "0", "--", "sleep", "600")
    second = daemon.submit(alice, "-G", "0", "--", "sleep", "600")
    daemon.submit(bob, "-G", "0", "--", "sleep", "600")
    daemon.cancel(alice, "@~1")
    daemon.wait_state(first, "CANCELLED")
    assert daemon.queue(alice, "-h", "--jobs", "@", "-o", "%i") == f"{second}\n"
    done = daemon.command(alice, ["mgpu_job", "history", "@~5"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "@~5: you have submitted 2 jobs" in done.stderr
