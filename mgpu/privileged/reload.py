"""Reading the configuration anew: in a fresh process, since the launcher holds no parser."""

from __future__ import annotations

import os
import signal

import msgpack

from mgpu.privileged import log, startup, syscalls
from mgpu.privileged.helpers import helpers
from mgpu.privileged.program import command, in_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from mgpu.privileged.loop import Deadlines

#: How long the reader may take.
READ_SECONDS = 10.0
_LARGEST = 16 << 20
#: Bytes of problems that are passed on; all of them are in the log.
_TOLD = 16_000


class Reload:
    """At most one reader at a time; ``done`` is called with the new settings, or the problems."""

    __slots__ = ("_again", "_deadlines", "_done", "_out", "_raw", "pid")

    def __init__(
        self,
        raw: Callable[[], bytes],
        deadlines: Deadlines,
        done: Callable[[startup.Settings | None, dict[str, Any]], None],
    ) -> None:
        self._raw = raw
        self._deadlines = deadlines
        self._done = done
        self._again = False
        self._out = -1
        self.pid = 0

    def begin(self) -> None:
        """Read the configuration; once more when it was asked for meanwhile."""
        if self.pid:
            self._again = True
            return
        try:
            self._fork()
        except OSError as error:
            self._done(*_judged({"problems": [f"it cannot be read now: {error.strerror}"]}))
        else:
            self._deadlines.set("reload", READ_SECONDS)

    def _fork(self) -> None:
        current, self._out = in_memory("settings", self._raw()), in_memory("answer")
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _become(current, self._out)
        except OSError:
            os.close(self._out)
            raise
        finally:
            os.close(current)

    def late(self) -> None:
        """The reader takes too long: its end is its answer."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def ended(self, status: int) -> None:
        """The reader has been reaped."""
        self.pid = 0
        self._deadlines.clear("reload")
        answer = _answer(self._out, status)
        os.close(self._out)
        self._done(*_judged(answer))
        if self._again:
            self._again = False
            self.begin()


def _become(current: int, out: int) -> NoReturn:
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        syscalls.keep_only([current, out])
        for fd in (current, out):
            os.set_inheritable(fd, True)
        argv = command("mgpu.config.reload", f"main({current}, {out})")
        given = {name: text for name, text in os.environ.items() if name.startswith("MGPU_")}
        os.execve(argv[0], argv, given)
    finally:
        os._exit(71)


def _answer(out: int, status: int) -> dict[str, Any]:
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        how = "took too long" if code == -signal.SIGKILL else f"ended with {code}"
        return {"problems": [f"the process that reads the configuration {how}"]}
    found: dict[str, Any] = msgpack.unpackb(os.pread(out, _LARGEST, 0))
    return found


def _judged(answer: dict[str, Any]) -> tuple[startup.Settings | None, dict[str, Any]]:
    """The settings, if root's part of them can be used, and what the scheduler is told."""
    problems = list(answer.get("problems", ()))
    settings = None
    if not problems:
        try:
            settings = _usable(answer)
        except startup.StartError as error:
            problems = [str(error)]
    for problem in problems:
        log.error(f"The configuration is not applied: {problem}", "reload-refused")
    if settings is None:
        return None, {"op": "reloaded", "problems": _bounded(problems)}
    changed, waiting = answer["changed"], answer["waiting"]
    return settings, {"op": "reloaded", "changed": changed, "waiting": waiting}


def _usable(answer: dict[str, Any]) -> startup.Settings:
    """The settings, with the helpers that they ask for; raises StartError."""
    settings = startup.Settings(msgpack.packb(answer["settings"]))
    account = answer.get("account")
    if account is not None:
        settings.helpers = helpers(settings, tuple(account))
    return settings


def _bounded(problems: list[str]) -> list[str]:
    told: list[str] = []
    size = 0
    for problem in problems:
        size += len(problem.encode("utf-8", "replace"))
        if size > _TOLD:
            return [*told, f"and {len(problems) - len(told)} more, which are in the log"]
        told.append(problem)
    return told
