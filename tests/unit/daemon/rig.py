"""A whole scheduler on a clock that tests turn, between a launcher and clients that tests play.

Everything of ``mgpu.daemon`` is real, and so are sockets, folders and locks. Only the clock, the
peers' uids, the launcher and the supervisors are the test's.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgpack
import pytest

from mgpu.config.settings import SETTINGS
from mgpu.daemon import main, opening
from mgpu.model.job import Job
from mgpu.model.time import Now
from mgpu.store.base import Store
from mgpu.store.memory import MemoryStore
from mgpu.system import bootid, clock, peer
from tests.lib.wire import frame
from tests.unit.daemon.outside import Key, Launcher, Map, Supervisor

BOOT_ID = "boot-1"
ALICE, BOB = 1001, 1002


def settings(state_dir: Path, **changes: object) -> Map:
    """The defaults, two simulated GPUs, and ``section__key`` changes."""
    values: Map = {setting.key: setting.default for setting in SETTINGS}
    gpu = {"name": "Sim A", "memory": 16384, "count": 2, "used": 0}
    values |= {
        "paths.state_dir": str(state_dir),
        "gpus.backend": "simulated",
        "gpus.simulated": [gpu],
        "log.level": "error",
        "jobs.keep_for_redo": 0,  # what is left over is the job of test_leftovers.py
    }
    return values | {name.replace("__", "."): value for name, value in changes.items()}


def a_wish(*argv: bytes, **fields: object) -> Map:
    """The spec of a submission."""
    return {"argv": list(argv) or [b"true"], "cwd": b"/home/u", "env": [b"A=1"], **fields}


def a_submit(key: str = "k", count: int = 1, **fields: object) -> Map:
    """A submission."""
    return {"op": "submit", "key": key, "count": count, "spec": a_wish(**fields)}


class FakeClock:
    """Both clocks; they move when told."""

    def __init__(self) -> None:
        self.at = Now(1_700_000_000.0, 5000.0)

    def now(self) -> Now:
        """This instant."""
        return self.at

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.at = Now(self.at.wall + seconds, self.at.boot + seconds)


class Client:
    """A connection whose peer is ``uid``; nothing blocks."""

    def __init__(self, rig: Rig, uid: int, *, admin: bool = False, greet: bool = True) -> None:
        self.rig = rig
        self.sock = socket.socket(socket.AF_UNIX)
        rig.uids.append(uid)
        self.sock.connect(str(rig.sockets["admin" if admin else "user"]))
        rig.settle()
        self.sock.setblocking(False)
        self._bytes = b""
        self.closed = False
        if greet:
            self.send({"mgpu": [1, 1]})
            rig.settle()
            assert self.take()[0]["mgpu"] == 1

    def send(self, *messages: object) -> None:
        """Send messages in one piece."""
        self.raw(b"".join(map(frame, messages)))

    def raw(self, data: bytes) -> None:
        """Send bytes; a scheduler that has hung up is seen when reading."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.send(data)

    def ask(self, *messages: object) -> list[Map]:
        """Send requests and let the scheduler work; all that it said."""
        self.send(*messages)
        self.rig.settle()
        return self.take()

    def one(self, message: object) -> Map:
        """Send one request; its one answer."""
        (answer,) = self.ask(message)
        return answer

    def take(self) -> list[Map]:
        """What the scheduler said since the last time."""
        while not self.closed:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            self.closed = not data
            self._bytes += data
        return list(self._messages())

    def _messages(self) -> Iterator[Map]:
        while len(self._bytes) >= 4:
            end = 4 + int.from_bytes(self._bytes[:4], "big")
            if len(self._bytes) < end:
                return
            yield msgpack.unpackb(self._bytes[4:end])
            self._bytes = self._bytes[end:]

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


