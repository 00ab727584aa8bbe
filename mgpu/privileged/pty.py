"""The opening of a job's terminal, by its child, as the user: so the slave belongs to the user."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
import termios

from mgpu.privileged.refusal import Refusal

#: What the child says on its pipe when it sends the terminal.
TERMINAL = b"\1"
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_IUTF8 = 0o040000
_IFLAG = 0
_MASTER_DEVICE = os.makedev(5, 2)
#: What the owner may, and programs of the group tty, which write to terminals.
_MODE, _PRIVATE = 0o620, 0o600


def open_pair(rows: int, columns: int) -> tuple[int, int]:
    """A new terminal of this process's user: master and slave, neither of them controlling.

    The slave is had from the master itself, not by a path: no mount can be in the way.
    """
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    # Its group is tty where devpts is mounted as usual; else it is the user's, which may be shared.
    os.fchmod(slave, _PRIVATE if os.fstat(slave).st_gid == os.getegid() else _MODE)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    modes = termios.tcgetattr(slave)
    modes[_IFLAG] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    return master, slave


def send(pipe: int, fds: tuple[int, ...]) -> None:
    """Send the terminal to whoever holds the other end of ``pipe``."""
    line = socket.socket(fileno=pipe)
    try:
        socket.send_fds(line, [TERMINAL], fds)
    finally:
        line.detach()


def control(slave: int) -> None:
    """Make ``slave`` the controlling terminal of this session, which has none."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def check(master: int) -> None:
    """``Refusal`` unless ``master`` is the master of a terminal."""
    found = os.fstat(master)
    # A pty's master has the number of /dev/ptmx, or of devpts's own node, which is the same.
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _MASTER_DEVICE:
        raise Refusal("terminal", 0, "the job's child sent something else than a terminal")
