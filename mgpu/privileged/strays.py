"""Ends a process that holds a GPU and belongs to no job any more, or never did.

The scheduler names it. It could as well start a job as that user who kills it, so nothing is gained
by whoever takes the scheduler over: processes of root, of system accounts and of mgpu are refused.
"""

from __future__ import annotations

import errno
import os
import signal

from mgpu.privileged import log
from mgpu.privileged.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mgpu.privileged.site import Site

_MOST = 2**63 - 1
_WHYS = ("outsider", "leftover")


def kill(message: dict[str, Any], site: Site) -> None:
    """SIGKILL the process of an order, if it is still the one that is meant; ``Refusal`` if not."""
    pid, ticks, uid = (_number(message, key) for key in ("pid", "ticks", "uid"))
    why = message.get("why")
    if why not in _WHYS:
        raise _bad(f"why: expected one of {', '.join(_WHYS)}, got {why!r:.80}")
    if uid in (0, site.uid) or site.rules.problem(uid):
        raise Refusal("order", errno.EPERM, f"processes of uid {uid} are not ended")
    fd = _open(pid)
    if fd < 0:
        return
    try:
        if identity(pid) == (ticks, {uid}):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            log.warning("Killed a process on a GPU", "process-killed", pid=pid, uid=uid, why=why)
    except ProcessLookupError:
        return  # it has just ended
    finally:
        os.close(fd)


def identity(pid: int) -> tuple[int, set[int]]:
    """When the process began (clock ticks since the boot) and all its uids; nothing if it is gone.

    A process that runs with the rights of somebody else besides is not the user's.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat, open(f"/proc/{pid}/status", "rb") as status:
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
            lines = status.read().splitlines()
    except (OSError, IndexError):
        return 0, set()
    return ticks, {int(word) for line in lines if line[:4] == b"Uid:" for word in line.split()[1:]}


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        return -1


def _number(message: dict[str, Any], key: str) -> int:
    value = message.get(key)
    if type(value) is not int or not 0 < value <= _MOST:
        raise _bad(f"{key}: expected a positive integer, got {value!r:.80}")
    return value


def _bad(detail: str) -> Refusal:
    return Refusal("order", errno.EINVAL, f"kill_process: {detail}", transient=False)
