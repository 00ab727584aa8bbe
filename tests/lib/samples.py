"""Jobs, specs and one event of each kind, for tests that store or send them."""

from __future__ import annotations

from typing import Any

from mgpu.model import events as ev
from mgpu.model.job import Ended, Job, JobSpec, Pending, Phase, Running, Starting, Stopping
from mgpu.model.time import Now

NOW = Now(1_700_000_000.5, 100.25)
GPUS = ("GPU-1", "GPU-2")


def spec(spec_id: int = 1, **fields: Any) -> JobSpec:
    """A small spec; ``fields`` replace what it says."""
    given = {"name": "train", "command": "python train.py", "cwd": "/home/alice", **fields}
    return JobSpec(spec_id=spec_id, **given)


def job(job_id: int = 1, phase: Phase | None = None, **fields: Any) -> Job:
    """A job of alice, waiting unless ``phase`` says otherwise."""
    given = {"uid": 1001, "user": "alice", "submitted": 10.0, "seq": job_id, **fields}
    given.setdefault("spec", spec(job_id))
    return Job(id=job_id, phase=phase or Pending(10.0), **given)


def submitted(first: Job, count: int = 1, at: Now = NOW) -> ev.Submitted:
    """The event that brought ``count`` jobs like ``first`` in."""
    return ev.Submitted(at, first.id, count, first.uid, first.user, first.spec, first.priority)


PHASES: dict[str, Phase] = {
    "Pending": Pending(10.0),
    "Pending-deferred": Pending(10.0, 55.5, "SystemFailure", "fork: EAGAIN"),
    "Starting": Starting(GPUS, NOW),
    "Running": Running(GPUS, NOW, 4242, 987654),
    "Stopping": Stopping(GPUS, 0, NOW, 4242, 987654),
    "Stopping-early": Stopping((), 1001, None),
    "Ended": Ended("COMPLETED", 20.5, 11.0, 0, None, "", GPUS),
    "Ended-signal": Ended("FAILED", 20.5, 11.0, None, 9, "killed \x1b[31m", GPUS),
    "Ended-unstarted": Ended("CANCELLED", 20.5),
}

EVENTS: dict[str, ev.Event] = {
    "Submitted": submitted(job(7, spec=spec(7, gpu_mem=8000, signal=(10, 60))), count=3),
    "Started": ev.Started(NOW, 7, 1, GPUS),
    "Launched": ev.Launched(NOW, 7, 1, 4242, 987654),
    "CancelRequested": ev.CancelRequested(NOW, 7, 1001),
    "Deferred": ev.Deferred(NOW, 7, 1, 55.5, "SystemFailure", "fork: EAGAIN", counted=False),
    "Requeued": ev.Requeued(NOW, 7, 1, "TIMEOUT"),
    "Finished": ev.Finished(NOW, 7, 2, "FAILED", None, 9, "out of luck"),
    "PriorityChanged": ev.PriorityChanged(NOW, 7, 1001, -5),
}
