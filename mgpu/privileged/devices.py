"""Which GPUs a job may open: rules of its own on the nodes of NVIDIA's driver.

Nodes of GPUs that are not the job's are refused with EPERM, whatever their modes say, and so are
the capability nodes of instances (MIG) that are not: who opens an instance needs the node of its
card and two of these, one for the GPU instance and one for the compute instance in it. All other
nodes are left to their modes, also those that belong to no GPU (nvidiactl, nvidia-uvm).

A fence is a program of the kernel at the attempt's cgroup where that is of version 2, else a list
in a group of the ``devices`` controller of version 1. Either holds for all descendants of the job,
and for root among them.
"""

from __future__ import annotations

import errno
import os
import struct

from mgpu.privileged import log, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mgpu.privileged.cgroup import Group, Groups

#: /dev/nvidiaN is the character device (195, N); the last two minors belong to no GPU
#: (nvidia-modeset and nvidiactl; nv.h of the open kernel modules).
MAJOR = 195
GPU_MINORS = 254

#: The driver asks the kernel for the major of its capability nodes, and lists what each minor is
#: for: ``gpu0/gi1/access 12``, ``gpu0/gi1/ci0/access 13``, and a few that belong to no instance.
_DEVICES = "/proc/devices"
_CAPABILITIES = "nvidia-caps"
_MINORS = "/proc/driver/nvidia-caps/mig-minors"

_TRIAL = "0.0"  # no attempt has this name

_PROG_LOAD = 5
_PROG_ATTACH = 8
_TYPE_CGROUP_DEVICE = 15
_ATTACH_DEVICE = 6
_ALLOW_MULTI = 2
_CHARACTER_DEVICE = 2
_ATTRIBUTE_SIZE = 128


class Nodes:
    """Nodes of one major, minors ``first`` up to ``end``, of which a job may open its ``own``."""

    __slots__ = ("end", "first", "major", "own")

    def __init__(self, major: int, first: int, end: int, own: Iterable[int]) -> None:
        self.major = major
        self.first = first
        self.end = end
        self.own = sorted(set(own))


def nodes(minors: Iterable[int], capabilities: Iterable[int]) -> list[Nodes]:
    """What a job with these GPUs and these capabilities of instances is kept from.

    A driver that is loaded later needs no rule for instances: it has their cards, too.
    """
    found = [Nodes(MAJOR, 0, GPU_MINORS, minors)]
    major, instances = _major(_read(_DEVICES)), _instances(_read(_MINORS))
    if major and instances:
        found.append(Nodes(major, min(instances), max(instances) + 1, capabilities))
    return found


def _major(devices: str) -> int:
    """The major of the capability nodes, by /proc/devices; 0 where there is none."""
    for line in devices.partition("\n\n")[0].splitlines():
        if line.split()[1:] == [_CAPABILITIES]:
            return int(line.split()[0])
    return 0


def _instances(minors: str) -> list[int]:
    """The minors of all instances that there can be."""
    lines = [line.split() for line in minors.splitlines() if line.startswith("gpu")]
    return [int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()]


