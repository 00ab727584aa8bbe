"""From a fork of the launcher to the supervisor of an attempt.

The fork comes before the order: a spare process waits for one, so that a start does not wait for
the fork. What does not depend on the order is done while it waits.
"""

from __future__ import annotations

import errno
import os
import socket

from mgpu.privileged import identity, log, syscalls
from mgpu.privileged.childbirth import fork
from mgpu.privileged.order import Order
from mgpu.privileged.record import Fenced
from mgpu.privileged.refusal import Refusal
from mgpu.privileged.supervisor import Supervisor
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from mgpu.privileged.cgroup import Group
    from mgpu.privileged.loop import Deadlines
    from mgpu.privileged.site import Site

#: The next spare is forked this long after an order, when the job it is for has been started.
_SPARE_SECONDS = 0.004
_AFTER_LOSS_SECONDS = 1.0
_CRASHED = 70


class Spare:
    """The launcher's side: one process that waits to become a supervisor."""

    __slots__ = ("_deadlines", "_line", "_site", "pid")

    def __init__(self, site: Site, deadlines: Deadlines) -> None:
        self._site = site
        self._deadlines = deadlines
        self._line: socket.socket | None = None
        self.pid = 0

    def refill(self) -> None:
        """Fork a spare, if there is none."""
        if self.pid:
            return
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        groups = self._site.groups
        place = groups.supervisors if groups else None
        pid, entered = fork(place)
        if pid == 0:
            main(self._site, far, None if entered else place)
        far.close()
        self.pid, self._line = pid, near

    def give(self, message: link.Message, fds: list[int]) -> int:
        """Make the spare the supervisor of the order ``message``; its pid."""
        try:
            data = link.encode(message)  # what no order needs can have grown beyond a message
        except link.LinkError as error:
            raise Refusal("order", errno.EINVAL, str(error), transient=False) from error
        try:
            pid = self._send(data, fds)
        except OSError:  # it died while it waited
            pid = self._send(data, fds)
        self._deadlines.set("spare", _SPARE_SECONDS)
        return pid

    def _send(self, data: bytes, fds: list[int]) -> int:
        self.refill()
        pid, line = self.pid, self._line
        self.pid, self._line = 0, None
        if line is not None:
            with line:
                link.send_bytes(line, data, fds)
        return pid

    def forget(self) -> None:
        """Let it end: another is to be forked in its place."""
        self.pid = 0
        if self._line is not None:
            self._line.close()  # which ends it
            self._line = None

    def lost(self) -> None:
        """It has ended without an order."""
        self.forget()
        self._deadlines.set("spare", _AFTER_LOSS_SECONDS)


def main(site: Site, line: socket.socket, place: Group | None) -> NoReturn:
    """The whole life of the forked process, which belongs into the group ``place``."""
    supervisor = None
    try:
        if place is not None:
            _enter(place)
        syscalls.keep_only([*site.fds(), line.fileno()])
        os.setsid()
        syscalls.set_subreaper()
        _forget_output()
        received = link.recv(line)
        line.close()
        if received is None:  # the launcher is gone
            os._exit(0)
        message, (payload, control) = received
        supervisor = Supervisor(Order(message), site)
        supervisor.channel.attach(socket.socket(fileno=control))
        _start(supervisor, payload)
        supervisor.run()
    except BaseException as error:
        _crash(supervisor, error)
    finally:
        os._exit(_CRASHED)


def _enter(place: Group) -> None:
    """Go where supervisors are; one that cannot does its work where it was born."""
    try:
        place.enter()
    except OSError as error:
        log.warning("Cannot enter the group of supervisors", "supervisor-group", reason=error)


def _start(supervisor: Supervisor, payload: int) -> None:
    """Start; a failure becomes a refusal that the scheduler is told, and never by root."""
    try:
        _try(supervisor, payload)
    except Fenced:
        supervisor.kill()
        os._exit(0)
    except OSError as error:
        supervisor.refusal = Refusal.of(supervisor.stage, error)
    except Exception as error:  # a fault of ours must not look like a lost supervisor
        detail = f"internal error: {place_of(error)}"
        supervisor.refusal = Refusal(supervisor.stage, 0, detail)


def _try(supervisor: Supervisor, payload: int) -> None:
    try:
        supervisor.start(payload)
    finally:
        if os.getuid() == 0:
            identity.become_supervisor(supervisor.site.uid, supervisor.site.gid)


def _forget_output() -> None:
    """The launcher's terminal or log pipe is not to be held open for the life of a job."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _crash(supervisor: Supervisor | None, error: BaseException) -> None:
    """A fault of ours: leave nothing running, and a word about it in the attempt's folder."""
    if supervisor is None:
        return
    try:
        supervisor.kill()
    finally:
        if supervisor.attempt is not None:
            supervisor.attempt.note(place_of(error))


def place_of(error: BaseException) -> str:
    """The error and where it was raised."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{error!r}{where}"
