"""The state's disk and the machine fail: another boot, no space, no power."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mgpu import Client, MgpuError
from tests.crash.walk import Points
from tests.crash.world import RECORD, Acts, Errand, all_jobs, answers, check, integrity, ledger
from tests.lib import cgroups, processes
from tests.lib.daemon import Daemon
from tests.lib.faults import Disk, another_boot, fill, kill9, small_disk, tracer_of
from tests.lib.users import User
from tests.lib.waiting import eventually

UNTIL = "until [ -e {flag} ]; do sleep 0.01; done; "


def power_off(daemon: Daemon, users: list[User]) -> None:
    """Nothing of the daemon or of the users lives any more, and /run is empty."""
    daemon.allow_crash = True
    uids = {user.uid for user in users}
    everything = processes.running().values()
    ours = [p.pid for p in everything if "mgpu.daemon" in p.command or "mgpu.priv" in p.command]
    for pid in [daemon.pid, *ours, *(p.pid for p in everything if p.uid in uids)]:
        kill9(pid)
    assert daemon.process is not None
    daemon.process.wait(10)
    eventually(lambda: not [p for p in processes.running().values() if p.uid in uids])
    for path in daemon.runtime.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    cgroups.remove(daemon.name)


@contextmanager
def next_boot(daemon: Daemon, number: int = 1) -> Iterator[None]:
    """The machine and the daemon are up again."""
    with another_boot(number):
        daemon.start()
        try:
            yield
        finally:
            daemon.stop()


# ---------------------------------------------------------------- reboot


def before_the_reboot(daemon: Daemon, flag: Path) -> dict[str, int]:
    """One job of each kind."""
    acts = Acts(daemon, "boot")
    again = '[ "$MGPU_RESTART_COUNT" = 1 ] && exit 5; exec sleep 600'
    jobs = {
        "again": acts.submit("again", again),
        "never": acts.submit("never", "exec sleep 600", requeue=False),
        "stops": acts.submit("stops", f'trap "" TERM; echo > {flag}s; while :; do sleep 0.1; done'),
        "ended": acts.submit("ended", UNTIL.format(flag=flag) + "exit 9"),
    }
    for job in jobs.values():
        acts.until(job, "RUNNING")
    jobs["waits"] = acts.submit("waits", "exit 0", gpus=2, gpu_mem=None)
    eventually(Path(f"{flag}s").exists, what="it ignores the signal")
    acts.cancel(jobs["stops"])
    return jobs


def test_a_reboot(make_daemon: Callable[..., Daemon], dora: User) -> None:
    daemon = make_daemon({"scheduling": {"kill_grace": 600}})
    flag = dora.home / "flag"
    for old in (flag, Path(f"{flag}s")):
        old.unlink(missing_ok=True)
    jobs = Errand(dora, before_the_reboot, daemon, flag).result()
    eventually(lambda: ledger(dora).total(), until=lambda runs: runs == 4)
    daemon.kill9()
    flag.touch()
    record = daemon.state / "attempts" / f"{jobs['ended']}.1" / "exit"
    eventually(record.exists, what="the end is written down")
    power_off(daemon, [dora])
    with next_boot(daemon):
        ends = Errand(dora, Acts(daemon, "").wait, *jobs.values()).result()
        assert {name: ends[str(job)] for name, job in jobs.items()} == {
            "again": ["FAILED", 5, None],
            "never": ["NODE_FAIL", None, None],
            "stops": ["CANCELLED", None, None],
            "ended": ["FAILED", 9, None],
            "waits": ["COMPLETED", 0, None],
        }
        assert all_jobs(daemon)[jobs["again"]].restarts == 1
        check(daemon, [dora], jobs.values())


def test_two_reboots(daemon: Daemon, dora: User) -> None:
    """The second one while the requeued job runs again: still the same job."""
    job = Errand(dora, Acts(daemon, "x").submit, "again", "exec sleep 600").result()
    has_run(dora, job, 0)
    for restarts in (1, 2):
        power_off(daemon, [dora])
        with another_boot(restarts):
            daemon.start()
            has_run(dora, job, restarts)
            assert daemon.wait_state(job, "RUNNING")["restarts"] == restarts
    daemon.kill9()
    with another_boot(2):  # the same boot: nothing is taken for lost
        daemon.start()
    assert daemon.wait_state(job, "RUNNING")["restarts"] == 2


def test_killed_again_and_again_while_it_learns_of_a_reboot(
    daemon: Daemon, dora: User, points: Points, tally: Counter[str]
) -> None:
    """The job is requeued once, whatever of that was stored when the scheduler died."""
    acts = Acts(daemon, "x")
    jobs = []
    for nth in points(_SYNCS_OF_A_START):
        jobs.append(Errand(dora, acts.submit, str(nth), "exec sleep 600").result())
        has_run(dora, jobs[-1], 0)
        power_off(daemon, [dora])
        with another_boot(nth):
            tally["kills"] += start_and_kill(daemon, "fdatasync", nth)
            has_run(dora, jobs[-1], 1)
            assert daemon.wait_state(jobs[-1], "RUNNING")["restarts"] == 1
        Errand(dora, acts.cancel, jobs[-1]).result()
        daemon.wait_state(jobs[-1], "CANCELLED")
        check(daemon, [dora], jobs)
        tally["walked"] += 1


_SYNCS_OF_A_START = 4


def start_and_kill(daemon: Daemon, name: str, nth: int) -> bool:
    """Start the daemon; its schedulers die at their ``nth`` call until one was seen to."""
    trace = daemon.state / "trace"
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={nth}"]
    daemon.prefix = ["strace", "-D", "-f", "-qq", "-o", str(trace), *inject]
    daemon.start(wait=False)
    daemon.prefix = []

    def killed() -> bool:
        return trace.exists() and "+++ killed by SIGKILL" in trace.read_text()

    eventually(lambda: killed() or answers(daemon), timeout=30)
    fired = killed()
    os.kill(tracer_of(daemon.pid), signal.SIGKILL)  # which lets all go that it traces
    eventually(lambda: tracer_of(daemon.pid), until=lambda tracer: tracer == 0)
    daemon.wait_ready()
    trace.unlink()
    return fired


def has_run(user: User, job: int, restarts: int) -> None:
    eventually(lambda: ledger(user)[(job, restarts)], what=f"job {job} runs")


# ---------------------------------------------------------------- no space


def test_a_full_disk(dora: User) -> None:
    """New work is refused, ends are recorded as soon as there is space, also after a restart."""
    daemon = Daemon()
    flags = [dora.home / f"full{n}" for n in range(3)]
    for flag in flags:
        flag.unlink(missing_ok=True)
    with small_disk(daemon.state, "8M"), daemon:
        acts = Acts(daemon, "x")
        jobs = [
            Errand(dora, acts.submit, str(n), UNTIL.format(flag=flag) + f"exit 2{n}").result()
            for n, flag in enumerate(flags)
        ]
        for job in jobs:
            daemon.wait_state(job, "RUNNING")
        filler = fill(daemon.state)
        assert "StorageFull" in refusal(daemon, dora)
        flags[0].touch()  # the reserve is for this
        assert daemon.wait_state(jobs[0], "FAILED")["code"] == 20
        fill(daemon.state)
        flags[1].touch()
        eventually(lambda: not sleeping(dora, flags[1]), what="the job has ended")
        assert daemon.job(jobs[1])["state"] in ("RUNNING", "FAILED"), "queries are answered"
        filler.unlink()
        assert daemon.wait_state(jobs[1], "FAILED", timeout=60)["code"] == 21
        filler = fill(daemon.state)
        daemon.stop()
        flags[2].touch()
        eventually(lambda: not processes.of_user(dora.uid), what="the last job has ended")
        filler.unlink()
        daemon.start()
        assert daemon.wait_state(jobs[2], "FAILED")["code"] == 22
        check(daemon, [dora], jobs)


def sleeping(user: User, flag: Path) -> bool:
    return any(str(flag) in p.command for p in processes.of_user(user.uid))


def refusal(daemon: Daemon, user: User) -> str:
    """The code of the error that a submission with much to store gets."""

    def ask() -> str:
        try:
            with Client(str(daemon.socket)) as client:
                client.submit(["true"], env={"A": "x" * 100_000}, count=50)
        except MgpuError as error:
            return error.code
        return "accepted"

    return str(Errand(user, ask).result())


# ---------------------------------------------------------------- no power


def submits(daemon: Daemon, acknowledged: Path) -> None:
    """Submit for ever; write down what is acknowledged, and each end that is told."""
    number = 0
    while True:
        number += 1
        with Client(str(daemon.socket), timeout=5) as client, acknowledged.open("a") as file:
            argv = ["sh", "-c", RECORD + f"exit {number % 7}"]
            job = client.submit(argv, gpus=0, activate=False, key=f"power{number}")
            file.write(f"{job} submitted\n")
            file.flush()
            if number % 3 == 0:
                file.write(f"{job} {client.wait(job)[job].code}\n")


@pytest.mark.parametrize("told", [5, 60])
def test_a_power_cut(dora: User, told: int, tally: Counter[str]) -> None:
    """What was acknowledged is there: submissions, and the ends that were told."""
    daemon = Daemon()
    acknowledged = dora.home / "acknowledged"
    acknowledged.unlink(missing_ok=True)
    disk = Disk(daemon.state)
    try:
        daemon.start()
        errand = Errand(dora, submits, daemon, acknowledged)
        eventually(lambda: known(acknowledged), until=lambda rows: len(rows) >= told, timeout=60)
        # Later ones do not count: a sync that is under way at the cut may succeed for nothing.
        rows = known(acknowledged)
        disk.cut()
        power_off(daemon, [dora])
        errand.end()
        disk.power_up()
        with next_boot(daemon):
            assert integrity_of(daemon) == "ok"
            jobs = eventually(
                lambda: all_jobs(daemon),
                until=lambda found: all(job.ended for job in found.values()),
                timeout=60,
            )
            assert {job for job, _ in rows} <= set(jobs), "an acknowledged job is lost"
            for job, code in rows:
                assert code == "submitted" or jobs[job].code == int(code)
            tally["acknowledged before a power cut"] += len(rows)
            new = Errand(dora, lambda: Acts(daemon, "y").submit("new", "exit 0")).result()
            assert new > max(job for job, _ in rows)
            daemon.wait_state(new, "COMPLETED")
    finally:
        daemon.allow_crash = True
        daemon.close()
        disk.close()


def known(acknowledged: Path) -> list[tuple[int, str]]:
    """What the user was told: (job, "submitted" or its code)."""
    text = acknowledged.read_text() if acknowledged.exists() else ""
    complete = text[: text.rfind("\n") + 1]
    rows: list[Any] = [line.split() for line in complete.splitlines()]
    return [(int(job), what) for job, what in rows]


def integrity_of(daemon: Daemon) -> str:
    return eventually(lambda: integrity(daemon.state), until=lambda verdict: verdict == "ok")
