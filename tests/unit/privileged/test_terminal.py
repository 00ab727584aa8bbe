"""A job's terminal: bytes pass unchanged, the log loses none, a slow client slows nobody."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import termios
import tty as modes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mgpu.privileged import pty, terminal
from mgpu.privileged.logthread import MOST_WAITING, Log
from mgpu.privileged.loop import Loop
from mgpu.privileged.refusal import Refusal
from mgpu.privileged.terminal import Terminal
from mgpu.privileged.viewer import MOST_UNSENT
from mgpu.protocol import tty
from tests.lib.waiting import eventually


class Stage:
    """A terminal with a log, driven turn by turn; ``job`` is the slave's descriptor."""

    def __init__(self, log: int) -> None:
        self.loop = Loop()
        self.log = Log(log)
        self.log.start()
        master, self.job = pty.open_pair(24, 80)
        self.done = False
        self._lines: list[socket.socket] = []
        # The job's end is another descriptor: the terminal closes its own.
        self.terminal = Terminal(self.loop, (master, os.dup(self.job)), self.log, self._done)

    def _done(self) -> None:
        self.done = True

    def attach(self, *, read_only: bool = False) -> socket.socket:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lines.append(near)
        near.setblocking(False)
        self.terminal.attach(far, read_only=read_only)
        return near

    def clear(self) -> None:
        for viewer in list(self.terminal._viewers.values()):
            self.terminal._drop(viewer)
        for line in self._lines:
            line.close()
        with contextlib.suppress(OSError):
            os.close(self.job)

    def until(self, probe: Callable[[], object], what: str = "") -> None:
        def look() -> object:
            self.turn()
            return probe()

        eventually(look, what=what)

    def turn(self) -> None:
        """One turn of the loop, if anything is to be done."""
        poll = self.loop._poll
        if poll.poll(1):
            self.loop.turn()

    def end(self) -> None:
        os.close(self.job)
        self.terminal.drain()
        self.until(lambda: self.done, "all output is in the log")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def stage(path: Path) -> Iterator[Stage]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    made = Stage(fd)
    modes.setraw(made.job)
    yield made
    made.clear()


def received(line: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    with contextlib.suppress(BlockingIOError):
        while piece := line.recv(tty.MAX_PIECE):
            yield piece[:1], piece[1:]


def test_every_byte_passes_unchanged_in_both_directions(stage: Stage, path: Path) -> None:
    line, seen, every = stage.attach(), bytearray(), bytes(range(256)) * 4
    os.write(stage.job, every)

    def show() -> bool:
        seen.extend(b"".join(body for _, body in received(line)))
        return len(seen) >= len(every)

    stage.until(show)
    assert bytes(seen) == every
    line.send(tty.DATA + every)
    stage.until(lambda: select.select([stage.job], [], [], 0)[0])
    assert os.read(stage.job, 4096) == every
    stage.end()
    assert path.read_bytes() == every


def test_control_c_is_a_signal_of_the_line_discipline(stage: Stage) -> None:
    line = stage.attach()
    with subprocess.Popen(
        ["sh", "-c", "stty sane isig intr ^C; echo up; exec sleep 60"],
        stdin=stage.job,
        stdout=stage.job,
        preexec_fn=lambda: _lead(stage.job),
    ) as job:
        seen = bytearray()

        def up() -> bool:
            seen.extend(b"".join(body for _, body in received(line)))
            return b"up" in seen

        stage.until(up)
        line.send(tty.DATA + b"\x03")
        stage.until(lambda: job.poll() is not None, "the job has got SIGINT")
        assert job.returncode == -2


def _lead(slave: int) -> None:
    os.setsid()
    pty.control(slave)


def test_the_size_is_that_of_the_client_that_told_it_last(stage: Stage) -> None:
    first, second = stage.attach(), stage.attach()
    first.send(tty.size(30, 100))
    second.send(tty.size(50, 132))
    stage.until(lambda: _size(stage.job) == (50, 132))


def _size(fd: int) -> tuple[int, int]:
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


def test_a_client_that_only_reads_sees_all_and_changes_nothing(stage: Stage) -> None:
    line = stage.attach(read_only=True)
    line.send(tty.DATA + b"rm -rf\n")
    line.send(tty.size(1, 1))
    os.write(stage.job, b"hello")
    stage.until(lambda: [body for _, body in received(line)] == [b"hello"])
    stage.turn()
    stage.turn()
    assert not select.select([stage.job], [], [], 0)[0]
    assert _size(stage.job) == (24, 80)


@pytest.mark.parametrize("nonsense", [tty.SIZE + b"1", tty.DATA + bytes(tty.MAX_PIECE)])
def test_nonsense_ends_the_client_and_nothing_else(stage: Stage, nonsense: bytes) -> None:
    other, line = stage.attach(), stage.attach()
    line.send(nonsense)
    stage.until(lambda: select.select([line], [], [], 0)[0])
    assert line.recv(1) == b""
    os.write(stage.job, b"on")
    stage.until(lambda: [body for _, body in received(other)] == [b"on"])


def test_a_client_that_does_not_read_loses_the_middle_and_the_log_nothing(
    stage: Stage, path: Path
) -> None:
    line, total = stage.attach(), MOST_UNSENT * 3
    with subprocess.Popen(["head", "-c", str(total), "/dev/zero"], stdout=stage.job) as job:
        stage.until(lambda: job.poll() is not None and path.stat().st_size == total)
    shown = left_out = 0

    def read() -> bool:
        nonlocal shown, left_out
        for kind, body in received(line):
            shown += len(body) if kind == tty.DATA else 0
            left_out += tty.lost_of(body) if kind == tty.LOST else 0
        return left_out > 0

    stage.until(read)
    assert shown + left_out == total
    assert shown >= MOST_UNSENT // 2
    stage.end()
    assert path.stat().st_size == total


def test_what_a_job_does_not_read_is_not_taken_from_its_clients(stage: Stage) -> None:
    line, sent = stage.attach(), 0

    def stuck() -> bool:
        nonlocal sent
        try:
            sent += line.send(tty.DATA + bytes(1000)) - 1
        except BlockingIOError:
            return True
        return False

    stage.until(stuck)
    assert len(stage.terminal._input) <= tty.MAX_PIECE
    got = bytearray()
    os.set_blocking(stage.job, False)

    def read() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(stage.job, 65536))
        return len(got) == sent

    stage.until(read, "all that was typed arrives after all")


