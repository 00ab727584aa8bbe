"""What shells are told of a real scheduler, each user as themselves."""

from __future__ import annotations

from collections.abc import Callable

from mgpu.cli.base import COMPLETION
from mgpu.cli.complete import LINE
from tests.lib.daemon import Daemon
from tests.lib.terminal import Terminal
from tests.lib.users import User

GPUS = [{"name": "NVIDIA A100", "memory": 16384, "count": 2}]
CLASSES = [{"name": "urgent", "priority": 5}]


def told(daemon: Daemon, user: User, line: str) -> list[str]:
    """The words for a line; a word and its help are parted by a tab."""
    program = line.split()[0]
    done = daemon.command(user, [program], env={COMPLETION: "fish", LINE: line})
    assert (done.returncode, done.stderr) == (0, "")
    return [row.partition("\t")[2] for row in done.stdout.splitlines()]


def test_everybody_completes_what_they_may_see(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    daemon = make_daemon({"scheduling": {"classes": CLASSES}}, gpus=GPUS)
    job = daemon.submit(alice, "--gpus", "1", "--name", "hunter2", "--", "sleep", "600")
    array = daemon.submit(alice, "--gpus", "2", "--array", "0-3", "--", "sleep", "600")
    own = told(daemon, alice, "mgpu_cancel ")
    assert [word.split("\t")[0] for word in own] == [str(job), str(array)]
    assert "hunter2" in own[0]
    assert told(daemon, bob, "mgpu_cancel ") == []
    assert told(daemon, bob, "mgpu_queue --name ") == []
    assert "hunter2" not in str(told(daemon, bob, "mgpu_queue --all --jobs "))
    assert told(daemon, bob, "mgpu_queue --user ") == [alice.name]
    assert told(daemon, bob, "mgpu_srun --gpus a") == [f"a100:{n}\tNVIDIA A100" for n in (1, 2)]
    assert told(daemon, bob, "mgpu_srun --qos ") == ["normal", "urgent"]


def test_jobs_that_have_ended_are_offered_where_they_are_of_use(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    daemon = make_daemon({}, gpus=GPUS)
    ended = str(daemon.submit(alice, "--gpus", "0", "--", "true"))
    daemon.wait_state(int(ended), "COMPLETED")
    running = str(daemon.submit(alice, "--gpus", "0", "--", "sleep", "600"))
    daemon.wait_state(int(running), "RUNNING")
    both = {ended, running}
    for line, jobs in {
        "mgpu_job history ": both,
        "mgpu_job env ": both,
        "mgpu_job log ": both,
        "mgpu_stats --jobs ": both,
        "mgpu_job redo ": {ended},
        "mgpu_job attach ": set(),
        "mgpu_job signal ": {running},
    }.items():
        assert {word.split("\t")[0] for word in told(daemon, alice, line)} == jobs, line
        assert told(daemon, bob, line) == [], line
    assert told(daemon, alice, f"mgpu_job signal {running} USR") == ["USR1", "USR2"]


def test_jobs_with_a_terminal_are_offered_to_attach_to(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    daemon = make_daemon({}, gpus=GPUS)
    daemon.submit(alice, "--gpus", "0", "--", "sleep", "600")
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", "cat") as screen:
        screen.shows("job 2; ")
        assert told(daemon, alice, "mgpu_job attach ") == ["2\tcat running"]
        assert told(daemon, bob, "mgpu_job attach ") == []
