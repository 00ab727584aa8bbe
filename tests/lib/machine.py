"""A throw-away machine with systemd as PID 1 and the Debian package in it.

Booted by ``tests/lib/sysbox``; ``scripts/test-systemd`` says what must be there for it.
"""

from __future__ import annotations

import json
import os
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

from tests.lib.daemon import ENDED, rows
from tests.lib.docs import ROOT
from tests.lib.waiting import eventually

SYSBOX = ROOT / "tests/lib/sysbox"
CONFIG = """\
[gpus]
backend = "simulated"
simulated = [{name = "Sim A", memory = 16384, count = 2}]

[scheduling]
kill_grace = 3

[limits]
request_burst = 100000
requests_per_second = 100000
"""
_numbers = count()
USERS = {"alice": "", "bob": "", "carol": "mgpu-admin"}


def lower() -> Path | None:
    """The folder with the small Debian; None where scripts/test-systemd has not made it."""
    named = os.environ.get("MGPU_TEST_MACHINE", "")
    return Path(named) if named else None


def package() -> Path:
    """The Debian package as it was built for the machine."""
    return Path(os.environ["MGPU_TEST_DEB"])


def wheels() -> Path:
    """The folder in which pip finds all that mgpu needs, for the machine's Python."""
    return Path(os.environ["MGPU_TEST_WHEELS"])


def source() -> Path:
    """The files of this checkout, and nothing that lies about beside them."""
    return Path(os.environ["MGPU_TEST_SOURCE"])


def build(target: str, source: Path, dist: Path) -> Path:
    """What ``scripts/build`` of a source makes on the machine's release, by buildbox."""
    words = [str(word) for word in (lower(), source, wheels(), dist, target)]
    done = subprocess.run(
        [ROOT / "tests/lib/buildbox", *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = dist.glob(f"*.{target}")
    return built


class Machine:
    """One machine; what is run in it is root's unless it says otherwise."""

    def __init__(self, name: str) -> None:
        self.name = f"mgpu-{os.getpid()}-{name}-{next(_numbers)}"
        self._begun: list[subprocess.Popen[str]] = []

    def up(self) -> None:
        """Boot it."""
        self._sysbox("up", str(lower()))

    def down(self) -> None:
        """Stop it and forget what was in it."""
        for begun in self._begun:
            begun.kill()
            begun.wait()
            if begun.stdout is not None:
                begun.stdout.close()
        self._sysbox("down")

    def reboot(self) -> None:
        """Shut down and boot again."""
        self._sysbox("reboot")

    def crash(self) -> None:
        """A power cut, and boot again."""
        self._sysbox("crash")

    def put(self, file: Path, target: str) -> None:
        """Copy a file in."""
        self._sysbox("put", str(file), target)

    def _sysbox(self, action: str, *words: str) -> None:
        subprocess.run(
            [SYSBOX, action, self.name, *words],
            check=True, timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    # -------------------------------------------------------- in it

    def run(self, *argv: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        return subprocess.run(
            [SYSBOX, "exec", self.name, *argv],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def ok(self, *argv: str, timeout: float = 60) -> str:
        """Run a command that must succeed; what it prints."""
        done = self.run(*argv, timeout=timeout)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def shell(self, line: str) -> str:
        """Run a line of shell that must succeed."""
        return self.ok("sh", "-c", line)

    def as_user(self, user: str, line: str) -> str:
        """Run a line of shell as a user logs in; it must succeed."""
        return self.ok("runuser", "-l", user, "-c", line)

    def begin(self, user: str, line: str) -> subprocess.Popen[str]:
        """Begin a line of shell as a user; it is ended with the machine."""
        begun = subprocess.Popen(
            [SYSBOX, "exec", self.name, "runuser", "-l", user, "-c", line],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._begun.append(begun)
        return begun

    # -------------------------------------------------------- mgpu in it

    def install(self, deb: Path) -> str:
        """Install a package as an administrator does; what dpkg prints."""
        self.put(deb, "/opt/mgpu.deb")
        return self.shell("dpkg -i /opt/mgpu.deb 2>&1; exit=$?; rm /opt/mgpu.deb; exit $exit")

    def configure(self, text: str = CONFIG) -> None:
        """Write the configuration and have it hold."""
        self.ok("sh", "-c", 'printf %s "$1" > /etc/mgpu/config.toml', "sh", text)
        self.ok("systemctl", "restart", "mgpu")

    def make_users(self) -> None:
        """alice and bob are ordinary users, carol is an administrator of mgpu."""
        for name, group in USERS.items():
            self.ok("useradd", "-m", "-s", "/bin/bash", *(["-G", group] if group else []), name)

    def submit(self, user: str, words: str) -> int:
        """Submit as ``user``; the job's id."""
        return int(self.as_user(user, f"mgpu_srun --parsable {words}"))

    def job(self, job: int) -> dict[str, Any]:
        """One job as root sees it."""
        (row,) = rows(json.loads(self.ok("mgpu_queue", "--all", "--jobs", str(job), "--json")))
        return row

    def wait(self, job: int, *states: str, timeout: float = 20) -> dict[str, Any]:
        """Wait until the job is in one of ``states``; any other end fails at once."""

        def there(row: dict[str, Any]) -> bool:
            assert row["state"] in states or row["state"] not in ENDED, row
            return row["state"] in states

        return eventually(lambda: self.job(job), until=there, timeout=timeout)

    def show(self, unit: str, what: str) -> str:
        """One property of a unit."""
        return self.ok("systemctl", "show", "-P", what, unit).strip()

    def pid(self, unit: str = "mgpu") -> int:
        """The main process of a unit."""
        return int(self.show(unit, "MainPID"))

    def processes(self, unit: str) -> list[int]:
        """The processes in a unit's control group, those of groups below too."""
        folder = f"/sys/fs/cgroup/system.slice/{unit}.service"
        return [
            int(word) for word in self.shell(f"cat $(find {folder} -name cgroup.procs)").split()
        ]

    def pid_of(self, job: int, attempt: int = 1) -> int:
        """The first process of an attempt."""
        group = f"/sys/fs/cgroup/system.slice/mgpu-jobs.service/{job}.{attempt}"
        seen = eventually(lambda: self.run("cat", f"{group}/cgroup.procs").stdout.split())
        return int(seen[0])

    def log(self, *options: str) -> str:
        """The journal of the service."""
        return self.ok("journalctl", "--no-pager", "-u", "mgpu", *options)
