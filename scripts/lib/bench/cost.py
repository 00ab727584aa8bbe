"""Figures of resources: idle CPU and wake-ups, memory, one user's flood, and losses."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from mgpu import Client
from scripts.lib.bench import rig
from scripts.lib.bench.measure import Row, Scale, percentile, timed, wait_for
from scripts.lib.bench.speed import command
from tests.lib import processes, users
from tests.lib.daemon import Daemon
from tests.lib.users import User

_TICK = os.sysconf("SC_CLK_TCK")


def _family(running: Daemon) -> list[int]:
    """The launcher and its children: scheduler, supervisors, the spare one."""
    return [p.pid for p in processes.running().values() if running.pid in (p.pid, p.parent)]


def _cpu_and_wakeups(pids: list[int]) -> tuple[float, int]:
    """Seconds of CPU and voluntary context switches of these processes so far."""
    seconds, switches = 0.0, 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / _TICK
        status = Path(f"/proc/{pid}/status").read_text()
        switches += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return seconds, switches


def idle(user: User, scale: Scale) -> list[Row]:
    """CPU and wake-ups of all of mgpu's processes while nothing happens."""
    rows: list[Row] = []
    with rig.daemon() as running:
        rows += _idle(running, scale, "nothing waiting")
        rig.as_user(user, running, rig.block)
        rig.as_user(user, running, lambda: rig.submit(["true"], gpus=2, count=scale.many))
        rows += _idle(running, scale, f"{scale.many:,} waiting")
    return rows


def _idle(running: Daemon, scale: Scale, when: str) -> list[Row]:
    settling, seconds = (0.5, 1.0) if scale.quick else (2.0, 30.0)
    time.sleep(settling)  # the last request's connection and the spare supervisor go
    pids = _family(running)
    cpu, woken = _cpu_and_wakeups(pids)
    time.sleep(seconds)
    cpu_after, woken_after = _cpu_and_wakeups(pids)
    share = (cpu_after - cpu) / seconds * 100
    return [
        Row("idle", f"CPU, {when}", share, "% of a core", 0.1),
        Row("idle", f"wake-ups, {when}", (woken_after - woken) * 60 / seconds, "a minute", 4),
    ]


def kib(pid: int, file: str, name: str) -> int:
    """A size that a file of /proc/PID tells."""
    text = Path(f"/proc/{pid}/{file}").read_text()
    return int(text.partition(f"\n{name}:")[2].split()[0])


def memory(user: User, scale: Scale) -> list[Row]:
    """RSS of the scheduler, and the proportional share (PSS) of a supervisor."""
    rows = []
    with rig.daemon() as running:
        rows += [_scheduler(running, "empty", 45)]
        for count in (1, 8, 32):
            rows.append(_supervisors(user, running, count))
        rig.as_user(user, running, rig.block)
        rig.as_user(user, running, lambda: rig.submit(["true"], gpus=2, count=scale.many))
        rows += [_scheduler(running, f"{scale.many:,} waiting", 90)]
    return rows


def _scheduler(running: Daemon, when: str, aim: float) -> Row:
    pid = running.scheduler_pid()
    assert pid is not None
    rss = kib(pid, "status", "VmRSS") / 1024
    return Row("memory", f"scheduler's RSS, {when}", rss, "MiB", aim)


def _supervisors(user: User, running: Daemon, count: int) -> Row:
    """The mean PSS of ``count`` supervisors whose jobs sleep; cancels them afterwards."""
    first = rig.as_user(user, running, lambda: rig.submit(["sleep", "999"], gpus=0, count=count))
    ids = list(range(first, first + count))
    wait_for(lambda: rig.as_user(user, running, lambda: _running(ids)) == count, "running jobs")
    scheduler = running.scheduler_pid()
    spare_or_not = [pid for pid in _family(running) if pid not in (running.pid, scheduler)]
    own = [pid for pid in spare_or_not if "\nUid:\t0" not in _status(pid)]
    share = sum(kib(pid, "smaps_rollup", "Pss") for pid in own) / len(own) / 1024
    rig.as_user(user, running, lambda: _end(ids))
    return Row("memory", f"a supervisor's PSS, {count} running", share, "MiB", 4)


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def _running(ids: list[int]) -> int:
    with Client() as client:
        jobs = client.jobs(jobs=ids)
    return sum(job.state == "RUNNING" and job.started is not None for job in jobs)


def _end(ids: list[int]) -> None:
    with Client() as client:
        client.cancel(*ids)
        client.wait(*ids)


def flood(user: User, scale: Scale) -> list[Row]:
    """One user connects and asks as fast as it can; how long another's mgpu_queue takes then."""
    other = users.make("bencher2")
    with rig.daemon() as running:
        storm = _storm(running, other, 2.0 if scale.quick else 8.0)
        took = rig.as_user(
            user,
            running,
            lambda: [timed(command("mgpu_queue")) for _ in range(5 if scale.quick else 20)],
        )
        os.waitpid(storm, 0)
    worst = percentile(took, 0.95)
    return [Row("flood", "mgpu_queue during another's flood, p95", worst, "ms", 500)]


def _storm(running: Daemon, other: User, seconds: float) -> int:
    """A process of ``other`` that opens connections for so long; its pid."""
    pid = os.fork()
    if pid == 0:
        rig.as_user(other, running, lambda: _connect_for(str(running.socket), seconds))
        os._exit(0)
    return pid


def _connect_for(path: str, seconds: float) -> int:
    import socket

    count, give_up = 0, time.monotonic() + seconds
    while time.monotonic() < give_up:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
            except OSError:
                continue
        count += 1
    return count


def loss(user: User, scale: Scale) -> list[Row]:
    """kill -9 of launcher and scheduler right after each acknowledged submit."""
    rounds = 3 if scale.quick else 100
    rows = []
    for when, busy in (("slots busy", True), ("slots free", False)):
        with rig.daemon() as running:
            running.allow_crash = True
            if busy:
                rig.as_user(user, running, rig.block)
            lost, twice = _losses(user, running, rounds, busy=busy)
        rows.append(Row("loss", f"acknowledged jobs lost in {rounds}, {when}", lost, "jobs", 0))
        rows.append(Row("loss", f"jobs run twice, {when}", twice, "jobs", 0))
    return rows


def _losses(user: User, running: Daemon, rounds: int, *, busy: bool) -> tuple[int, int]:
    file = user.home / "ran"
    file.unlink(missing_ok=True)
    ids = []
    for number in range(rounds):
        word = f"{number}"
        ids.append(
            rig.as_user(
                user,
                running,
                partial(rig.submit, [str(rig.STAMP), str(file), word], gpus=2),
            )
        )
        running.kill9()
        running.start()
    known = rig.as_user(user, running, lambda: _known(ids))
    if not busy:
        rig.as_user(user, running, lambda: rig.wait(ids[0], len(ids)))
    ran = [line.split()[2] for line in file.read_text().splitlines()] if file.exists() else []
    missing = 0 if busy else rounds - len(set(ran))
    return rounds - known + missing, len(ran) - len(set(ran))


def _known(ids: list[int]) -> int:
    with Client() as client:
        return len({job.id for job in client.jobs(jobs=ids, ended=True)})
