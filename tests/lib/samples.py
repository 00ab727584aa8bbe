"""Jobs, specs and one event and record of each kind, for tests that store or send them."""

from __future__ import annotations

from typing import Any

from mgpu.model import events as ev
from mgpu.model import records as kept
from mgpu.model.dependency import Condition, Dependency
from mgpu.model.job import Ended, Job, JobSpec, Pending, Phase, Running, Starting, Stopping
from mgpu.model.runs import Run
from mgpu.model.sweep import Sweep
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now

NOW = Now(1_700_000_000.5, 100.25)
GPUS = ("GPU-1", "GPU-2")


TASKS = Tasks(((0, 0, 1), (6, 32, 2)))
NEEDS = Dependency(
    (Condition("afterok", 12, never="FAILED"), Condition("after", 42, 7, 600, 1.5e9)), any_of=True
)


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


#: A spec that names all there is to name.
SWEPT = spec(
    3,
    gpus=2,
    project="vision",
    qos="low",
    gpu_type="A100",
    gpu_uuids=GPUS,
    min_gpu_total=40000,
    min_capability=(8, 0),
    cpus=4,
    host_mem=16000,
    deadline=1_700_009_999.5,
    retries=3,
    kill_on_invalid_dep=False,
    sweep=Sweep(((("lr", "seed"), (("0.1", "1"), ("0.01", "2"))),)),
    name_template="{name}-{lr}",
)

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
    "Stopping-preempted": Stopping(GPUS, 0, NOW, 4242, 987654, 8),
    "Stopping-evicted": Stopping(GPUS, 0, NOW, 4242, 987654, 0, "memory", "gpu1: 9000 MiB of 8000"),
}

SAMPLE = spec(7, gpu_mem=8000, signal=(10, 60))

EVENTS: dict[str, ev.Event] = {
    "Submitted": submitted(job(7, spec=SAMPLE), count=3),
    "Started": ev.Started(NOW, 7, 1, GPUS),
    "Launched": ev.Launched(NOW, 7, 1, 4242, 987654),
    "CancelRequested": ev.CancelRequested(NOW, 7, 1001),
    "Deferred": ev.Deferred(NOW, 7, 1, 55.5, "SystemFailure", "fork: EAGAIN", counted=False),
    "Requeued": ev.Requeued(NOW, 7, 1, "TIMEOUT"),
    "Finished": ev.Finished(NOW, 7, 2, "FAILED", None, 9, "out of luck"),
    "PriorityChanged": ev.PriorityChanged(NOW, 7, 1001, -5),
    "Submitted-array": ev.Submitted(
        NOW, 7, 1, 1001, "alice", SWEPT, 0, TASKS, "user", 1_700_000_100.5, NEEDS
    ),
    "Split": ev.Split(NOW, 7, 8, Tasks(((6, 6, 1),))),
    "Held": ev.Held(NOW, 7, 1001, "admin"),
    "Released": ev.Released(NOW, 7, 1001, 1_700_000_100.5),
    "DependencyChanged": ev.DependencyChanged(NOW, 7, NEEDS),
    "Refused": ev.Refused(NOW, 7, "DependencyNeverSatisfied", "job 3 (FAILED)"),
    "Preempted": ev.Preempted(NOW, 7, 1, -3),
    "Retried": ev.Retried(NOW, 7, 1, None, 9, 55.5),
    "Extended": ev.Extended(NOW, 7, 1, 600),
    "Evicted": ev.Evicted(NOW, 7, 1, "memory", "gpu1: 9000 MiB of 8000"),
    "Measured": ev.Measured(NOW, 7, 1, (("GPU-1", 9000), ("GPU-2", 17))),
    "Noted": ev.Noted(NOW, 7, 1, "gpu1 reported Xid 79"),
    "Recorded": ev.Recorded(NOW, 1001, kept.Quota("user:alice", running_gpus=2)),
    "Audited": ev.Audited(NOW, 1001, "cancel", "7,42_3", "Denied"),
    "Erased": ev.Erased(NOW, 1001, "Quota", "user:alice"),
    "Altered": ev.Altered(NOW, 7, 1001, 600, "low"),
    "Altered-unlimited": ev.Altered(NOW, 7, 1001, None, ""),
    "Altered-sizes": ev.Altered(NOW, 7, 1001, 600, "", (2, 8000, 512)),
}

RECORDS: dict[str, kept.Record] = {
    "Closure": kept.Closure("new fans", 0, NOW.wall, True),
    "Array": kept.Array(42, 1001, 100_000, 4, 17, 3),
    "Usage": kept.Usage("user:1001", 1234.5, NOW.wall),
    "Reservation": kept.Reservation(
        5,
        "course",
        0,
        NOW.wall,
        3600,
        2,
        GPUS,
        ("alice",),
        ("lab",),
        ("vision",),
        "0 9 * * 1",
        "Europe/Berlin",
        True,
    ),
    "Quota": kept.Quota("user:alice", 1, 2, 3000, 4, 5.5, 86400, NOW.wall),
    "Recurring": kept.Recurring(
        9,
        1001,
        "alice",
        spec(-9, gpus=2),
        5,
        "0 2 * * 1-5",
        "UTC",
        NOW.wall,
        True,
        "queue",
        "once",
        42,
        3,
        "skipped",
    ),
    "Membership": kept.Membership(1001, ("alice", "lab")),
    "Spending": kept.Spending("user:alice", NOW.wall, 99.5),
    "Counter": kept.Counter("reservation", 5),
    "Drain": kept.Drain("GPU-1", "fan is broken", 0, NOW.wall, False),
    "Restriction": kept.Restriction(GPUS, 0),
    "Ignored": kept.Ignored(4242, 987654, 0),
    "Drain-broken": kept.Drain("GPU-2", "fans", 0, NOW.wall, broken="Xid 79: fallen off the bus"),
    "Excused": kept.Excused("GPU-1", "Xid 48: double bit error"),
    "Base": kept.Base("GPU-1", 1024, 0),
    "Outsider": kept.Outsider(4243, 987655, 1001, "GPU-1", 700, 100.25),
    "Notice": kept.Notice(
        3,
        1001,
        "user:1001",
        "job_failed",
        "job 42.1",
        "mailto:a@b.de",
        "{}",
        1.5,
        2.5,
        1,
        3.5,
        True,
    ),
    "Seen": kept.Seen(7, 2, 100.5, 800_000.0, 90.0, 4500.0, 10.0),
}

#: Attempts that are over: one that was seen, one of which nothing is known, tasks that never ran.
RUN_SAMPLES = [
    Run(
        *(7, 1, 1001, "alice", "vision", "TIMEOUT", False, 10.0, 20.5, 11.0),
        wait=1.0,
        signal=15,
        gpus=GPUS,
        gpu_mem=8000,
        time_limit=600,
        peak=9000,
        mean=8000.5,
        utilization=45.5,
        idle=0.5,
        seen=9.5,
    ),
    Run(*(7, 2, 1001, "alice", "vision", "COMPLETED", True, 10.0, 40.5, 30.0), code=0, gpus=GPUS),
    Run(*(42, 0, 1002, "bob", "", "CANCELLED", True, 10.0, 40.5), array=42, tasks=99),
]
