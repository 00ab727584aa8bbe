"""The scheduler process as the launcher sees it: started, spoken to, started again when it dies."""

from __future__ import annotations

import os
import signal
import socket

from mgpu.privileged import identity, syscalls
from mgpu.privileged.program import command, environment, in_memory, needed, unreachable
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from mgpu.privileged.site import Site

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_PROGRAM = ("mgpu.daemon.main", "sys.exit(main(sys.argv[1:]))")


class Scheduler:
    """One life of the scheduler after the other; ``argv`` is another program in its place."""

    __slots__ = (
        *("_command", "_delay", "_inherited", "_site"),
        *("asked", "link", "pid", "ready", "settings"),
    )

    def __init__(
        self,
        site: Site,
        settings: bytes,
        sockets: tuple[socket.socket, socket.socket],
        argv: Sequence[str] | None,
    ) -> None:
        self._site = site
        self.settings = settings
        self._inherited = sockets
        self._command = list(argv or command(*_PROGRAM))
        self._delay = 0.0
        self.pid = 0
        self.ready = False
        #: Whether it has been asked for a sign of life and has not given it.
        self.asked = False
        self.link: socket.socket | None = None

    def start(self) -> None:
        """Fork and execute a new one, with a new link."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = in_memory("settings", self.settings)
        user, admin = self._inherited
        fds = {"settings": settings, "user": user.fileno(), "admin": admin.fileno()}
        self.ready = self.asked = False
        paths = needed()  # found out as root: its successor may not be able to
        self.pid = os.fork()
        if self.pid == 0:
            self._become({**fds, "link": far.fileno()}, paths)
        os.close(settings)
        far.close()
        near.setblocking(False)
        self.link = near

    def _become(self, fds: dict[str, int], paths: Sequence[str]) -> NoReturn:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            identity.new_session_keyring()
            identity.become_service(self._site.uid, self._site.gid, [self._site.gid])
            if path := unreachable(paths):
                whom = f"the service user (uid {self._site.uid}) cannot reach {path}"
                raise PermissionError(f"{whom}; install mgpu where everybody can")
            syscalls.keep_only(fds.values())
            argv = list(self._command)
            for name, fd in fds.items():
                os.set_inheritable(fd, True)
                argv += [f"--{name}-fd", str(fd)]
            os.execve(argv[0], argv, environment())
        except BaseException as error:
            os.write(2, f"mgpud error: cannot run the scheduler: {error}\n".encode())
        finally:
            os._exit(71)

    def send(self, message: dict[str, Any], data: bytes = b"") -> bool:
        """Tell it something; False when it does not listen (any more).

        ``data`` is more than fits into a message: it goes as a file.
        """
        if self.link is None:
            return False
        fds = [in_memory("settings", data)] if data else []
        try:
            link.send(self.link, message, fds)
        except OSError:
            return False
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def pass_on(self, message: dict[str, Any], fd: int) -> None:
        """Tell it something, with a copy of a descriptor, if it listens."""
        try:
            if self.link is not None:
                link.send(self.link, message, [fd])
        except OSError:
            return  # it is ending: the next one is told again

    def signal(self, signum: int) -> None:
        """Send it a signal; it is our child, so its pid is its own until we reap it."""
        if self.pid:
            os.kill(self.pid, signum)

    def ended(self) -> float:
        """Note that it has been reaped; the seconds to wait before the next."""
        self.pid = 0
        if self.link is not None:
            self.link.close()
            self.link = None
        self._delay = min(max(self._delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
        return self._delay

    def stable(self) -> None:
        """It has been ready for a while: the next end is not one in a row."""
        self._delay = 0.0
