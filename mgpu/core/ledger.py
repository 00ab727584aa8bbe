"""Who holds which GPU, and what each can still take (design, section 5).

Memory counts from the moment of the decision: four jobs that come together never see the same
free memory. A GPU that is gone from the inventory keeps its entry until its jobs are over.
The machine's own CPUs and memory count as far as jobs name them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from mgpu.core.machine import NO_MACHINE, Machine
from mgpu.core.placement import Host, Room, need_of
from mgpu.core.policy import Policy
from mgpu.model.gpu import Gpu
from mgpu.model.job import Job


class Ledger:
    """The holders of each GPU by UUID, and the number of jobs that run without any.

    ``cpus`` and ``host_mem`` (MiB) are what jobs have been promised of the machine.
    """

    def __init__(self) -> None:
        self.holders: dict[str, dict[int, Job]] = {}
        self.gpuless = 0
        self.cpus = 0
        self.host_mem = 0

    def take(self, job: Job) -> None:
        """Note that ``job`` holds the GPUs of its phase from now on."""
        self._promise(job, 1)
        self.gpuless += not job.gpus
        for uuid in job.gpus:
            self.holders.setdefault(uuid, {})[job.id] = job

    def give(self, job: Job) -> None:
        """Note that ``job`` gives the GPUs of its phase back."""
        self._promise(job, -1)
        self.gpuless -= not job.gpus
        for uuid in job.gpus:
            del self.holders[uuid][job.id]
            if not self.holders[uuid]:
                del self.holders[uuid]

    def on(self, uuid: str) -> Iterable[Job]:
        """The jobs that hold this GPU."""
        return self.holders.get(uuid, {}).values()

    def reserved(self, uuid: str) -> int:
        """The MiB promised to the jobs on this GPU, as far as they named a size."""
        return sum(job.spec.gpu_mem or 0 for job in self.on(uuid))

    def host(self, policy: Policy) -> Host:
        """What can still be had of the machine's own CPUs and memory."""
        host = Host(policy.cpus or math.inf, policy.host_memory or math.inf)
        host.cpus -= self.cpus
        host.mem -= self.host_mem
        return host

    def _promise(self, job: Job, sign: int) -> None:
        self.cpus += sign * job.spec.cpus
        self.host_mem += sign * job.spec.host_mem

    def room(self, gpu: Gpu, policy: Policy, machine: Machine = NO_MACHINE) -> Room:
        """What ``gpu`` can take now."""
        room = Room(
            gpu.uuid,
            gpu.index,
            gpu.total - policy.margin,
            gpu.outside,
            available=gpu.available,
            quiet=gpu.foreign <= policy.unmanaged_ignore,
            cleaning=gpu.cleaning,
            machine=machine,
        )
        measured = dict(gpu.measured)
        for job in self.on(gpu.uuid):
            room.take(job.id, need_of(job.spec), measured.get(job.id, 0))
        return room
