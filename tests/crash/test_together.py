"""Several processes at once, with many jobs, at moments that nobody chose."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from tests.crash.world import Acts, Errand, all_jobs, check, insist, leaders, ledger, revive
from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.faults import kill9
from tests.lib.users import User
from tests.lib.waiting import eventually

JOBS = 20
KILLS = 20
#: Signals in turn, so that not every end is a code.
FLAGGED = "until [ -e $HOME/flag ]; do sleep 0.02; done; "


def launcher_and_scheduler(daemon: Daemon) -> None:
    for pid in (daemon.pid, daemon.scheduler_pid()):
        if pid is not None:
            kill9(pid)
    assert daemon.process is not None
    daemon.process.wait(10)


def supervisors(daemon: Daemon) -> list[int]:
    """Processes of mgpu's that are neither its launcher nor its scheduler."""
    known = {daemon.pid, daemon.scheduler_pid()}
    everything = processes.running().values()
    return [p.pid for p in everything if "mgpu.privileged" in p.command and p.pid not in known]


def many(acts: Acts) -> dict[int, list[object]]:
    """JOBS running jobs, and how each is to end."""
    expected: dict[int, list[object]] = {}
    for number in range(JOBS):
        last = "kill -USR1 $$" if number % 5 == 4 else f"exit {number}"
        job = acts.submit(str(number), FLAGGED + last, gpus=0, gpu_mem=None)
        state = "FAILED" if number else "COMPLETED"
        expected[job] = [state, None, 10] if number % 5 == 4 else [state, number, None]
    return expected


def running(daemon: Daemon, user: User) -> None:
    eventually(lambda: len(ledger(user)), until=lambda ran: ran == JOBS, timeout=30)
    eventually(
        lambda: Counter(job.state for job in all_jobs(daemon).values())["RUNNING"],
        until=lambda count: count == JOBS,
        timeout=30,
    )


@pytest.mark.parametrize("down", [True, False], ids=["they end meanwhile", "they end later"])
def test_launcher_and_scheduler_with_twenty_jobs(
    daemon: Daemon, dora: User, tally: Counter[str], *, down: bool
) -> None:
    (dora.home / "flag").unlink(missing_ok=True)
    expected = Errand(dora, lambda: many(Acts(daemon, "x"))).result()
    running(daemon, dora)
    jobs = {process.key for process in leaders(dora)}
    assert len(jobs) == JOBS
    launcher_and_scheduler(daemon)
    if down:
        (dora.home / "flag").touch()
        eventually(lambda: not processes.of_user(dora.uid), what="the jobs end", timeout=20)
    revive(daemon)
    if not down:
        assert {process.key for process in leaders(dora)} == jobs, "a job was killed"
        (dora.home / "flag").touch()
    ids = [int(job) for job in expected]
    assert Errand(dora, Acts(daemon, "x").wait, *ids).result() == expected
    check(daemon, [dora], ids)
    tally["running jobs that lived on"] += JOBS


def test_scheduler_and_all_supervisors(daemon: Daemon, dora: User) -> None:
    """What they leave is killed, and its end is known to be unknown."""
    (dora.home / "flag").unlink(missing_ok=True)
    expected = Errand(dora, lambda: many(Acts(daemon, "x"))).result()
    running(daemon, dora)
    scheduler = daemon.scheduler_pid()
    assert scheduler is not None
    kill9(scheduler)
    for pid in supervisors(daemon):
        kill9(pid)
    _all_lost(daemon, dora, [int(job) for job in expected])


def test_everything_but_the_jobs(daemon: Daemon, dora: User) -> None:
    (dora.home / "flag").unlink(missing_ok=True)
    expected = Errand(dora, lambda: many(Acts(daemon, "x"))).result()
    running(daemon, dora)
    others = supervisors(daemon)
    launcher_and_scheduler(daemon)
    for pid in others:
        kill9(pid)
    revive(daemon)
    _all_lost(daemon, dora, [int(job) for job in expected])


def _all_lost(daemon: Daemon, dora: User, ids: list[int]) -> None:
    ends = Errand(dora, Acts(daemon, "x").wait, *ids).result()
    assert set(map(tuple, ends.values())) == {("FAILED", None, None)}
    assert {job.detail for job in all_jobs(daemon).values()} == {"supervisor lost"}
    check(daemon, [dora], ids)


# ---------------------------------------------------------------- storms

ROUNDS = int(os.environ.get("MGPU_CRASH_STORMS", "1"))


def load(daemon: Daemon, seed: int, number: int) -> list[int]:
    """A user who submits, cancels, waits; every fifth job is switched out once."""
    acts, chance = Acts(daemon, f"storm{seed}"), random.Random(seed)
    ids = []
    for step in range(number):
        if step % 5 == 0:
            line = '[ "$MGPU_RESTART_COUNT" = 1 ] && exit 0; exec sleep 600'
            ids.append(acts.submit(f"limited{step}", line, time_limit=1))
        elif step % 5 == 1:
            ids.append(acts.submit(f"long{step}", "exec sleep 600"))
            acts.cancel(ids[-1])
        else:
            first = acts.submit(f"many{step}", f"exit {step % 3}", count=chance.randint(1, 3))
            ids.append(first)
    acts.wait(*ids)
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
def test_a_storm(daemon: Daemon, dora: User, emil: User, tally: Counter[str], seed: int) -> None:
    """KILLS kills of random processes, each after a random number of further runs."""
    chance = random.Random(seed)
    errands = [Errand(user, load, daemon, seed, 40) for user in (dora, emil)]
    for _ in range(KILLS):
        _after(chance.randrange(4), dora, emil, errands)
        _kill_one(daemon, chance, tally)
    seen = [set(errand.result(120)) for errand in errands]
    revive(daemon)
    _settled(daemon)
    jobs = all_jobs(daemon)
    for user, ids in zip((dora, emil), seen, strict=True):
        assert ids <= {job.id for job in jobs.values() if job.user == user.name}, "a job is lost"
    check(daemon, [dora, emil], jobs)
    assert sorted(jobs) == list(range(1, len(jobs) + 1)), "an id was skipped or used again"


def _after(runs: int, dora: User, emil: User, errands: list[Errand]) -> None:
    def ran() -> int:
        return ledger(dora).total() + ledger(emil).total()

    def far() -> bool:
        return ran() >= begun + runs or all(errand.done() for errand in errands)

    begun = ran()
    eventually(far, timeout=30)


def _kill_one(daemon: Daemon, chance: random.Random, tally: Counter[str]) -> None:
    what = chance.choice(["launcher", "scheduler", "scheduler", "supervisor", "both"])
    if what == "both":
        launcher_and_scheduler(daemon)
    elif what == "launcher":
        kill9(daemon.pid)
        assert daemon.process is not None
        daemon.process.wait(10)
    else:
        found = supervisors(daemon) if what == "supervisor" else [daemon.scheduler_pid() or 0]
        if found and found[0]:
            kill9(chance.choice(found))
    tally[f"storm: {what}"] += 1
    revive(daemon)


def _settled(daemon: Daemon) -> None:
    def active() -> int:
        return len(insist(daemon.admin_socket, lambda c: c.jobs(scope="all"), admin=True))

    eventually(active, until=lambda count: count == 0, timeout=60)
