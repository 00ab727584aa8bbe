"""The scheduler as a process of its own, killed at will, and the launcher that plays around it.

Supervisors are played too, but with real folders, locks and sockets, so that a scheduler that
begins after a kill -9 finds them as it would find real ones. All in one thread: ``pump`` lets
everything outside the scheduler happen.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import traceback
from pathlib import Path

import msgpack

from mgpu.daemon import main
from mgpu.protocol import link
from mgpu.system import bootid, clock
from tests.unit.daemon.folders import Folder
from tests.unit.daemon.outside import Key, Map, message_of
from tests.unit.daemon.rig import _listening, settings


class PlayedSupervisor:
    """Runs nothing, but keeps the order: folder, ready, running, ended, ack."""

    def __init__(self, place: Place, key: Key, sock: socket.socket) -> None:
        self.place = place
        self.key = key
        self.sock: socket.socket | None = sock
        self.ended = False
        self.gone = False
        try:
            self.folder = Folder(place.state, key, boot_id=bootid.boot_id()).live()
        except FileExistsError:  # the fence: a scheduler has given this attempt up
            self.leave()
            return
        self.newest = self._message("ready")
        self.tell()
        place.executed.append(key)
        self.newest = self._message("running")
        self.tell()

    def _message(self, op: str) -> Map:
        return message_of(op, self.key, clock.now(), {})

    def tell(self) -> None:
        """Say the newest state, if somebody listens."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                link.send(self.sock, self.newest)

    def end(self) -> None:
        """The program is over; the record is there before anybody can miss it."""
        self.ended = True
        self.newest = self._message("ended")
        self.tell()
        self.folder.write("exit", {**self.newest, "boot_id": bootid.boot_id()})
        if self.sock is None:
            self.leave()

    def serve(self) -> None:
        """Hear the scheduler, or take the next one in."""
        if self.sock is None:
            with contextlib.suppress(BlockingIOError):
                self.sock = self.folder.accept()
                self.tell()
        if self.sock is None or self.gone:
            return
        try:
            self.sock.setblocking(False)
            heard = link.recv(self.sock)
        except BlockingIOError:
            return
        if heard is None:
            self.sock.close()
            self.sock = None
            if self.ended:
                self.leave()
        elif heard[0]["op"] == "ack":
            for name in list(self.folder.path.iterdir()):
                name.unlink()
            self.folder.path.rmdir()
            self.leave()

    def leave(self) -> None:
        """Exit."""
        self.gone = True
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if hasattr(self, "folder"):
            self.folder.die()
        self.place.left(self)


class Place:
    """A state folder and sockets, the scheduler's process, its launcher and supervisors."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.path = folder / "user.sock"
        self.dice = dice
        self.executed: list[Key] = []
        self.supervisors: dict[Key, PlayedSupervisor] = {}
        self.orders: list[Key] = []
        self.orphans: set[Key] = set()
        self.pid = 0
        self._listeners = [_listening(self.path), _listening(folder / "admin.sock")]
        self._settings = settings(
            self.state,
            access__allow_root=True,
            access__min_uid=1,
            limits__request_burst=100_000,
            scheduling__kill_grace=1,
        )

    def start(self) -> None:
        """Fork a scheduler, as fast as it gets."""
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = memfd(self._settings)
        fds = [words, *(sock.fileno() for sock in self._listeners), theirs.fileno()]
        self.pid = os.fork()
        if self.pid == 0:
            theirs_alone = [os.dup(fd) for fd in fds]
            theirs.close()
            self.close()
            os._exit(run(theirs_alone))
        theirs.close()
        os.close(words)
        self.link.setblocking(False)
        living = [list(key) for key in self.supervisors if key not in self.orphans]
        link.send(self.link, {"op": "hello", "attempts": living})

    def kill(self, *, launcher: bool = False) -> None:
        """SIGKILL the scheduler; its launcher takes in what was still ordered, or dies as well."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        if launcher:
            self.orphans |= set(self.supervisors)
        while not launcher and self._hear():
            pass
        self.link.close()

    def pump(self, seconds: float = 0.0) -> None:
        """Let launcher and supervisors work; wait that long for the scheduler to say something."""
        with contextlib.suppress(OSError):
            select.select([self.link], [], [], seconds)
        while self._hear():
            pass
        for supervisor in list(self.supervisors.values()):
            supervisor.serve()
            if not (supervisor.gone or supervisor.ended) and self.dice.random() < 0.4:
                supervisor.end()

    def _hear(self) -> bool:
        try:
            heard = link.recv(self.link)
        except (BlockingIOError, OSError):
            return False
        if heard is None:
            return False
        message, fds = heard
        if message["op"] == "start":
            self._begin((message["job"], message["attempt"]), fds)
        elif message["op"] == "account":
            answer = {"op": "account", "uid": message["uid"], "user": "me", "problem": ""}
            self._say(answer)
        elif message["op"] == "kill":
            self._kill((message["job"], message["attempt"]))
        return True

    def _begin(self, key: Key, fds: list[int]) -> None:
        self.orders.append(key)
        os.close(fds[0])
        supervisor = PlayedSupervisor(self, key, socket.socket(fileno=fds[1]))
        if not supervisor.gone:
            self.supervisors[key] = supervisor

    def _kill(self, key: Key) -> None:
        supervisor = self.supervisors.get(key)
        if supervisor is not None and not supervisor.ended:
            supervisor.end()
        self._say({"op": "killed", "job": key[0], "attempt": key[1]})

    def left(self, supervisor: PlayedSupervisor) -> None:
        """A supervisor has exited."""
        self.supervisors.pop(supervisor.key, None)
        if supervisor.key in self.orphans:
            return
        self._say({"op": "gone", "job": supervisor.key[0], "attempt": supervisor.key[1]})

    def _say(self, message: Map) -> None:
        with contextlib.suppress(OSError):
            link.send(self.link, message)

    def close(self) -> None:
        """Let go of everything outside the scheduler."""
        for supervisor in self.supervisors.values():
            supervisor.folder.die()
            if supervisor.sock is not None:
                supervisor.sock.close()
        self.link.close()
        for sock in self._listeners:
            sock.close()


def run(fds: list[int]) -> int:
    """Be the scheduler; the exit status."""
    try:
        main.main(words_of(fds))
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def words_of(fds: list[int]) -> list[str]:
    """The arguments that name the descriptors."""
    names = ("--settings-fd", "--user-fd", "--admin-fd", "--link-fd")
    return [str(word) for pair in zip(names, fds, strict=True) for word in pair]


def memfd(value: Map) -> int:
    """A map in a file without a name."""
    fd = os.memfd_create("settings")
    os.write(fd, msgpack.packb(value))
    return fd
