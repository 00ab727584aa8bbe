"""A supervisor's life: start, limit, cancel, the whole tree, crashes of the others, the record."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.lib import cgroups, comet, processes
from tests.lib.fake_scheduler import FakeScheduler, Run
from tests.lib.users import User, as_user
from tests.lib.waiting import eventually, never


@pytest.fixture(params=["cgroup", "subreaper"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[FakeScheduler]:
    """With a cgroup for each attempt, and where none can be had."""
    with FakeScheduler(cgroups=request.param == "cgroup") as found:
        yield found


@pytest.fixture
def grouped() -> Iterator[FakeScheduler]:
    """With cgroups only, for what does not depend on them."""
    with FakeScheduler() as found:
        yield found


def log_of(user: User, job: int = 1) -> Path:
    return user.home / f"job-{job}.log"


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def start(scheduler: FakeScheduler, user: User, shell: str, job: int = 1, **order: Any) -> Run:
    """A job that runs ``shell`` with its output in a log."""
    log_of(user, job).unlink(missing_ok=True)
    payload = {"output": os.fsencode(log_of(user, job))}
    return scheduler.start(job, user, ["bash", "-c", shell], payload=payload, **order)


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("shell", "code", "signum"),
    [("exit 0", 0, None), ("exit 7", 7, None), ("kill -USR1 $$", None, signal.SIGUSR1)],
)
def test_the_end_is_told_truly(
    scheduler: FakeScheduler, alice: User, shell: str, code: int | None, signum: int | None
) -> None:
    ended = start(scheduler, alice, shell).end()
    assert (ended["code"], ended["signal"], ended["cause"]) == (code, signum, "exit")
    assert ended["started_wall"] <= ended["wall"]
    assert scheduler.hear("gone") == {"op": "gone", "job": 1, "attempt": 1}
    assert not scheduler.folder(1).exists()
    eventually(lambda: not scheduler.group(1).exists(), what="the cgroup is removed")


def test_running_names_the_process(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "exec sleep 60")  # job
    running = run.until("running")
    process = processes.read(running["pid"])
    assert process is not None
    assert (process.ticks, process.uid) == (running["ticks"], alice.uid)
    identity = msgpack.unpackb((scheduler.folder(1) / "identity").read_bytes())
    assert (identity["pid"], identity["ticks"]) == (process.pid, process.ticks)
    assert identity["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    run.stop()
    run.end()


TREES = {
    "background": "sleep 600 & sleep 600 & echo up; exit 3",
    "setsid": "setsid sleep 600 & setsid setsid sleep 600 & echo up; exit 3",
    "double fork": "(setsid bash -c 'sleep 600 & sleep 600' &) ; echo up; exit 3",
    "ignores TERM": "(trap '' TERM INT HUP; exec setsid sleep 600) & echo up; exit 3",
    "stopped": "setsid sleep 600 & kill -STOP $!; echo up; exit 3",
}


@pytest.mark.parametrize("shell", TREES.values(), ids=TREES.keys())
def test_when_the_leader_ends_the_rest_is_killed(
    scheduler: FakeScheduler, alice: User, shell: str
) -> None:
    bystander = subprocess.Popen(
        ["setpriv", f"--reuid={alice.uid}", "--clear-groups", "sleep", "9"]
    )
    ended = start(scheduler, alice, shell).until("ended")
    assert (ended["code"], ended["cause"]) == (3, "exit")
    assert [p.pid for p in processes.of_user(alice.uid)] == [bystander.pid]
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.parametrize("shell", TREES.values(), ids=TREES.keys())
def test_a_cancel_leaves_nothing(scheduler: FakeScheduler, alice: User, shell: str) -> None:
    run = start(scheduler, alice, shell.replace("exit 3", "trap '' TERM; sleep 600; sleep 600"))
    run.until("running")
    eventually(lambda: "up" in read(log_of(alice)))
    run.stop(grace=1)
    ended = run.end(timeout=8)
    assert ended["cause"] == "cancel"
    assert not processes.of_user(alice.uid)


#: As the user: trace a process with all its threads, and wait for none of them.
TRACE = """
import ctypes, os, sys
for thread in os.listdir(f"/proc/{sys.argv[1]}/task"):
    assert ctypes.CDLL(None).ptrace(0x4206, int(thread), None, None) == 0
