"""Questions about the history, handed to a process of their own one after the other.

The scheduler never reads the history itself: a question costs it two messages. Users take turns.
"""

from __future__ import annotations

import os
import socket
import subprocess
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgpack

from mgpu.daemon import historian
from mgpu.daemon.loop import Loop
from mgpu.model.errors import MgpuError
from mgpu.model.time import Now
from mgpu.protocol import link
from mgpu.store.reports import Question
from mgpu.system.log import log

#: Questions of one user that are not answered, or whose answer is not taken, at the most.
MOST: Final = 4
#: Seconds after which a question is given up.
PATIENCE: Final = 30.0
#: Seconds without a question after which the process is ended.
IDLE: Final = 60.0

Parts = Iterator[dict[str, Any]]
Then = Callable[["Parts | MgpuError", Now], None]

_TOO_MANY: Final = MgpuError(
    "LimitReached",
    f"{MOST} of your questions about the history are not answered yet",
    hint="wait for their answers",
)


class _Asked(NamedTuple):
    uid: int
    question: Question
    then: Then
    again: bool = False


class History:
    """Asks the process, starts it when it is needed, and ends it when it hangs.

    ``damaged`` is told what is wrong when a check of the database finds something.
    """

    def __init__(self, loop: Loop, folder: str, damaged: Callable[[str], None]) -> None:
        self._loop = loop
        self._folder = folder
        self._damaged = damaged
        self._waiting: dict[int, deque[_Asked]] = {}
        self._open: dict[int, int] = {}
        self._asked: _Asked | None = None
        self._checking = self._check = False
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._deadline: float | None = None

    def check(self, now: Now) -> None:
        """Have the whole database checked."""
        self._check = True
        self._next(now)

    def ask(self, uid: int, question: Question, then: Then, now: Now) -> None:
        """Ask on behalf of ``uid``; ``then`` gets the parts of the answer, or what went wrong."""
        if self._open.get(uid, 0) >= MOST:
            raise _TOO_MANY
        self._open[uid] = self._open.get(uid, 0) + 1
        self._waiting.setdefault(uid, deque()).append(_Asked(uid, question, then))
        if self._checking:  # nobody waits for that: it begins anew when nothing is asked
            self.stop()
            self._check = True
        self._next(now)

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        yield self._deadline

    def expire(self, now: Now) -> None:
        """Give up what takes too long; end the process that nobody needs."""
        if self._deadline is None or now.boot < self._deadline:
            return
        late, checking = self._asked, self._checking
        self.stop()
        if late is not None:
            log.warning("the history does not answer", action="history-late", uid=late.uid)
            hint = "ask for less: a shorter time with --since, or fewer tables"
            text = f"the history did not answer within {PATIENCE:.0f} s"
            self._answer(late, MgpuError("LimitReached", text, hint=hint), now)
        elif checking:
            log.warning("the check of the database is given up", action="check-late")
        self._next(now)

    def stop(self) -> None:
        """End the process."""
        self._asked, self._deadline, self._checking = None, None, False
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # -- one after the other ----------------------------------------------------------------------

    def _next(self, now: Now) -> None:
        while self._waiting and self._asked is None and not self._checking:
            self._put(self._turn(), now)
        if self._asked is not None or self._checking:
            return
        if self._check:
            self._check, self._checking = False, True
            self._deadline = now.boot + 100 * PATIENCE
            self._send({"op": "check"}, [], now)
        else:
            self._deadline = now.boot + IDLE if self._process is not None else None

    def _turn(self) -> _Asked:
        """The question of the user whose turn it is; the next one's comes before another of it."""
        uid, mine = next(iter(self._waiting.items()))
        asked = mine.popleft()
        del self._waiting[uid]
        if mine:
            self._waiting[uid] = mine
        return asked

    def _put(self, asked: _Asked, now: Now) -> None:
        try:
            paper = historian.to_file(iter([historian.pack(asked.question)]))
        except OSError as error:  # of the scheduler itself: the process has done nothing wrong
            log.warning("a question cannot be put", action="history-failed", error=str(error))
            self._answer(asked, _failure(str(error)), now)
            return
        self._asked, self._deadline = asked, now.boot + PATIENCE
        try:
            self._send({"op": "ask"}, [paper], now)
        finally:
            os.close(paper)

    def _send(self, message: dict[str, Any], fds: list[int], now: Now) -> None:
        try:
            link.send(self._running(), message, fds)
        except OSError as error:
            self._failed(str(error), now)

    def _running(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = historian.start(theirs.fileno(), self._folder)
            ours.setblocking(False)
            self._socket = ours
            self._loop.watch(ours.fileno(), lambda _mask, now: self._hear(now))
        return self._socket

    def _hear(self, now: Now) -> None:
        assert self._socket is not None  # noqa: S101 - it is watched
        try:
            received = link.recv(self._socket)
        except BlockingIOError:
            return
        if received is None:
            self._failed("its process has ended", now)
            self._next(now)
            return
        message, fds = received
        asked, self._asked = self._asked, None
        if message["op"] == "checked":
            self._checked(message["verdict"])
        elif asked is not None and fds:
            self._answer(asked, self._parts(asked.uid, fds[0]), now)
        elif asked is not None:
            why = message.get("error", "there is no descriptor left for the answer")
            self._answer(asked, _failure(why), now)
        self._next(now)

    def _checked(self, verdict: str) -> None:
        self._checking = False
        if verdict:
            self._damaged(verdict)

    def _failed(self, why: str, now: Now) -> None:
        asked = self._asked
        self.stop()
        log.warning("the history cannot be read", action="history-failed", error=why)
        if asked is not None and asked.again:
            self._answer(asked, _failure(why), now)
        elif asked is not None:  # it may not be the fault of the question
            self._waiting.setdefault(asked.uid, deque()).appendleft(asked._replace(again=True))

    # -- answers ----------------------------------------------------------------------------------

    def _answer(self, asked: _Asked, answer: Parts | MgpuError, now: Now) -> None:
        if isinstance(answer, MgpuError):
            self._taken(asked.uid)
        asked.then(answer, now)

    def _parts(self, uid: int, fd: int) -> Parts:
        """The parts in the file ``fd``, read as they are taken."""
        parts = _Parts(fd)
        weakref.finalize(parts, self._taken, uid)
        return parts

    def _taken(self, uid: int) -> None:
        left = self._open.get(uid, 0) - 1
        if left > 0:
            self._open[uid] = left
        else:
            self._open.pop(uid, None)


class _Parts:
    """Reads one part after the other; the file goes with it."""

    def __init__(self, fd: int) -> None:
        self._file = open(fd, "rb")  # noqa: SIM115 - it is closed with this object
        self._file.seek(0)
        weakref.finalize(self, self._file.close)
        self._unpacker = msgpack.Unpacker(self._file)

    def __iter__(self) -> _Parts:
        return self

    def __next__(self) -> dict[str, Any]:
        part: dict[str, Any] = next(self._unpacker)
        return part


def _failure(why: str) -> MgpuError:
    hint = "ask the administrator to look into the log of mgpud"
    return MgpuError("Internal", f"the history cannot be read: {why}", hint=hint)
