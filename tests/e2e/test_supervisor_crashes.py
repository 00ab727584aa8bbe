"""The others die: a job outlives scheduler and launcher, its end is kept, and what holds it falls.

Kills come from outside, at moments that are seen on disk or on the line.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from mgpu.protocol import link
from tests.lib import comet, processes
from tests.lib.fake_scheduler import FakeScheduler, Run
from tests.lib.users import User, run_as
from tests.lib.waiting import eventually, never

pytestmark = pytest.mark.crash


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


def start(scheduler: FakeScheduler, user: User, shell: str, job: int = 1, **order: Any) -> Run:
    """A job that runs ``shell``."""
    return scheduler.start(job, user, ["bash", "-c", shell], **order)


def supervisor_of(run: Run) -> int:
    """The supervisor of a running job, by its leader."""
    process = processes.read(run.until("running")["pid"])
    assert process is not None
    return process.parent


def readable(run: Run) -> bool:
    try:
        return bool(run.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


def test_a_new_scheduler_adopts_a_running_job(scheduler: FakeScheduler, alice: User) -> None:
    first = start(scheduler, alice, "read -t 600 < <(sleep 600); exit 4")
    pid = first.until("running")["pid"]
    first.control.close()
    assert scheduler.restart_scheduler()["attempts"] == [[1, 1]]
    second = scheduler.adopt(1)
    assert second.until("running")["pid"] == pid
    third = scheduler.adopt(1)
    assert third.until("running")["pid"] == pid
    assert second.next() is None, "the newest scheduler takes the place of the one before"
    os.kill(pid, signal.SIGTERM)
    assert third.end()["signal"] == signal.SIGTERM


def test_only_the_service_may_connect(grouped: FakeScheduler, alice: User) -> None:
    run = start(grouped, alice, "sleep 600")  # job
    run.until("running")
    path = grouped.folder(1) / "socket"
    for folder in (path, *path.parents[:3]):
        os.chmod(folder, 0o777)
    program = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
        f"s.connect({str(path)!r}); s.settimeout(5); print(repr(s.recv(100)))"
    )
    answer = run_as(alice, ["/usr/bin/python3", "-I", "-c", program])
    assert answer.stdout.strip() in ("b''", ""), answer
    run.stop()
    assert run.end()["cause"] == "cancel"


def test_the_end_is_recorded_while_nobody_listens(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "read -t 600 < <(sleep 600)")
    running = run.until("running")
    scheduler.kill9()
    run.control.close()
    os.kill(running["pid"], signal.SIGUSR2)
    record = scheduler.folder(1) / "exit"
    eventually(record.exists, what="the exit record")
    end = msgpack.unpackb(record.read_bytes())
    assert (end["op"], end["job"], end["attempt"]) == ("ended", 1, 1)
    assert (end["code"], end["signal"], end["cause"]) == (None, signal.SIGUSR2, "exit")
    assert end["boot_id"]
    eventually(lambda: lock_is_free(scheduler), what="the supervisor has left")


def lock_is_free(scheduler: FakeScheduler) -> bool:
    lock = scheduler.folder(1) / "lock"
    return subprocess.run(["flock", "--nonblock", str(lock), "true"]).returncode == 0


def test_an_end_that_is_not_acknowledged_is_kept(grouped: FakeScheduler, alice: User) -> None:
    run = start(grouped, alice, "exit 6")
    assert run.until("ended")["code"] == 6
    eventually((grouped.folder(1) / "exit").exists, what="the exit record")
    assert not lock_is_free(grouped)
    run.control.close()
    eventually(lambda: lock_is_free(grouped), what="the supervisor has left")
    assert msgpack.unpackb((grouped.folder(1) / "exit").read_bytes())["code"] == 6


def test_a_stale_acknowledgement_is_ignored(grouped: FakeScheduler, alice: User) -> None:
    run = start(grouped, alice, "exit 0")
    run.until("ended")
    link.send(run.control, {"op": "ack", "job": 1, "attempt": 2})
    never(lambda: readable(run), for_seconds=0.2)
    run.ack()


def test_the_limit_holds_while_nobody_is_there(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "sleep 600", limit=1, grace=0)  # job
    run.until("running")
    scheduler.kill9()
    run.control.close()
    record = scheduler.folder(1) / "exit"
    eventually(record.exists, what="the exit record")
    assert msgpack.unpackb(record.read_bytes())["cause"] == "timelimit"
    assert not processes.of_user(alice.uid)


def test_a_killed_supervisor_takes_its_job_along(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "setsid sleep 600 & (trap '' TERM; sleep 600) & sleep 600")
    os.kill(supervisor_of(run), signal.SIGKILL)
    assert run.next() is None
    assert scheduler.hear("gone") == {"op": "gone", "job": 1, "attempt": 1}
    scheduler.say({"op": "kill", "job": 1, "attempt": 1})
    assert scheduler.hear("killed") == {"op": "killed", "job": 1, "attempt": 1}
    eventually(lambda: not processes.of_user(alice.uid), what="nothing is left")
    assert lock_is_free(scheduler)
    assert not (scheduler.folder(1) / "exit").exists()


@pytest.mark.parametrize("moment", ["folder", "identity", "running", "exit"])
def test_a_supervisor_killed_at_any_moment(
    scheduler: FakeScheduler, alice: User, moment: str
) -> None:
    """Whatever it had done: nothing runs on, no end is invented, and the launcher says "gone"."""
    spare = scheduler.spare()
    run = start(scheduler, alice, "exit 3" if moment == "exit" else "sleep 600")  # job
    if moment == "running":
        run.until("running")
    else:
        path = scheduler.folder(1) / ("." if moment == "folder" else moment)
        eventually(path.exists, what=f"{path} is there")
    os.kill(spare, signal.SIGKILL)
    assert scheduler.hear("gone") == {"op": "gone", "job": 1, "attempt": 1}
    scheduler.say({"op": "kill", "job": 1, "attempt": 1})
    scheduler.hear("killed")
    eventually(lambda: not processes.of_user(alice.uid), what="nothing is left")
    assert (scheduler.folder(1) / "exit").exists() == (moment == "exit")
    assert lock_is_free(scheduler)


def test_nothing_is_called_killed_that_forks_and_exits(
    scheduler: FakeScheduler, alice: User
) -> None:
    """The supervisor of one attempt is dead, that of the other does not answer."""
    program, locks = comet.build(scheduler.runtime), [alice.home / name for name in ("one", "two")]
    for job, lock in enumerate(locks, 1):
        shell = f"exec 9> {lock}; flock 9; {program} 60 setsid; echo; sleep 600"
        boss = supervisor_of(start(scheduler, alice, shell, job=job))
        eventually(lambda lock=lock: lock.exists() and comet.is_locked(lock))  # type: ignore[misc]
        os.kill(boss, signal.SIGKILL if job == 1 else signal.SIGSTOP)
    for job, lock in enumerate(locks, 1):
        scheduler.say({"op": "kill", "job": job, "attempt": 1})
        assert scheduler.hear("killed")["job"] == job
        assert not comet.is_locked(lock)
    assert not processes.of_user(alice.uid)
    if processes.alive(boss):  # with cgroups it needs not die; stopped, it would wait for nobody
        os.kill(boss, signal.SIGKILL)


def test_a_supervisor_killed_after_a_restart_of_the_launcher(
    grouped: FakeScheduler, alice: User
) -> None:
    run = start(grouped, alice, "setsid sleep 600 & sleep 600")
    boss = supervisor_of(run)
    grouped.kill9()
    grouped.launch()
    adopted = grouped.adopt(1)
    adopted.until("running")
    os.kill(boss, signal.SIGKILL)
    assert adopted.next() is None
    grouped.say({"op": "kill", "job": 1, "attempt": 1})
    assert grouped.hear("killed")["job"] == 1
    assert not processes.of_user(alice.uid)
    assert not grouped.group(1).exists()


def test_an_attempt_that_was_given_up_does_not_run(scheduler: FakeScheduler, alice: User) -> None:
    scheduler.folder(1).mkdir(parents=True)
    marker = alice.home / "ran"
    marker.unlink(missing_ok=True)
    run = start(scheduler, alice, f"touch {marker}")
    assert run.next() is None
    assert scheduler.hear("gone")["job"] == 1
    assert not marker.exists()
    assert os.listdir(scheduler.folder(1)) == []


def fill(path: Path) -> None:
    """Write until the file system is full."""
    subprocess.run(["dd", "if=/dev/zero", f"of={path}"], stderr=subprocess.DEVNULL, check=False)


def test_a_full_disk_loses_no_end(alice: User) -> None:
    """The record's space is taken at the start; a start without space is refused."""
    scheduler = FakeScheduler()
    scheduler.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", str(scheduler.state)]
    subprocess.run(mount, check=True)
    try:
        scheduler.launch()
        run = start(scheduler, alice, "read -t 600 < <(sleep 600)")
        running = run.until("running")
        fill(scheduler.state / "filler")
        refused = start(scheduler, alice, "true", job=2).refusal()
        assert (refused["stage"], "space" in refused["detail"]) == ("record", True)
        run.control.close()
        os.kill(running["pid"], signal.SIGUSR2)
        record = scheduler.folder(1) / "exit"
        eventually(record.exists, what="the exit record on a full disk")
        assert msgpack.unpackb(record.read_bytes())["signal"] == signal.SIGUSR2
    finally:
        scheduler.close()
        subprocess.run(["umount", "-l", str(scheduler.state)], check=True)


def test_a_dead_file_system_does_not_hold_a_start_for_ever(alice: User) -> None:
    """A child that never says that it executes is given up after the start deadline."""
    fifo = alice.home / "hangs"
    os.mkfifo(fifo)
    preamble = (
        "import os; from mgpu.privileged import supervisor\n"
        "supervisor.START_SECONDS, chdir = 0.5, os.chdir\n"
        f"os.chdir = lambda path: chdir(path) if path == '/' else open({str(fifo)!r})"
    )
    scheduler = FakeScheduler(preamble=preamble)
    scheduler.launch()
    try:
        refused = start(scheduler, alice, "true").refusal()
    finally:
        scheduler.close()
        fifo.unlink()
    assert (refused["stage"], refused["transient"]) == ("start", True)
