"""The attempts that are under way: their supervisors, what was ordered, what they reported.

An attempt goes ordered -> live -> over. What is lost on the way is looked for in three places, in
this order: the supervisor's connection, its exit record, and the launcher, which kills what is left
of an attempt before the scheduler calls it lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mgpu.core import requests
from mgpu.daemon import limits
from mgpu.daemon.attemptdir import AttemptDirs, Key
from mgpu.daemon.endings import lost, report_of
from mgpu.daemon.launcherlink import LauncherLink
from mgpu.daemon.line import Line
from mgpu.daemon.loop import Loop
from mgpu.model.time import Now
from mgpu.protocol import link
from mgpu.system.log import log

#: Seconds between two tries to reach a supervisor that lives but does not listen yet, and tries.
RETRY = 0.1
TRIES = 100
#: Seconds between two looks at a supervisor that speaks another version of the link.
LOOK = 2.0


@dataclass(slots=True)
class Attempt:
    """One attempt under way; its log is to end with ``report``.

    ``stage`` is ordered, live, stopping or over. ``ready`` tells whether its supervisor said that
    the program may run, ``killing`` whether the launcher was asked to clear it away, ``grace`` the
    seconds of a stop that could not be delivered yet. ``child`` tells that the launcher is its
    supervisor's parent and has not seen it end, ``acked`` that its stored end was acknowledged.
    ``warned`` tells that the stop is one with a warning first, ``limit`` is a granted extension.
    ``supervisor`` is the pid of its supervisor, 0 where that is not known. ``foreign`` tells that
    this launcher does not hear of its end.
    """

    key: Key
    stage: str
    line: Line | None = None
    ready: bool = False
    killing: bool = False
    child: bool = False
    acked: bool = False
    grace: int | None = None
    deadline: float | None = None
    tries: int = 0
    warned: bool = False
    limit: int = 0
    report: str = ""
    supervisor: int = 0
    foreign: bool = False


class Attempts:
    """All attempts under way; calls ``report`` with each core report about one."""

    def __init__(
        self,
        loop: Loop,
        dirs: AttemptDirs,
        launcher: LauncherLink,
        report: Callable[[requests.Report], None],
    ) -> None:
        self._loop = loop
        self._dirs = dirs
        self._launcher = launcher
        self._report = report
        #: Told which processes of an attempt outlive SIGKILL.
        self.on_stuck: Callable[[Key, tuple[int, ...]], None] = lambda _key, _pids: None
        self._attempts: dict[Key, Attempt] = {}

    def observed(self) -> dict[Key, str]:
        """The stage of each attempt: the core's view of the world outside."""
        attempts = self._attempts.items()
        return {key: attempt.stage for key, attempt in attempts if not attempt.acked}

    def supervisors(self) -> dict[int, int]:
        """The job of each supervisor that is there, by its pid."""
        return {a.supervisor: key[0] for key, a in self._attempts.items() if a.supervisor}

    # -- orders ---------------------------------------------------------------------------------

    def launch(self, message: dict[str, Any], payload: int, now: Now) -> None:
        """Order the launcher to start an attempt; ``payload`` is a descriptor, given away."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            os.close(payload)
            raise
        attempt = Attempt((message["job"], message["attempt"]), "ordered")
        attempt.deadline = now.boot + limits.START_DEADLINE
        self._attempts[attempt.key] = attempt
        self._attach(attempt, ours)
        self._launcher.send(message, (payload, theirs.detach()))

    def stop(self, key: Key, grace: int, *, warn: bool = False) -> None:
        """End the attempt: SIGTERM now, SIGKILL after ``grace`` seconds.

        ``warn``: the warning that its owner asked for comes before. Then the attempt goes on to
        count as live, so that a plain stop can still follow.
        """
        attempt = self._attempts[key]
        if warn and attempt.warned:
            return
        attempt.warned = warn
        attempt.stage = attempt.stage if warn else "stopping"
        attempt.grace = grace
        self._deliver_stop(attempt)

    def extend(self, key: Key, seconds: int) -> None:
        """Let the attempt run ``seconds`` from its start in all."""
        attempt = self._attempts[key]
        attempt.limit = seconds
        self._send(attempt, {"op": "limit", "seconds": seconds})

    def signal(self, key: Key, number: int, *, leader: bool) -> bool:
        """Send a signal to the attempt, or to its first process alone; False if nobody hears it."""
        attempt = self._attempts.get(key)
        if attempt is None or attempt.line is None or attempt.stage == "over":
            return False
        self._send(attempt, {"op": "signal", "number": number, "leader": leader})
        return True

    def limits(self) -> dict[Key, int]:
        """The seconds that were granted to attempts beyond their order's limit."""
        return {key: a.limit for key, a in self._attempts.items() if a.limit}

    def acknowledge(self, key: Key) -> None:
        """The end of the attempt is stored: its supervisor may go, its folder with it."""
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.foreign:
            self._launcher.send({"op": "clear", "job": key[0], "attempt": key[1]})
        if attempt is None or attempt.line is None:
            self._attempts.pop(key, None)
            self._dirs.remove(key)
        else:
            attempt.acked = True
            report = {"report": attempt.report} if attempt.report else {}
            self._send(attempt, {"op": "ack", "job": key[0], "attempt": key[1], **report})

    def tell(self, key: Key, report: str) -> None:
        """Let the attempt's log end with ``report``, once its end is acknowledged."""
        if key in self._attempts:
            self._attempts[key].report = report

    def kill(self, key: Key) -> None:
        """Have the launcher kill whatever is left of the attempt."""
        attempt = self._attempts.setdefault(key, Attempt(key, "stopping", ready=True))
        if not attempt.killing:
            attempt.killing = True
            self._launcher.send({"op": "kill", "job": key[0], "attempt": key[1]})

    def adopt(self, key: Key, now: Now, *, ran: bool, child: bool) -> None:
        """Take over an attempt of an earlier scheduler, alive or not.

        ``ran``: its program is known to have run; ``child``: the launcher has its supervisor.
        """
        attempt = Attempt(key, "ordered", ready=ran, child=child, foreign=not child)
        self._attempts[key] = attempt
        self._find(attempt, now)

    def settled(self, key: Key, report: requests.Report) -> None:
        """What became of an attempt of an earlier scheduler is known; its folder goes later."""
        self._attempts[key] = Attempt(key, "over")
        self._report(report)

    def failed(self, key: Key, why: str, errno: int = 0) -> None:
        """An attempt could not even be ordered; with an ``errno`` it may succeed later."""
        self._attempts[key] = Attempt(key, "over")
        detail, passing = f"the scheduler cannot order it: {why}", errno != 0
        self._report(requests.AttemptRefused(*key, "scheduler", errno, detail, transient=passing))

    def attach(self, key: Key, read_only: bool) -> socket.socket | None:  # noqa: FBT001
        """A line to the attempt's terminal; None while its supervisor cannot be reached."""
        attempt = self._attempts.get(key)
        if attempt is None or attempt.line is None or attempt.stage == "over":
            return None
        message = {"op": "attach", "read_only": read_only}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                attempt.line.send(message, [theirs.fileno()])
            except OSError as error:  # asked again at the end of the next turn
                log.warning("cannot attach", action="attach-failed", error=error, **_ids(key))
                ours.close()
                return None
        return ours

    # -- what the launcher says -----------------------------------------------------------------

    def gone(self, key: Key) -> None:
        """The attempt's supervisor has exited."""
        attempt = self._attempts.get(key)
        if attempt is None:
            self._dirs.remove(key)
            return
        attempt.child = False
        self._receive(attempt)
        self._detach(attempt)
        if self._attempts.get(key) is attempt:
            self._settle(attempt)

    def refused(self, message: dict[str, Any]) -> None:
        """The launcher did not start the attempt at all."""
        attempt = self._attempts.get((message["job"], message["attempt"]))
        if attempt is not None:
            self._over(attempt, message)

    def killed(self, key: Key, now: Now) -> None:
        """Nothing of the attempt is left."""
        attempt = self._attempts.get(key)
        if attempt is None:
            return
        attempt.killing = False
        if attempt.stage == "over":
            return
        if attempt.line is not None:  # its supervisor lives and tells the end itself
            attempt.deadline = now.boot + limits.START_DEADLINE
            return
        record = self._dirs.record(key)
        ready = attempt.ready or self._dirs.identity(key) is not None
        self._over(attempt, record or lost(ready=ready))

    # -- finding --------------------------------------------------------------------------------

    def _find(self, attempt: Attempt, now: Now) -> None:
        """Connect to the supervisor if it lives; settle what became of it if not."""
        attempt.deadline = None
        if not self._dirs.alive(attempt.key):
            if attempt.child:  # it is only just making its folder, or we will hear that it ended
                self._retry(attempt, now)
            else:
                self._settle(attempt)
            return
        if not self._understood(attempt, now):
            return
        try:
            sock = self._dirs.connect(attempt.key)
        except OSError:
            self._retry(attempt, now)
            return
        attempt.stage = "stopping" if attempt.grace is not None else "live"
        self._attach(attempt, sock)
        self._deliver_stop(attempt)

    def _understood(self, attempt: Attempt, now: Now) -> bool:
        """Whether its supervisor, of another mgpu maybe, speaks as we do.

        If not, its job runs on as it was ordered, and its end is read from its record. To stop it
        is to have the launcher kill it.
        """
        told = self._dirs.identity(attempt.key) or {}
        if link.understood(told):
            return True
        if attempt.stage == "ordered":
            log.error(
                "a supervisor of another version of mgpu: its job runs on, out of reach until it "
                "ends; a cancel kills it at once",
                action="link-version",
                theirs=f"{told.get('link_oldest', 1)}-{told.get('link', 1)}",
                ours=f"{link.OLDEST}-{link.VERSION}",
                **_ids(attempt.key),
            )
        attempt.stage = "live" if attempt.grace is None else "stopping"
        attempt.deadline = now.boot + LOOK
        if attempt.grace is not None:
            self.kill(attempt.key)
        return False

    def _retry(self, attempt: Attempt, now: Now) -> None:
        attempt.tries += 1
        if attempt.tries > TRIES:
            self.kill(attempt.key)
        else:
            attempt.deadline = now.boot + RETRY

    def _settle(self, attempt: Attempt) -> None:
        """Its supervisor is dead: its record tells the end, else nothing may be left of it."""
        attempt.deadline = None
        if attempt.stage == "over":
            if attempt.acked:  # it may have died before it could remove its folder
                del self._attempts[attempt.key]
                self._dirs.remove(attempt.key)
            return
        record = self._dirs.record(attempt.key)
        if record is not None:
            self._over(attempt, record)
        else:
            self.kill(attempt.key)

    def deadlines(self) -> Iterator[float | None]:
        """Boot times at which :meth:`expire` has something to do."""
        return (attempt.deadline for attempt in self._attempts.values())

    def expire(self, now: Now) -> None:
        """Look again for supervisors; clear away attempts that do not get started."""
        for attempt in list(self._attempts.values()):
            if attempt.deadline is None or now.boot < attempt.deadline:
                continue
            attempt.deadline = None
            if attempt.line is None:
                self._find(attempt, now)
            else:
                log.warning(
                    "no word of it for too long", action="start-timeout", **_ids(attempt.key)
                )
                self.kill(attempt.key)

    # -- what a supervisor says -----------------------------------------------------------------

    def _attach(self, attempt: Attempt, sock: socket.socket) -> None:
        ids = _ids(attempt.key)
        attempt.line = Line(self._loop, sock, lambda _now: self._receive(attempt), **ids)

    def _detach(self, attempt: Attempt) -> None:
        if attempt.line is not None:
            attempt.line.close()
            attempt.line = None
            attempt.supervisor = 0

    def _send(self, attempt: Attempt, message: dict[str, Any]) -> None:
        if attempt.line is None:
            return
        try:
            attempt.line.send(message)
        except OSError:  # it is going away: its end is read from the socket or the record
            log.info("supervisor does not listen", action="supervisor-away", **_ids(attempt.key))

    def _deliver_stop(self, attempt: Attempt) -> None:
        if attempt.grace is not None and attempt.line is not None:
            warn = {"warn": True} if attempt.warned else {}
            self._send(attempt, {"op": "stop", "grace": attempt.grace, **warn})

    def _receive(self, attempt: Attempt) -> None:
        if attempt.line is not None:
            for message in attempt.line.messages():
                self._said(attempt, message)
            if attempt.line.closed:
                self._detach(attempt)
                self._settle(attempt)

    def _said(self, attempt: Attempt, message: dict[str, Any]) -> None:
        op = message["op"]
        if "stuck" in message:
            self.on_stuck(attempt.key, tuple(message["stuck"]))
        if op == "ready":
            attempt.ready = True
            if attempt.stage == "ordered":
                attempt.stage = "live"
        elif op == "running":
            attempt.ready = True
            attempt.deadline = None
            if attempt.stage == "ordered":
                attempt.stage = "live"
            started = Now(message["wall"], message["boot"])
            attempt.supervisor = message.get("supervisor", 0)  # those of before do not tell
            pid, ticks = message["pid"], message["ticks"]
            self._report(requests.AttemptRunning(*attempt.key, pid, ticks, started))
        elif op in ("ended", "refused", "interrupted"):
            self._over(attempt, message)
        else:
            log.warning("unknown message", action="link-unknown", op=op, **_ids(attempt.key))

    def _over(self, attempt: Attempt, message: dict[str, Any]) -> None:
        """The attempt is over, as ``message`` tells; report it once."""
        if attempt.stage == "over":
            return
        attempt.stage = "over"
        attempt.deadline = None
        self._report(report_of(attempt.key, message))


def _ids(key: Key) -> dict[str, int]:
    return {"job": key[0], "attempt": key[1]}
