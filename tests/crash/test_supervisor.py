"""A supervisor killed at each of its effects: before, while and after its job runs.

What it takes with it is known to be lost, never taken for success and never run twice; what had
not begun is tried again.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.walk import Points, Walk
from tests.crash.world import Acts, Errand, check, ledger, revive
from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.faults import KillAt, calls, held, kill9
from tests.lib.users import User
from tests.lib.waiting import eventually

#: What it does before anything can have been executed: the attempt is made again.
BIRTH = ("mkdirat", "openat", "socketpair", "clone3", "capset", "flock", "fallocate", "listen")
LIFE = ("recvmsg", "sendto", "recvfrom", "write", "close", "epoll_wait", "wait4")
DEATH = ("pwrite64", "ftruncate", "renameat", "unlinkat")
LOST = ["FAILED", None, None]
Scenario = Callable[[Daemon, str], dict[str, Any]]


def spare(daemon: Daemon) -> int:
    """The process that will be the supervisor of the next attempt."""

    def waiting() -> list[int]:
        scheduler = daemon.scheduler_pid()
        everything = processes.running().values()
        return [p.pid for p in everything if p.parent == daemon.pid and p.pid != scheduler]

    return eventually(waiting, until=lambda found: len(found) == 1)[0]


def ends(daemon: Daemon, tag: str) -> dict[str, Any]:
    """A job that ends by itself."""
    acts = Acts(daemon, tag)
    job = acts.submit("ends", "exit 3")
    return {"job": job, "end": acts.wait(job)[job]}


def is_cancelled(daemon: Daemon, tag: str) -> dict[str, Any]:
    """A job that is cancelled while it runs."""
    acts = Acts(daemon, tag)
    job = acts.submit("cancelled", "exec sleep 600")
    acts.until(job, "RUNNING", "FAILED")
    acts.cancel(job)
    return {"job": job, "end": acts.wait(job)[job]}


def is_switched_out(daemon: Daemon, tag: str) -> dict[str, Any]:
    """A job that is switched out at its limit, and ends by itself the next time."""
    acts = Acts(daemon, tag)
    line = '[ "$MGPU_RESTART_COUNT" = 1 ] && exit 3; exec sleep 600'
    job = acts.submit("limited", line, time_limit=1)
    return {"job": job, "end": acts.wait(job)[job]}


class SupervisorWalk(Walk):
    """Kills supervisors; ``companion`` is called as soon as one has died."""

    def walk(
        self,
        scenario: Scenario,
        name: str,
        points: Points,
        companion: Callable[[], object] = lambda: None,
    ) -> list[Any]:
        """The ends of the jobs, one for each point."""
        with calls(spare(self.daemon), [name]) as counted:
            seen = Errand(self.user, scenario, self.daemon, "count").result()
        self._seen(seen, "counting", fired=False)
        kills = [(nth, f"{name}-{nth}") for nth in points(counted[name])]
        return [self._point(scenario, name, nth, tag, companion) for nth, tag in kills]

    def _point(
        self, scenario: Scenario, name: str, nth: int, tag: str, companion: Callable[[], object]
    ) -> Any:
        with KillAt(spare(self.daemon), name, nth) as kill:
            errand = Errand(self.user, scenario, self.daemon, tag)
            eventually(lambda: errand.done() or kill.has_fired(), timeout=30)
            if kill.has_fired():
                companion()
        seen = errand.result()
        self._seen(seen, kill.what, fired=kill.fired)
        return seen["end"]

    def _seen(self, seen: dict[str, Any], what: str, *, fired: bool) -> None:
        self.check([seen["job"]], fired=fired, what=what)
        if seen["end"] == LOST:
            ran = sum(times for (job, _), times in ledger(self.user).items() if job == seen["job"])
            self._tally["lost, and had run" if ran else "lost, not known to have run"] += 1


@pytest.mark.parametrize("name", BIRTH)
def test_killed_before_a_job_is_executed(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    found = SupervisorWalk(daemon, dora, tally).walk(ends, name, points)
    assert found == [["FAILED", 3, None]] * len(found)


@pytest.mark.parametrize("name", [*LIFE, *DEATH])
def test_killed_around_a_job_that_ends(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    found = SupervisorWalk(daemon, dora, tally).walk(ends, name, points)
    assert all(end in (["FAILED", 3, None], LOST) for end in found), found


@pytest.mark.parametrize("name", ["recvmsg", "sendto", "write", "wait4", "pwrite64", "unlinkat"])
def test_killed_around_a_cancel(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    found = SupervisorWalk(daemon, dora, tally).walk(is_cancelled, name, points)
    assert all(end[0] in ("CANCELLED", "FAILED") and end[1] is None for end in found), found


@pytest.mark.parametrize("name", ["sendto", "pidfd_send_signal", "wait4", "pwrite64", "renameat"])
def test_killed_around_a_switch_out(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    found = SupervisorWalk(daemon, dora, tally).walk(is_switched_out, name, points)
    assert all(end in (["FAILED", 3, None], LOST) for end in found), found


@pytest.mark.parametrize("name", ["mkdirat", "bind", "sendto", "wait4", "pwrite64", "unlinkat"])
def test_killed_together_with_the_scheduler(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    walk = SupervisorWalk(daemon, dora, tally)
    found = walk.walk(ends, name, points, lambda: kill9(walk.scheduler()))
    assert all(end in (["FAILED", 3, None], LOST) for end in found), found


def test_killed_after_its_launcher_with_a_child_that_waits(daemon: Daemon, dora: User) -> None:
    """Nobody is left who knows of the child: it ends by itself, and the attempt is made again."""
    acts = Acts(daemon, "x")
    supervisor = spare(daemon)
    with held(supervisor, "mkdirat", 2):
        job = Errand(dora, acts.submit, "ends", "exit 3").result()
        (child,) = eventually(lambda: processes.of_user(dora.uid), what="the child waits")
        kill9(daemon.pid)
        os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not processes.alive(supervisor), what="the supervisor is dead")
    assert "mgpu.privileged" in child.command
    assert daemon.process is not None
    daemon.process.wait(10)
    revive(daemon)
    assert Errand(dora, acts.wait, job).result() == {str(job): ["FAILED", 3, None]}
    check(daemon, [dora], [job])
