"""What hostile users do: connections with somebody's real ids, requests by hand, noise."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.wire import Wire

_KEYS = itertools.count(1)

#: One valid request of each operation, on job 1.
REQUESTS: dict[str, dict[str, object]] = {
    "ping": {},
    "info": {},
    "jobs": {},
    "cancel": {"jobs": [1]},
    "wait": {"jobs": [1]},
    "priority": {"jobs": [1], "priority": -1},
    "hold": {"jobs": [1]},
    "release": {"jobs": [1]},
    "update": {"job": 1, "max_concurrent": 1},
    "crons": {},
    "cron_change": {"numbers": [1], "how": "remove"},
}


@contextmanager
def effective(user: User) -> Iterator[None]:
    """Be ``user`` for the kernel: sockets connected here carry these ids, permissions hold."""
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user.name, user.gid) if user.uid else [0])
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def wire_as(user: User, path: Path, timeout: float = 10.0) -> Wire:
    """A connection of ``user``, greeted; it stays the user's."""
    with effective(user):
        return Wire(path, timeout=timeout)


def socket_as(user: User, path: Path, timeout: float = 10.0) -> socket.socket:
    """A bare connection of ``user``, on which nothing was said."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with effective(user):
            sock.connect(str(path))  # waits while the queue of connections is full
    except OSError:
        sock.close()
        raise
    sock.settimeout(timeout)
    return sock


def spec(*argv: str, **fields: object) -> dict[str, object]:
    """A spec as a client would send it: no GPU, nothing activated, output thrown away."""
    words = [os.fsencode(word) for word in argv or ("/bin/true",)]
    given: dict[str, object] = {"argv": words, "cwd": b"/", "gpus": 0, "output": b"/dev/null"}
    return {**given, "activate": {"mode": "none"}, **fields}


def submission(*argv: str, count: int = 1, **fields: object) -> dict[str, object]:
    """A submit request with a key of its own."""
    key = f"attack-{next(_KEYS)}"
    return {"op": "submit", "key": key, "count": count, "spec": spec(*argv, **fields)}


def ask(user: User, path: Path, request: dict[str, object]) -> dict[str, Any]:
    """The last frame of the answer that ``user`` gets on a connection of its own."""
    with wire_as(user, path) as wire:
        return wire.ask(request)[1]


def submit(daemon: Daemon, user: User, *argv: str, count: int = 1, **fields: object) -> int:
    """Submit by hand; the id of the (first) job."""
    answer = ask(user, daemon.socket, submission(*argv, count=count, **fields))
    assert "ok" in answer, answer
    first: int = answer["ok"]["first"]
    return first


def open_files(pid: int) -> int:
    """How many descriptors a process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """The memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
