"""System calls that Python does not offer, one thin function each. None changes identity.

All fail through ``check``, which turns errno into an ``OSError`` with advice where the errno alone
would mislead. The calls keep the interpreter's lock: none of them blocks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

libc = ctypes.PyDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

_ADVICE = {
    errno.ENOSYS: "this kernel does not have it, or a sandbox hides it",
    errno.EPERM: "root's capabilities are restricted: look at the service's unit or container",
}
_MACHINE = os.uname().machine

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SYS_CLONE3 = 435
_CLONE_INTO_CGROUP = 0x200000000
_CLOCK_BOOTTIME = 7
_TFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_EVERY_FD = 0x7FFFFFFF
_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}


def check(result: int, name: str) -> int:
    """``result`` of the call ``name``; an ``OSError`` when it failed."""
    if result == -1:
        code = ctypes.get_errno()
        raise failure(name, code)
    return result


def failure(name: str, code: int) -> OSError:
    """The error of the system call ``name``, with advice where there is some."""
    advice = f" ({_ADVICE[code]})" if code in _ADVICE else ""
    return OSError(code, f"{name}: {os.strerror(code)}{advice}")


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """prctl(2) with up to three arguments that are numbers."""
    longs = [ctypes.c_ulong(argument) for argument in (value, third, 0, 0)]
    return check(libc.prctl(option, *longs), "prctl")


def set_undumpable() -> None:
    """Close this process's memory and /proc entries to others of its uid."""
    prctl(_PR_SET_DUMPABLE, 0)


def set_subreaper() -> None:
    """Make orphaned descendants children of this process."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_death_signal(signum: int) -> None:
    """Have the kernel send ``signum`` to this process when its parent dies.

    A change of uid clears it, so it comes after the drop.
    """
    prctl(_PR_SET_PDEATHSIG, signum)


def block_signals(signums: Iterable[int]) -> int:
    """Block ``signums`` and return a signalfd(2) that reports them instead."""
    numbers = set(signums)
    signal.pthread_sigmask(signal.SIG_SETMASK, numbers)
    mask = sum(1 << (number - 1) for number in numbers)
    data = ctypes.create_string_buffer(struct.pack("Q", mask) + bytes(120), 128)
    return check(libc.signalfd(-1, data, _TFD_NONBLOCK_CLOEXEC), "signalfd")


def read_signals(fd: int) -> set[int]:
    """The signals that have arrived at a ``block_signals`` descriptor."""
    try:
        data = os.read(fd, 128 * 16)
    except BlockingIOError:
        return set()
    return {number for (number,) in struct.iter_unpack("I124x", data)}


def timer() -> int:
    """A timerfd(2) on CLOCK_BOOTTIME, which goes on in suspend and cannot be set."""
    return check(libc.timerfd_create(_CLOCK_BOOTTIME, _TFD_NONBLOCK_CLOEXEC), "timerfd_create")


def set_timer(fd: int, deadline: float) -> None:
    """Let ``fd`` become readable at ``deadline`` (boot time); 0 turns it off."""
    seconds = int(deadline)
    nanoseconds = int((deadline - seconds) * 1e9)
    spec = ctypes.create_string_buffer(struct.pack("4q", 0, 0, seconds, nanoseconds), 32)
    check(libc.timerfd_settime(fd, 1, spec, None), "timerfd_settime")


def fork_into(group: int) -> int:
    """Fork a child that is born in the cgroup whose folder ``group`` is open; its pid, 0 in it.

    Moving a process into a cgroup afterwards waits for an RCU grace period, 10 to 20 ms on an idle
    machine; being born there costs nothing. Raises ``OSError`` where the kernel or a sandbox does
    not allow it.
    """
    fields = (_CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
    arguments = ctypes.create_string_buffer(struct.pack("11Q", *fields), 88)
    # What os.fork does around fork(2): the interpreter must know that it was copied.
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = libc.syscall(ctypes.c_long(_SYS_CLONE3), arguments, ctypes.c_size_t(88))
    code = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid == -1:
        raise failure("clone3", code)
    return pid


def keyctl(operation: int, argument: int) -> int:
    """keyctl(2), which has no wrapper in libc; ``OSError`` ENOSYS on an unknown machine."""
    number = _SYS_KEYCTL.get(_MACHINE)
    if number is None:
        raise failure("keyctl", errno.ENOSYS)
    longs = [ctypes.c_long(value) for value in (number, operation, argument, 0, 0, 0)]
    return check(libc.syscall(*longs), "keyctl")


class Buffer:
    """Bytes at a fixed address, for as long as it is referred to."""

    __slots__ = ("_bytes", "address")

    def __init__(self, data: bytes) -> None:
        self._bytes = ctypes.create_string_buffer(data, len(data))
        self.address = ctypes.addressof(self._bytes)

    def __len__(self) -> int:
        return len(self._bytes)


def bpf(command: int, attributes: bytes) -> int:
    """bpf(2); ``OSError`` ENOSYS on an unknown machine."""
    number = _SYS_BPF.get(_MACHINE)
    if number is None:
        raise failure("bpf", errno.ENOSYS)
    buffer = Buffer(attributes)
    longs = [ctypes.c_long(value) for value in (number, command, buffer.address, len(buffer))]
    return check(libc.syscall(*longs), "bpf")


def keep_only(fds: Iterable[int]) -> None:
    """Close every descriptor but standard input, output, error and ``fds``."""
    first = 3
    for fd in sorted(fd for fd in fds if fd >= first):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _EVERY_FD)