def test_a_log_that_does_not_answer_stops_the_output_and_not_the_loop(tmp_path: Path) -> None:
    """A FIFO that nobody reads blocks its writer, as a dead file server does."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    stage = Stage(os.open(fifo, os.O_WRONLY))
    modes.setraw(stage.job)
    total = MOST_WAITING * 3
    with subprocess.Popen(["head", "-c", str(total), "/dev/zero"], stdout=stage.job) as job:
        stage.until(lambda: stage.log.full)
        assert job.poll() is None
        line = stage.attach()
        line.send(tty.size(9, 9))
        stage.until(lambda: _size(stage.job) == (9, 9), "the loop goes on")
        got = 0

        def read() -> bool:
            nonlocal got
            with contextlib.suppress(BlockingIOError):
                got += len(os.read(reader, 1 << 20))
            return got == total

        stage.until(read, "nothing was lost")
    stage.end()
    stage.clear()
    os.close(reader)


def test_a_full_disk_loses_output_and_says_so_where_it_is_missing() -> None:
    log = Log(os.open("/dev/full", os.O_WRONLY))
    log._write(b"lost")
    read, log._file = os.pipe()
    log._write(b"kept")
    assert os.read(read, 100) == b"\n[mgpu] 4 bytes of output are missing here\nkept"


def test_the_job_may_close_its_terminal_and_open_it_again(stage: Stage, path: Path) -> None:
    name = os.ttyname(stage.job)
    os.close(stage.job)
    stage.turn()
    stage.job = os.open(name, os.O_RDWR | os.O_NOCTTY)
    os.write(stage.job, b"again")
    stage.end()
    assert path.read_bytes() == b"again"


def test_too_many_clients_are_turned_away(stage: Stage) -> None:
    lines = [stage.attach() for _ in range(terminal.MOST_VIEWERS)]
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stage.terminal.attach(far, read_only=True)
    assert near.recv(100) == tty.refusal("16 clients are attached already, and more may not be")
    assert near.recv(1) == b""
    near.close()
    lines.pop().close()
    stage.until(lambda: len(stage.terminal._viewers) < terminal.MOST_VIEWERS)
    stage.attach()


def test_the_slave_belongs_to_its_user_and_nobody_else_reads_it() -> None:
    master, slave = pty.open_pair(24, 80)
    found = os.fstat(slave)
    shared = found.st_gid == os.getegid()
    assert (found.st_uid, found.st_mode & 0o777) == (os.getuid(), 0o600 if shared else 0o620)
    assert not os.get_inheritable(master)
    pty.check(master)


def test_something_else_than_a_terminal_is_refused() -> None:
    with pytest.raises(Refusal):
        pty.check(os.open("/dev/null", os.O_RDWR))
