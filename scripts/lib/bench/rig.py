"""A daemon with generous limits, a user, and work that is done as that user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mgpu import Client
from tests.lib import users
from tests.lib.daemon import Daemon

BIN = Path(sys.executable).parent
STAMP = Path("/run/mgpu-bench-stamp")

#: Appends when it began and when it ended, in nanoseconds of CLOCK_MONOTONIC, and what is given.
_SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static long long now(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec;
}
int main(int argc, char **argv) {
  long long begin = now(); char line[128];
  int file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0644);
  int n = snprintf(line, sizeof line, "%lld %lld %s\n", begin, now(), argc > 2 ? argv[2] : "-");
  return write(file, line, n) != n;
}
"""


def build_stamp() -> None:
    """Compile the program that jobs run."""
    command = ["gcc", "-O1", "-x", "c", "-o", str(STAMP), "-"]
    subprocess.run(command, input=_SOURCE, text=True, check=True)
    STAMP.chmod(0o755)


@contextmanager
def daemon(gpus: int = 2) -> Iterator[Daemon]:
    """A running mgpud with ``gpus`` simulated GPUs and no limit in the way."""
    many = 100_000
    config = {
        "limits": {"pending_per_user": many, "request_burst": many, "requests_per_second": many}
    }
    table = [{"name": "Sim", "memory": 16384, "count": gpus}]
    with Daemon(config, gpus=table) as running:
        yield running
        _end_all(running)


def _end_all(running: Daemon) -> None:
    """Cancel whatever is left, thousands at once."""
    with Client(str(running.admin_socket), admin=True) as client:
        ids = [job.id for job in client.jobs(scope="all")]
        if ids:
            client.cancel(*ids)
            client.wait(*ids)


def as_user(user: users.User, running: Daemon, work: Callable[[], Any]) -> Any:
    """What ``work`` returns (as JSON would) when it runs in a process of the user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _work(user, running, work, writer)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    if not data:
        raise RuntimeError(f"the work of {user.name} failed; see above")
    return json.loads(data)


def _work(user: users.User, running: Daemon, work: Callable[[], Any], writer: int) -> None:
    try:
        os.setgroups([user.gid])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        os.environ |= user.environment(f"{BIN}:/usr/bin:/bin")
        os.environ["MGPU_RUNTIME_DIR"] = str(running.runtime)
        os.chdir(user.home)
        os.write(writer, json.dumps(work()).encode())
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def submit(command: list[str], **options: Any) -> int:
    """Submit through the Python API; the first id."""
    with Client() as client:
        return client.submit(command, output="/dev/null", activate=False, **options)


def wait(first: int, count: int = 1) -> None:
    """Wait for the end of jobs with consecutive ids."""
    with Client() as client:
        client.wait(*range(first, first + count))


def block(gpus: int = 2) -> int:
    """Hold all GPUs with a job that sleeps; its id."""
    return submit(["sleep", "86400"], gpus=gpus)


def stamps(file: Path) -> list[tuple[int, int]]:
    """The (begin, end) pairs in a file, in order of their beginning."""
    lines = file.read_text().splitlines() if file.exists() else []
    return sorted((int(line.split()[0]), int(line.split()[1])) for line in lines)
