"""The scheduler killed at each of its writes and effects; the launcher starts it again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.crash.walk import Points, Walk, check_errands, errands
from tests.crash.world import Acts, Errand, answers, revive
from tests.lib.daemon import Daemon
from tests.lib.faults import KillAt, calls, kill9
from tests.lib.users import User
from tests.lib.waiting import eventually

#: What makes something durable or visible to somebody else.
EFFECTS = ("pwrite64", "fdatasync", "sendto", "sendmsg", "write")
#: The start also makes, removes and connects.
START_EFFECTS = ("pwrite64", "fdatasync", "unlink", "rmdir", "connect", "sendto", "fallocate")


@pytest.mark.parametrize("name", EFFECTS)
def test_killed_while_it_serves(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    walk = Walk(daemon, dora, tally)
    with calls(walk.scheduler(), [name]) as counted:
        seen = Errand(dora, errands, daemon, "count").result()
    walk.check(check_errands(seen), fired=False, what="counting")
    for nth in points(counted[name]):
        with KillAt(walk.scheduler(), name, nth) as kill:
            seen = Errand(dora, errands, daemon, f"{name}-{nth}").result()
        walk.check(check_errands(seen), fired=kill.fired, what=kill.what)


@pytest.mark.parametrize("name", EFFECTS[:4])
def test_killed_while_a_job_is_switched_out(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    walk = Walk(daemon, dora, tally)
    line = '[ "$MGPU_RESTART_COUNT" = 1 ] && exit 5; exec sleep 600'

    def submit(tag: str) -> int:
        acts = Acts(daemon, tag)
        job = acts.submit("limited", line, time_limit=1)
        acts.until(job, "RUNNING")
        return job

    def end(job: int, what: str, *, fired: bool) -> None:
        ends = Errand(dora, Acts(daemon, "").wait, job).result()
        assert ends == {str(job): ["FAILED", 5, None]}
        walk.check([job], fired=fired, what=what)

    job = Errand(dora, submit, "count").result()
    with calls(walk.scheduler(), [name]) as counted:
        end(job, "counting", fired=False)
    for nth in points(counted[name]):
        job = Errand(dora, submit, f"{name}-{nth}").result()
        with KillAt(walk.scheduler(), name, nth) as kill:
            Errand(dora, Acts(daemon, "").wait, job).result()
        end(job, kill.what, fired=kill.fired)


@pytest.mark.parametrize("name", START_EFFECTS)
def test_killed_again_while_it_starts(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    """One job has ended meanwhile, one runs, one waits for the GPUs of both."""
    walk = Walk(daemon, dora, tally)
    flag = dora.home / "flag"
    for nth in points(_START_CALLS[name]):
        flag.unlink(missing_ok=True)
        daemon.restart()  # else the launcher waits longer from death to death
        ids = Errand(dora, _three, daemon, f"{name}-{nth}", flag).result()
        with KillAt(daemon.pid, name, nth, follow=True) as kill:
            kill9(walk.scheduler())
            flag.touch()
            _wait_for_either(kill, daemon)
        revive(daemon)
        ends = Errand(dora, _end, daemon, ids).result()
        assert ends[str(ids[0])] == ["FAILED", 4, None]
        assert ends[str(ids[1])][0] == "CANCELLED"
        assert ends[str(ids[2])] == ["COMPLETED", 0, None]
        walk.check(ids, fired=kill.fired, what=kill.what)


#: How many calls a start makes, generously: what comes later hits nothing.
_START_CALLS = {
    "pwrite64": 24,
    "fdatasync": 6,
    "unlink": 8,
    "rmdir": 2,
    "connect": 3,
    "sendto": 6,
    "fallocate": 2,
}


def _three(daemon: Daemon, tag: str, flag: Path) -> list[int]:
    acts = Acts(daemon, tag)
    ends = acts.submit("ends", f"until [ -e {flag} ]; do sleep 0.01; done; exit 4")
    runs = acts.submit("runs", "exec sleep 600")
    waits = acts.submit("waits", "exit 0", gpus=2, gpu_mem=None)
    acts.until(ends, "RUNNING")
    acts.until(runs, "RUNNING")
    return [ends, runs, waits]


def _end(daemon: Daemon, ids: list[int]) -> dict[int, list[Any]]:
    acts = Acts(daemon, "")
    acts.cancel(ids[1])
    return acts.wait(*ids)


def _wait_for_either(kill: KillAt, daemon: Daemon) -> None:
    eventually(lambda: kill.has_fired() or answers(daemon), timeout=20)
