"""A daemon on NVIDIA's driver library as a stub, which its loader finds like the real one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lib.daemon import Daemon
from tests.lib.fakenvml import FakeDriver, build, gpu, process
from tests.lib.users import User, as_user

#: Where the stub looks when no variable says where.
FOLDER = Path("/run/fake-nvml")
LOADER = Path("/etc/ld.so.conf.d/fake-nvml.conf")
UUIDS = ("GPU-00000000-aaaa", "GPU-00000000-bbbb")


class Box:
    """A daemon on the stub, which shows two GPUs."""

    def __init__(self, make: Callable[..., Daemon], **gpus: object) -> None:
        self._strangers: list[subprocess.Popen[bytes]] = []
        self.driver = FakeDriver(FOLDER / "state")
        self.show()
        self.daemon = make({"gpus": {"backend": "nvml", "poll_interval": 1, **gpus}})

    def show(self, *processes: tuple[int, int], used: int = 0, more: str = "") -> None:
        """These processes use gpu0, and nobody knows who uses the rest; ``more`` is a line."""
        total = used + sum(memory for _, memory in processes)
        lines = [gpu(UUIDS[0], 16384, total), gpu(UUIDS[1], 16384)]
        lines += [process(0, pid, memory) for pid, memory in processes]
        self.driver.show(*lines, more)
        self.driver.path.chmod(0o644)

    def stranger(self, user: User) -> subprocess.Popen[bytes]:
        """A process that mgpu did not start."""
        started = subprocess.Popen(as_user(user, ["sleep", "600"]), stdin=subprocess.DEVNULL)
        self._strangers.append(started)
        return started

    def end(self) -> None:
        """End the strangers."""
        for one in self._strangers:
            one.kill()
            one.wait()


@contextmanager
def installed() -> Iterator[None]:
    """Install the stub: no variable reaches the scheduler. It goes with the box at the latest."""
    FOLDER.mkdir(mode=0o755)
    build(FOLDER)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/cache/ldconfig"], check=True)
    LOADER.write_text(f"{FOLDER}\n")
    subprocess.run(["ldconfig"], check=True)
    yield
    LOADER.unlink()
    subprocess.run(["ldconfig"], check=True)
    subprocess.run(["umount", "/var/cache/ldconfig"], check=True)
    shutil.rmtree(FOLDER)
