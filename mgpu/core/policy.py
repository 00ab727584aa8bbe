"""What the administrator decided, as the core needs it."""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.model.job import JobSpec


@dataclass(frozen=True, slots=True)
class Policy:
    """The machine's rules. Durations are seconds, memory is MiB; 0 means no bound where noted.

    ``margin`` is kept free on each GPU; up to ``unmanaged_ignore`` of a GPU may be used by
    processes outside mgpu while it still counts as unused.
    """

    max_job_time: int = 0  # 0: no bound
    grace: int = 30
    max_requeues: int = 0  # 0: no bound
    margin: int = 0
    unmanaged_ignore: int = 512
    max_pending_per_user: int = 1000  # 0: no bound
    max_user_priority: int = 1000
    start_retries: int = 5
    max_gpuless: int = 64  # jobs without GPUs that run at once; 0: no bound
    order: str = "fairshare"  # or "fifo"
    backfill: str = "reserve"  # or "none" (nobody passes), "greedy" (no reservation)


def effective_limit(spec: JobSpec, policy: Policy) -> int:
    """The time limit that holds: the smaller of the job's and the machine's; 0 is none."""
    return shorter_limit(spec.time_limit, policy)


def shorter_limit(time_limit: int | None, policy: Policy) -> int:
    """As :func:`effective_limit`, for a bare ``time_limit``."""
    if time_limit and policy.max_job_time:
        return min(time_limit, policy.max_job_time)
    return time_limit or policy.max_job_time
