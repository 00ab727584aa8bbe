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
GPUS = (devices.MAJOR, 0, devices.GPU_MINORS)
#: Nodes as of instances: of another major, and some below them that are for other things.
INSTANCES = (CAPABILITIES := 235, 3, 200)
majors = minors | st.sampled_from([devices.MAJOR, CAPABILITIES])


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
        elif jumps(code, registers[to], imm):
            at += off


def jumps(code: int, register: int, value: int) -> bool:
    """Whether the kernel goes on elsewhere after such an instruction."""
    return {
        0x05: True,
        0x15: register == value,
        0x35: register >= value,
        0x55: register != value,
    }[code]


@given(
    st.lists(minors, max_size=16),
    st.lists(minors, max_size=16),
    st.sampled_from([CHARACTER, BLOCK]),
    majors,
    minors,
)
def test_only_nodes_of_other_gpus_and_instances_are_refused(
    gpus: list[int], instances: list[int], kind: int, major: int, minor: int
) -> None:
    kept = [devices.Nodes(*GPUS, gpus), devices.Nodes(*INSTANCES, instances)]
    access = 6 << 16 | kind  # to read and to write
    answer = run(devices.program(kept), access, major, minor)
    foreign = any(
        major == one.major and one.first <= minor < one.end and minor not in one.own for one in kept
    )
    assert answer == int(kind != CHARACTER or not foreign)


@given(st.lists(st.integers(0, 253), max_size=16), st.integers(0, 255))
def test_of_the_gpus_a_jobs_own_are_allowed(own: list[int], minor: int) -> None:
    program = devices.program([devices.Nodes(*GPUS, own)])
    answer = run(program, 2 << 16 | CHARACTER, devices.MAJOR, minor)
    assert answer == int(minor in own or minor >= devices.GPU_MINORS)


TOLD = """Character devices:
  1 mem
195 nvidia
235 nvidia-caps
236 nvidia-caps-imex-channels

Block devices:
234 nvidia-caps
"""
LISTED = "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\ngpu1/gi0/access 138\n"


@pytest.mark.parametrize(
    ("told", "listed", "found"),
    [
        (TOLD, LISTED, [(195, 0, 254, [1]), (235, 3, 139, [3, 4])]),
        (TOLD, "", [(195, 0, 254, [1])]),
        (TOLD.replace("235", "0 x", 1), LISTED, [(195, 0, 254, [1])]),
        ("", "", [(195, 0, 254, [1])]),
    ],
)
def test_the_kernel_tells_which_nodes_are_those_of_instances(
    told: str,
    listed: str,
    found: list[tuple[object, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in {"_DEVICES": told, "_MINORS": listed}.items():
        file = tmp_path / name
        monkeypatch.setattr(devices, name, str(file))
        if text:
            file.write_text(text)
    kept = devices.nodes([1], [4, 3])
    assert [(one.major, one.first, one.end, one.own) for one in kept] == found


def test_where_the_old_controller_is_mounted() -> None:
    lines = (
        "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "31 23 0:27 / /sys/fs/cgroup/dev\\040ices rw - cgroup cgroup rw,devices\n"
    )
    assert devices.old_mount(lines) == "/sys/fs/cgroup/dev ices"
    assert devices.old_mount(lines.splitlines()[0]) is None


# ------------------------------------------------------------ the kernel's own answer

NODES = (0, 1, 2, 254, 255)
#: Minors of a major that no driver has here; the lowest are for no instance.
PARTS = (2, 3, 4, 5)
STRANGE = 500
OWN = [devices.Nodes(*GPUS, [1]), devices.Nodes(STRANGE, 3, 4323, [4])]
REFUSED = ["0", "2", "part3", "part5"]


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """Nodes of GPUs that are not there: to open one gives ENXIO where it is allowed."""
    for minor in NODES:
        os.mknod(tmp_path / f"{minor}", stat.S_IFCHR | 0o666, os.makedev(devices.MAJOR, minor))
    for minor in PARTS:
        os.mknod(tmp_path / f"part{minor}", stat.S_IFCHR | 0o666, os.makedev(STRANGE, minor))
    return tmp_path


def refused(nodes: Path) -> list[str]:
    """The nodes that this process may not open."""
    found = []
    for node in sorted(nodes.iterdir()):
        try:
            os.close(os.open(node, os.O_RDWR))
        except PermissionError:
            found.append(node.name)
        except OSError:
            continue
    return found


def refused_in(procs: int, nodes: Path) -> list[str]:
    """As :func:`refused`, for a child that has entered a group."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(procs, b"0")
        os.write(writer, " ".join(refused(nodes)).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as answer:
        return answer.read().split()


@pytest.fixture
def name() -> Iterator[str]:
    if os.getuid() != 0:
        pytest.skip("only root may make groups and nodes")
    yield NAME
    cgroups.remove(NAME)


def test_a_job_in_a_fenced_group_opens_its_own_gpus_alone(name: str, nodes: Path) -> None:
    group = open_groups(name).make("1.1")
    devices.confine(group, OWN)
    with open(cgroups.v2_root() / name / "1.1" / "cgroup.procs", "wb", buffering=0) as procs:  # type: ignore[operator]
        assert refused_in(procs.fileno(), nodes) == REFUSED
    group.close()
    assert refused(nodes) == []


def test_a_job_in_an_old_group_opens_its_own_gpus_alone(name: str, nodes: Path) -> None:
    mount = devices.old_mount(Path("/proc/self/mountinfo").read_text())
    if mount is None:
        pytest.skip("the devices controller of cgroup version 1 is not mounted")
    groups = devices.OldGroups(os.path.join(mount, name))
    procs = groups.make("1.1", OWN)
    assert refused_in(procs, nodes) == REFUSED
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