print("traced", flush=True)
input()
"""


@contextmanager
def tracer(user: User, leader: int, program: str = TRACE) -> Iterator[subprocess.Popen[str]]:
    """Trace a process, and be gone afterwards."""
    words = as_user(user, ["/usr/bin/python3", "-c", program, str(leader)])
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as found:
        try:
            assert found.stdout is not None
            assert found.stdout.readline() == "traced\n"
            yield found
        finally:
            found.kill()


THREADED = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()"


@pytest.mark.parametrize("program", ["exec sleep 600", f"exec /usr/bin/python3 -c '{THREADED}'"])
def test_a_tracer_that_does_not_wait_keeps_no_end_back(
    scheduler: FakeScheduler, alice: User, program: str
) -> None:
    """Of a traced process its tracer alone is told; a user could hold the GPUs for ever."""
    run = start(scheduler, alice, program)
    leader = run.until("running")["pid"]
    wanted = 2 if "Thread" in program else 1
    eventually(lambda: len(os.listdir(f"/proc/{leader}/task")), until=lambda n: n == wanted)
    with tracer(alice, leader) as tracing:
        run.stop()
        ended = run.until("ended", timeout=5)
        assert (ended["signal"], ended["cause"]) == (signal.SIGKILL, "cancel")
        assert tracing.poll() is None
    run.ack()


def test_a_tracer_that_waits_does_not_change_how_it_ended(
    scheduler: FakeScheduler, alice: User
) -> None:
    """As a debugger that is attached to the job does."""
    run = start(scheduler, alice, "while [ ! -e leave ]; do :; done; exit 7")
    leader = run.until("running")["pid"]
    wait = TRACE.replace("input()", f"os.waitpid({leader}, 0x40000000)")
    with tracer(alice, leader, wait):
        (alice.home / "leave").touch()
        assert run.end()["code"] == 7
    (alice.home / "leave").unlink()


MOVED = {
    "the leader": ("exec sleep 601", "cancel"),
    "a daemon": ("setsid -f sleep 601; while [ ! -e leave ]; do :; done", "exit"),
}


@pytest.mark.parametrize(("shell", "cause"), MOVED.values(), ids=MOVED.keys())
def test_what_leaves_the_cgroup_is_still_of_the_job(
    grouped: FakeScheduler, alice: User, shell: str, cause: str
) -> None:
    """systemd moves a user's processes into a scope when the user asks (systemd-run --scope)."""
    run = start(grouped, alice, shell)
    run.until("running")

    def sleeper() -> list[int]:
        return [p.pid for p in processes.of_user(alice.uid) if p.command == "sleep 601"]

    (pid,) = eventually(sleeper)
    scope = cgroups.beside(grouped.name, "scope")
    (scope / "cgroup.procs").write_text(str(pid))
    if cause == "cancel":
        run.stop()
    else:
        (alice.home / "leave").touch()
    assert run.end(timeout=5)["cause"] == cause
    assert not processes.of_user(alice.uid)
    (alice.home / "leave").unlink(missing_ok=True)


def test_a_fork_bomb_is_cleared(scheduler: FakeScheduler, alice: User) -> None:
    payload = {"rlimits": [[6, 400, 400]]}  # RLIMIT_NPROC
    run = scheduler.start(
        1, alice, ["bash", "-c", "b() { b | b & }; b; sleep 600"], payload=payload
    )
    run.until("running")
    eventually(lambda: len(processes.of_user(alice.uid)), until=lambda count: count > 100)
    run.stop(grace=0)
    assert run.end()["cause"] == "cancel"
    assert not processes.of_user(alice.uid)


