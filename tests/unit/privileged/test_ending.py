"""``mgpud end-jobs --stop`` where there is no systemd: no daemon holds up a removal."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mgpu.privileged import ending

#: Holds the lock as the launcher does, says so, and waits.
DAEMON = """
import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
os.pwrite(fd, b"%d\\n" % os.getpid(), 0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else signal.SIG_DFL)
print(flush=True)
signal.pause()
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory, of a daemon that has little time to end."""
    steps = [(number, 0.2 if number == signal.SIGTERM else 5) for number, _ in ending._STEPS]
    monkeypatch.setattr(ending, "_STEPS", steps)
    return tmp_path


def daemon(runtime: Path, kind: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DAEMON, str(runtime / "lock"), kind]
    started = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    if kind == "stopped":
        started.send_signal(signal.SIGSTOP)
    return started


@pytest.fixture(params=["willing", "deaf", "stopped"])
def running(request: pytest.FixtureRequest, runtime: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon for which nobody waits, as PID 1 of many a container does not."""
    with daemon(runtime, request.param) as started:
        yield started
        started.kill()


def test_a_daemon_is_ended_that_does_not_listen_and_for_which_nobody_waits(
    running: subprocess.Popen[bytes], runtime: Path
) -> None:
    ending.stop_daemon(str(runtime))
    state = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert state == "Z"
    ending.stop_daemon(str(runtime))  # once more harms nobody


def test_a_pid_in_a_lock_that_nobody_holds_is_not_signalled(runtime: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (runtime / "lock").write_text(f"{stranger.pid}\n")
        ending.stop_daemon(str(runtime))
        assert stranger.poll() is None
        stranger.kill()


def test_where_there_was_no_daemon_there_is_nothing_to_do(runtime: Path) -> None:
    ending.stop_daemon(str(runtime))
    assert not list(runtime.iterdir())
