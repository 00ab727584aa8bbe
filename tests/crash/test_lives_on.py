"""What users notice of a restart, a crash or an upgrade of the daemon: nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mgpu import Client
from tests.crash.world import RECORD, check, leaders, revive
from tests.lib import processes
from tests.lib.daemon import BIN, Daemon
from tests.lib.faults import kill9, tracer_of
from tests.lib.users import User
from tests.lib.waiting import eventually

COUNT = "i=0; until [ -e {flag} ]; do i=$((i+1)); echo line $i; sleep 0.01; done; "
UNTIL = "until [ -e {flag} ]; do sleep 0.01; done; "


@pytest.fixture
def flag(dora: User) -> Path:
    """A file that makes dora's jobs end."""
    path = dora.home / "flag"
    path.unlink(missing_ok=True)
    return path


def leader(user: User) -> processes.Process:
    """The first process of the user's only job."""
    found = leaders(user)
    assert len(found) == 1, found
    return found[0]


def lines(daemon: Daemon, user: User, job: int) -> list[int]:
    return [int(n) for n in re.findall(r"^line (\d+)$", daemon.output(user, job), re.MULTILINE)]


@pytest.mark.parametrize(
    ("last", "end"),
    [("exit 7", (7, None)), ("kill -USR2 $$", (None, 12)), ("kill -9 $$", (None, 9))],
    ids=["code", "signal", "kill"],
)
def test_a_job_that_ends_while_the_daemon_is_down(
    daemon: Daemon, dora: User, flag: Path, last: str, end: tuple[int | None, int | None]
) -> None:
    job = daemon.submit(dora, "--", "sh", "-c", RECORD + COUNT.format(flag=flag) + last)
    first = eventually(lambda: leader(dora))
    for fault in (daemon.kill9_scheduler, daemon.kill9, daemon.restart, daemon.stop):
        if daemon.process is not None and daemon.process.poll() is not None:
            daemon.start()
        daemon.wait_ready()
        seen = len(lines(daemon, dora, job))
        fault()
        eventually(lambda s=seen: len(lines(daemon, dora, job)) > s, what="it writes on")  # type: ignore[misc]
        assert leader(dora).key == first.key
    flag.touch()
    eventually(lambda: not processes.of_user(dora.uid), what="it ends")
    daemon.start()
    row = daemon.wait_state(job, "FAILED")
    assert (row["code"], row["signal"]) == end
    numbers = lines(daemon, dora, job)
    assert numbers == list(range(1, len(numbers) + 1)), "output was lost or doubled"
    check(daemon, [dora], [job])


# ---------------------------------------------------------------- clients


def test_clients_wait_while_there_is_no_scheduler(daemon: Daemon, dora: User, emil: User) -> None:
    scheduler = daemon.scheduler_pid()
    assert scheduler is not None
    os.kill(daemon.pid, signal.SIGSTOP)  # so that no other is started
    kill9_zombie(scheduler)
    clients = [
        daemon.popen(dora, ["mgpu_srun", "--parsable", "--wait", "--", "sh", "-c", "exit 5"]),
        daemon.popen(emil, ["mgpu_srun", "--parsable", "--", "true"]),
        daemon.popen(emil, ["mgpu_queue"]),
        daemon.popen(emil, ["mgpu_info"]),
    ]
    eventually(lambda: connections(daemon.socket), until=lambda n: n > len(clients), timeout=10)
    assert [client.poll() for client in clients] == [None] * len(clients)
    os.kill(daemon.pid, signal.SIGCONT)
    assert [codes(client) for client in clients] == [5, 0, 0, 0]


def kill9_zombie(pid: int) -> None:
    """Kill a process whose parent cannot reap it now."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes.alive(pid))


def connections(path: Path) -> int:
    """Sockets at ``path``: the one that listens, and those that wait to be accepted."""
    table = Path("/proc/net/unix").read_text().splitlines()
    return sum(f" {path}" in line for line in table)  # it was bound by a longer name


def codes(client: subprocess.Popen[str]) -> int:
    out, err = client.communicate(timeout=30)
    assert "Traceback" not in err, out + err
    return client.returncode


def scheduler_dies(daemon: Daemon) -> None:
    daemon.kill9_scheduler()


def daemon_dies(daemon: Daemon) -> None:
    daemon.kill9()
    revive(daemon)


def daemon_restarts(daemon: Daemon) -> None:
    daemon.restart()


def daemon_is_slow(daemon: Daemon) -> None:
    """It stands still between the birth of its socket and the socket's final mode."""
    daemon.kill9()
    hold = "inject=chmod,fchmodat:delay_enter=1s:when=1"
    daemon.prefix = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", hold]
    daemon.start()
    os.kill(tracer_of(daemon.pid), signal.SIGKILL)  # which lets it go