class Rig:
    """The scheduler, its clock and its launcher. ``again()`` makes a new one on the same state."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, *, store: Store | None = None, **changes: Any
    ) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.uids: list[int] = []
        self.boot_id = BOOT_ID
        self.store: Store = MemoryStore() if store is None else store
        self.recovery = ""
        self.settings = settings(folder / "state", **changes)
        self._clients: list[Client] = []
        self._peers: WeakKeyDictionary[socket.socket, peer.Peer] = WeakKeyDictionary()
        patch.setattr(clock, "now", self.clock.now)
        patch.setattr(bootid, "boot_id", lambda: self.boot_id)
        patch.setattr(opening, "open_state", lambda *_: opening.Opened(self.store, self.recovery))
        patch.setattr(peer, "credentials", self._credentials)
        self.start()

    def start(self, *, hello: bool = True, children: tuple[Key, ...] = ()) -> None:
        """A scheduler begins."""
        (self.folder / "state").mkdir(exist_ok=True)
        self.sockets = {name: self.folder / f"{name}.sock" for name in ("user", "admin")}
        fds = {name: _listening(path).detach() for name, path in self.sockets.items()}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.launcher = Launcher(ours, self.settle, self.clock.now)
        self.scheduler = main.Scheduler(self.settings, fds["user"], fds["admin"], theirs.detach())
        self.scheduler._monitor.start(self.clock.now())
        if hello:
            self.launcher.hello(*children)

    def again(self, *, hello: bool = True, children: tuple[Key, ...] = ()) -> None:
        """Kill the scheduler and begin anew on what it left."""
        self.kill()
        self.start(hello=hello, children=children)

    def kill(self) -> None:
        """Close everything that the scheduler had open, as its death does."""
        scheduler = self.scheduler
        scheduler._copies.close()
        for supervisor in self.launcher.started.values():
            supervisor.close()
        if scheduler._outbox is not None:
            scheduler._outbox.detach()
        if scheduler._export is not None:
            scheduler._export.detach()
        for fd in scheduler._actor._payloads.values():
            os.close(fd)
        for conn in list(scheduler._server._connections.values()):
            scheduler._server.close(conn)
        for attempt in scheduler._attempts._attempts.values():
            scheduler._attempts._detach(attempt)
        for sock in (*scheduler._sockets.values(), scheduler._launcher._sock, self.launcher.sock):
            sock.close()
        scheduler._history.stop()
        scheduler._loop._epoll.close()

    # -- time and work ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the scheduler work until it would sleep. Fails if it never would."""
        for _ in range(3000):
            if not (self._awake() or self.launcher.listen()):
                return
            self.turn()
        raise AssertionError("the scheduler does not come to rest")

    def turn(self) -> None:
        """One turn of the loop, without sleeping."""
        self.scheduler._loop.turn(self.scheduler._end_of_turn, 0)

    def _awake(self) -> bool:
        poll = select.poll()
        poll.register(self.scheduler._loop._epoll.fileno(), select.POLLIN)
        due = [d for d in self.scheduler._deadlines() if d is not None]
        return bool(poll.poll(0)) or min(due, default=float("inf")) <= self.clock.at.boot

    def wait(self, seconds: float) -> None:
        """Let time pass and the scheduler do what is due."""
        self.clock.forward(seconds)
        self.settle()

    # -- people -----------------------------------------------------------------------------------

    def _credentials(self, sock: socket.socket) -> peer.Peer:
        known = self._peers.get(sock)
        if known is None:
            uid = self.uids.pop(0)
            known = self._peers[sock] = peer.Peer(1, uid, uid)
        return known

    def client(self, uid: int = ALICE, *, admin: bool = False, greet: bool = True) -> Client:
        """A connected client that has said its version."""
        client = Client(self, uid, admin=admin, greet=greet)
        self._clients.append(client)
        return client

    def submit(self, uid: int = ALICE, **fields: Any) -> int:
        """Submit as ``uid``; the id of the first job."""
        fields.setdefault("key", os.urandom(8).hex())
        client = self.client(uid)
        first: int = client.one(a_submit(**fields))["ok"]["first"]
        client.close()
        self.settle()
        return first

    def supervisor(self, job: int, attempt: int = 1) -> Supervisor:
        """The supervisor that the launcher was told to start."""
        return self.launcher.started[job, attempt]

    def job(self, number: int) -> Job:
        """A job as it is stored."""
        job = self.store.job(number)
        assert job is not None
        return job

    def active(self) -> dict[int, Job]:
        """The jobs in memory."""
        return self.scheduler._engine.world.jobs

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        self.kill()
        self.store.close()


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(128)
    return sock


def open_fds() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def send_with_fds(sock: socket.socket, data: bytes, fds: list[int]) -> None:
    """Send ``data`` with descriptors."""
    rights = struct.pack(f"{len(fds)}i", *fds)
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
