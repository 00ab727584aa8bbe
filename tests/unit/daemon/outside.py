"""The launcher and the supervisors of a test: real sockets, played by hand."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mgpu.model.time import Now
from mgpu.protocol import link

Map = dict[str, Any]
Key = tuple[int, int]


@dataclass
class Supervisor:
    """The other end of an attempt's link; says what the test lets it say."""

    order: Map
    sock: socket.socket
    payload: int
    settle: Callable[[], None]
    now: Callable[[], Now]

    @property
    def key(self) -> Key:
        """Its attempt."""
        return self.order["job"], self.order["attempt"]

    def says(self, op: str, **fields: object) -> None:
        """Send one message and let the scheduler work."""
        link.send(self.sock, message_of(op, self.key, self.now(), fields))
        self.settle()

    def hears(self) -> list[Map]:
        """What the scheduler said to it."""
        return received(self.sock)

    def runs(self) -> None:
        """Start the program."""
        self.says("ready")
        self.says("running", pid=4000 + self.key[0], ticks=7)

    def ends(self, code: int | None = 0, **fields: object) -> None:
        """The program is over."""
        self.says("ended", code=code, **fields)

    def dies(self) -> None:
        """Vanish, as by SIGKILL; the launcher has not yet noticed."""
        self.close()
        self.settle()

    def close(self) -> None:
        """Let go of what it was given."""
        self.sock.close()
        if self.payload >= 0:
            os.close(self.payload)
        self.payload = -1


def message_of(op: str, key: Key, now: Now, fields: Mapping[str, object]) -> Map:
    """A supervisor's message with plain values where the test gives none."""
    base: Map = {"op": op, "job": key[0], "attempt": key[1]}
    if op == "running":
        base |= {"pid": 1, "ticks": 1, "wall": now.wall, "boot": now.boot}
    elif op == "ended":
        base |= {"code": 0, "signal": None, "cause": "exit", "detail": ""}
        base |= {"wall": now.wall, "boot": now.boot, "started_wall": now.wall}
    elif op == "refused":
        base |= {"stage": "fork", "errno": 11, "detail": "", "transient": True}
    return base | dict(fields)


def received(sock: socket.socket) -> list[Map]:
    """All messages that wait on one end of a link."""
    sock.setblocking(False)
    messages = []
    try:
        while (got := link.recv(sock)) is not None:
            messages.append(got[0])
    except BlockingIOError:
        pass
    return messages


@dataclass
class Launcher:
    """The other end of the scheduler's link. Answers who a uid is, unless told not to."""

    sock: socket.socket
    settle: Callable[[], None]
    now: Callable[[], Now]
    knows_accounts: bool = True
    problem: str = ""
    groups: dict[int, list[str]] = field(default_factory=dict)
    said: list[Map] = field(default_factory=list)
    started: dict[Key, Supervisor] = field(default_factory=dict)

    def hello(self, *attempts: Key) -> None:
        """Begin, as the father of these supervisors."""
        self.says({"op": "hello", "attempts": [list(key) for key in attempts]})

    def says(self, message: Map, data: bytes = b"") -> None:
        """Send one message, perhaps with a file, and let the scheduler work."""
        fds = [os.memfd_create("test")] if data else []
        for fd in fds:
            os.write(fd, data)
        link.send(self.sock, message, fds)
        for fd in fds:
            os.close(fd)
        self.settle()

    def about(self, op: str, key: Key, **fields: object) -> None:
        """Send one message about an attempt."""
        self.says({"op": op, "job": key[0], "attempt": key[1], **fields})

    def refuses(self, key: Key, **fields: object) -> None:
        """It could not start the attempt."""
        self.says(message_of("refused", key, self.now(), fields))

    def listen(self) -> bool:
        """Take in what the scheduler has said; whether there was anything."""
        heard = False
        while True:
            try:
                got = link.recv(self.sock)
            except BlockingIOError:
                return heard
            if got is None:
                return heard
            heard = True
            self._take(*got)

    def _take(self, message: Map, fds: list[int]) -> None:
        self.said.append(message)
        if message["op"] == "start":
            payload, theirs = fds
            end = socket.socket(fileno=theirs)
            supervisor = Supervisor(message, end, payload, self.settle, self.now)
            assert supervisor.key not in self.started, "started twice"
            self.started[supervisor.key] = supervisor
        elif message["op"] == "account" and self.knows_accounts:
            uid = message["uid"]
            known = {"uid": uid, "user": f"u{uid}", "problem": self.problem}
            known["group_names"] = self.groups.get(uid, [])
            link.send(self.sock, {"op": "account", **known})

    def heard(self, op: str) -> list[Map]:
        """What it was told of one kind."""
        return [message for message in self.said if message["op"] == op]
