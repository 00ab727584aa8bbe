"""What a user does, asked again until it is answered; and what must be true of the machine after.

Every job appends "ID RESTARTS" to its user's ledger as its first act: a pair that is there twice
has been run twice.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mgpu import Client, MgpuError
from mgpu.client.views import JobView
from tests.lib import cgroups, processes
from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

T = TypeVar("T")
RECORD = 'echo "$MGPU_JOB_ID $MGPU_RESTART_COUNT" >> "$HOME/ledger"; '
_MIB = 100  # of GPU memory: all jobs of the tests fit beside each other


class Errand:
    """A function that runs as a user in a process of its own, and its result."""

    def __init__(self, user: User, action: Callable[..., Any], *args: Any) -> None:
        self._pipe, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be(user, partial(action, *args), writer)
        os.close(writer)

    def done(self) -> bool:
        """Whether the result is there."""
        return bool(select.select([self._pipe], [], [], 0)[0])

    def result(self, timeout: float = 60.0) -> Any:
        """What the action returned, as JSON makes it."""
        try:
            assert select.select([self._pipe], [], [], timeout)[0], "the user waits for an answer"
            with open(self._pipe, closefd=False) as pipe:
                answer = json.load(pipe)
        finally:
            self.end()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def end(self) -> None:
        """Take it away."""
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self._pipe)


def _be(user: User, action: Callable[[], Any], writer: int) -> None:
    try:
        os.initgroups(user.name, user.gid)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        os.environ.clear()
        os.environ.update(user.environment())
        os.chdir(user.home)
        answer = {"result": action()}
    except BaseException as error:
        answer = {"error": repr(error)}
    finally:
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)


def insist(socket: Path, ask: Callable[[Client], T], *, admin: bool = False) -> T:
    """Ask until there is an answer, as a user would who is told that no daemon answers."""

    def once() -> list[T]:
        try:
            with Client(str(socket), admin=admin) as client:
                return [ask(client)]
        except MgpuError as error:
            if error.code != "Unreachable":
                raise
            raise AssertionError(error) from None

    return eventually(once, timeout=60)[0]


class Acts:
    """A user's requests, each with a key; ``tag`` makes the keys of one round its own."""

    def __init__(self, daemon: Daemon, tag: str) -> None:
        self._socket = daemon.socket
        self._tag = tag

    def submit(self, key: str, line: str, **options: Any) -> int:
        """Submit a shell line that records its run first."""
        argv = ["sh", "-c", RECORD + line]
        options = {"gpu_mem": _MIB, "activate": False, "key": f"{self._tag}-{key}", **options}
        return insist(self._socket, lambda client: client.submit(argv, **options))

    def wait(self, *jobs: int) -> dict[int, list[Any]]:
        """(state, code, signal) of each, once all have ended."""
        ends = insist(self._socket, lambda client: client.wait(*jobs))
        return {int(job): [end.state, end.code, end.signal] for job, end in ends.items()}

    def cancel(self, *jobs: int) -> None:
        """Cancel them."""
        insist(self._socket, lambda client: client.cancel(*jobs))

    def until(self, job: int, *states: str) -> None:
        """Wait until the job is in one of these states."""
        eventually(lambda: self.state(job), until=lambda state: state in states, timeout=30)

    def state(self, job: int) -> str:
        """The job's state."""
        return insist(self._socket, lambda client: client.jobs(jobs=[job]))[0].state


def answers(daemon: Daemon) -> bool:
    """Whether the daemon answers, now."""
    try:
        daemon.wait_ready(timeout=0.05)
    except (AssertionError, RuntimeError):
        return False
    return True


def revive(daemon: Daemon) -> None:
    """Start the launcher again where it has died, again and again, as systemd does."""

    def up() -> bool:
        try:
            daemon.start()
        except RuntimeError as error:
            raise AssertionError(error) from None
        return True

    if daemon.process is not None and daemon.process.poll() is not None:
        daemon.allow_crash = True
        eventually(up, timeout=30)


def all_jobs(daemon: Daemon) -> dict[int, JobView]:
    """Every job that there is or was, as an administrator sees it."""
    jobs = insist(daemon.admin_socket, lambda c: c.jobs(scope="all", ended=True), admin=True)
    return {job.id: job for job in jobs}


def ledger(user: User) -> Counter[tuple[int, int]]:
    """How often each (job, restarts) of the user has run."""
    path = user.home / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter((int(job), int(restarts)) for job, restarts in map(str.split, lines))


def leaders(user: User) -> list[processes.Process]:
    """The first process of each running job of the user's: it holds the line that was submitted."""
    found = {p.pid: p for p in processes.of_user(user.uid) if "MGPU_JOB_ID" in p.command}
    return [process for process in found.values() if process.parent not in found]


def check(daemon: Daemon, users: Iterable[User], acknowledged: Iterable[int]) -> None:
    """All is over: nothing lost, nothing doubled, nothing left behind."""
    jobs = all_jobs(daemon)
    assert sorted(jobs) == sorted(acknowledged), "jobs lost or doubled"
    assert {job.state for job in jobs.values()} <= {
        *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
    }
    runs: Counter[tuple[int, int]] = Counter()
    for user in users:
        runs += ledger(user)
    assert {run: times for run, times in runs.items() if times > 1} == {}, "run twice"
    ran = Counter(job for job, _ in runs)
    for job in jobs.values():
        ended_itself = job.state != "CANCELLED" and job.code is not None
        least = job.restarts + 1 if ended_itself else 0
        assert least <= ran[job.id] <= job.restarts + 1, (job, ran[job.id])
    check_machine(daemon, users)


def check_machine(daemon: Daemon, users: Iterable[User]) -> None:
    """No GPU is held, no process, cgroup, script or attempt is left, the database is sound."""
    gpus = insist(daemon.admin_socket, lambda client: client.info().gpus, admin=True)
    assert [(gpu.jobs, gpu.reserved) for gpu in gpus] == [([], 0)] * len(gpus)
    uids = {user.uid for user in users}
    eventually(lambda: left_behind(daemon, uids), until=lambda left: not left, timeout=5)
    eventually(lambda: integrity(daemon.state), until=lambda verdict: verdict == "ok", timeout=5)


def left_behind(daemon: Daemon, uids: Iterable[int]) -> list[object]:
    """What an attempt that is over has left; an empty folder may wait for the next start."""
    folders = [
        path for path in (daemon.state / "attempts").iterdir() if path.exists() and _full(path)
    ]
    scripts = list((daemon.runtime / "scripts").iterdir())
    found = [p for p in processes.running().values() if p.uid in uids and "pytest" not in p.command]
    return [*folders, *scripts, *found, *cgroups.groups_of(daemon.name)]


def _full(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False


def integrity(state: Path) -> str:
    """SQLite's verdict on a copy of the database; only while nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("mgpu.db", "mgpu.db-wal"):
            if (state / name).exists():
                shutil.copy(state / name, folder)
        with closing(sqlite3.connect(Path(folder) / "mgpu.db")) as db:
            return str(db.execute("PRAGMA integrity_check").fetchone()[0])
