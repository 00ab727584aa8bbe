"""What a service manager gives and expects: inherited sockets, notifications, a watchdog."""

from __future__ import annotations

import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

_FIRST_FD = 3


def inherited_sockets(environ: MutableMapping[str, str], pid: int) -> dict[str, socket.socket]:
    """The sockets passed in, by their names (LISTEN_FDNAMES); none where they are not for us."""
    count, names = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_FDNAMES", "")
    if environ.pop("LISTEN_PID", "") != str(pid) or not count.isdecimal():
        return {}
    fds = range(_FIRST_FD, _FIRST_FD + int(count))
    for fd in fds:
        os.set_inheritable(fd, False)
    return {name: socket.socket(fileno=fd) for name, fd in zip(names.split(":"), fds, strict=False)}


def listens(sock: socket.socket) -> bool:
    """Whether it is what a daemon is called through: a Unix stream socket that listens.

    Of no other one does the kernel tell who connects.
    """
    kind = (sock.family, sock.type)
    listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(listening) and kind == (socket.AF_UNIX, socket.SOCK_STREAM)


def problem(name: str, sock: socket.socket, folder: str) -> str:
    """Why a socket that was passed in cannot be served; empty where it can."""
    if not listens(sock):
        return f"the socket {name!r} that was passed in is no Unix stream that listens"
    path = sock.getsockname()
    if os.path.realpath(os.path.dirname(path)) == os.path.realpath(folder):
        return ""
    return (
        f"the socket {path} was passed in, but clients look in {folder} (paths.runtime_dir):"
        " change ListenStream= of mgpu.socket and mgpu-admin.socket, or the setting"
    )


class Manager:
    """The service manager, if there is one (NOTIFY_SOCKET)."""

    __slots__ = ("_address", "watchdog")

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environ.pop("WATCHDOG_USEC", "")
        mine = environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: Seconds between two signs of life, 0 where none are wanted.
        self.watchdog = int(microseconds) / 2e6 if mine and microseconds.isdecimal() else 0.0

    def tell(self, state: str) -> None:
        """Send a notification such as ``READY=1``."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(state.encode(), self._address)
            except OSError:
                return  # the manager's own matter: it will see that we are silent
