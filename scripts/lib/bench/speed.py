"""Figures of time: commands, starts, gaps, throughput, bulk, restart, cancel."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from mgpu import Client
from mgpu.cli.main import programs
from scripts.lib.bench import rig
from scripts.lib.bench.measure import (
    PYTHON,
    USUAL_PYTHON,
    Row,
    Scale,
    Yardsticks,
    beside,
    percentile,
    timed,
    wait_for,
)
from tests.lib import cgroups
from tests.lib.daemon import Daemon
from tests.lib.users import User

#: The yardstick P among the commands that are measured in turn with it.
_YARD = "python3"


def command(name: str, *words: str) -> list[str]:
    """One of our programs."""
    return [str(rig.BIN / name), *words]


def _each_command(count: int) -> dict[str, list[float]]:
    """Milliseconds of each command, a few times; all GPUs are held, so what is submitted waits.

    The yardstick is measured in turn with them, as ``_YARD``: other load is the same for all.
    """
    with Client() as client:
        victims = [client.submit(["true"], gpus=2) for _ in range(count)]
    took: dict[str, list[float]] = {}
    for victim in victims:
        rounds = {
            _YARD: PYTHON,
            "mgpu_srun": command("mgpu_srun", "--gpus", "2", "--", "true"),
            "mgpu_cancel": command("mgpu_cancel", str(victim)),
            "mgpu_queue": command("mgpu_queue"),
            "mgpu_info": command("mgpu_info"),
            "mgpu_queue --help": command("mgpu_queue", "--help"),
        }
        for name, argv in rounds.items():
            took.setdefault(name, []).append(timed(argv))
    return took


def commands(user: User, scale: Scale) -> list[Row]:
    """A command on a short queue, in P."""
    count = 3 if scale.quick else 21
    with rig.daemon() as running:
        rig.as_user(user, running, rig.block)
        took = rig.as_user(user, running, lambda: _each_command(count))
    unit = ("P", median(took.pop(_YARD)))
    return [beside("commands", f"{name}, short queue", ms, unit, 6) for name, ms in took.items()]


def helps(_user: User, scale: Scale) -> list[Row]:
    """The help of each program, in turn with a Python that does nothing; the longest."""
    plain: list[float] = []
    took: dict[str, list[float]] = {}
    for _ in range(2 if scale.quick else 15):
        plain.append(timed(USUAL_PYTHON))
        for name in (*programs(), "mgpud"):
            took.setdefault(name, []).append(timed(command(name, "--help")))
    name = max(took, key=lambda name: median(took[name]))
    unit = ("U", median(plain))
    return [beside("helps", f"{name} --help, the longest of all programs", took[name], unit, 4)]


def full(user: User, scale: Scale) -> list[Row]:
    """The same with a long queue."""
    count = 3 if scale.quick else 21
    with rig.daemon() as running:
        rig.as_user(user, running, rig.block)
        short = rig.as_user(user, running, lambda: _each_command(count))
        rig.as_user(user, running, lambda: rig.submit(["true"], gpus=2, count=scale.many))
        took = rig.as_user(user, running, lambda: _each_command(count))
    rows = [
        _growth(f"{name}, {scale.many:,} waiting, to short", took[name], short[name])
        for name in ("mgpu_srun", "mgpu_cancel")
    ]
    what, unit = f"mgpu_queue lists {scale.many:,}", ("P", median(took[_YARD]))
    return [*rows, beside("full", what, took["mgpu_queue"], unit, 15)]


def _growth(what: str, now: list[float], before: list[float]) -> Row:
    return Row("full", what, median(now) / median(before), "x", 1.2)


def start(user: User, scale: Scale) -> list[Row]:
    """From the return of mgpu_srun to the job's first instruction."""
    count = 5 if scale.quick else 60
    with rig.daemon() as running:
        yard = Yardsticks.take()
        took = rig.as_user(user, running, lambda: _starts(user, count))
    unit = ("P", yard.python)
    late = percentile(took, 0.95)
    return [
        beside("start", "client's return to first instruction", took, unit, 1.5),
        Row("start", "the same, 95th percentile", late, "ms", 4, "P", late / yard.python),
    ]


def _starts(user: User, count: int) -> list[float]:
    found = []
    for number in range(count):
        file = user.home / f"start-{number}"
        timed(command("mgpu_srun", "-o", "/dev/null", "--", str(rig.STAMP), str(file)))
        returned = time.monotonic_ns()
        wait_for(partial(_stamped, file), "a job's first instruction")
        found.append((rig.stamps(file)[0][0] - returned) / 1e6)
    return found


def _stamped(file: Path) -> bool:
    return bool(rig.stamps(file))


def _run_all(user: User, count: int, gpus: int) -> list[tuple[int, int]]:
    file = user.home / f"run-{gpus}"
    file.unlink(missing_ok=True)
    rig.wait(rig.submit([str(rig.STAMP), str(file)], count=count, gpus=gpus), count)
    return rig.stamps(file)


