"""What is asked of the operating system, and what is told to it."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator

import pytest

from mgpu.system import bootid, clock, peer
from mgpu.system.log import LEVELS, Log, line


def test_both_clocks_are_read() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = clock.now()
    assert before <= now.boot <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(now.wall - time.clock_gettime(time.CLOCK_REALTIME)) < 60


def test_the_boot_has_an_id() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bootid.boot_id())
    assert bootid.boot_id() == bootid.boot_id()


# ------------------------------------------------------------ log


LINES: list[tuple[dict[str, object], str]] = [
    ({}, "INFO Job started action=start\n"),
    ({"job": 42, "uid": None}, "INFO Job started action=start job=42\n"),
    ({"name": "two words"}, 'INFO Job started action=start name="two words"\n'),
    ({"name": ""}, 'INFO Job started action=start name=""\n'),
    ({"name": 'say "x"'}, 'INFO Job started action=start name="say \\"x\\""\n'),
    ({"name": "x action=y"}, 'INFO Job started action=start name="x action=y"\n'),
    ({"name": "x\nERROR y"}, 'INFO Job started action=start name="x\\nERROR y"\n'),
    ({"name": "\x1b[31m\u202e"}, "INFO Job started action=start name=\\x1b[31m\\u202e\n"),
]


@pytest.mark.parametrize(("ids", "text"), LINES)
def test_a_line_cannot_be_broken_or_forged(ids: dict[str, object], text: str) -> None:
    assert line("info", "Job started", "start", ids) == text


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_only_lines_of_the_level_are_written(pipe: tuple[int, int]) -> None:
    log = Log("warning", pipe[1])
    for level in LEVELS:
        getattr(log, level)("x", action="y")
    log.set_level("debug")
    log.debug("z", action="y")
    assert os.read(pipe[0], 1000) == b"WARNING x action=y\nERROR x action=y\nDEBUG z action=y\n"


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    Log("info", 10_000).info("x", action="y")


def test_what_is_no_text_is_logged_all_the_same(pipe: tuple[int, int]) -> None:
    Log("info", pipe[1]).info("x", action="y", path="/home/\udcff")
    assert os.read(pipe[0], 1000) == b"INFO x action=y path=/home/\\udcff\n"


# ------------------------------------------------------------ peers


def test_the_kernel_says_who_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer.credentials(ours) == (os.getpid(), os.getuid(), os.getgid())
        assert peer.groups(ours) == frozenset((*os.getgroups(), os.getgid()))


def _child_with_groups(path: str, groups: list[int]) -> int:
    pid = os.fork()
    if not pid:
        os.setgroups(groups)
        os.setresgid(2**31, 2**31, 2**31)
        os.setresuid(2**31 + 1, 2**31 + 1, 2**31 + 1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.recv(1)
        os._exit(0)
    return pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("count", [0, 3, 256, 1000])
def test_large_ids_and_many_groups_are_told(count: int) -> None:
    listener = socket.socket(socket.AF_UNIX)
    address = f"\0mgpu-test-{os.getpid()}-{count}"
    listener.bind(address)
    listener.listen()
    groups = list(range(70_000, 70_000 + count))
    pid = _child_with_groups(address, groups)
    with listener, listener.accept()[0] as connection:
        assert peer.credentials(connection) == (pid, 2**31 + 1, 2**31)
        assert peer.groups(connection) == frozenset((*groups, 2**31))
    assert os.waitpid(pid, 0)[1] == 0
