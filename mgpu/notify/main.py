"""The notifier process: takes notices from the scheduler and tells how their delivery went.

It outlives the scheduler: what was handed over is remembered, until a scheduler says that it has
stored how it went. Its own uid owns nothing, so what a target sends back can reach nothing.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Mapping
from typing import Any, Final

import msgpack

from mgpu.notify import delivery
from mgpu.notify.webhook import Parcel, Result
from mgpu.protocol import link
from mgpu.system import clock
from mgpu.system.log import log
from mgpu.system.process import settings_in

_MOST_ANSWER: Final = 4096
#: More is never handed over: see ``notices.max_concurrent_deliveries``.
_MOST_HELD: Final = 512


class Notifier:
    """The deliveries that were handed over: under way, or over and not yet stored."""

    def __init__(self, scheduler: socket.socket, settings: Mapping[str, Any]) -> None:
        self._scheduler = scheduler
        self._settings = settings
        self._held: dict[int, tuple[int, str]] = {}
        self._over: dict[int, list[Any]] = {}
        self._running: dict[int, tuple[int, int, int]] = {}
        self._poll = select.poll()
        self._poll.register(scheduler, select.POLLIN)

    def run(self) -> None:
        """Serve until nobody holds the other end any more."""
        while True:
            for fd, _ in self._poll.poll():
                if fd in self._running:
                    self._ended(fd)
                elif not self._hear():
                    return

    def _hear(self) -> bool:
        received = link.recv(self._scheduler)
        if received is None:
            return False
        message, fds = received
        if message["op"] == "settings":
            self._settings = settings_in(fds.pop())
        for fd in fds:
            os.close(fd)
        if message["op"] == "hello":
            self._introduce()
        elif message["op"] == "forget":
            for one, tries in message["ids"]:
                if self._held.get(one, (0, ""))[0] == tries:
                    self._held.pop(one)
                    self._over.pop(one, None)
        elif message["op"] == "send":
            self._begin(message)
        return True

    def _introduce(self) -> None:
        """Tell a new scheduler what an earlier one handed over."""
        held = [[one, tries, lane] for one, (tries, lane) in self._held.items()]
        self._say({"op": "state", "held": held})
        for outcome in self._over.values():
            self._say({"op": "outcome", "outcome": outcome})

    def _begin(self, message: dict[str, Any]) -> None:
        number, tries = message["id"], message["tries"]
        self._over.pop(number, None)
        self._held[number] = (tries, message["lane"])
        try:
            if len(self._held) > _MOST_HELD:
                raise BlockingIOError(11, "too many deliveries at once")
            self._fork(message)
        except OSError as error:
            self._finish(number, tries, Result(False, True, f"cannot begin: {error.strerror}"))

    def _fork(self, message: dict[str, Any]) -> None:
        near, far = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(near)
            os.close(far)
            raise
        if pid == 0:
            self._work(message, far, parent)
        os.close(far)
        self._running[near] = (pid, message["id"], message["tries"])
        self._poll.register(near, select.POLLIN)

    def _work(self, message: dict[str, Any], pipe: int, parent: int) -> None:
        """The whole life of the forked process."""
        try:
            delivery.confine(float(self._settings["notices.timeout"]), parent)
            os.closerange(3, pipe)
            os.closerange(pipe + 1, pipe + 256)
            parcel = Parcel(message["id"], message["event"], message["body"])
            now = clock.now().wall
            result = delivery.attempt(self._settings, message["target"], parcel, now)
            os.write(pipe, msgpack.packb(list(result))[:_MOST_ANSWER])
        finally:
            os._exit(0)

    def _ended(self, pipe: int) -> None:
        pid, number, tries = self._running.pop(pipe)
        self._poll.unregister(pipe)
        answer = os.read(pipe, _MOST_ANSWER)
        os.close(pipe)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if answer:
            result = Result(*msgpack.unpackb(answer))
        elif status == -signal.SIGALRM:
            result = Result(delivered=False, passing=True, why="no answer in time")
        else:
            result = Result(delivered=False, passing=True, why=f"the delivery ended with {status}")
        self._finish(number, tries, result)

    def _finish(self, number: int, tries: int, result: Result) -> None:
        self._over[number] = [number, tries, *result]
        self._say({"op": "outcome", "outcome": self._over[number]})

    def _say(self, message: dict[str, Any]) -> None:
        """Tell the scheduler; what it does not hear now it is told when it says hello."""
        try:
            self._scheduler.setblocking(False)
            link.send(self._scheduler, message)
        except OSError:
            log.debug("the scheduler does not listen", action="notifier-unheard")
        finally:
            self._scheduler.setblocking(True)


def main(link_fd: int, settings_fd: int) -> None:
    """Serve the schedulers at the other end of ``link_fd``, one after the other."""
    settings = settings_in(settings_fd)
    with socket.socket(fileno=link_fd) as scheduler:
        Notifier(scheduler, settings).run()
