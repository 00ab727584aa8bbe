"""A job's terminal as its supervisor keeps it, with a cgroup and without."""

from __future__ import annotations

import grp
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mgpu.protocol import link, tty
from tests.lib import processes
from tests.lib.daemon import BIN
from tests.lib.fake_scheduler import FakeScheduler, Run
from tests.lib.users import SERVICE_USER, User, as_user, find
from tests.lib.waiting import eventually

SHELL = ["sh", "-c"]


@pytest.fixture(params=[True, False], ids=["cgroup", "processes"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[FakeScheduler]:
    with FakeScheduler(cgroups=request.param) as found:
        yield found


def start(scheduler: FakeScheduler, user: User, script: str, log: str = "/dev/null") -> Run:
    """A job with a terminal of 24 by 80."""
    fields = {"tty": [24, 80], "output": log.encode()}
    return scheduler.start(1, user, [*SHELL, script], payload=fields)


def attach(run: Run) -> socket.socket:
    """A line to its terminal."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        link.send(run.control, {"op": "attach", "read_only": False}, [far.fileno()])
    near.settimeout(10)
    return near


def shown(line: socket.socket, pattern: bytes = b"(?!)") -> bytes:
    """What comes up to ``pattern``, or to the end."""
    data = b""
    while not re.search(pattern, data) and (piece := line.recv(tty.MAX_PIECE)):
        assert piece[:1] == tty.DATA, piece
        data += piece[1:]
    return data


def test_who_is_attached_before_the_start_misses_nothing(
    scheduler: FakeScheduler, alice: User
) -> None:
    log = alice.home / "out"
    run = start(scheduler, alice, "stty size; echo $PPID; exit 3", str(log))
    with attach(run) as line:
        text = shown(line)
    assert text.startswith(b"24 80\r\n")
    assert run.end()["code"] == 3
    assert log.read_bytes().endswith(text)


def test_what_is_left_in_the_background_holds_neither_terminal_nor_end(
    scheduler: FakeScheduler, alice: User
) -> None:
    run = start(scheduler, alice, "trap '' HUP; sleep 600 & echo done")
    with attach(run) as line:
        assert shown(line) == b"done\r\n"
    assert run.end()["code"] == 0


def test_it_closes_and_opens_its_terminal(scheduler: FakeScheduler, alice: User) -> None:
    script = "t=$(tty); exec <&- >&- 2>&-; exec <$t >$t; echo again"
    run = start(scheduler, alice, script)
    with attach(run) as line:
        assert b"again\r\n" in shown(line)
    assert run.end()["code"] == 0


def test_without_a_terminal_a_client_is_told(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, ["sleep", "600"])
    run.until("running")
    with attach(run) as line:
        assert line.recv(100) == tty.refusal("the job has no terminal")
        assert line.recv(100) == b""
    run.stop()
    run.end()


def test_a_job_that_does_not_start_lets_its_clients_go(
    scheduler: FakeScheduler, alice: User
) -> None:
    run = scheduler.start(1, alice, ["/no/such"], payload={"tty": [24, 80]})
    with attach(run) as line:
        assert shown(line) == b""
    assert run.refusal()["stage"] == "exec"


def test_no_thread_has_more_than_the_right_to_signal(scheduler: FakeScheduler, alice: User) -> None:
    run = start(scheduler, alice, "echo up; exec sleep 600")
    with attach(run) as line:
        shown(line, b"up")
        threads = list(Path(f"/proc/{_supervisor(run)}/task").iterdir())
        assert len(threads) == 2
        service = find(SERVICE_USER)
        for thread in threads:
            status = (thread / "status").read_text()
            assert re.search(rf"^Uid:\s+{service.uid}\t{service.uid}\t{service.uid}", status, re.M)
            assert re.search(r"^CapEff:\s+0*20$", status, re.M)
    run.stop()
    run.end()


def test_a_job_without_a_terminal_costs_no_thread(scheduler: FakeScheduler, alice: User) -> None:
    run = scheduler.start(1, alice, ["sleep", "600"])
    run.until("running")
    assert len(os.listdir(f"/proc/{_supervisor(run)}/task")) == 1
    run.stop()
    run.end()


def test_clients_that_come_and_go_leave_no_descriptor(
    scheduler: FakeScheduler, alice: User
) -> None:
    run = start(scheduler, alice, "echo up; exec cat")
    with attach(run) as line:
        shown(line, b"up")
        folder = f"/proc/{_supervisor(run)}/fd"
        before = len(os.listdir(folder))
        for _ in range(50):
            attach(run).close()
        eventually(lambda: len(os.listdir(folder)), until=lambda now: now == before)
    run.stop()
    run.end()


def _supervisor(run: Run) -> int:
    """The parent of the job's first process."""
    running = next((one for one in run.heard if one["op"] == "running"), None)
    process = processes.read((running or run.until("running"))["pid"])
    assert process is not None
    return process.parent


#: Runs the other words where /dev/pts is another one, mounted as the first word says.
OTHER_TERMINALS = """
    mount -t devpts -o "newinstance,ptmxmode=666$0" devpts /dev/pts
    mount --bind /dev/pts/ptmx /dev/ptmx
    exec "$@"
"""
#: Opens a terminal as a job's child does, and tells its group and mode.
OPEN = """
import os
from mgpu.privileged import pty
master, slave = pty.open_pair(24, 80)
pty.check(master)
found = os.fstat(slave)
print(found.st_uid, found.st_gid, oct(found.st_mode & 0o777))
"""


@pytest.mark.parametrize("mounted", ["tty", "for nobody"])
def test_where_there_is_a_group_for_terminals_it_may_write_to_them(
    alice: User, mounted: str
) -> None:
    group = grp.getgrnam("tty").gr_gid
    option, owners = (f",gid={group}", group) if mounted == "tty" else ("", alice.gid)
    shell = ["sh", "-ec", OTHER_TERMINALS, option]
    words = ["unshare", "--mount", *shell, *as_user(alice, [str(BIN / "python"), "-c", OPEN])]
    told = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/").stdout
    mode = "0o620" if mounted == "tty" else "0o600"
    assert told.split() == [str(alice.uid), str(owners), mode]
