"""The one file that changes uid, gid, groups or capabilities. Every change is verified.

Three ways down from root, none back: ``become_user`` (the job), ``become_supervisor`` (the service
user with CAP_KILL alone) and ``become_service`` (the scheduler, with nothing). Python's
``os.setresuid`` takes -1 and 2**32-1 for "leave it", so ids are checked before they are used.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from mgpu.privileged import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CAP_KILL = 5
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_NO_ID = 2**32 - 1


class IdentityError(OSError):
    """An identity that may not be taken, or that was not taken in full."""


def check_id(value: object, what: str) -> int:
    """``value``, if it is an ordinary uid or gid: not root's, not one that means "unchanged"."""
    if type(value) is not int or not 0 < value < _NO_ID:
        raise IdentityError(errno.EINVAL, f"{what} {value!r} is no identity to run as")
    return value


def become_user(uid: int, gid: int, groups: Sequence[int], *, allow_root: bool = False) -> None:
    """Become the user for good, with exactly ``groups``; verified, and no way back."""
    if uid == 0 and type(uid) is int and allow_root:
        _stay_root(gid, groups)
        return
    check_id(uid, "uid")
    check_id(gid, "gid")
    _clear_ambient()
    _take(uid, gid, groups)
    _set_capabilities(0)  # the inheritable ones have outlived the change of uid
    verify(uid, gid, groups)


def become_service(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Become the scheduler: the service user, no capability, none to be gained by any exec."""
    become_user(uid, gid, groups)
    syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def become_supervisor(uid: int, gid: int) -> None:
    """Become the service user that can still signal any process, and nothing else."""
    check_id(uid, "uid")
    check_id(gid, "gid")
    _clear_ambient()
    syscalls.prctl(_PR_SET_KEEPCAPS, 1)
    _take(uid, gid, [gid])
    _set_capabilities(1 << _CAP_KILL)
    syscalls.prctl(_PR_SET_KEEPCAPS, 0)
    verify(uid, gid, [gid], capabilities=1 << _CAP_KILL)
    syscalls.set_undumpable()


def verify(uid: int, gid: int, groups: Sequence[int], *, capabilities: int = 0) -> None:
    """Raise unless this process is exactly that user and cannot become root again."""
    _expect("uids", os.getresuid(), (uid, uid, uid))
    _expect("gids", os.getresgid(), (gid, gid, gid))
    _expect("groups", sorted(os.getgroups()), sorted(set(groups)))
    # The only way to read them is to set an impossible one, which changes nothing.
    _expect("fsuid", syscalls.libc.setfsuid(-1), uid)
    _expect("fsgid", syscalls.libc.setfsgid(-1), gid)
    _expect("capabilities", _capabilities(), (capabilities, capabilities, 0))
    _must_fail("setresuid", lambda: os.setresuid(0, 0, 0))
    _must_fail("setresgid", lambda: os.setresgid(0, 0, 0))
    _must_fail("setgroups", lambda: os.setgroups([0]))


def new_session_keyring() -> None:
    """Leave root's session keyring for an empty one, which the job then owns.

    Where keyctl is not to be had (a container's filter), the job cannot use it either.
    """
    try:
        syscalls.keyctl(_KEYCTL_JOIN_SESSION_KEYRING, 0)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


class FilesAs:
    """``with FilesAs(uid, gid):`` root's file accesses are the service user's, also its rights.

    So the launcher needs no capability for what belongs to that user.
    """

    __slots__ = ("_ids",)

    def __init__(self, uid: int, gid: int) -> None:
        self._ids = check_id(uid, "uid"), check_id(gid, "gid")

    def __enter__(self) -> None:
        self._set(*self._ids)

    def __exit__(self, *_error: object) -> None:
        self._set(0, 0)

    def _set(self, uid: int, gid: int) -> None:
        for call, value in ((syscalls.libc.setfsgid, gid), (syscalls.libc.setfsuid, uid)):
            call(value)
            if call(-1) != value:
                raise IdentityError(errno.EPERM, f"cannot use files as {uid}:{gid}")


def _clear_ambient() -> None:
    """Drop the capabilities that would survive an exec."""
    try:
        syscalls.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError as error:
        if error.errno != errno.EINVAL:  # kernels without ambient capabilities
            raise


def _take(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Groups first and uid last: afterwards nothing could be changed any more."""
    _call("setgroups", lambda: os.setgroups(groups))
    _call("setresgid", lambda: os.setresgid(gid, gid, gid))
    _call("setresuid", lambda: os.setresuid(uid, uid, uid))


def _stay_root(gid: int, groups: Sequence[int]) -> None:
    """A job of root itself, where the configuration allows it."""
    _clear_ambient()
    _take(0, gid, groups)
    _expect("groups", sorted(os.getgroups()), sorted(set(groups)))


def _capabilities() -> tuple[int, int, int]:
    """Effective, permitted and inheritable capabilities."""
    data = ctypes.create_string_buffer(24)
    syscalls.check(syscalls.libc.capget(_capability_header(), data), "capget")
    e0, p0, i0, e1, p1, i1 = struct.unpack("6I", data.raw)
    return e0 | e1 << 32, p0 | p1 << 32, i0 | i1 << 32


def _set_capabilities(mask: int) -> None:
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = ctypes.create_string_buffer(struct.pack("6I", low, low, 0, high, high, 0), 24)
    syscalls.check(syscalls.libc.capset(_capability_header(), data), "capset")


def _capability_header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 8)


def _call(name: str, function: Callable[[], None]) -> None:
    try:
        function()
    except OSError as error:
        raise syscalls.failure(name, error.errno or 0) from error


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise IdentityError(errno.EPERM, f"after the drop, {what} are {found}, not {wanted}")


def _must_fail(name: str, function: Callable[[], None]) -> None:
    try:
        function()
    except OSError as error:
        if error.errno == errno.EPERM:
            return
        raise
    raise IdentityError(errno.EPERM, f"{name} to root still succeeds after the drop")
