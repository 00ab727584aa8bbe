"""The states of a job, the reasons why one waits, and Slurm's short codes for them."""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
RUNNING: Final = "RUNNING"
SUSPENDED: Final = "SUSPENDED"
COMPLETING: Final = "COMPLETING"
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"
CANCELLED: Final = "CANCELLED"
TIMEOUT: Final = "TIMEOUT"
OUT_OF_MEMORY: Final = "OUT_OF_MEMORY"
PREEMPTED: Final = "PREEMPTED"
NODE_FAIL: Final = "NODE_FAIL"
LAUNCH_FAILED: Final = "LAUNCH_FAILED"

#: state -> Slurm's code (squeue(1), JOB STATE CODES); LF is mgpu's own.
CODES: Final = {
    PENDING: "PD",
    RUNNING: "R",
    SUSPENDED: "S",
    COMPLETING: "CG",
    COMPLETED: "CD",
    FAILED: "F",
    CANCELLED: "CA",
    TIMEOUT: "TO",
    OUT_OF_MEMORY: "OOM",
    PREEMPTED: "PR",
    NODE_FAIL: "NF",
    LAUNCH_FAILED: "LF",
}
STATES: Final = {code: state for state, code in CODES.items()}
ACTIVE: Final = frozenset({PENDING, RUNNING, SUSPENDED, COMPLETING})
ENDED: Final = frozenset(CODES) - ACTIVE


#: Why an attempt is ended before its time: it used more memory than it asked for, or none of its
#: GPUs' time.
MEMORY: Final = "memory"
IDLE: Final = "idle"
#: Or because somebody wants it to wait for its turn again.
REQUEUE: Final = "requeue"
#: Those of them after which a job goes to the end of the queue.
SENT_BACK: Final = frozenset({IDLE, REQUEUE})


class Reason:
    """Why a job waits, in Slurm's words where Slurm has one (squeue(1), JOB REASON CODES)."""

    NONE: Final = "None"
    RESOURCES: Final = "Resources"
    PRIORITY: Final = "Priority"
    BEGIN_TIME: Final = "BeginTime"
    HELD_USER: Final = "JobHeldUser"
    HELD_ADMIN: Final = "JobHeldAdmin"
    DEPENDENCY: Final = "Dependency"
    NEVER_SATISFIED: Final = "DependencyNeverSatisfied"
    DEADLINE: Final = "DeadLine"
    ARRAY_LIMIT: Final = "JobArrayTaskLimit"
    RESERVATION: Final = "Reservation"
    QUOTA_GPUS: Final = "QuotaGpus"
    QUOTA_JOBS: Final = "QuotaJobs"
    QUOTA_MEMORY: Final = "QuotaGpuMemory"
    QUOTA_HOURS: Final = "QuotaGpuHours"
    PREEMPTING: Final = "Preempting"
    GPU_NOT_AVAILABLE: Final = "ReqGpuNotAvail"
    INVALID_ACCOUNT: Final = "InvalidAccount"
    DRAINED: Final = "PartitionDown"
