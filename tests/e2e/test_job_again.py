"""mgpu_job history, env and redo, with a real daemon."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.lib.daemon import Daemon
from tests.lib.users import User

Make = Callable[..., Daemon]


def redo(daemon: Daemon, user: User, *args: str) -> list[int]:
    """The new numbers."""
    done = daemon.command(user, ["mgpu_job", "redo", "--parsable", *args])
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def test_the_history_of_a_job_is_told(daemon: Daemon, alice: User, bob: User, carol: User) -> None:
    job = daemon.submit(alice, "--gpus", "0", "--hold", "--", "sh", "-c", "exit 3")
    daemon.command(alice, ["mgpu_job", "release", str(job)])
    daemon.wait_state(job, "FAILED")
    told = daemon.command(alice, ["mgpu_job", "history", str(job)]).stdout.splitlines()
    words = [line[21:].split("  ")[0].strip() for line in told]
    assert [word for word in words if word != "memory measured"] == [
        "submitted", "released", "started", "running", "ended",
    ]  # fmt: skip
    assert "by alice" in told[0]
    assert told[-1].endswith("FAILED: exit code 3")
    events = json.loads(daemon.command(alice, ["mgpu_job", "history", "--json", str(job)]).stdout)
    assert (events[0]["event"], events[0]["uid"]) == ("Submitted", alice.uid)
    refused = daemon.command(bob, ["mgpu_job", "history", str(job)])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "unknown, or not yours" in refused.stderr
    assert "submitted" in daemon.command(carol, ["mgpu_job", "history", "--admin", str(job)]).stdout


def test_the_variables_of_a_job_are_its_owners(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    job = daemon.submit(alice, "--hold", "--", "true", env={"TOKEN": "a b\x1b[31m"})
    shown = daemon.command(alice, ["mgpu_job", "env", str(job)])
    assert "TOKEN=a b\\x1b[31m" in shown.stdout.splitlines()
    told = json.loads(daemon.command(alice, ["mgpu_job", "env", "--json", str(job)]).stdout)
    assert told["TOKEN"] == "a b\x1b[31m"
    for other, args in ((bob, []), (carol, ["--socket", str(daemon.admin_socket)])):
        refused = daemon.command(other, ["mgpu_job", "env", str(job), *args])
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "unknown, or not yours" in refused.stderr


def test_what_has_ended_is_submitted_again_as_it_was(daemon: Daemon, alice: User) -> None:
    script = alice.home / "work.sh"
    script.write_text('#!/bin/sh\n[ -e go ] || exit 3\necho "$1 $WHAT in $PWD"\n')
    script.chmod(0o755)
    where = alice.home / "here"
    where.mkdir()
    where.chmod(0o777)
    job = daemon.submit(
        alice, "--gpus", "0", "--name", "mine", str(script), "did", cwd=where,
        env={"WHAT": "this"},
    )  # fmt: skip
    daemon.wait_state(job, "FAILED")
    script.write_text("#!/bin/sh\necho changed\n")
    (where / "go").touch()
    (again,) = redo(daemon, alice, str(job), "--time-limit", "600")
    row = daemon.wait_state(again, "COMPLETED")
    assert (row["time_limit"], row["gpus"]) == (600, 0)
    assert daemon.queue(alice, "-h", "--all", "-o", "%j", "--jobs", str(again)) == "mine\n"
    assert f"did this in {where}" in daemon.output(alice, again)


def test_tasks_are_repeated_by_their_indices(daemon: Daemon, alice: User) -> None:
    line = "echo task $MGPU_ARRAY_TASK_ID {x}; exit 1"
    args = ["--param", "x=a,b,c", "--gpus", "0", "--", "sh", "-c", line]
    job = daemon.submit(alice, *args)
    daemon.command(alice, ["mgpu_queue"])
    daemon.command(alice, ["mgpu_job", "log", "-f", f"{job}_2"])
    for task in range(3):
        daemon.command(alice, ["mgpu_job", "log", "-f", f"{job}_{task}"])
    (again,) = redo(daemon, alice, f"{job}_[1-2]")
    told = daemon.command(alice, ["mgpu_job", "log", "-f", f"{again}_2"])
    assert told.stdout.endswith("task 2 c\n")
    assert daemon.command(alice, ["mgpu_job", "log", "-f", f"{again}_0"]).returncode == 1
    (whole,) = redo(daemon, alice, str(job))
    told = daemon.command(alice, ["mgpu_job", "log", "-f", f"{whole}_0"])
    assert told.stdout.endswith("task 0 a\n")


def test_those_that_were_given_up_for_it_follow(daemon: Daemon, alice: User) -> None:
    flag = alice.home / "given_up"  # her home outlives a test: no other may leave this one
    flag.unlink(missing_ok=True)
    first = daemon.submit(alice, "-G", "0", "--hold", "--", "sh", "-c", f"test -e {flag}")
    second = daemon.submit(alice, "-G", "0", "-d", f"afterok:{first}", "--", "true")
    third = daemon.submit(alice, "-G", "0", "-d", f"afterok:{second}", "--", "true")
    daemon.command(alice, ["mgpu_job", "release", str(first)])
    daemon.wait_state(third, "CANCELLED")
    flag.touch()
    new = redo(daemon, alice, "--cascade", "--hold", str(first))
    assert len(new) == 3
    assert [daemon.job(number)["dependency"] for number in new] == [
        "", f"afterok:{new[0]}", f"afterok:{new[1]}",
    ]  # fmt: skip
    daemon.command(alice, ["mgpu_job", "release", *map(str, new)])
    daemon.wait_state(new[2], "COMPLETED")


@pytest.mark.parametrize("keep", ["0", "1d"])
def test_what_cannot_be_repeated_is_said(
    keep: str, make_daemon: Make, alice: User, bob: User
) -> None:
    daemon = make_daemon({"jobs": {"keep_for_redo": keep}})
    job = daemon.submit(alice, "--gpus", "0", "--", "sleep", "600")
    refused = daemon.command(alice, ["mgpu_job", "redo", str(job)])
    assert f"job {job} has not ended" in refused.stderr
    daemon.cancel(alice, str(job))
    daemon.wait_state(job, "CANCELLED")
    assert "unknown, or not yours" in daemon.command(bob, ["mgpu_job", "redo", str(job)]).stderr
    again = daemon.command(alice, ["mgpu_job", "redo", str(job), "--hold"])
    if keep == "0":
        assert "is not kept any more" in again.stderr
        assert "jobs.keep_for_redo" in again.stderr
    assert (again.returncode == 0) == (keep == "1d")
