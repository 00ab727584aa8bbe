"""``mgpud end-jobs``: what ends running jobs when the machine goes down or mgpu is removed.

Each supervisor is told; it gives its job the time that it may have, and records that the job is to
go on another time. The daemon should be stopped before, or it starts the next ones at once.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys

from mgpu.privileged import clock, log, startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: What a supervisor may do, as /proc/PID/status has it: signal processes, and nothing else.
_CAPABILITIES = b"0000000000000020"
#: How the daemon is ended, and the seconds it has to do so: as mgpu.service does it.
_STEPS = ((signal.SIGTERM, 20), (signal.SIGKILL, 5))


def main(settings_fd: int, stop: int, seconds: int) -> NoReturn:
    """Tell all supervisors to end their jobs; wait up to ``seconds`` until they have."""
    settings = startup.read_settings(settings_fd)
    log.configure(settings.level, settings.log_format)
    if stop:
        stop_daemon(settings.runtime)
    whose = os.path.join(settings.state, "attempts"), _uid(settings)
    told = [fd for pid in supervisors(*whose) if (fd := tell(pid, *whose)) >= 0]
    log.info("Ending the jobs; they go on another time", "end-jobs", supervisors=len(told))
    left = wait(told, seconds)
    if left:
        log.warning("Jobs are still running", "end-jobs-late", supervisors=left)
    sys.exit(1 if left else 0)


def stop_daemon(runtime: str) -> None:
    """End the daemon whose runtime directory it is, if it runs, even one that is stopped."""
    pid = holder(os.path.join(runtime, "lock"))
    try:
        fd = os.pidfd_open(pid)
    except OSError:  # there is none, or it has just ended
        return
    for number, seconds in _STEPS:
        log.info("Ending the daemon", "end-daemon", pid=pid, signal=number.name)
        if not _send(fd, number) or not wait([fd], seconds):
            break
    os.close(fd)


def holder(path: str) -> int:
    """The process that holds a lock and has written its pid there; 0 where nobody holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(fd, 32, 0) or 0)
    finally:
        os.close(fd)
    return 0


def supervisors(attempts: str, uid: int) -> list[int]:
    """The supervisors whose attempts lie in the folder ``attempts``, as far as can be seen."""
    pids = [name for name in os.listdir("/proc") if name.isdecimal()]
    return [int(pid) for pid in pids if _is(pid, attempts, uid)]


def tell(pid: int, attempts: str, uid: int) -> int:
    """Send SIGTERM to a supervisor; a descriptor that is readable when it is gone, -1 if it is."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return -1
    if _is(str(pid), attempts, uid) and _send(fd, signal.SIGTERM):  # still the one that was found
        return fd
    os.close(fd)
    return -1


def wait(fds: list[int], seconds: float) -> int:
    """Wait until all of the processes are gone; how many are not after ``seconds``."""
    deadline = clock.boot() + seconds
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    left = len(fds)
    while left and (remaining := deadline - clock.boot()) > 0:
        for fd, _events in poll.poll(remaining * 1000):
            poll.unregister(fd)
            left -= 1
    return left


def _send(pidfd: int, number: int) -> bool:
    """Send a signal; whether there was still a process to get it."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    return True


def _uid(settings: startup.Settings) -> int:
    """The service's user, which is the supervisors' too; nobody's number where there is none."""
    try:
        return startup.account(settings.service, "access.service_user")[0]
    except startup.StartError as error:
        log.error(str(error), "end-jobs")
        return -1


def _is(pid: str, attempts: str, uid: int) -> bool:
    """Whether the process has a supervisor's user and rights, and has that folder open.

    Without the first, anybody could look like one from a namespace of their own, and be waited for.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().split(b"\n")
        if {b"CapPrm:\t" + _CAPABILITIES, b"Uid:" + b"\t%d" % uid * 4} - set(lines):
            return False
        return any(_leads(f"/proc/{pid}/fd/{fd}", attempts) for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def _leads(link: str, target: str) -> bool:
    try:
        return os.readlink(link) == target
    except OSError:
        return False
