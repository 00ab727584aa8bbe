"""The launcher killed at each of its effects, and started again as systemd does."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import pytest

from tests.crash.walk import Points, Walk, check_errands, errands
from tests.crash.world import Acts, Errand, answers, check, revive
from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.faults import KillAt, calls, held, tracer_of
from tests.lib.users import User
from tests.lib.waiting import eventually

#: What it starts, says, hears, removes and reaps.
EFFECTS = ("clone", "sendto", "sendmsg", "recvmsg", "write", "unlinkat", "wait4", "close")


@pytest.mark.parametrize("name", EFFECTS)
def test_killed_while_it_serves(
    name: str, daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    walk = Walk(daemon, dora, tally)
    with calls(daemon.pid, [name]) as counted:
        seen = Errand(dora, errands, daemon, "count").result()
    walk.check(check_errands(seen), fired=False, what="counting")
    for nth in points(counted[name]):
        kill = KillAt(daemon.pid, name, nth)
        seen = killed(daemon, kill, dora)
        walk.check(check_errands(seen), fired=kill.fired, what=kill.what)


@pytest.mark.parametrize("name", ["mkdir", "flock", "unlink", "bind", "chmod", "listen", "clone"])
def test_killed_while_it_starts(name: str, daemon: Daemon, dora: User, tally: Counter[str]) -> None:
    """A job that runs does not notice, and the next start finds everything in order."""
    acts = Acts(daemon, "x")
    job = Errand(dora, acts.submit, "long", "exec sleep 600").result()
    daemon.wait_state(job, "RUNNING")
    (process,) = eventually(lambda: processes.of_user(dora.uid), until=lambda p: len(p) == 1)
    for nth in (1, 2, 3):
        daemon.kill9()
        tally["walked"] += 1
        tally["kills"] += start_and_kill(daemon, name, nth)
        revive(daemon)
        assert daemon.wait_state(job, "RUNNING")["attempt"] == 1
    assert [p.key for p in processes.of_user(dora.uid)] == [process.key]
    Errand(dora, acts.cancel, job).result()
    daemon.wait_state(job, "CANCELLED")
    check(daemon, [dora], [job])


def start_and_kill(daemon: Daemon, name: str, nth: int) -> bool:
    """Start a launcher that dies at its ``nth`` call, if it makes so many."""
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={nth}"]
    daemon.prefix = ["strace", "-D", "-qq", "-o", "/dev/null", *inject]
    daemon.start(wait=False)
    daemon.prefix = []
    process = daemon.process
    assert process is not None

    def dead() -> bool:
        return process.poll() is not None

    eventually(lambda: dead() or answers(daemon), timeout=20)
    if not dead():
        os.kill(tracer_of(daemon.pid), signal.SIGKILL)  # which lets it go
    return dead()


def test_one_that_looks_up_an_account_is_killed(daemon: Daemon, dora: User) -> None:
    """Another one is asked, and the user notices nothing."""
    known = {p.pid for p in processes.running().values() if p.parent == daemon.pid}

    def looking() -> list[int]:
        children = [p.pid for p in processes.running().values() if p.parent == daemon.pid]
        return [pid for pid in children if pid not in known]

    with held(daemon.pid, "openat", 1, follow=True):
        errand = Errand(dora, Acts(daemon, "x").submit, "one", "exit 3")
        (worker,) = eventually(looking, what="somebody looks the account up")
        os.kill(worker, signal.SIGKILL)
    job = errand.result()
    assert Errand(dora, Acts(daemon, "x").wait, job).result() == {str(job): ["FAILED", 3, None]}


def killed(daemon: Daemon, kill: KillAt, user: User) -> dict[str, Any]:
    """What the user sees, for whom the launcher dies somewhere on the way."""
    with kill:
        errand = Errand(user, errands, daemon, kill.what)
        eventually(lambda: errand.done() or kill.has_fired(), timeout=30)
        died = kill.has_fired()
        if died:
            bury(daemon)
        seen: dict[str, Any] = errand.result()
    if kill.fired and not died:
        bury(daemon)
    return seen


def bury(daemon: Daemon) -> None:
    """The launcher is dead: start another."""
    assert daemon.process is not None
    daemon.process.wait(10)
    revive(daemon)
