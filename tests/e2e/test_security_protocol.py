"""Hostile clients against a real daemon: checks 8 and 44 to 52.

What one connection may do is held with a clock of its own by ``tests/unit/daemon``; here the
kernel's figures are looked at: memory, descriptors, processor time, and another user's waiting.
"""

from __future__ import annotations

import array
import math
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lib import attack
from tests.lib.attack import ask, socket_as, submission, wire_as
from tests.lib.daemon import Daemon
from tests.lib.users import ROOT, User, as_user
from tests.lib.waiting import eventually
from tests.lib.wire import frame

HELLO = frame({"mgpu": [1, 1]})
#: As by default, but for a burst that allows the victim's twenty listings.
LIMITS = {"limits": {"request_burst": 100, "requests_per_second": 2}}


def waiting_time(daemon: Daemon, user: User, times: int = 20) -> float:
    """The 95th percentile of the seconds that mgpu_queue takes ``user``."""
    taken = []
    for _ in range(times):
        start = time.monotonic()
        daemon.queue(user)
        taken.append(time.monotonic() - start)
    return sorted(taken)[math.ceil(0.95 * times) - 1]


def greeting_time(path: Path, user: User) -> float:
    """The seconds until a new connection of ``user`` is greeted."""
    start = time.monotonic()
    with wire_as(user, path):
        return time.monotonic() - start


def scheduler(daemon: Daemon) -> int:
    pid = daemon.scheduler_pid()
    assert pid is not None
    return pid


@contextmanager
def nothing_kept(daemon: Daemon, megabytes: int = 100) -> Iterator[None]:
    """The same scheduler lives on, with no descriptor more, and not much more memory."""
    pid = scheduler(daemon)
    files, memory = attack.open_files(pid), attack.resident(pid)
    yield
    assert attack.resident(pid) - memory <= megabytes << 20
    eventually(lambda: attack.open_files(pid), until=lambda count: count <= files)
    assert scheduler(daemon) == pid


def test_clients_that_leave_in_mid_request(daemon: Daemon, alice: User) -> None:
    """Check 8: a thousand cut-off submissions: no job, no descriptor, no other identity."""
    whole = HELLO + frame(submission())
    with nothing_kept(daemon):
        for number in range(1000):
            with socket_as(alice, daemon.socket) as sock:
                sock.sendall(whole[: 1 + number % (len(whole) - 1)])
    assert daemon.jobs("--all") == []
    assert ask(alice, daemon.socket, {"op": "cancel", "jobs": [1]})["ok"]["jobs"] == [
        [1, "unknown"]
    ]


