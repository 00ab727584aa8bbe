"""Faults on order: a kill at the n-th system call, another boot, a full disk, a power cut.

with KillAt(daemon.scheduler_pid(), "pwrite64", 3) as kill:
    ...                       # the process dies instead of making its third such call
assert kill.fired
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from tests.lib import processes
from tests.lib.waiting import eventually

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SHUTDOWN, _KEEP_NOTHING = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN: neither data nor journal is flushed


class _Strace:
    """strace on one process, from ``__enter__`` on until the end of the block."""

    def __init__(self, pid: int, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mgpu-strace-", dir="/var/lib")
        self.output = Path(self._folder.name) / "trace"
        self._said = Path(self._folder.name) / "said"
        self._argv = ["strace", "-o", str(self.output), *options, "-p", str(pid)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Attach, and return when it is attached."""
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        eventually(lambda: b" attached" in self._said.read_bytes(), what=str(self._argv))

    def stop(self) -> None:
        """Let the process go."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait(10)

    def text(self) -> str:
        """What has been traced so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def close(self) -> None:
        """Remove the trace."""
        self._folder.cleanup()


class KillAt:
    """SIGKILL the process ``pid`` on its ``nth`` call of ``name``, before the call does anything.

    ``follow``: each child that it forks meanwhile too, on the child's own ``nth`` call.
    """

    def __init__(self, pid: int, name: str, nth: int, *, follow: bool = False) -> None:
        self.pid = pid
        self.what = f"{name} {nth}"
        self._name, self._nth = name, nth
        inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={nth}"]
        self._strace = _Strace(pid, *(["-f"] if follow else []), *inject)
        self.fired = False

    def __enter__(self) -> KillAt:
        self._strace.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._strace.stop()
        self.fired = self.has_fired() or self._dying()
        self._strace.close()

    def _dying(self) -> bool:
        """Whether the fatal call was begun when strace was stopped; waits for the death then."""
        begun = len(re.findall(rf"^{self._name}\(", self._strace.text(), re.MULTILINE))
        if begun >= self._nth:
            eventually(lambda: not processes.alive(self.pid), what=f"{self.pid} dies")
        return begun >= self._nth

    def has_fired(self) -> bool:
        """Whether a process was killed."""
        return "+++ killed by SIGKILL" in self._strace.text()


@contextmanager
def held(pid: int, name: str, nth: int, *, follow: bool = False) -> Iterator[None]:
    """Let the process stand still before its ``nth`` call of ``name``, until the block ends.

    ``follow``: each child that it forks meanwhile too.
    """
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:delay_enter=30s:when={nth}"]
    strace = _Strace(pid, *(["-f"] if follow else []), *inject)
    strace.start()
    try:
        yield
    finally:
        strace.stop()
        strace.close()


@contextmanager
def calls(pid: int, names: Sequence[str]) -> Iterator[Counter[str]]:
    """Count the calls of ``names`` that ``pid`` makes in the block; filled in at its end."""
    counted: Counter[str] = Counter()
    strace = _Strace(pid, "-e", f"trace={','.join(names)}")
    strace.start()
    try:
        yield counted
    finally:
        strace.stop()
        counted.update(re.findall(r"^(\w+)\(", strace.text(), re.MULTILINE))
        strace.close()


def kill9(pid: int) -> bool:
    """SIGKILL ``pid`` and wait until it is gone; False if it was gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not processes.alive(pid), what=f"pid {pid} is gone")
        return True
    return False


def tracer_of(pid: int) -> int:
    """Who traces the process; 0 for nobody."""
    found = re.search(r"TracerPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


# ---------------------------------------------------------------- another boot


@contextmanager
def another_boot(number: int = 1) -> Iterator[None]:
    """Let the kernel's boot id be another one, as after a restart of the machine."""
    with tempfile.NamedTemporaryFile(dir="/var/lib") as file:
        os.fchmod(file.fileno(), 0o444)
        file.write(f"{number:08x}-0000-4000-8000-000000000000\n".encode())
        file.flush()
        _run("mount", "--bind", file.name, str(BOOT_ID))
        try:
            yield
        finally:
            _run("umount", str(BOOT_ID))


# ---------------------------------------------------------------- disks


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of ``size`` at ``folder``, with nothing else on it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


def fill(folder: Path) -> Path:
    """Take all space that is left; the file to remove when there is to be some again."""
    path = folder / "filler"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    os.write(fd, b"\0" * size)
    finally:
        os.close(fd)
    return path


class Disk:
    """An ext4 file system that can lose its power: what was not synced is gone then."""

    def __init__(self, folder: Path, size: str = "32M") -> None:
        self.folder = folder
        handle, self._image = tempfile.mkstemp(prefix="mgpu-disk-", dir="/var/tmp")
        os.close(handle)
        _run("truncate", "-s", size, self._image)
        _run("mkfs.ext4", "-q", "-F", self._image)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._mount()
        (folder / "lost+found").rmdir()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", self._image, str(self.folder))

    def cut(self) -> None:
        """The power fails: nothing that is not on the disk yet will ever be."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _KEEP_NOTHING))
        finally:
            os.close(fd)

    def power_up(self) -> None:
        """Mount it again; nothing may hold a file of it."""
        eventually(lambda: _run("umount", str(self.folder), check=False) == 0, what="umount")
        self._mount()

    def close(self) -> None:
        """Unmount and remove it."""
        _run("umount", "-l", str(self.folder))
        os.unlink(self._image)


def _run(*argv: str, check: bool = True) -> int:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
    return done.returncode
