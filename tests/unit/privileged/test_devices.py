"""Which nodes the program that fences a job's GPUs lets it open."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.privileged import devices, startup
from mgpu.privileged.cgroup import open_groups
from tests.lib import cgroups

CHARACTER, BLOCK = 2, 1
NAME = f"mgpu-test-devices-{os.getpid()}"

minors = st.integers(0, 300)


def run(program: bytes, *words: int) -> int:
    """What the kernel makes of a program for these three words: the few instructions it uses."""
    context = struct.pack("=III", *words)
    registers = [0, 0, 0]
    steps = [struct.unpack_from("=BBhi", program, at) for at in range(0, len(program), 8)]
    at = 0
    while True:
        code, pair, off, imm = steps[at]
        to, at = pair & 15, at + 1
        if code == 0x95:
            return registers[0]
        if code == 0x61:
            (registers[to],) = struct.unpack_from("=I", context, off)
        elif code == 0x57:
            registers[to] &= imm
        elif code == 0xB7:
            registers[to] = imm
        elif {0x15: registers[to] == imm, 0x35: registers[to] >= imm, 0x55: registers[to] != imm}[
            code
        ]:
            at += off


@given(st.lists(minors, max_size=16), st.sampled_from([CHARACTER, BLOCK]), minors, minors)
def test_only_nodes_of_other_gpus_are_refused(
    own: list[int], kind: int, major: int, minor: int
) -> None:
    access = 6 << 16 | kind  # to read and to write
    answer = run(devices.program(own), access, major, minor)
    foreign = kind == CHARACTER and major == devices.MAJOR and minor < devices.GPU_MINORS
    assert answer == int(not foreign or minor in own)


@given(st.lists(st.integers(0, 253), max_size=16), st.integers(0, 255))
def test_of_the_gpus_a_jobs_own_are_allowed(own: list[int], minor: int) -> None:
    answer = run(devices.program(own), 2 << 16 | CHARACTER, devices.MAJOR, minor)
    assert answer == int(minor in own or minor >= devices.GPU_MINORS)


def test_where_the_old_controller_is_mounted() -> None:
    lines = (
        "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "31 23 0:27 / /sys/fs/cgroup/dev\\040ices rw - cgroup cgroup rw,devices\n"
    )
    assert devices.old_mount(lines) == "/sys/fs/cgroup/dev ices"
    assert devices.old_mount(lines.splitlines()[0]) is None


# ------------------------------------------------------------ the kernel's own answer

NODES = (0, 1, 2, 254, 255)


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """Nodes of GPUs that are not there: to open one gives ENXIO where it is allowed."""
    for minor in NODES:
        os.mknod(tmp_path / f"{minor}", stat.S_IFCHR | 0o666, os.makedev(devices.MAJOR, minor))
    return tmp_path


def refused(nodes: Path) -> list[int]:
    """The nodes that this process may not open."""
    found = []
    for minor in NODES:
        try:
            os.close(os.open(nodes / f"{minor}", os.O_RDWR))
        except PermissionError:
            found.append(minor)
        except OSError:
            continue
    return found


def refused_in(procs: int, nodes: Path) -> list[int]:
    """As :func:`refused`, for a child that has entered a group."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(procs, b"0")
        os.write(writer, bytes(refused(nodes)))
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader, "rb") as answer:
        return list(answer.read())


@pytest.fixture
def name() -> Iterator[str]:
    if os.getuid() != 0:
        pytest.skip("only root may make groups and nodes")
    yield NAME
    cgroups.remove(NAME)


def test_a_job_in_a_fenced_group_opens_its_own_gpus_alone(name: str, nodes: Path) -> None:
    group = open_groups(name).make("1.1")
    devices.confine(group, [1])
    with open(cgroups.v2_root() / name / "1.1" / "cgroup.procs", "wb", buffering=0) as procs:  # type: ignore[operator]
        assert refused_in(procs.fileno(), nodes) == [0, 2]
    group.close()
    assert refused(nodes) == []


def test_a_job_in_an_old_group_opens_its_own_gpus_alone(name: str, nodes: Path) -> None:
    mount = devices.old_mount(Path("/proc/self/mountinfo").read_text())
    if mount is None:
        pytest.skip("the devices controller of cgroup version 1 is not mounted")
    groups = devices.OldGroups(os.path.join(mount, name))
    procs = groups.make("1.1", [1])
    assert refused_in(procs, nodes) == [0, 2]
    os.close(procs)
    groups.remove("1.1")
    groups.remove("1.1")
    os.rmdir(groups.path)


def test_where_gpus_cannot_be_fenced_the_daemon_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "bpf: Operation not permitted")

    monkeypatch.setattr(devices, "open_fence", refuse)
    with pytest.raises(startup.StartError, match=r"enforce.* cannot be had here: bpf: Operation"):
        startup._fence(None, "mgpu")
