"""A long history: what reports over it cost, and what they cost others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from functools import partial
from statistics import median
from typing import Final

from mgpu import Client
from scripts.lib.bench import history, rig
from scripts.lib.bench.large import loop
from scripts.lib.bench.measure import Row, Scale, beside, percentile
from scripts.lib.bench.speed import ping
from tests.lib.daemon import Daemon
from tests.lib.users import SERVICE_USER, User

_REPORT: Final = [str(rig.BIN / "mgpu_stats")]


def past(user: User, scale: Scale) -> list[Row]:
    """Start-up, reports, and how fast others are answered meanwhile, with a long history."""
    count, rounds = scale.past, 40 if scale.quick else 400
    with rig.daemon() as running:
        running.allow_crash = True
        empty = [_start(user, running) for _ in range(3)]
        running.kill9()
        history.fill(running.state, count, time.time(), first=10)
        _give_away(running)
        full = [_start(user, running) for _ in range(3)]
        loops = [loop() for _ in range(15)]
        month = rig.as_user(user, running, partial(_reports, ["--since", "30d"], 5))
        year = rig.as_user(user, running, partial(_reports, ["--since", "366d"], 3))
        alone = rig.as_user(user, running, partial(_pings, rounds))
        busy = rig.as_user(user, running, partial(_beside_reports, rounds))
    yard = ("L", median(loops))
    return [
        Row("past", f"start, {count:,} ended, to an empty state", *_ratio(full, empty), "x", 1.3),
        beside("past", f"mgpu_stats --since 30d, {count:,} ended", month, yard, 500),
        Row("past", "the same, slowest", max(month) / 1e3, "s", 2),
        beside("past", "mgpu_stats over all of them", year, yard, 1500),
        Row("past", "the scheduler's answer meanwhile, to without", *_ratio(busy, alone), "x", 2),
        Row("past", "the same, 95th percentile", _late(busy) / _late(alone), "x", 3),
    ]


def _ratio(these: list[float], those: list[float]) -> tuple[float]:
    return (median(these) / median(those),)


def _late(samples: list[float]) -> float:
    return percentile(samples, 0.95)


def _start(user: User, running: Daemon) -> float:
    """Milliseconds from the start of the daemon until it answers."""
    if running.scheduler_pid():
        running.kill9()
    begin = time.perf_counter()
    running.start(wait=False)
    rig.as_user(user, running, ping)
    return (time.perf_counter() - begin) * 1e3


def _give_away(running: Daemon) -> None:
    for path in running.state.iterdir():
        if path.is_file():
            shutil.chown(path, SERVICE_USER, SERVICE_USER)


def _reports(options: list[str], count: int) -> list[float]:
    """Milliseconds of the command, each time."""
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        subprocess.run([*_REPORT, *options], check=True, stdout=subprocess.DEVNULL)
        took.append((time.perf_counter() - begin) * 1e3)
    return took


def _pings(count: int) -> list[float]:
    """Milliseconds of a question to the scheduler and its answer, on one connection."""
    took = []
    with Client() as client:
        for _ in range(count):
            begin = time.perf_counter()
            client.ping()
            took.append((time.perf_counter() - begin) * 1e3)
            time.sleep(0.005)
    return took


def _beside_reports(count: int) -> list[float]:
    """The same while one report over everything follows the other."""
    again = f"while :; do {_REPORT[0]} --since 366d >/dev/null || exit; done"
    reports = subprocess.Popen(["/bin/sh", "-c", again], start_new_session=True)
    try:
        time.sleep(1)
        return _pings(count)
    finally:
        os.killpg(reports.pid, signal.SIGKILL)
        reports.wait()
