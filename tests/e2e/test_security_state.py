"""State, clocks and accounts that change: checks 61 to 64 and 67."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mgpu.store.schema import VERSION
from tests.lib import attack, processes
from tests.lib.attack import ask, submission
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User, make
from tests.lib.waiting import eventually

ROUNDS = 20
_CLOCK_BOOTTIME = 7


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_acknowledged_is_run_once(daemon: Daemon, alice: User, whole: bool) -> None:
    """Check 61: kill -9 of the scheduler, or of everything, right after each answer."""
    ran = alice.home / "ran"
    line = f"echo $MGPU_JOB_ID >> {ran}"
    ids = []
    for _ in range(ROUNDS if whole else 4):  # a scheduler that dies often is restarted slowly
        ids.append(attack.submit(daemon, alice, "/bin/sh", "-c", line, gpus=1, gpu_mem=1000))
        if whole:
            os.kill(scheduler_of(daemon), signal.SIGKILL)
            daemon.stop(signal.SIGKILL)
            daemon.start()
        else:
            daemon.kill9_scheduler()
            daemon.wait_ready()
    for job in ids:
        daemon.wait_state(job, "COMPLETED")
    assert ids == sorted(set(ids))
    assert sorted(map(int, ran.read_text().split())) == ids
    ran.unlink()


def scheduler_of(daemon: Daemon) -> int:
    pid = daemon.scheduler_pid()
    assert pid is not None
    return pid


@contextmanager
def small_disk(daemon: Daemon) -> Iterator[Path]:
    """A disk of 4 MiB for the state; yields the file that fills it."""
    daemon.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(daemon.state)]
    subprocess.run(mount, check=True)
    try:
        yield daemon.state / "filler"
    finally:
        subprocess.run(["umount", "-l", daemon.state], check=True)


def fill(filler: Path) -> None:
    """Take what the disk has left."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_a_full_disk_refuses_new_work_and_loses_none(users: Any, alice: User) -> None:
    """Check 62: queries work, the end of a running job is stored, submissions come back."""
    daemon = Daemon()
    with small_disk(daemon) as filler, daemon:
        flag = alice.home / "flag"
        argv = ["bash", "-c", f"while [ ! -e {flag} ]; do read -t 0.05 <> <(:); done; exit 3"]
        running = attack.submit(daemon, alice, *argv)
        daemon.wait_state(running, "RUNNING")
        fill(filler)

        def refused() -> bool:
            fill(filler)
            answer = ask(alice, daemon.socket, submission(env=[b"A=" + b"x" * 60_000]))
            return bool(answer.get("error", {}).get("code") == "StorageFull")

        eventually(refused)
        error = ask(alice, daemon.socket, submission())["error"]
        assert (error["code"], bool(error["hint"])) == ("StorageFull", True)
        assert daemon.job(running)["state"] == "RUNNING"
        flag.touch()
        assert daemon.wait_state(running, "FAILED")["code"] == 3
        filler.unlink()
        eventually(lambda: "ok" in ask(alice, daemon.socket, submission()), timeout=20)
        daemon.restart()
        assert daemon.job(running)["code"] == 3
        flag.unlink()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def running_job(daemon: Daemon, user: User) -> tuple[int, int]:
    """A job that runs, and its process; the daemon is stopped then."""
    job = attack.submit(daemon, user, "/bin/sleep", "600")
    daemon.wait_state(job, "RUNNING")
    (pid,) = [process.pid for process in processes.of_user(user.uid)]
    assert daemon.stop() == 0
    return job, pid


def test_a_damaged_state_changes_nothing(daemon: Daemon, alice: User) -> None:
    """Check 63: recovery mode says which file and what to do; put right, all is as it was."""
    job, pid = running_job(daemon, alice)
    database = daemon.state / "mgpu.db"
    good = database.read_bytes()
    damaged = good[:5000] + bytes(len(good) - 5000)
    database.write_bytes(damaged)
    daemon.start()
    ping = ask(alice, daemon.socket, {"op": "ping"})["ok"]
    assert ping["mode"] == "recovery"
    assert str(database) in ping["detail"]
    changes: list[dict[str, object]] = [
        submission(),
        {"op": "cancel", "jobs": [job]},
        {"op": "priority", "jobs": [job], "priority": 1},
    ]
    for request in changes:
        error = ask(ROOT, daemon.admin_socket, request)["error"]
        assert (error["code"], bool(error["hint"])) == ("RecoveryMode", True)
    assert daemon.queue(alice)
    assert database.read_bytes() == damaged
    assert processes.alive(pid)
    daemon.stop()
    database.write_bytes(good)
    daemon.start()
    daemon.wait_state(job, "RUNNING")
    assert processes.alive(pid)


