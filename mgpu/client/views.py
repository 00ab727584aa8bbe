"""What the Python API returns: plain named values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mgpu.model.states import COMPLETED, FAILED
from mgpu.protocol.names import JOB_FIELDS


class JobView(NamedTuple):
    """A job as the scheduler shows it to this caller.

    Times are Unix time, durations seconds, memory MiB. ``name``, ``command``, ``cwd`` and
    ``project`` are None where they belong to somebody else and are private. ``gpu_ids`` are the
    GPUs it holds, ``dependency`` is what it still waits for, in Slurm's form.

    ``array`` is the id of the array it belongs to, 0 if to none. ``tasks`` are the indices that
    it stands for, as ``7`` or ``8-100``; at most ``max_concurrent`` of the array's run at once (0:
    no bound). ``params`` are the values of a sweep's task; private like the command.

    ``peak`` is the most memory that it was seen to use in its last run, as [GPU, MiB] for each
    GPU; ``note`` is what its owner is to know of it, as that it does nothing with its GPUs.

    ``qos`` is its class, empty where it named none; ``cpus`` and ``host_mem`` (MiB) are 0, and
    ``gpu_type`` empty, where it does not ask for any. It may start at ``begin`` at the earliest.
    """

    id: int
    name: str | None
    user: str
    state: str
    reason: str
    detail: str | None
    submitted: float
    started: float | None
    ended: float | None
    elapsed: float
    time_limit: int | None
    gpus: int
    gpu_mem: int | None
    gpu_ids: list[int]
    priority: int
    restarts: int
    attempt: int
    code: int | None
    signal: int | None
    command: str | None
    cwd: str | None
    exclusive: bool
    requeue: bool
    mine: bool
    dependency: str
    array: int
    tasks: str
    max_concurrent: int
    params: dict[str, str] | None
    peak: list[list[int]]
    note: str
    project: str | None
    qos: str
    cpus: int
    host_mem: int
    gpu_type: str
    begin: float | None


class JobEnd(NamedTuple):
    """How a job ended; ``code`` and ``signal`` are None where it did not run to an end.

    ``detail`` says what went wrong where there is more to say than that.
    """

    state: str
    code: int | None
    signal: int | None
    detail: str = ""

    @property
    def exit_status(self) -> int:
        """The status as a shell would give it: the code, 128 + signal, 1 if there is neither.

        Only a job that is COMPLETED gives 0: one ended at its limit may have exited with 0.
        """
        return exit_status(self.code, self.signal) or int(self.state != COMPLETED)

    def told(self) -> str:
        """``FAILED (exit code 3)``, or a state that says enough, and the detail."""
        how = ""
        if self.state == FAILED and self.signal:
            how = f" (signal {self.signal})"
        elif self.state == FAILED and self.code is not None:
            how = f" (exit code {self.code})"
        return f"{self.state}{how}{': ' if self.detail else ''}{self.detail}"


class Holder(NamedTuple):
    """A job on a GPU: ``gpu_mem`` is what it reserved, None if it has the GPU for itself.

    ``used`` is what it is seen to use, None where that is not known.
    """

    job: int
    user: str
    gpu_mem: int | None
    elapsed: float
    state: str
    used: int | None = None
    array: int = 0
    tasks: str = ""


@dataclass(frozen=True, slots=True)
class GpuView:
    """A GPU; memory in MiB. ``note`` says why it is not ``available``.

    ``free`` is what another job that names its memory can have, ``used`` what all processes use.
    ``capability`` is CUDA's, as ``8.0``; empty where it is not known. ``state`` is ``available``,
    ``cleaning``, ``dirty``, ``drained``, ``restricted``, ``fault`` or ``unknown`` (the driver does
    not answer). ``utilization`` (percent), ``temperature`` (degrees Celsius), ``power`` and
    ``power_limit`` (watts) are -1 where the driver does not tell. ``card`` is the UUID of the GPU
    that a MIG instance is a part of.

    ``outsiders`` are the processes that belong to no job on it: ``pid``, ``uid``, ``memory``,
    ``since`` (Unix time), ``job`` (0, or one that has other GPUs or is ``over``), ``ignored``.
    ``reservations`` are (id, seconds until it begins, seconds until it ends).
    """

    index: int
    uuid: str
    name: str
    total: int
    outside: int
    reserved: int
    free: int
    available: bool
    note: str
    jobs: list[Holder]
    capability: str = ""
    state: str = "available"
    used: int = 0
    utilization: int = -1
    temperature: int = -1
    power: int = -1
    power_limit: int = -1
    bus: str = ""
    card: str = ""
    outsiders: Sequence[Mapping[str, object]] = ()
    reservations: Sequence[Sequence[float]] = ()


class Machine(NamedTuple):
    """All GPUs and the length of the queue; ``backend`` is ``nvml`` or ``simulated``.

    ``topology`` has a row for each GPU that says how it reaches each of them: ``SELF``, ``NVLINK``,
    ``SWITCH`` (the same PCIe switch), ``NUMA`` (the same node) or ``SYSTEM``. ``host`` holds
    ``cpus`` and ``memory`` (MiB) for jobs that name some, and how much of each is ``_reserved``.
    ``driver`` is the driver's version, ``age`` how many seconds ago it was asked.

    ``isolation`` is the level that is configured, ``fenced_by`` what enforces it (``cgroup-v2``,
    ``cgroup-v1`` or nothing), ``tracking`` what tells the processes of a job (one of those, or
    ``subreaper``). ``hidden``: the kernel does not show the scheduler whose processes are on GPUs.

    ``next`` is the first job in line that waits for others to end (``id``, ``array``, ``tasks``,
    ``user``): it gets ``gpus`` in at most ``in`` seconds (None: nobody knows), when the job
    ``after`` has ended.
    """

    backend: str
    version: str
    gpus: list[GpuView]
    pending: int
    running: int
    topology: Sequence[Sequence[str]] = ()
    host: Mapping[str, int] | None = None
    driver: str = ""
    age: float | None = None
    next: Mapping[str, object] | None = None
    isolation: str = ""
    fenced_by: str = ""
    tracking: str = ""
    hidden: bool = False


class Health(NamedTuple):
    """The scheduler's own state; ``detail`` says what is wrong in ``mode`` ``recovery``."""

    version: str
    uptime: float
    backend: str
    mode: str
    detail: str


def exit_status(code: int | None, signal: int | None) -> int:
    """The code, else 128 + signal, else 1."""
    if code is not None:
        return code
    return 1 if signal is None else 128 + signal


assert JobView._fields == JOB_FIELDS  # noqa: S101 - the order on the wire is the order here
