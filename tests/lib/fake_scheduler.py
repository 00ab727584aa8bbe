"""A scheduler made of a test: it drives the real launcher and real supervisors over their links.

The launcher executes a stub as the service user; the stub hands its descriptors to the test and
then only lives. So the test itself says every word of the scheduler:

    with FakeScheduler() as scheduler:
        run = scheduler.start(1, alice, ["/bin/true"])
        assert run.until("ended")["code"] == 0
        run.ack()
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgpack

from mgpu.protocol import link
from tests.lib import cgroups, processes
from tests.lib.users import SERVICE_USER, User, find
from tests.lib.users import make_service_account as make_account
from tests.lib.waiting import eventually

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MODULES = [str(REPOSITORY), str(Path(msgpack.__file__).parent.parent)]
PATIENCE = 10.0
Message = dict[str, Any]

#: As in a container that may not make cgroups.
WITHOUT_CGROUPS = """
from mgpu.privileged import cgroup
cgroup.mount_point = lambda _: None
"""
#: As the service user: give link, user and admin socket away, then live until told a status.
STUB = """
import socket, sys, os
fds = dict(zip(sys.argv[2::2], map(int, sys.argv[3::2])))
rights = [fds[f"--{name}-fd"] for name in ("link", "user", "admin", "settings")]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(sys.argv[1])
socket.send_fds(sock, [str(os.getpid()).encode()], rights)
for fd in rights: os.close(fd)
os._exit(int(sock.recv(16) or 0))
"""


class Run:
    """One attempt: the scheduler's end of its supervisor's line."""

    def __init__(self, control: socket.socket, job: int, attempt: int) -> None:
        self.control = control
        self.job = job
        self.attempt = attempt
        self.heard: list[Message] = []

    def next(self, timeout: float = PATIENCE) -> Message | None:
        """The next message of the supervisor; None when it is gone."""
        return receive(self.control, timeout)

    def until(self, operation: str, timeout: float = PATIENCE) -> Message:
        """Messages up to the first ``operation``; anything final before it is a failure."""
        while True:
            message = self.next(timeout)
            assert message is not None, f"no {operation!r}, only {self.heard}"
            self.heard.append(message)
            if message["op"] == operation:
                return message
            assert message["op"] in ("ready", "running"), f"no {operation!r} but {message}"

    def stop(self, grace: int = 0) -> None:
        link.send(self.control, {"op": "stop", "grace": grace})

    def ack(self) -> None:
        """Take the end, and wait until the supervisor is gone."""
        link.send(self.control, {"op": "ack", "job": self.job, "attempt": self.attempt})
        assert self.next() is None

    def end(self, timeout: float = PATIENCE) -> Message:
        """Wait for the end and take it."""
        message = self.until("ended", timeout)
        self.ack()
        return message

    def refusal(self, timeout: float = PATIENCE) -> Message:
        """Wait for a refusal and take it."""
        message = self.until("refused", timeout)
        self.ack()
        return message


class FakeScheduler:
    """A launcher in scratch folders, and a scheduler's side of everything it says."""

    def __init__(
        self,
        settings: Message | None = None,
        *,
        prefix: Sequence[str] = (),
        preamble: str = "",
        cgroups: bool = True,
    ) -> None:
        """``prefix`` is a command to run the launcher with, ``preamble`` Python to run in it."""
        make_account()
        self.runtime = Path(tempfile.mkdtemp(prefix="mgpu-test-", dir="/run"))
        self.runtime.chmod(0o755)
        self.name = self.runtime.name
        self.state = Path("/var/lib") / self.name
        self.log_path = self.runtime.with_suffix(".log")
        self.prefix = list(prefix)
        self.preamble = preamble if cgroups else f"{preamble}\n{WITHOUT_CGROUPS}"
        self.settings: Message = {
            "paths.runtime_dir": str(self.runtime),
            "paths.state_dir": str(self.state),
            "paths.cgroup": self.name,
            "access.group": "",
            "access.admin_group": "mgpu-admin",
            "access.service_user": SERVICE_USER,
            "access.min_uid": 1000,
            "access.allow_root": False,
            **(settings or {}),
        }
        self.inherit: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.link: socket.socket | None = None
        self.stub: socket.socket | None = None
        self.stub_pid = 0
        self.heard: list[Message] = []
        self._sockets: list[socket.socket] = []
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door_path = self.runtime.with_suffix(".door")
        self._door.bind(str(self._door_path))
        os.chown(self._door_path, find(SERVICE_USER).uid, -1)
        self._door.listen()

    # -------------------------------------------------------- the launcher

    def launch(self, *, env: dict[str, str] | None = None, wait: bool = True) -> None:
        """Start the launcher; with ``wait``, take the place of its scheduler and hear its hello."""
        fd = os.memfd_create("settings", 0)
        os.write(fd, msgpack.packb(self.settings))
        scheduler = [sys.executable, "-I", "-S", "-c", STUB, str(self._door_path)]
        program = (
            f"import sys; sys.path[:0] = {MODULES!r}\n"
            f"{self.preamble}\n"
            "from mgpu.privileged.launcher import main\n"
            f"main({fd}, {scheduler!r})"
        )
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-I", "-S", "-c", program],
                pass_fds=[fd, *self.inherit],
                env={"PATH": "/usr/bin:/bin", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        os.close(fd)
        if wait:
            self.take_place()

    def take_place(self, timeout: float = PATIENCE) -> Message:
        """Be the scheduler that the launcher has just started; its first message."""
        self._door.settimeout(timeout)
        try:
            self.stub, _ = self._door.accept()
        except TimeoutError:
            raise AssertionError(f"no scheduler was started:\n{self.log()}") from None
        data, fds, _, _ = socket.recv_fds(self.stub, 64, 8)
        self.stub_pid = int(data)
        self.link = socket.socket(fileno=fds[0])
        self._sockets += [self.stub, self.link]
        for fd in fds[1:]:
            os.close(fd)
        return self.hear("hello")

    def leave(self, *, kill: bool = True) -> None:
        """The scheduler dies, and with it the links it holds; a new one is not taken yet."""
        assert self.link is not None
        assert self.stub is not None
        self.link.close()
        self.link = None
        if kill:
            os.kill(self.stub_pid, signal.SIGKILL)
        self.stub.close()

    def exit_scheduler(self, status: int) -> None:
        """The scheduler ends by itself with ``status``."""
        assert self.link is not None
        assert self.stub is not None
        self.link.close()
        self.link = None
        self.stub.send(str(status).encode())
        self.stub.close()

    def restart_scheduler(self) -> Message:
        """Kill the scheduler and take the place of its successor."""
        self.leave()
        return self.take_place()

    def kill9(self) -> None:
        """SIGKILL the launcher; the scheduler sees the end of its link."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)
        self.leave()

    def stop(self) -> int:
        """SIGTERM the launcher, end the scheduler when told to, and return the exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        if self.link is not None:
            self.link.close()
            self.link = None
        return status

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def spare(self) -> int:
        """The process that will be the next supervisor."""

        def others() -> list[int]:
            mine = [p.pid for p in processes.running().values() if p.parent == self.pid]
            return [pid for pid in mine if pid != self.stub_pid]

        return eventually(others, until=lambda pids: len(pids) == 1, what="a spare")[0]

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # -------------------------------------------------------- the link

    def say(self, message: Message, fds: Sequence[int] = ()) -> None:
        assert self.link is not None
        link.send(self.link, message, fds)

    def hear(self, operation: str, timeout: float = PATIENCE) -> Message:
        """The next ``operation`` of the launcher, which may have been heard before."""
        assert self.link is not None
        for index, message in enumerate(self.heard):
            if message["op"] == operation:
                return self.heard.pop(index)
        while True:
            found = receive(self.link, timeout)
            assert found is not None, f"the launcher is gone:\n{self.log()}"
            if found["op"] == operation:
                return found
            self.heard.append(found)

    # -------------------------------------------------------- attempts

    def start(
        self,
        job: int,
        user: User,
        argv: Sequence[str | bytes] = (),
        /,
        *,
        attempt: int = 1,
        payload: Message | None = None,
        **order: Any,
    ) -> Run:
        """Order an attempt; ``payload`` and ``order`` replace fields of the usual ones."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = os.memfd_create("payload", os.MFD_CLOEXEC)
        os.write(fd, msgpack.packb(payload_of(user, argv, payload)))
        self.say(order_of(job, attempt, user, order), [fd, far.fileno()])
        os.close(fd)
        far.close()
        self._sockets.append(near)
        return Run(near, job, attempt)

    def adopt(self, job: int, attempt: int = 1) -> Run:
        """Connect to a living supervisor, as a scheduler does that has been restarted."""
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sockets.append(control)
        path = self.folder(job, attempt) / "socket"

        def connected() -> bool:
            try:
                control.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        eventually(connected, what=f"{path} takes a connection")
        return Run(control, job, attempt)

    def folder(self, job: int, attempt: int = 1) -> Path:
        """The folder of an attempt."""
        return self.state / "attempts" / f"{job}.{attempt}"

    def group(self, job: int, attempt: int = 1) -> Path:
        """The cgroup of an attempt."""
        root = cgroups.v2_root()
        assert root is not None
        return root / self.name / f"{job}.{attempt}"

    # -------------------------------------------------------- life

    def __enter__(self) -> FakeScheduler:
        try:
            self.launch()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if kind is not None:
            sys.stderr.write(f"--- log of the launcher:\n{self.log()}")

    def close(self) -> None:
        """Stop everything and kill whatever still runs."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        for sock in (*self._sockets, self._door):
            sock.close()
        self._door_path.unlink(missing_ok=True)
        for group in cgroups.groups_of(self.name):
            (group / "cgroup.kill").write_text("1")
        eventually(self._removed, what="the cgroups of the jobs are empty")

    def _removed(self) -> bool:
        cgroups.remove(self.name)
        return not cgroups.groups_of(self.name)


def receive(sock: socket.socket, timeout: float) -> Message | None:
    """The next message on ``sock``; a failure when none comes in time."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    assert poll.poll(timeout * 1000), f"nothing was said within {timeout:g} s"
    received = link.recv(sock)
    return None if received is None else received[0]


def payload_of(user: User, argv: Sequence[str | bytes], changes: Message | None) -> Message:
    """A launch payload as the scheduler stores it."""
    return {
        "name": "test",
        "argv": [os.fsencode(argument) for argument in argv],
        "script": None,
        "script_name": "",
        "env": [f"{key}={value}".encode() for key, value in user.environment().items()],
        "cwd": os.fsencode(user.home),
        "output": b"/dev/null",
        "error": None,
        "open_mode": "append",
        "umask": 0o022,
        "rlimits": [],
        "activate": {"mode": "none", "path": b""},
        **(changes or {}),
    }


def order_of(job: int, attempt: int, user: User, changes: Message) -> Message:
    """A start as the scheduler sends it."""
    return {
        "op": "start",
        "job": job,
        "attempt": attempt,
        "uid": user.uid,
        "user": user.name,
        "limit": 0,
        "warn": None,
        "grace": 2,
        "restarts": 0,
        "gpus": [],
        "uuids": [],
        "minors": [],
        "gpu_mem": None,
        **changes,
    }
