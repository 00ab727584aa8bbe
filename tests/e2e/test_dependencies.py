"""Jobs that depend on others, and jobs that are tried again, as users meet them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lib.daemon import Daemon
from tests.lib.users import User

LONG = ("--", "sleep", "600")


def waits(daemon: Daemon, job: int) -> tuple[str, str]:
    """Why a job waits."""
    row = daemon.job(job)
    assert row["state"] == "PENDING"
    return str(row["reason"]), str(row["detail"])


def test_a_chain_runs_in_order(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(alice, "-G", "0", *LONG)
    daemon.wait_state(first, "RUNNING")
    second = daemon.submit(alice, "-G", "0", "-d", "afternotok:@", "--", "true")
    third = daemon.submit(alice, "-G", "0", "--dependency", f"afterok:{second}", "--", "true")
    assert waits(daemon, second) == ("Dependency", f"waits for job {first} (running) to fail")
    tree = daemon.command(alice, ["mgpu_queue", "--tree", "--no-header"]).stdout.splitlines()
    assert [line.split()[1] for line in tree[1:]] == [str(second), str(third)]
    assert daemon.command(alice, ["mgpu_cancel", str(first)]).returncode == 0
    daemon.wait_state(third, "COMPLETED")
    assert daemon.job(second)["ended"] <= daemon.job(third)["started"]


def test_dependents_of_a_failed_job_are_cancelled(daemon: Daemon, alice: User, bob: User) -> None:
    first = daemon.submit(alice, "-G", "0", "--", "sh", "-c", "sleep 1; exit 1")
    second = daemon.submit(bob, "-G", "0", "-d", f"afterok:{first}", *LONG)
    third = daemon.submit(bob, "-G", "0", "-d", f"afterok:{second}", *LONG)
    stays = ("-d", f"afterok:{first}", "--kill-on-invalid-dep=no")
    fourth = daemon.submit(bob, "-G", "0", *stays, *LONG)
    daemon.wait_state(third, "CANCELLED")
    detail = f"DependencyNeverSatisfied: job {second} ended CANCELLED (afterok:{second})"
    assert detail in daemon.queue(bob, "--jobs", str(third), "--all")
    never = f"job {first} ended FAILED (afterok:{first})"
    assert waits(daemon, fourth) == ("DependencyNeverSatisfied", never)


def test_what_a_job_waits_for_outlives_the_scheduler(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(alice, "-G", "0", *LONG)
    daemon.wait_state(first, "RUNNING")
    second = daemon.submit(alice, "-G", "0", "-d", f"afterany:{first}", "--", "true")
    daemon.kill9()
    daemon.start()
    assert waits(daemon, second)[0] == "Dependency"
    daemon.command(alice, ["mgpu_cancel", str(first)])
    daemon.wait_state(second, "COMPLETED")


def test_tasks_follow_the_tasks_of_another_array(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(
        alice, "-G", "0", "-a", "0-2", "--", "sh", "-c", 'test "$MGPU_ARRAY_TASK_ID" != 1'
    )
    second = daemon.submit(alice, "-G", "0", "-a", "0-2", "-d", f"aftercorr:{first}", "--", "true")
    after = daemon.submit(alice, "-G", "0", "-d", f"afternotok:{second}", "--", "true")
    daemon.wait_state(after, "COMPLETED")
    rows = daemon.jobs("--all", "--jobs", str(second))
    assert {row["tasks"]: row["state"] for row in rows} == {
        "0": "COMPLETED",
        "1": "CANCELLED",
        "2": "COMPLETED",
    }
    over = daemon.submit(alice, "-G", "0", "-d", f"afterok:{first}_2", "--", "true")
    daemon.wait_state(over, "COMPLETED")


def test_a_waiting_job_waits_for_another_instead(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(alice, "-G", "0", *LONG)
    second = daemon.submit(alice, "-G", "0", "-d", f"afterok:{first}", "--", "true")
    third = daemon.submit(alice, "-G", "0", "-d", f"afterok:{second}", "--", "true")
    update = ["mgpu_job", "update", "--dependency"]
    refused = daemon.command(alice, [*update, f"afterok:{third}", str(second)])
    assert refused.returncode == 1
    assert "this would be a circle" in refused.stderr
    assert daemon.command(alice, [*update, "none", str(second)]).returncode == 0
    daemon.wait_state(third, "COMPLETED")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("afterok:4711", "there is no job 4711"),
        ("afterok:1,2?3", "do not go together"),
        ("expand:1", "expand is not possible"),
        ("@", "you have submitted 0 jobs"),
    ],
)
def test_what_makes_no_sense_is_said(refusing: Daemon, alice: User, text: str, words: str) -> None:
    refused = refusing.srun(alice, "-d", text, *LONG)
    assert refused.returncode in (1, 2)
    assert words in refused.stderr


def test_a_failed_job_is_tried_again(make_daemon: Callable[..., Daemon], alice: User) -> None:
    daemon = make_daemon({"scheduling": {"retry_delay": 1}})
    script = 'echo run $MGPU_RESTART_COUNT; test "$MGPU_RESTART_COUNT" = 2'
    job = daemon.submit(alice, "-G", "0", "--retries", "2", "-o", "log", "--", "sh", "-c", script)
    after = daemon.submit(alice, "-G", "0", "-d", f"afterok:{job}", "--", "true")
    daemon.wait_state(after, "COMPLETED")
    assert (daemon.job(job)["state"], daemon.job(job)["restarts"]) == ("COMPLETED", 2)
    hopeless = daemon.submit(alice, "-G", "0", "--retries", "1", "--", "sh", "-c", "exit 3")
    row = daemon.wait_state(hopeless, "FAILED")
    assert (row["code"], row["attempt"], row["restarts"]) == (3, 2, 1)
