"""A job's terminal: how soon an echo is there, and how fast output passes with the log complete."""

from __future__ import annotations

import os
import pty
import subprocess
import time
import tty
from statistics import median

from scripts.lib.bench import rig
from scripts.lib.bench.measure import Row, Scale, percentile
from tests.lib.daemon import Daemon
from tests.lib.users import User, as_user

_MB = 1_000_000
#: Begins when a line is typed; writes so many bytes.
_FLOOD = "stty -onlcr; read go; exec head -c {size} /dev/zero"


def terminal(user: User, scale: Scale) -> list[Row]:
    """Round trips of one key, and 100 MB through an attached terminal."""
    with rig.daemon() as running:
        return _echo(running, user, scale) + _flood(running, user, scale)


class Screen:
    """One of mgpu's commands, run as a user with a pty of its own."""

    def __init__(self, running: Daemon, user: User, *words: str) -> None:
        argv = as_user(user, [str(rig.BIN / words[0]), *words[1:]])
        env = {"MGPU_RUNTIME_DIR": str(running.runtime), "TERM": "xterm"}
        self._pid, self.fd = pty.fork()
        if self._pid == 0:
            os.chdir(user.home)
            os.execve(
                argv[0] if "/" in argv[0] else f"/usr/bin/{argv[0]}", argv, user.environment() | env
            )

    def press(self, keys: bytes) -> None:
        """Type these."""
        os.write(self.fd, keys)

    def shows(self, text: bytes) -> None:
        """Read until ``text`` has come."""
        data = b""
        while text not in data:
            data = data[-len(text) :] + os.read(self.fd, 1 << 16)

    def rest(self) -> tuple[int, float]:
        """Read until the command has ended: how many zeros came, and when the last ones did."""
        count, last = 0, 0.0
        try:
            while data := os.read(self.fd, 1 << 16):
                if zeros := data.count(0):
                    count, last = count + zeros, time.perf_counter()
        except OSError:  # the end of a terminal
            pass
        os.close(self.fd)
        os.waitpid(self._pid, 0)
        return count, last


def _echo(running: Daemon, user: User, scale: Scale) -> list[Row]:
    took = []
    screen = Screen(running, user, "mgpu_srun", "--interactive", "--", "cat")
    running.wait_state(1, "RUNNING")
    screen.press(b"begin\n")
    screen.shows(b"begin\r\nbegin\r\n")
    for number in range(20 if scale.quick else 500):
        begin = time.perf_counter()
        screen.press(b"a")
        screen.shows(b"a")
        took.append((time.perf_counter() - begin) * 1e3)
        if number % 50 == 49:
            screen.press(b"\n")
            screen.shows(b"a\r\n")
    screen.press(b"\x03")
    screen.rest()
    what, spread = "echo of a key in a job's terminal", percentile(took, 0.95)
    return [Row("terminal", what, median(took), "ms", 5, spread=spread)]


def _flood(running: Daemon, user: User, scale: Scale) -> list[Row]:
    size = (5 if scale.quick else 100) * _MB
    plain = _plain(size)
    words = ("mgpu_srun", "--interactive", "--", "sh", "-c", _FLOOD.format(size=size))
    screen = Screen(running, user, *words)
    running.wait_state(2, "RUNNING")
    screen.press(b"\n")
    begin = time.perf_counter()
    shown, last = screen.rest()
    speed = size / _MB / (last - begin)
    log = user.home / ".local/state/mgpu/logs/2.log"
    missing = size - log.read_bytes().count(bytes(1000)) * 1000
    what = "output through an attached terminal"
    return [
        Row("terminal", what, speed, "MB/s", 50, at_least=True),
        Row("terminal", "the same, to a pty alone", speed / plain, "x", 0.25, at_least=True),
        Row("terminal", "bytes of it that are not in the log", missing, "bytes", 0),
        Row("terminal", "share of it that was shown", shown / size, "x", 0, at_least=True),
    ]


def _plain(size: int) -> float:
    """MB a second through a pty that nothing stands behind."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    begin, left = time.perf_counter(), size
    with subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=slave):
        while left > 0:
            left -= len(os.read(master, 1 << 16))
    speed = size / _MB / (time.perf_counter() - begin)
    os.close(master)
    os.close(slave)
    return speed
