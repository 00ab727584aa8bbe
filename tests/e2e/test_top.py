"""mgpu_top at a real terminal, with a real daemon: what it shows and what its keys do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect

from tests.lib.daemon import Daemon
from tests.lib.users import User, as_user
from tests.lib.waiting import eventually

BIN = Path(sys.executable).parent
GPUS = [{"name": "Sim A", "memory": 16384, "count": 2}]
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
Make = Callable[..., Daemon]


@contextmanager
def top(daemon: Daemon, user: User, term: str = "xterm-256color", lines: int = 24) -> Iterator[Any]:
    """mgpu_top of ``user`` at a terminal of its own."""
    program = as_user(user, [str(BIN / "mgpu_top"), "--interval", "1"])
    env = {**user.environment(), "MGPU_RUNTIME_DIR": str(daemon.runtime), "TERM": term}
    child: Any = pexpect.spawn(
        program[0], program[1:], env=env, cwd=str(user.home), dimensions=(lines, 100),
        encoding="utf-8", codec_errors="replace", timeout=15,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.close(force=True)


def quits(child: Any) -> bool:
    """Whether ``q`` gives the usual screen back and ends it well."""
    child.send("q")
    child.expect_exact(LEAVE)
    child.expect(pexpect.EOF)
    child.wait()
    return bool(child.exitstatus == 0)


def test_jobs_are_seen_chosen_held_and_cancelled(make_daemon: Make, alice: User) -> None:
    daemon = make_daemon(gpus=GPUS)
    line = "echo hello from the job; exec sleep 600"
    runs = daemon.submit(alice, "--gpus", "2", "--name", "runs", "--", "sh", "-c", line)
    waits = daemon.submit(alice, "--gpus", "1", "--name", "waits", "--", "true")
    eventually(lambda: daemon.output(alice, runs), until=lambda text: "hello" in text)
    with top(daemon, alice) as child:
        child.expect_exact(ENTER)
        child.expect("1 running, 1 waiting")
        child.expect(f"> {runs} +runs +alice +R .*{waits} +waits +alice +PD")
        child.expect_exact(f" job {runs} ")
        child.send("l")
        child.expect_exact(f"log of job {runs} ")
        child.expect_exact("hello from the job")
        child.send("lj")
        child.expect(f"> {waits} +waits")
        child.expect_exact("needs 1 GPU")
        child.send("h")
        child.expect_exact(f"Held job {waits}")
        assert daemon.job(waits)["reason"] == "JobHeldUser"
        child.send("h")
        child.expect_exact(f"Released job {waits}")
        child.send("kx")
        child.expect_exact(f"Cancel job {runs}?")
        child.send("n")
        child.expect_exact("Nothing was done")
        child.send("x")
        child.expect_exact(f"Cancel job {runs}?")
        child.send("y")
        child.expect_exact(f"Cancelling job {runs}")
        daemon.wait_state(runs, "CANCELLED")
        daemon.wait_state(waits, "COMPLETED")
        child.expect_exact("No job waits or runs.")
        assert quits(child)


def test_another_size_is_drawn_and_a_new_job_seen(make_daemon: Make, alice: User) -> None:
    daemon = make_daemon(gpus=GPUS)
    with top(daemon, alice) as child:
        child.expect_exact("No job waits or runs.")
        child.setwinsize(30, 60)
        child.expect("[^─]─{60}[^─]")
        job = daemon.submit(alice, "--gpus", "1", "--name", "fresh", "--", "sleep", "600")
        child.expect(f"> {job} +fresh")
        child.sendintr()
        child.expect_exact(LEAVE)


def test_nobody_acts_on_the_jobs_of_others(make_daemon: Make, alice: User, bob: User) -> None:
    daemon = make_daemon(gpus=GPUS)
    job = daemon.submit(alice, "--gpus", "1", "--", "sleep", "600")
    daemon.wait_state(job, "RUNNING")
    with top(daemon, bob) as child:
        child.expect(f"> {job} ")
        child.send("l")
        child.expect_exact("the log is private")
        child.send("x")
        child.expect_exact(f"Cancel job {job}?")
        child.send("y")
        child.expect_exact(f"Job {job} is unknown, or not yours")
        assert quits(child)
    assert daemon.job(job)["state"] == "RUNNING"


def test_on_a_dumb_terminal_the_screen_is_printed_once(make_daemon: Make, alice: User) -> None:
    daemon = make_daemon(gpus=GPUS)
    job = daemon.submit(alice, "--gpus", "1", "--", "sleep", "600")
    with top(daemon, alice, term="dumb") as child:
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
        assert f" {job} " in child.before
        assert "\x1b" not in child.before