def gap(user: User, scale: Scale) -> list[Row]:
    """One slot: from a job's last instruction to the first of the next."""
    count = 20 if scale.quick else 300
    with rig.daemon() as running:
        before = Yardsticks.take()
        found = rig.as_user(user, running, lambda: _run_all(user, count, 2))
        after = Yardsticks.take()
    gaps = [(b[0] - a[1]) / 1e6 for a, b in pairwise(found)]
    unit = ("T", (before.true + after.true) / 2)
    return [beside("gap", "one slot: last instruction to next first", gaps, unit, 15)]


def slots(user: User, scale: Scale) -> list[Row]:
    """Jobs that do nothing, through two and through eight slots: as jobs in the time of 1000 T.

    150 and 200 jobs a second where T is 0.45 ms are 67.5 and 90 in 1000 T.
    """
    rows = []
    for gpus, aim in ((2, 67.5), (8, 90.0)):
        count = 40 if scale.quick else 200 * gpus
        with rig.daemon(gpus) as running:
            before = Yardsticks.take()
            found = rig.as_user(user, running, partial(_run_all, user, count, 1))
            unit = (before.true + Yardsticks.take().true) / 2
        rate = len(found) / ((found[-1][1] - found[0][0]) / 1e9)
        what = f"no-op jobs a second, {gpus} slots"
        rows.append(Row("slots", what, rate, "jobs/s", aim, "1000 T", rate * unit, at_least=True))
    return rows


def bulk(user: User, scale: Scale) -> list[Row]:
    """Many jobs in one request, durable when it returns."""
    with rig.daemon() as running:
        rig.as_user(user, running, rig.block)
        yard = Yardsticks.take()
        rounds = range(1 if scale.quick else 5)
        took = [rig.as_user(user, running, partial(_bulk, scale.many)) for _ in rounds]
    return [beside("bulk", f"{scale.many:,} jobs in one request", took, ("P", yard.python), 20)]


def _bulk(count: int) -> float:
    begin = time.perf_counter()
    rig.submit(["true"], gpus=2, count=count)
    return (time.perf_counter() - begin) * 1e3


def restart(user: User, scale: Scale) -> list[Row]:
    """With a long queue: from kill -9 of the scheduler, and of all, to the first answer."""
    count = 1 if scale.quick else 7
    with rig.daemon() as running:
        running.allow_crash = True
        rig.as_user(user, running, rig.block)
        rig.as_user(user, running, lambda: rig.submit(["true"], gpus=2, count=scale.many))
        yard = Yardsticks.take()
        all_, one = [], []
        for _ in range(count):  # in turn: a scheduler that dies again and again is held back
            all_.append(_after(user, running, lambda: _all_anew(running)))
            one.append(_after(user, running, running.kill9_scheduler))
    unit = ("P", yard.python)
    killed = f"scheduler killed, {scale.many:,} waiting, until it answers"
    return [
        beside("restart", killed, one, unit, 60),
        beside("restart", "daemon killed and started, until it answers", all_, unit, 90),
    ]


def _after(user: User, running: Daemon, blow: Any) -> float:
    wait_for(lambda: running.scheduler_pid() is not None, "a scheduler")
    begin = time.perf_counter()
    blow()
    rig.as_user(user, running, ping)
    return (time.perf_counter() - begin) * 1e3


def _all_anew(running: Daemon) -> None:
    running.kill9()
    running.start(wait=False)


def ping() -> str:
    """The version of the first scheduler that answers."""
    while True:
        try:
            with Client() as client:
                return client.ping().version
        except Exception:  # not there yet: the socket is new
            time.sleep(0.001)


def cancel(user: User, scale: Scale) -> list[Row]:
    """From the return of mgpu_cancel until no process of the job is left, orphans included."""
    count = 3 if scale.quick else 20
    with rig.daemon() as running:
        yard = Yardsticks.take()
        found = [_cancelled(user, running) for _ in range(count)]
    took = [pair[0] for pair in found]
    survivors = sum(pair[1] for pair in found)
    return [
        beside("cancel", "mgpu_cancel's return to an empty tree", took, ("P", yard.python), 2),
        Row("cancel", "survivors of a cancel", survivors, "processes", 0),
    ]


_TREE = "setsid sleep 999 & (setsid sleep 999 &) ; sleep 999"


def _cancelled(user: User, running: Daemon) -> tuple[float, int]:
    job = rig.as_user(user, running, lambda: rig.submit(["sh", "-c", _TREE]))
    wait_for(lambda: len(_pids(running)) >= 4, "the job's four processes")
    pids = _pids(running)
    rig.as_user(user, running, lambda: timed(command("mgpu_cancel", str(job))))
    begin = time.perf_counter()
    wait_for(lambda: not any(map(_lives, pids)), "the end of the tree", 10)
    return (time.perf_counter() - begin) * 1e3, len(_pids(running))


def _pids(running: Daemon) -> list[int]:
    found: list[int] = []
    for group in cgroups.groups_of(running.name):
        try:
            found += map(int, (Path(group) / "cgroup.procs").read_text().split())
        except OSError:
            continue
    return found


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