def _read(path: str) -> str:
    """What the kernel tells there; nothing where it has no such file."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def confine(group: Group, kept: Iterable[Nodes]) -> None:
    """Let what is in ``group`` open, of the nodes ``kept``, its own; ``OSError`` if it cannot."""
    code = syscalls.Buffer(program(kept))
    licence = syscalls.Buffer(b"GPL\0")
    words = (_TYPE_CGROUP_DEVICE, len(code) // 8, code.address, licence.address)
    loaded = syscalls.bpf(_PROG_LOAD, struct.pack("=IIQQ", *words).ljust(_ATTRIBUTE_SIZE, b"\0"))
    try:
        attach = (group.folder, loaded, _ATTACH_DEVICE, _ALLOW_MULTI)
        syscalls.bpf(_PROG_ATTACH, struct.pack("=IIII", *attach).ljust(_ATTRIBUTE_SIZE, b"\0"))
    finally:
        os.close(loaded)  # the group keeps it


def program(kept: Iterable[Nodes]) -> bytes:
    """The program that is asked at each open and mknod: 1 allows, 0 refuses.

    Its argument, struct bpf_cgroup_dev_ctx, has three words: access and type, major, minor.
    """
    steps = [
        _load(0),
        _instruction(0x57, 2, imm=0xFFFF),  # the type of the node
        _unless(2, _CHARACTER_DEVICE, _ALLOW),
    ]
    for one in kept:
        steps += _refuse(one)
    allow = [_instruction(0xB7, 0, imm=1), _instruction(0x95, 0)]
    aimed = [_aim(step, len(steps) - at - 1) for at, step in enumerate(steps)]
    return b"".join([*aimed, *allow])


def _refuse(kept: Nodes) -> list[bytes]:
    """The steps that refuse nodes; those of another major come out behind them."""
    tests = [
        _load(8),
        _instruction(0x35, 2, off=1, imm=kept.first),  # if it is that or more, pass over:
        _instruction(0x05, 0, off=_ALLOW),
        _instruction(0x35, 2, off=_ALLOW, imm=kept.end),
        *(_instruction(0x15, 2, off=_ALLOW, imm=minor) for minor in kept.own),
        _instruction(0xB7, 0, imm=0),
        _instruction(0x95, 0),
    ]
    return [_load(4), _unless(2, kept.major, len(tests)), *tests]


#: Stands for a jump to the end that allows, until it is known how far that is.
_ALLOW = 0x7FFF


def _instruction(code: int, to: int, origin: int = 0, *, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, origin << 4 | to, off, imm)


def _load(offset: int) -> bytes:
    return _instruction(0x61, 2, 1, off=offset)


def _unless(register: int, value: int, off: int) -> bytes:
    return _instruction(0x55, register, off=off, imm=value)


def _aim(step: bytes, distance: int) -> bytes:
    code, registers, off, imm = struct.unpack("=BBhi", step)
    return struct.pack("=BBhi", code, registers, distance if off == _ALLOW else off, imm)


class OldGroups:
    """Groups of the ``devices`` controller of cgroup version 1, one for each attempt."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, 0o755, exist_ok=True)

    def make(self, name: str, kept: Iterable[Nodes]) -> int:
        """A group that keeps its members off nodes; the descriptor by which one enters."""
        folder = os.path.join(self.path, name)
        os.mkdir(folder, 0o755)
        with open(os.path.join(folder, "devices.deny"), "w", encoding="ascii", buffering=1) as deny:
            for one in kept:
                for minor in sorted(set(range(one.first, one.end)) - set(one.own)):
                    deny.write(f"c {one.major}:{minor} rwm\n")
        return os.open(os.path.join(folder, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)

    def remove(self, name: str) -> None:
        """Remove the group ``name``, if there is one and nothing lives in it."""
        try:
            os.rmdir(os.path.join(self.path, name))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY):
                raise


class Fence:
    """Keeps the attempts of this machine off GPUs that are not theirs."""

    __slots__ = ("_old",)

    def __init__(self, old: OldGroups | None) -> None:
        self._old = old

    @property
    def kind(self) -> str:
        """What it is made of."""
        return "cgroup-v2" if self._old is None else "cgroup-v1"

    def put(self, group: Group | None, name: str, kept: Iterable[Nodes]) -> int:
        """Fence the attempt ``name``; the descriptor by which its child enters a group, or -1."""
        if self._old is not None:
            return self._old.make(name, kept)
        if group is not None:
            confine(group, kept)
        return -1

    def remove(self, name: str) -> None:
        """Remove what was made for the attempt ``name``."""
        if self._old is not None:
            self._old.remove(name)

    def sweep(self) -> None:
        """Remove what earlier attempts have left."""
        if self._old is not None:
            for name in os.listdir(self._old.path):
                if os.path.isdir(os.path.join(self._old.path, name)):
                    self._old.remove(name)


def open_fence(groups: Groups | None, name: str) -> Fence:
    """The fence that this machine can have; ``name`` is the folder of its groups.

    ``OSError``, with the reason in it, where it can have none.
    """
    try:
        if groups is None:
            raise OSError(errno.ENOENT, "there are no cgroups of version 2")
        _try(groups)
    except OSError as error:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mount = old_mount(file.read())
        if mount is None:
            raise
        log.info("GPUs are fenced by cgroup version 1", "fence-old", reason=error)
        return Fence(OldGroups(os.path.join(mount, name)))
    return Fence(None)


def _try(groups: Groups) -> None:
    """Fence a group that nobody is in."""
    groups.remove(_TRIAL)
    group = groups.make(_TRIAL)
    try:
        confine(group, nodes((), ()))
    finally:
        group.close()
        groups.remove(_TRIAL)


def old_mount(mountinfo: str) -> str | None:
    """Where the ``devices`` controller of version 1 is mounted, by /proc/self/mountinfo."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, rest = right.partition(" ")
        if kind == "cgroup" and "devices" in rest.rpartition(" ")[2].split(","):
            return left.split()[4].encode().decode("unicode_escape")
    return None