def ending(sock: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    heard = b""
    try:
        while more := sock.recv(65536):
            heard += more
    except ConnectionResetError:
        pass  # it hung up without reading all that was sent
    return heard


def test_lengths_that_lie(daemon: Daemon, alice: User) -> None:
    """Check 44: 0, 4 GiB - 1 and trailing bytes: one error, closed, nothing allocated."""
    lies = [bytes(4), b"\xff\xff\xff\xff", b"\xff\xff\xff\xff" + bytes(65536), b"\x7f" + bytes(9)]
    with nothing_kept(daemon, megabytes=10):
        for lie in lies:
            for before in (b"", HELLO):
                with socket_as(alice, daemon.socket) as sock:
                    sock.sendall(before + lie)
                    assert b"error" in ending(sock)


def test_half_frames_of_many_connections(daemon: Daemon, alice: User) -> None:
    """Check 44: as much as one user can make the scheduler hold, all at once: 8 MiB."""
    most = (1 << 20).to_bytes(4, "big") + bytes((1 << 20) - 1)
    with nothing_kept(daemon, megabytes=40), ExitStack() as stack:
        socks = [stack.enter_context(socket_as(alice, daemon.socket)) for _ in range(32)]
        for sock in socks:
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(HELLO + most)
        refused = [sock for sock in socks if b"LimitReached" in greeted(sock)]
        assert len(refused) >= 24
        assert waiting_time(daemon, ROOT, times=3) < 2


def greeted(sock: socket.socket) -> bytes:
    """The greeting and what came behind it within a moment, though the server may have hung up."""
    heard = b""
    sock.settimeout(0.2)
    for _ in range(4):
        with suppress(ConnectionResetError, TimeoutError):
            heard += sock.recv(65536)
    return heard


def test_silence_and_a_byte_a_second(daemon: Daemon, alice: User) -> None:
    """Check 44: who has not said a whole frame after two seconds is hung up on."""
    with ExitStack() as stack:
        silent, slow = (
            stack.enter_context(socket_as(alice, daemon.socket, timeout=4)) for _ in range(2)
        )
        start = time.monotonic()
        slow.sendall(HELLO[:1])
        ends = []
        for sock in (silent, slow):
            assert ending(sock) == b""
            ends.append(time.monotonic() - start)
    assert all(1.5 < end < 3.5 for end in ends), ends


DEEP = b"\x81\xa2op" + b"\x91" * 40 + b"\xc0"
BODIES = {
    "depth": DEEP,
    "elements": b"\x81\xa2op\xdd\xff\xff\xff\xff",
    "many elements": b"\x81\xa2op\xdc\xff\xff" + b"\xc0" * 65535,
    "ext": b"\x81\xa2op\xd4\x05\x00",
    "timestamp": b"\x81\xa2op\xd6\xff" + bytes(4),
    "duplicate key": b"\x82\xa2op\xa4ping\xa2op\xa6cancel",
    "not UTF-8": b"\x81\xa2op\xa2\xff\xfe",
    "surrogate": b"\x81\xa2op\xa3\xed\xa0\x80",
    "bytes as a key": b"\x81\xc4\x02op\xa4ping",
    "a list": b"\x91\xa4ping",
    "trailing bytes": b"\x81\xa2op\xa4ping\xc0",
    "a number": b"\x2a",
    "nothing": b"\xc1",
    # Check 46; sqlite would make NULL of the first.
    "NaN": frame({"op": "cancel", "jobs": [math.nan]})[4:],
    "2^63": frame({"op": "cancel", "jobs": [2**63]})[4:],
    "infinity": frame({"op": "cancel", "jobs": [-math.inf]})[4:],
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_no_request(refusing: Daemon, alice: User, name: str) -> None:
    """Check 45: one typed error, and the same scheduler."""
    pid = scheduler(refusing)
    with wire_as(alice, refusing.socket) as wire:
        body = BODIES[name]
        wire.sock.sendall(len(body).to_bytes(4, "big") + body)
        assert wire.receive()["error"]["code"] in ("BadRequest", "TooLarge")
    assert scheduler(refusing) == pid


def changed(field: str, value: Any) -> dict[str, object]:
    """A submission with another value of one field of its spec."""
    return submission(**{field: value})


NUMBERS: dict[str, Any] = {
    "count": lambda value: {**submission(), "count": value},
    **{
        f"spec.{field}": partial(changed, field)
        for field in ("gpus", "gpu_mem", "time_limit", "priority", "umask")
    },
    "spec.rlimits[0][1]": lambda value: submission(rlimits=[[7, value, value]]),
    "spec.signal[0]": lambda value: submission(signal=[value, 10]),
    "jobs[0]": lambda value: {"op": "cancel", "jobs": [value]},
    "priority": lambda value: {"op": "priority", "jobs": [1], "priority": value},
    "limit": lambda value: {"op": "jobs", "limit": value},
}


@pytest.mark.parametrize("path", NUMBERS)
def test_numbers_that_are_none(refusing: Daemon, alice: User, path: str) -> None:
    """Check 46: fractions, bool, text and far below zero in every numeric field."""
    with wire_as(alice, refusing.socket) as wire:
        words = [] if path == "jobs[0]" else ["1"]  # a job has a name as well: 42_7
        values: list[Any] = [1.0, 1e300, True, *words, b"1", -(2**63), [1], {}]
        for value in values:
            error = wire.ask(NUMBERS[path](value))[1].get("error")
            assert error is not None, value
            assert error["code"] == "BadRequest"
            assert error["path"].startswith(path.partition("[")[0]), (value, error)
    assert refusing.jobs("--all") == []


def mutated(chance: random.Random, whole: bytes) -> bytes:
    """``whole`` with some bytes changed, cut out or put in."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data))
        kind = chance.randrange(4)
        if kind == 0:
            data[place] = chance.randrange(256)
        elif kind == 1:
            data[place:place] = chance.randbytes(chance.randint(1, 4))
        elif kind == 2 and len(data) > 8:
            del data[place : place + chance.randint(1, 4)]
        else:
            data[place] ^= 1 << chance.randrange(8)
    return bytes(data)


def test_mutated_requests(daemon: Daemon, alice: User) -> None:
    """Check 47: whole frames with spoilt bodies, fixed seed; ``tests/property`` has 10,000 more."""
    chance = random.Random(47)
    bodies = [
        frame(request)[4:] for request in [submission(gpus=99), {"op": "jobs", "users": ["a"]}]
    ]
    with nothing_kept(daemon):
        for _ in range(60):
            with socket_as(alice, daemon.socket) as sock:
                spoilt = [mutated(chance, chance.choice(bodies)) for _ in range(20)]
                sock.sendall(HELLO + b"".join(len(b).to_bytes(4, "big") + b for b in spoilt))
                sock.shutdown(socket.SHUT_WR)
                assert b"Traceback" not in ending(sock)
    assert "ok" in ask(alice, daemon.socket, {"op": "ping"})


def test_idle_connections_of_one_user_cost_another_nothing(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    """Check 48: a thousand, of which 32 are kept; the other user's listing stays quick."""
    daemon = make_daemon(LIMITS)
    with nothing_kept(daemon), ExitStack() as stack:
        socks = [stack.enter_context(socket_as(alice, daemon.socket)) for _ in range(1000)]
        for sock in socks[:32]:
            sock.sendall(HELLO)
        assert waiting_time(daemon, bob) < 0.5
        kept = eventually(lambda: attack.open_files(scheduler(daemon)))
        assert kept < 100


FLOOD = """
import socket, sys, time
hello, request, path = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3]
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            if sys.argv[4] == "none":
                continue
            sock.sendall(hello)
            for _ in range(int(sys.argv[4])):
                sock.sendall(request)
            sock.settimeout(0.05)
            sock.recv(100)
    except OSError:
        pass
"""


@pytest.mark.parametrize(
    ("hello", "requests", "times"),
    [(b"", "none", 8), (b"", "0", 1), (HELLO, "0", 1), (HELLO, "200", 1)],
)
def test_floods_of_one_user_cost_another_nothing(
    make_daemon: Callable[..., Daemon],
    alice: User,
    bob: User,
    hello: bytes,
    requests: str,
    times: int,
) -> None:
    """Check 49: connecting and asking in a loop: less than half a core, and quick for others."""
    daemon = make_daemon(LIMITS)
    pid = scheduler(daemon)
    ping = frame({"op": "jobs"})
    argv = ["/usr/bin/python3", "-I", "-c", FLOOD, hello.hex(), ping.hex(), str(daemon.socket)]
    with nothing_kept(daemon):
        flood = ["nice", *as_user(alice, [*argv, requests])]
        floods = [subprocess.Popen(flood) for _ in range(times)]
        try:
            start, used = time.monotonic(), attack.cpu_seconds(pid)
            slowest = waiting_time(daemon, bob)
            admin = max(greeting_time(daemon.admin_socket, ROOT) for _ in range(20))
            share = (attack.cpu_seconds(pid) - used) / (time.monotonic() - start)
            assert all(one.poll() is None for one in floods)
        finally:
            for one in floods:
                one.kill()
                one.wait()
    assert slowest < 0.5
    assert admin < 0.5
    assert share < 0.5


def test_descriptors_sent_along_are_dropped(daemon: Daemon, alice: User) -> None:
    """Check 50: with every message, open ones and ones that would block."""
    reader, writer = os.pipe()
    rights = array.array("i", [reader, writer] * 20)
    with nothing_kept(daemon):
        for _ in range(30):
            with socket_as(alice, daemon.socket) as sock:
                for part in (HELLO, frame({"op": "ping"})):
                    sock.sendmsg([part], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                assert b"version" in sock.recv(65536)
    os.close(reader)
    os.close(writer)


def test_the_quota_of_waiting_jobs(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    """Check 51: each job of one request counts; the error names the limit; others submit."""
    daemon = make_daemon({"limits": {"pending_per_user": 10}})
    blocker = attack.submit(daemon, bob, "/bin/sleep", "600", gpus=2)
    daemon.wait_state(blocker, "RUNNING")
    attack.submit(daemon, alice, count=8, gpus=1)
    error = ask(alice, daemon.socket, submission(count=3, gpus=1))["error"]
    assert error["code"] == "LimitReached"
    assert "limit of 10" in error["message"]
    assert error["hint"]
    attack.submit(daemon, alice, count=2, gpus=1)
    done = daemon.srun(alice, "--", "true")
    assert (done.returncode, "limit of 10" in done.stderr) == (1, True)
    assert "ok" in ask(bob, daemon.socket, submission(gpus=1))


def test_a_scheduler_without_descriptors(
    make_daemon: Callable[..., Daemon], alice: User, bob: User
) -> None:
    """Check 52: accept fails with EMFILE: no busy loop, and it recovers."""
    limits = {"connections_per_user": 1000, "request_burst": 100, "requests_per_second": 100}
    daemon = make_daemon({"limits": limits}, prefix=["prlimit", "--nofile=64:64"])
    pid = scheduler(daemon)
    with ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(socket_as(alice, daemon.socket))
            sock.sendall(HELLO)
        eventually(lambda: attack.open_files(pid), until=lambda count: count >= 63)
        eventually(lambda: "accept-failed" in daemon.log())
        used, start = attack.cpu_seconds(pid), time.monotonic()
        eventually(lambda: time.monotonic() - start > 1)
        assert attack.cpu_seconds(pid) - used < 0.3
    assert "ok" in ask(bob, daemon.socket, {"op": "ping"})
    assert scheduler(daemon) == pid
