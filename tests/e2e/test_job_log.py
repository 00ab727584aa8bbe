"""mgpu_job show and log, with the files of real users."""

from __future__ import annotations

from tests.lib.daemon import Daemon
from tests.lib.users import User


def test_the_owner_reads_and_others_are_refused(
    daemon: Daemon, alice: User, bob: User, carol: User
) -> None:
    line = "echo out; echo err >&2; [ $MGPU_RESTART_COUNT = 1 ] || exec sleep 600"
    where = ["--output", "%x-%j-%r.log", "--error", "%u.err"]
    args = ["--time-limit", "1", "--name", "n/m", *where, "--", "sh", "-c", line]
    job = daemon.submit(alice, *args)
    followed = daemon.command(alice, ["mgpu_job", "log", "-f", str(job)])
    assert (followed.returncode, followed.stderr) == (0, "")
    assert "out\n" in followed.stdout
    first = daemon.command(alice, ["mgpu_job", "log", str(job), "--attempt", "1", "--lines", "1"])
    assert first.stdout == "out\n"
    assert daemon.command(alice, ["mgpu_job", "log", "--stderr", str(job)]).stdout == "err\nerr\n"
    refused = daemon.command(bob, ["mgpu_job", "log", str(job)])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"job {job}: unknown, or not yours" in refused.stderr
    alice.home.chmod(0o700)
    denied = daemon.command(carol, ["mgpu_job", "log", "--admin", str(job)])
    assert "Permission denied" in denied.stderr
    assert "COMPLETED" in daemon.command(alice, ["mgpu_job", "show", str(job)]).stdout


def test_the_default_log_is_found(daemon: Daemon, alice: User) -> None:
    array = daemon.submit(alice, "--array", "3-4", "--", "sh", "-c", "echo $MGPU_ARRAY_TASK_ID")
    for task in (3, 4):
        followed = daemon.command(alice, ["mgpu_job", "log", "-f", f"{array}_{task}"])
        assert followed.stdout.endswith(f"{task}\n"), followed.stderr
