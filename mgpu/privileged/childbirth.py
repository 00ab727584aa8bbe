"""The job's child as its supervisor sees it: what it is given, its fork, its early death."""

from __future__ import annotations

import errno
import os

import msgpack

from mgpu.privileged import devices, script, syscalls
from mgpu.privileged.cgroup import Limits
from mgpu.privileged.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mgpu.privileged.cgroup import Group
    from mgpu.privileged.order import Order
    from mgpu.privileged.site import Site


def make_group(site: Site, order: Order) -> Group | None:
    """The cgroup of the attempt with its limits, where cgroups can be had."""
    limits = Limits(memory=order.host_mem << 20, cpus=order.cpus, processes=site.processes)
    return site.groups.make(order.name, limits) if site.groups else None


def make_fence(site: Site, order: Order, group: Group | None) -> int:
    """Keep the job off other GPUs, where that is wanted: it must not run without."""
    if site.fence is None:
        return -1
    if -1 in order.minors or -1 in order.capabilities:
        detail = "the driver does not tell the device nodes of the job's GPUs"
        raise Refusal("devices", errno.ENODEV, detail)
    kept = devices.nodes(order.minors, order.capabilities)
    return site.fence.put(group, order.name, kept)


def make_script(site: Site, order: Order) -> int:
    """The file for the job's script, or -1 where it has none."""
    return script.create(site.scripts, order.name, order.uid) if order.script else -1


def fork(group: Group | None) -> tuple[int, bool]:
    """Fork, if possible straight into ``group``; the pid and whether the child is in it already."""
    if group is not None:
        try:
            return syscalls.fork_into(group.folder), True
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOMEM):
                raise
    return os.fork(), False


def report_of(data: bytes) -> Refusal:
    """The child's own report of the step that failed."""
    stage, code, detail, transient = msgpack.unpackb(data, unicode_errors="replace")
    return Refusal(stage, code, detail, transient=transient)
