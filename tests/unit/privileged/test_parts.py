"""Small parts: interpreters, trees of processes, mounts, log lines, deadlines, the link."""

from __future__ import annotations

import os
import select
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.privileged import clock, identity, log, payload, script, tree
from mgpu.privileged.cgroup import mount_point
from mgpu.privileged.job import programs
from mgpu.privileged.loop import Deadlines
from mgpu.privileged.refusal import Refusal
from mgpu.protocol import link
from mgpu.system import log as system_log
from tests.lib.waiting import eventually


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"#!/bin/sh\nx", [b"/bin/sh"]),
        (b"#! /usr/bin/env  python3 -u \nx", [b"/usr/bin/env", b"python3 -u"]),
        (b"#!/bin/bash\r\n", [b"/bin/bash"]),
        (b"#!\n", [b"/bin/sh"]),
        (b"#!/bin/cat", [b"/bin/cat"]),
        (b"echo", [b"/bin/sh"]),
        (b"", [b"/bin/sh"]),
    ],
)
def test_interpreters(text: bytes, wanted: list[bytes]) -> None:
    assert script.interpreter(text) == wanted


def test_where_a_program_is_looked_for() -> None:
    assert programs(b"a/b", {b"PATH": b"/x"}) == [b"a/b"]
    assert programs(b"a", {b"PATH": b"/x::/y"}) == [b"/x/a", b"./a", b"/y/a"]
    assert programs(b"a", {})[0] == b"/usr/local/bin/a"


@given(st.dictionaries(st.integers(1, 30), st.integers(0, 30)))
def test_descendants_are_those_whose_line_of_parents_meets_the_root(
    parents: dict[int, int],
) -> None:
    def descends(pid: int) -> bool:
        seen = set()
        while pid in parents and pid not in seen:
            seen.add(pid)
            pid = parents[pid]
            if pid == 1:
                return True
        return False

    found = tree.descendants(1, parents)
    assert {pid for pid in found if pid != 1} == {p for p in parents if p != 1 and descends(p)}


def test_own_descendants_and_identity() -> None:
    assert os.getpid() in tree.parents()
    assert tree.ticks(os.getpid()) > 0
    assert tree.ticks(2**22 + 1) == 0


@pytest.mark.parametrize(
    ("mountinfo", "wanted"),
    [
        ("25 30 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "/sys/fs/cgroup"),
        (
            "31 23 0:28 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw\n"
            "36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
            "41 31 0:38 / /sys/fs/cgroup/unified rw shared:3 - cgroup2 cgroup2 rw",
            "/sys/fs/cgroup/unified",
        ),
        ("36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", None),
        ("25 30 0:23 / /with\\040space rw - cgroup2 cgroup2 rw", "/with space"),
        ("", None),
    ],
)
def test_where_version_2_is(mountinfo: str, wanted: str | None) -> None:
    assert mount_point(mountinfo) == wanted


@given(st.text())
def test_a_value_cannot_look_like_a_field_or_a_line(value: str) -> None:
    line = log.line("info", "Something", "some_action", {"job": 1, "reason": value})
    assert line.count("\n") == 1
    assert line.isascii()
    quoted = line.removeprefix("INFO Something action=some_action job=1 reason=")[:-1]
    assert quoted == value != "" or quoted[0] == quoted[-1] == '"'


def test_a_value_is_quoted_as_in_the_lines_of_the_scheduler() -> None:
    ids: dict[str, object] = {"reason": 'its "shell" is\ngone', "pid": 7}
    ours = log.line("warning", "Refused a start", "start-refused", ids)
    assert ours == system_log.line("warning", "Refused a start", "start-refused", ids)


def test_deadlines_pass_in_their_order() -> None:
    start = clock.boot()
    deadlines = Deadlines()
    deadlines.set("later", 0.02)
    deadlines.set("sooner", 0.01)
    deadlines.set("never", 600)
    deadlines.sooner("sooner", 600)
    deadlines.set("cleared", 0.001)
    deadlines.clear("cleared")
    passed: list[object] = []

    def wait() -> list[object]:
        if select.select([deadlines.fd], [], [], 1)[0]:
            passed.extend(deadlines.passed())
        return passed

    eventually(wait, until=lambda names: len(names) == 2)
    assert passed == ["sooner", "later"]
    assert 0.02 <= clock.boot() - start < 1
    os.close(deadlines.fd)


@pytest.mark.parametrize("value", [0, -1, 2**32 - 1, 2**32, True, "1001", None, 1001.0])
def test_no_identity(value: object) -> None:
    with pytest.raises(identity.IdentityError):
        identity.check_id(value, "uid")


@given(st.binary(max_size=60))
def test_a_payload_of_bytes_is_refused_or_read(data: bytes) -> None:
    fd = os.memfd_create("payload")
    os.write(fd, data)
    stage = "payload"
    try:
        payload.read(fd)
    except Refusal as refusal:
        stage = refusal.stage
    finally:
        os.close(fd)
    assert stage == "payload"


# ---------------------------------------------------------------- the link


@given(st.binary(max_size=80))
def test_bytes_are_a_message_or_an_error_of_the_link(data: bytes) -> None:
    try:
        assert isinstance(link.decode(data)["op"], str)
    except link.LinkError:
        pass


def test_messages_and_descriptors_travel_together() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        right.setblocking(False)
        with pytest.raises(BlockingIOError):
            link.recv(right)
        link.send(left, {"op": "a", "data": b"\xff"}, [0])
        link.send(left, {"op": "b"})
        first = link.recv(right)
        assert first is not None
        assert first[0] == {"op": "a", "data": b"\xff"}
        assert not os.get_inheritable(first[1][0])
        os.close(first[1][0])
        assert link.recv(right) == ({"op": "b"}, [])
        left.close()
        assert link.recv(right) is None


def test_too_much_is_refused_and_leaks_no_descriptor() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right, open("/dev/null", "rb") as null:
        with pytest.raises(link.LinkError):
            link.send(left, {"op": "x" * link.MAX_BYTES})
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(left, [b"\xc1"], [null.fileno()] * 3)
        with pytest.raises(link.LinkError):
            link.recv(right)
        left.send(b"x" * (link.MAX_BYTES + 1))
        with pytest.raises(link.LinkError):
            link.recv(right)
        assert len(os.listdir("/proc/self/fd")) == before
