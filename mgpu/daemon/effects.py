"""Carries out what the core requires of the outside world, and hears what comes back."""

from __future__ import annotations

import fcntl
import os
from collections import OrderedDict
from typing import Any

from mgpu.core import effects as core
from mgpu.core.deadline import seconds_left
from mgpu.core.policy import effective_limit
from mgpu.core.world import World
from mgpu.daemon.attempts import Attempts
from mgpu.daemon.launcherlink import LauncherLink
from mgpu.model.job import Job
from mgpu.model.records import Array
from mgpu.model.time import Now
from mgpu.store.base import Store, StoreCorrupt
from mgpu.system.log import log

#: Payloads of submissions that are kept at hand, so that a bulk of jobs does not read one again.
KEPT = 8

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Actor:
    """Executes effects; each is idempotent, since the core asks again until it is done."""

    def __init__(self, attempts: Attempts, store: Store, launcher: LauncherLink) -> None:
        self._attempts = attempts
        self._launcher = launcher
        self._store = store
        self._payloads: OrderedDict[int, int] = OrderedDict()

    def act(self, world: World, effects: list[core.Effect], now: Now) -> None:
        """Carry out ``effects``, which are durable."""
        for effect in effects:
            if isinstance(effect, core.KillProcess):
                self._kill_process(effect)
                continue
            key = (effect.job, effect.attempt)
            if isinstance(effect, core.Launch):
                self._launch(world, world.jobs[effect.job], now)
            elif isinstance(effect, core.Stop):
                self._attempts.stop(key, effect.grace, warn=effect.warn)
            elif isinstance(effect, core.Extend):
                self._attempts.extend(key, effect.seconds)
            elif isinstance(effect, core.Acknowledge):
                self._attempts.acknowledge(key)
            else:
                self._attempts.kill(key)

    def _kill_process(self, kill: core.KillProcess) -> None:
        """Name a process to the launcher, which looks whether it is still that one."""
        log.warning("a process is to leave its GPU", action=f"{kill.why}-kill", **kill._asdict())
        self._launcher.send({"op": "kill_process", **kill._asdict()})

    def _launch(self, world: World, job: Job, now: Now) -> None:
        order = _start_order(world, job, now)
        try:
            self._attempts.launch(order, self._payload(job.spec.spec_id), now)
        except OSError as error:  # out of descriptors or memory: tried again later
            log.warning("cannot order a start", action="start-failed", job=job.id, error=error)
            self._attempts.failed((job.id, job.attempt), str(error.strerror), error.errno or 0)
        except StoreCorrupt as error:  # this job cannot be started any more; others can
            log.error("cannot read a payload", action="payload-failed", job=job.id, error=error)
            self._attempts.failed((job.id, job.attempt), str(error))

    def _payload(self, spec_id: int) -> int:
        """A descriptor of the payload in memory, to be given away."""
        fd = self._payloads.get(spec_id)
        if fd is None:
            fd = self._payloads[spec_id] = _memory_file(self._store.payload(spec_id))
            if len(self._payloads) > KEPT:
                os.close(self._payloads.popitem(last=False)[1])
        self._payloads.move_to_end(spec_id)
        return os.dup(fd)


def _start_order(world: World, job: Job, now: Now) -> dict[str, Any]:
    """The message that has the launcher start the job's attempt."""
    spec = job.spec
    gpus = sorted((world.gpus[uuid].index, uuid) for uuid in job.gpus)
    return {
        "op": "start",
        "job": job.id,
        "attempt": job.attempt,
        "uid": job.uid,
        "user": job.user,
        "limit": seconds_left(job, effective_limit(spec, world.policy), now.wall),
        "warn": list(spec.signal) if spec.signal else None,
        "grace": world.policy.grace,
        "restarts": job.restarts,
        "gpus": [index for index, _ in gpus],
        "uuids": [uuid for _, uuid in gpus],
        "minors": [world.gpus[uuid].minor for _, uuid in gpus],
        "capabilities": [one for _, uuid in gpus for one in world.gpus[uuid].capabilities],
        "gpu_mem": spec.gpu_mem,
        "cpus": spec.cpus,
        "host_mem": spec.host_mem,
        "array": _array(world, job),
    }


def _array(world: World, job: Job) -> list[int] | None:
    """Which task of which array it is, of how many, from which to which index."""
    if job.tasks is None:
        return None
    array = world.records.get(Array, job.array) or Array(job.array, job.uid, 1)
    return [job.array, job.tasks.first, array.total, array.first, array.last]


def _memory_file(data: bytes) -> int:
    """The bytes in a descriptor that nobody, the job's process included, can change."""
    fd = os.memfd_create("mgpu-payload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