@pytest.mark.parametrize("fault", [scheduler_dies, daemon_dies, daemon_restarts, daemon_is_slow])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_srun_that_waits_over_a_restart(
    daemon: Daemon, dora: User, flag: Path, fault: Callable[[Daemon], None], when: str
) -> None:
    """It returns the job's code, whether that ends after the restart or while it lasts."""
    line = UNTIL.format(flag=flag) + "exit 9"
    waiting = daemon.popen(dora, ["mgpu_srun", "--parsable", "--wait", "--", "sh", "-c", line])
    assert waiting.stdout is not None
    daemon.wait_state(int(waiting.stdout.readline()), "RUNNING")
    if when == "meanwhile":
        flag.touch()
    fault(daemon)
    flag.touch()
    assert codes(waiting) == 9


# ---------------------------------------------------------------- upgrade

NOT_NEEDED = ("mypy", "mypyc", "ruff", "hypothesis", "pip", "setuptools", "_pytest", "wheel")


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a copy of the package, owned by root, readable by all."""
    folder = Path("/var/lib") / tmp_path_factory.mktemp("upgrade").name
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder], check=True)
    (old,) = BIN.parent.glob("lib/python3*/site-packages")
    (new,) = folder.glob("lib/python3*/site-packages")
    ignore = shutil.ignore_patterns(*NOT_NEEDED)
    shutil.copytree(old, new, ignore=ignore, symlinks=True, dirs_exist_ok=True)
    shutil.copy(BIN / "mgpud", folder / "bin")
    return folder


def test_an_upgrade_under_running_jobs(
    make_daemon: Callable[..., Daemon], installation: Path, dora: User, flag: Path
) -> None:
    """Jobs end, begin and are cancelled while the package is gone; the new one adopts the rest."""
    (package,) = installation.glob("lib/python3*/site-packages/mgpu")
    daemon = make_daemon(program=installation / "bin/mgpud")
    share = ["--mem", "100", "--"]
    stays = daemon.submit(dora, *share, "sh", "-c", COUNT.format(flag=flag) + "exit 6")
    ends = daemon.submit(dora, *share, "sh", "-c", UNTIL.format(flag=f"{flag}2") + "exit 4")
    long = daemon.submit(dora, *share, "sleep", "600")
    for job in (stays, ends, long):
        daemon.wait_state(job, "RUNNING")
    spare = package.rename(package.with_name("mgpu.old"))
    (flag.parent / "flag2").touch()
    assert daemon.wait_state(ends, "FAILED")["code"] == 4
    daemon.cancel(dora, str(long))
    daemon.wait_state(long, "CANCELLED")
    assert daemon.srun(dora, "--wait", *share, "sh", "-c", "exit 3").returncode == 3
    shutil.copytree(spare, package)
    shutil.rmtree(spare)
    replace_version(package / "__init__.py", "9.9.9")
    daemon.kill9_scheduler()  # an old launcher with a new scheduler
    daemon.wait_ready()
    assert version(daemon) == "9.9.9"
    assert daemon.srun(dora, "--wait", *share, "sh", "-c", "exit 2").returncode == 2
    daemon.restart()
    assert daemon.wait_state(stays, "RUNNING")["attempt"] == 1
    flag.touch()
    assert daemon.wait_state(stays, "FAILED")["code"] == 6
    numbers = lines(daemon, dora, stays)
    assert numbers == list(range(1, len(numbers) + 1))


def replace_version(file: Path, wanted: str) -> None:
    text, count = re.subn(r'(?m)^__version__ = ".*"', f'__version__ = "{wanted}"', file.read_text())
    assert count == 1
    file.write_text(text)
    shutil.rmtree(file.parent / "__pycache__")


def version(daemon: Daemon) -> str:
    with Client(str(daemon.socket)) as client:
        return client.ping().version


def test_a_scheduler_that_dies_again_and_again(daemon: Daemon, dora: User) -> None:
    """The launcher starts it more and more slowly, and clients wait all the same."""
    for _ in range(4):
        pid = eventually(daemon.scheduler_pid)
        assert pid is not None
        kill9(pid)
    assert daemon.srun(dora, "--wait", "--", "sh", "-c", "exit 11").returncode == 11
