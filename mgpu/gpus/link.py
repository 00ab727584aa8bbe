"""The scheduler's end of the monitor process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from mgpu.gpus import page, probes
from mgpu.gpus.base import ANSWER_LIMIT, Failure, Leaders, Monitor, nothing_known, pack, unpack
from mgpu.gpus.memory import Memory
from mgpu.gpus.monitor import HEARTBEAT
from mgpu.gpus.simulated import SimulatedMonitor
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.time import Now
from mgpu.protocol import link

#: A driver that is not kept loaded takes this long to answer for the first time.
START_LIMIT: Final = 60.0
#: A process that is killed is gone by then, unless it hangs in the driver.
DEATH_LIMIT: Final = 0.2

_abandoned: list[subprocess.Popen[bytes]] = []


def open_monitor(settings: Mapping[str, Any], now: Now, memory: Memory | None = None) -> Monitor:
    """The monitor that the settings ask for. ``memory`` is what its predecessors have left."""
    memory = memory or Memory()
    if settings["gpus.backend"] == "simulated":
        return SimulatedMonitor(settings, now, memory)
    return MonitorLink(settings, now, memory)


class MonitorLink:
    """See :class:`mgpu.gpus.base.Monitor`. Starts the process; never waits for it."""

    def __init__(self, settings: Mapping[str, Any], now: Now, memory: Memory) -> None:
        self._interval: int = settings["gpus.poll_interval"]
        self._memory = memory
        self._coming: list[Gpu] = []
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        shared = page.create()
        with theirs:
            self._process = _start(theirs.fileno(), shared)
        self._page = page.Page(shared)
        os.close(shared)
        self._socket.setblocking(False)
        self._started = now.boot
        self._deadline: float | None = now.boot + ANSWER_LIMIT
        self._patience = START_LIMIT
        self._asked = False
        self._gone = self._final = False
        self._failure = Failure("hung")
        self._send(_setup(settings, memory))

    @property
    def pid(self) -> int:
        """The monitor's process id, for the log."""
        return self._process.pid

    def fileno(self) -> int | None:
        """The descriptor that becomes readable with news; None when there will be none."""
        return None if self._gone or self._final else self._socket.fileno()

    def request(self, now: Now, leaders: Leaders) -> None:
        """Ask for news soon. ``leaders`` maps first processes and supervisors to their jobs."""
        if self._final or self._gone:
            return
        self._send({"op": "look", "leaders": [[pid, job] for pid, job in leaders.items()]})
        if not self._asked and self._deadline is not None:
            self._deadline = min(self._deadline, now.boot + self._patience)
            self._asked = True

    def receive(self, now: Now) -> Inventory | None:
        """The newest inventory that has come since the last call, or None."""
        newest = None
        while (message := self._next()) is not None:
            if message["op"] == "gpu":
                self._coming.append(unpack(message["gpu"]))
            elif message["op"] == "replaced":
                self._failure = Failure("replaced")
                self._gone = True
            else:
                newest = self._inventory(message, now)
        return newest

    def deadline(self) -> float | None:
        """The boot time from which :meth:`expired` is true unless news comes before."""
        return self._deadline

    def expired(self, now: Now) -> bool:
        """Whether it has died or hangs: what it said last is no longer known to be true.

        What it asks the driver at this moment counts from when that call was begun.
        """
        if self._gone or self._deadline is None or now.boot < self._deadline:
            return self._gone
        call = self._page.read()
        if call is not None:
            limit = START_LIMIT if call.function == page.START else ANSWER_LIMIT
            self._deadline = max(self._deadline, self._page.since() + limit)
        elif self._patience == START_LIMIT:  # it has not come so far yet
            self._deadline = max(self._deadline, self._started + START_LIMIT)
        return now.boot >= self._deadline

    def forgive(self, uuid: str) -> None:
        """Forget the fault of a GPU: somebody has repaired it."""
        if not (self._final or self._gone):
            self._send({"op": "forgive", "uuid": uuid})

    def close(self) -> None:
        """End it, and wait but a moment: in a driver call it may not even die."""
        self._socket.close()
        by_itself, self._gone = self._gone, True
        if not by_itself:
            self._process.kill()
        try:
            code = self._process.wait(DEATH_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _abandoned.append(self._process)
            code = -signal.SIGKILL
        if by_itself and self._failure.kind == "hung" and code != -signal.SIGALRM:
            self._failure = Failure("died")

    def failure(self) -> Failure:
        """Why it had expired; to be asked when it is closed."""
        return self._failure._replace(call=self._page.read())

    def _inventory(self, message: Mapping[str, Any], now: Now) -> Inventory:
        gpus, self._coming = tuple(self._coming), []
        topology = tuple(map(tuple, message["topology"]))
        if message["final"]:
            self._finish()
        else:
            self._memory.gpus = gpus
            self._memory.slots = dict(message["slots"])
            self._memory.skipped = dict(message["skipped"])
        self._asked, self._patience = False, ANSWER_LIMIT
        quiet = self._interval * HEARTBEAT + ANSWER_LIMIT
        self._deadline = None if self._final else now.boot + quiet
        found = Inventory(message["backend"], gpus, topology)
        facts = {key: message[key] for key in ("driver", "taken", "hidden")}
        return found._replace(**facts)

    def _finish(self) -> None:
        """It has said its last word and is about to end: have done with it."""
        self._final = True
        self._process.kill()
        self._process.wait()

    def _next(self) -> dict[str, Any] | None:
        if self._gone or self._final:
            return None
        try:
            received = link.recv(self._socket)
        except BlockingIOError:
            return None
        except (OSError, link.LinkError):
            received = None
        self._gone = received is None
        return received[0] if received else None

    def _send(self, message: dict[str, Any]) -> None:
        try:
            link.send(self._socket, message)
        except BlockingIOError:
            pass  # it has not read the earlier ones: an answer is owed in any case
        except OSError:
            self._gone = True


def _setup(settings: Mapping[str, Any], memory: Memory) -> dict[str, Any]:
    return {
        "op": "setup",
        "backend": settings["gpus.backend"],
        "simulated": settings["gpus.simulated"],
        "interval": settings["gpus.poll_interval"],
        "cgroup": settings["paths.cgroup"],
        "limits": [START_LIMIT, ANSWER_LIMIT, probes.PAUSE],
        "known": [pack(nothing_known(gpu, "")) for gpu in memory.gpus if gpu.bus],
        "slots": list(memory.slots.items()),
        "skipped": list(memory.skipped.items()),
    }


def _start(fd: int, shared: int) -> subprocess.Popen[bytes]:
    _reap()
    return probes.start("monitor", "main", fd, shared)


def _reap() -> None:
    """Forget the ended ones that have died by now."""
    _abandoned[:] = [process for process in _abandoned if process.poll() is None]