@pytest.mark.parametrize("mode", ["", "setsid"])
def test_no_end_is_told_while_something_forks_and_exits(
    scheduler: FakeScheduler, alice: User, mode: str
) -> None:
    """No walk through /proc finds it; whoever has its lock knows that it lives."""
    program, lock = comet.build(scheduler.runtime), alice.home / "comet.lock"
    run = start(scheduler, alice, f"exec 9> {lock}; flock 9; {program} 60 {mode}; exit 3")
    assert run.until("ended")["code"] == 3
    assert not comet.is_locked(lock)


def test_term_comes_first_and_the_code_is_the_jobs(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "trap 'echo bye; exit 5' TERM; echo up; while :; do read; done")
    run.until("running")
    eventually(lambda: "up" in read(log_of(alice)))
    run.stop(grace=30)
    ended = run.end()
    assert (ended["code"], ended["cause"]) == (5, "cancel")
    assert "bye" in log_of(alice).read_text()


def test_a_second_stop_can_only_shorten_the_grace(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "trap '' TERM; echo up; while :; do sleep 1; done")  # job
    run.until("running")
    eventually(lambda: "up" in read(log_of(alice)))
    run.stop(grace=600)
    run.stop(grace=600)
    never(lambda: run.next(0) if readable(run) else None, for_seconds=0.3)
    run.stop(grace=0)
    assert run.end()["signal"] == signal.SIGKILL


def readable(run: Run) -> bool:
    try:
        return bool(run.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


def test_a_cancel_before_the_program_runs(scheduler: FakeScheduler, alice: User) -> None:
    """No process, and one terminal message, whenever the cancel comes (check 42)."""
    for job in range(1, 21):
        run = start(scheduler, alice, "sleep 600", job=job)  # job
        run.stop()
        message = run.next()
        while message is not None and message["op"] == "running":
            message = run.next()
        assert message is not None
        assert (message["op"], message["cause"]) == ("ended", "cancel")
        run.ack()
        assert not processes.of_user(alice.uid)


# ---------------------------------------------------------------- the limit


def test_the_limit_ends_the_tree(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "trap 'exit 9' TERM; sleep 600 & while :; do wait; done", limit=1)
    ended = run.end()
    assert (ended["code"], ended["cause"]) == (9, "timelimit")
    assert 0.9 < ended["wall"] - ended["started_wall"] < 2.5


def test_the_limit_kills_after_the_grace(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "trap '' TERM; sleep 600; sleep 600", limit=1, grace=1)
    ended = run.end()
    assert (ended["signal"], ended["cause"]) == (signal.SIGKILL, "timelimit")
    assert 1.9 < ended["wall"] - ended["started_wall"] < 4


def test_a_cancel_during_the_grace_wins(scheduler: FakeScheduler, alice: User) -> None:
    run = start(
        scheduler, alice, "trap 'echo term' TERM; while :; do read; done", limit=1, grace=60
    )
    run.until("running")
    eventually(lambda: "term" in read(log_of(alice)))
    run.stop(grace=0)
    assert run.end()["cause"] == "cancel"


def test_the_warning_reaches_who_can_take_it_and_kills_nobody(
    scheduler: FakeScheduler, alice: User
) -> None:
    """bash without a trap would die of it; the Python below it has a handler."""
    program = (
        "import signal, sys; signal.signal(signal.SIGUSR1, lambda *_: print('saved', flush=True));"
        "print('up', flush=True)\nwhile True: signal.pause()"
    )
    shell = f'/usr/bin/python3 -c "{program}" & sleep 600'
    run = start(scheduler, alice, shell, limit=3, warn=[signal.SIGUSR1, 2], grace=0)
    ended = run.end()
    assert (ended["signal"], ended["cause"]) == (signal.SIGKILL, "timelimit")
    assert "saved" in log_of(alice).read_text()
