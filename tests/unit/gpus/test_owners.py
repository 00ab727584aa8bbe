"""To which jobs processes belong."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from mgpu.gpus import owners as module
from mgpu.gpus.owners import Owners
from tests.lib.waiting import eventually


class Family:
    """A session leader and a child of it, which has a session of its own."""

    def __init__(self) -> None:
        read, write = os.pipe()
        self.leader = os.fork()
        if not self.leader:
            os.setsid()
            inner = os.fork()
            if not inner:
                os.setsid()
                os.write(write, b"%d\n" % os.getpid())
            signal.pause()
        self.child = int(os.read(read, 20))
        self._alive = {self.leader, self.child}
        os.close(read)
        os.close(write)

    def kill(self, pid: int) -> None:
        """End one of them, and have it gone."""
        if pid in self._alive:
            self._alive.remove(pid)
            os.kill(pid, signal.SIGKILL)
            if pid == self.leader:
                os.waitpid(pid, 0)

    def end(self) -> None:
        """End both."""
        self.kill(self.leader)
        self.kill(self.child)


@pytest.fixture
def family() -> Iterator[Family]:
    found = Family()
    yield found
    found.end()


def knowing(leaders: dict[int, int], cgroup: str = "mgpu") -> Owners:
    owners = Owners(cgroup)
    owners.look(leaders)
    return owners


def test_a_process_belongs_to_the_job_of_its_ancestor(family: Family) -> None:
    owners = knowing({family.leader: 42})
    found = owners.process(family.child, 5)
    assert (found.pid, found.memory, found.uid, found.job) == (family.child, 5, os.getuid(), 42)
    assert owners.process(family.leader, 5).job == 42
    assert owners.process(os.getpid(), 5).job == 0


def test_a_process_stays_with_its_job_when_its_ancestor_has_died(family: Family) -> None:
    owners = knowing({family.leader: 42})
    assert owners.process(family.child, 5).job == 42
    family.kill(family.leader)
    for _ in range(3):  # also while it does not use a GPU
        owners.look({})
    assert owners.process(family.child, 5).job == 42


def test_who_saw_it_only_then_cannot_know(family: Family) -> None:
    family.kill(family.leader)
    assert knowing({family.leader: 42}).process(family.child, 5).job == 0


def test_another_process_with_the_number_of_one_of_a_job_is_another_one(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = knowing({family.leader: 42})
    first = owners.process(family.child, 5)
    owners.look({})
    real = module._stat

    def born_later(pid: int) -> module._Stat | None:
        stat = real(pid)
        return stat and stat._replace(ticks=stat.ticks + 1)

    monkeypatch.setattr(module, "_stat", born_later)
    second = owners.process(family.child, 5)
    assert (second.job, second.ticks) == (0, first.ticks + 1)


def test_what_is_known_is_forgotten_when_the_process_is_gone(family: Family) -> None:
    owners = knowing({family.leader: 42})
    owners.process(family.leader, 5)
    owners.process(os.getpid(), 5)
    family.kill(family.leader)
    for _ in range(2):
        owners.look({})
    assert owners._known == {}


def test_a_stranger_is_looked_at_again_when_another_job_has_begun(family: Family) -> None:
    owners = knowing({})
    assert owners.process(family.child, 5).job == 0
    owners.look({family.leader: 42})
    assert owners.process(family.child, 5).job == 42


def test_a_process_that_is_known_costs_one_look_at_it(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = knowing({family.leader: 42})
    for pid in (family.child, os.getpid()):
        owners.process(pid, 5)
    owners.look({family.leader: 42})
    looks: list[int] = []
    real = module._stat

    def counted(pid: int) -> module._Stat | None:
        looks.append(pid)
        return real(pid)

    monkeypatch.setattr(module, "_stat", counted)
    monkeypatch.setattr(module, "_read", lambda path: pytest.fail(path))
    for pid in (family.child, os.getpid(), family.child):
        owners.process(pid, 5)
    assert looks == [family.child, os.getpid()]


def test_a_process_that_the_kernel_does_not_show_is_not_called_a_stranger(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shown = module._stat, {family.leader}
    monkeypatch.setattr(module, "_stat", lambda pid: real(pid) if pid in shown else None)
    owners = knowing({family.leader: 42})
    assert owners.hidden, "the first process of all is there, and nothing is told of it"
    assert owners.processes([(family.leader, 5), (family.child, 5)]) is None
    owners.look({family.leader: 42, family.child: 42})
    found = owners.processes([(family.leader, 5), (family.child, 5)])
    assert found is not None, "it is known by its number"
    assert [process.job for process in found] == [42, 42]


def test_where_the_kernel_shows_processes_nothing_is_hidden(family: Family) -> None:
    owners = knowing({})
    pid = family.leader
    family.end()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    assert owners.processes([(os.getpid(), 5), (pid, 5), (0, 5), (2**32 - 1, 5)])
    assert not owners.hidden


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_a_process_that_may_not_be_dumped_is_its_users_all_the_same() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setuid(65534)  # nor may it be dumped from here on
        os.write(write, b".")
        signal.pause()
    assert os.read(read, 1)
    assert os.stat(f"/proc/{pid}/stat").st_uid == 0
    assert knowing({}).process(pid, 5).uid == 65534
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)


SERVERS = [
    ({500: (1001, 400, b"nvidia-cuda-mps"), 400: (0, 1, b"nvidia-cuda-mps")}, 0),
    ({500: (1001, 400, b"nvidia-cuda-mps"), 400: (1002, 1, b"nvidia-cuda-mps")}, 1002),
    ({500: (1001, 400, b"nvidia-cuda-mps"), 400: (0, 1, b"sshd")}, 1001),
    ({500: (1001, 400, b"python"), 400: (0, 1, b"nvidia-cuda-mps")}, 1001),
]


@pytest.mark.parametrize(("there", "uid"), SERVERS)
def test_a_server_of_mps_is_put_down_to_whose_control_daemon_it_serves(
    there: dict[int, tuple[int, int, bytes]], uid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat(pid: int) -> module._Stat | None:
        user, parent, name = there.get(pid, (0, 0, b"init"))
        return module._Stat(user, 7, parent, pid, name)

    monkeypatch.setattr(module, "_stat", stat)
    assert knowing({}).process(500, 5)[:5] == (500, 5, uid, 0, 7)
    assert knowing({500: 42}).process(500, 5).job == 42, "one that a job has started is the job's"


def test_a_process_that_is_gone_belongs_to_nobody(family: Family) -> None:
    pid = family.leader
    family.end()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    found = knowing({}).process(pid, 5)
    assert found == (pid, 5, -1, 0, 0, 0.0)


MOUNTS = (
    "30 1 0:37 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n"
    "31 1 0:38 {} /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
GROUPS = [
    ("/", "0::/mgpu/42.3\n", 42),
    ("/", "0::/mgpu/42.3/inner\n", 42),
    ("/", "0::/mgpu/42.3/libpod-0123/container\n", 42),
    ("/", "1:name=systemd:/user.slice\n0::/mgpu/7.1\n", 7),
    ("/docker/0123", "0::/docker/0123/mgpu/7.1\n", 7),
    ("/docker/0123", "0::/mgpu/7.1\n", 0),
    ("/", "0::/mgpu2/42.3\n", 0),
    ("/", "0::/mgpu/x42.3\n", 0),
    ("/", "0::/user.slice\n", 0),
    # Users make groups too, where systemd has given them a place: such a name says nothing.
    ("/", "0::/user.slice/user-1001.slice/user@1001.service/mgpu/42.3\n", 0),
    ("/", "1:name=systemd:/mgpu/42.3\n0::/user.slice\n", 0),
    # Jobs that are fenced by version 1 are in a group of its devices controller.
    ("/", "5:devices:/mgpu/42.3\n0::/user.slice\n", 42),
    ("/", "5:devices:/user.slice/mgpu/42.3\n4:cpu:/mgpu/42.3\n", 0),
]


@pytest.mark.parametrize(("root", "text", "job"), GROUPS)
def test_a_process_belongs_to_the_job_of_its_control_group(
    root: str, text: str, job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "/proc/self/mountinfo": MOUNTS.format(root),
        f"/proc/{os.getpid()}/cgroup": text,
    }
    monkeypatch.setattr(module, "_read", lambda path: files.get(path, ""))
    assert knowing({}).process(os.getpid(), 5).job == job