def test_a_newer_state_is_refused(daemon: Daemon, alice: User) -> None:
    """Check 63: it ends, names file and remedy, and changes nothing; the job runs on."""
    job, pid = running_job(daemon, alice)
    database = daemon.state / "mgpu.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = digest(database)
    daemon.start(wait=False)
    assert daemon.process is not None
    assert daemon.process.wait(10) != 0
    assert str(database) in daemon.log()
    assert "99" in daemon.log()
    assert digest(database) == before
    assert processes.alive(pid)
    with sqlite3.connect(database) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.close()
    daemon.start()
    daemon.wait_state(job, "RUNNING")


def test_a_state_that_cannot_be_written_is_refused(daemon: Daemon, alice: User) -> None:
    """Check 63: a read-only file system; one line, no half-started daemon, the job runs on."""
    job, pid = running_job(daemon, alice)
    state = str(daemon.state)
    subprocess.run(["mount", "--bind", state, state], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
    try:
        daemon.start(wait=False)
        assert daemon.process is not None
        assert daemon.process.wait(10) != 0
        assert "ead-only" in daemon.log()
        assert processes.alive(pid)
    finally:
        subprocess.run(["umount", "-l", state], check=True)
    daemon.start()
    daemon.wait_state(job, "RUNNING")


def timers(pid: int) -> list[dict[str, str]]:
    """The timer descriptors of a process, as the kernel describes them."""
    found = []
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        fields = dict(line.split(":", 1) for line in entry.read_text().splitlines() if ":" in line)
        if "clockid" in fields:
            found.append({name: value.strip() for name, value in fields.items()})
    return found


def test_the_limit_is_kept_by_a_clock_that_nobody_sets(daemon: Daemon, alice: User) -> None:
    """Check 64: the supervisor's timer is on CLOCK_BOOTTIME, relative, and as long as the limit."""
    job = attack.submit(daemon, alice, "/bin/sleep", "600", time_limit=500)
    daemon.wait_state(job, "RUNNING")
    (leader,) = processes.of_user(alice.uid)

    def left() -> int:
        (timer,) = timers(leader.parent)
        assert timer["clockid"] == str(_CLOCK_BOOTTIME)
        assert int(timer["settime flags"], 8) & 0b10 == 0, "not cancelled by a clock that is set"
        return int(timer["it_value"].strip("()").split(",")[0])

    eventually(left, until=lambda seconds: 490 <= seconds <= 500)


def delete(user: User) -> None:
    subprocess.run(["userdel", user.name], check=True)


def rename(user: User) -> None:
    subprocess.run(["usermod", "-l", f"{user.name}2", user.name], check=True)


def reuse(user: User) -> None:
    delete(user)
    subprocess.run(["useradd", "-M", "-d", user.home, "-u", str(user.uid), "heir"], check=True)


@pytest.mark.parametrize(
    ("change", "word"), [(delete, "no account"), (rename, "frank12"), (reuse, "heir")]
)
def test_an_account_that_changes_while_its_job_waits(
    daemon: Daemon, bob: User, change: Callable[[User], None], word: str
) -> None:
    """Check 67: held with the reason; nothing runs under another name."""
    frank = make(f"frank{len(word)}" if change is not rename else "frank1")
    marker = frank.home / "ran"
    blocker = attack.submit(daemon, bob, "/bin/sleep", "600", gpus=2)
    daemon.wait_state(blocker, "RUNNING")
    job = attack.submit(daemon, frank, "/bin/touch", str(marker), gpus=2)
    change(frank)
    daemon.cancel(bob, str(blocker))
    row = eventually(lambda: daemon.job(job), until=lambda row: row["reason"] == "InvalidAccount")
    assert (row["state"], row["user"]) == ("PENDING", frank.name)
    assert word in daemon.queue(ROOT, "--json", "--socket", str(daemon.admin_socket))
    assert processes.of_user(frank.uid) == []
    assert not marker.exists()
    if change is rename:
        subprocess.run(["usermod", "-l", frank.name, "frank12"], check=True)
        daemon.wait_state(job, "COMPLETED")
    if change is reuse:
        subprocess.run(["userdel", "heir"], check=True)
