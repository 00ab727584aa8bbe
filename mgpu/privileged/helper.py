"""A process that serves the scheduler and may do nothing else: started, and again when it dies.

The launcher keeps the scheduler's end of its line open and gives a copy to each new scheduler, so
that the process does not notice when one goes and the next one comes.
"""

from __future__ import annotations

import os
import signal
import socket

import msgpack

from mgpu.privileged import identity, log, secretfiles, syscalls
from mgpu.privileged.program import command, environment, in_memory, needed, unreachable
from mgpu.privileged.trust import Untrusted
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from mgpu.privileged.loop import Deadlines
    from mgpu.privileged.scheduler import Scheduler

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
_STABLE_SECONDS = 10.0


class Helper:
    """One life of the process ``name`` after the other; its program is in ``module``.

    ``settings`` is what it needs of the configuration, ``account`` uid and gid that it runs as.
    """

    __slots__ = ("_account", "_delay", "_module", "line", "name", "pid", "settings")

    def __init__(
        self, name: str, module: str, account: tuple[int, int], settings: dict[str, Any]
    ) -> None:
        self.name = name
        self._module = module
        self._account = account
        self.settings = settings
        self._delay = 0.0
        self.pid = 0
        self.line: socket.socket | None = None

    def start(self) -> None:
        """Fork and execute a new one, with a new line."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = needed()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(far.fileno(), paths)
        far.close()
        near.setblocking(False)
        self.line = near
        log.info("Started a helper", "helper-start", name=self.name, pid=self.pid)

    def renew(self, settings: dict[str, Any]) -> None:
        """Have it go on with other settings: what it is doing meanwhile is not broken off.

        What reads the secrets is another process, so that this one never holds them. One that
        cannot be told is ended, and started with the new settings.
        """
        self.settings = settings
        if self.line is not None and not self._has_told(self.line):
            log.warning("A helper is started anew", "helper-renewed", name=self.name, pid=self.pid)
            os.kill(self.pid, signal.SIGTERM)

    def _has_told(self, line: socket.socket) -> bool:
        try:
            pid = os.fork()
        except OSError:  # no room for a process
            return False
        if pid == 0:
            self._tell(line)
        return os.waitpid(pid, 0)[1] == 0

    def _tell(self, line: socket.socket) -> NoReturn:
        status = 71
        try:
            link.send(line, {"op": "settings"}, [self._hidden()])
            status = 0
        except (OSError, Untrusted) as error:
            log.error(f"Cannot tell the {self.name}: {error}", "helper-failed")
        finally:
            os._exit(status)

    def stop(self) -> int:
        """End it for good; the process that will be reaped, or 0."""
        if self.line is not None:
            self.line.close()
            os.kill(self.pid, signal.SIGTERM)
        return self.pid

    def ended(self, status: int) -> float:
        """Note that it has been reaped; the seconds to wait before the next."""
        code = os.waitstatus_to_exitcode(status)
        log.warning("A helper ended", "helper-end", name=self.name, pid=self.pid, status=code)
        self.pid = 0
        if self.line is not None:
            self.line.close()
            self.line = None
        self._delay = min(max(self._delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
        return self._delay

    def stable(self) -> None:
        """It has been there for a while: the next end is not one in a row."""
        self._delay = 0.0

    def _become(self, line: int, paths: Sequence[str]) -> NoReturn:
        uid, gid = self._account
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            identity.new_session_keyring()
            settings = self._hidden()
            identity.become_service(uid, gid, [gid])
            if path := unreachable(paths):
                raise PermissionError(f"uid {uid} cannot reach {path}")
            syscalls.keep_only([line, settings])
            for fd in (line, settings):
                os.set_inheritable(fd, True)
            argv = command(self._module, f"main({line}, {settings})")
            os.execve(argv[0], argv, environment())
        except (OSError, Untrusted) as error:
            log.error(f"Cannot run the {self.name}: {error}", "helper-failed")
        finally:
            os._exit(71)

    def _hidden(self) -> int:
        """A file in memory with the settings, and with the secrets that they name."""
        return in_memory(self.name, msgpack.packb(secretfiles.resolved(self.settings)))


class Helpers:
    """All of them: kept alive, and made known to each scheduler."""

    __slots__ = ("_deadlines", "_helpers", "_leaving", "_scheduler", "stopping")

    def __init__(
        self, helpers: Sequence[Helper], deadlines: Deadlines, scheduler: Scheduler
    ) -> None:
        self._helpers = {helper.name: helper for helper in helpers}
        self._deadlines = deadlines
        self._scheduler = scheduler
        self._leaving: set[int] = set()
        self.stopping = False

    def start(self) -> None:
        """Start all."""
        for name in self._helpers:
            self._start(name)

    def renew(self, wanted: Sequence[Helper]) -> None:
        """Those that go on know the settings of their counterparts in ``wanted`` from now on."""
        for one in wanted:
            if one.name in self._helpers:
                self._helpers[one.name].renew(one.settings)

    def change(self, wanted: Sequence[Helper]) -> None:
        """Start those that are new, and end those that are not in ``wanted``."""
        names = {one.name for one in wanted}
        for name in self._helpers.keys() - names:
            self._stop(name)
        for one in wanted:
            if one.name not in self._helpers and not self.stopping:
                self._helpers[one.name] = one
                self._start(one.name)

    def _stop(self, name: str) -> None:
        helper = self._helpers.pop(name)
        self._deadlines.clear(("helper", name))
        self._deadlines.clear(("stable", name))
        self._leaving |= {helper.stop()} - {0}
        log.info("Stopped a helper", "helper-stop", name=name, pid=helper.pid)

    def _start(self, name: str) -> None:
        try:
            self._helpers[name].start()
        except OSError as error:
            log.error("Cannot start a helper", "helper-failed", name=name, reason=error)
            self._deadlines.set(("helper", name), _STABLE_SECONDS)
            return
        self._deadlines.set(("stable", name), _STABLE_SECONDS)
        self._hand_over(self._helpers[name])

    def introduce(self) -> None:
        """Give a new scheduler its ends of the lines."""
        for helper in self._helpers.values():
            self._hand_over(helper)

    def _hand_over(self, helper: Helper) -> None:
        if helper.line is not None:
            message = {"op": "helper", "name": helper.name}
            self._scheduler.pass_on(message, helper.line.fileno())

    def pids(self) -> set[int]:
        """Those that run."""
        return self._leaving | {helper.pid for helper in self._helpers.values()} - {0}

    def ended(self, pid: int, status: int) -> None:
        """One has been reaped."""
        if pid in self._leaving:
            self._leaving.discard(pid)
            return
        helper = next(one for one in self._helpers.values() if one.pid == pid)
        self._deadlines.clear(("stable", helper.name))
        self._deadlines.set(("helper", helper.name), helper.ended(status))

    def due(self, what: str, name: str) -> None:
        """A moment that was set for one has passed; it may be gone since."""
        if name not in self._helpers:
            return
        if what == "stable":
            self._helpers[name].stable()
        elif not self.stopping:
            self._start(name)
