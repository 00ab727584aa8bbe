"""What became of attempts, as launcher and supervisors tell it.

The fence: a report counts only for the attempt that is under way. Any other is answered with
:class:`Stale` and changes nothing, however late or often it comes.
"""

from __future__ import annotations

from errno import errorcode
from typing import Final, NamedTuple

from mgpu.core import deadline, usage
from mgpu.core.requests import (
    AttemptEnded,
    AttemptLost,
    AttemptRefused,
    AttemptRunning,
    AttemptVanished,
    Rebooted,
    Report,
)
from mgpu.core.setbacks import crashes_after
from mgpu.core.world import World
from mgpu.model import states
from mgpu.model.events import Deferred, Event, Finished, Launched, Requeued, Retried
from mgpu.model.job import Job, Running, Starting, Stopping
from mgpu.model.states import Reason
from mgpu.model.time import Now

#: The stage of a refusal that says: the account may not, or cannot be found, at present.
ACCOUNT_STAGE: Final = "account"
LONGEST_BACKOFF: Final = 600.0
#: Seconds between a failure and the next retry at the most, unless the first wait is longer.
LONGEST_RETRY: Final = 3600.0
LOST: Final = "supervisor lost"
REBOOTED: Final = "the machine was restarted"
_FAILURES: Final = frozenset({states.FAILED, states.OUT_OF_MEMORY})


class Stale(NamedTuple):
    """The report is about an attempt that is not under way, or says nothing new.

    ``current`` is the job's attempt, 0 when there is no such active job.
    """

    job: int
    attempt: int
    current: int


def find(world: World, report: Report) -> Job | None:
    """The job of a report, if exactly this attempt is under way."""
    job = world.placed.get(report.job)
    return job if job is not None and job.attempt == report.attempt else None


def stale(world: World, report: Report) -> Stale:
    """The answer to a report that changes nothing."""
    job = world.jobs.get(report.job)
    return Stale(report.job, report.attempt, job.attempt if job else 0)


def running(_world: World, job: Job, report: AttemptRunning, _now: Now) -> list[Event]:
    """The program was executed. Said again after a restart of the scheduler: nothing new."""
    if job.begun is not None:
        return []
    return [Launched(report.started, job.id, job.attempt, report.pid, report.ticks)]


def ended(world: World, job: Job, report: AttemptEnded, now: Now) -> list[Event]:
    """The attempt's processes are all gone, and how it ended is known."""
    at = Now(report.wall, now.boot)
    events: list[Event] = []
    if report.started is not None and job.begun is None:
        events.append(Launched(Now(report.started, now.boot), job.id, job.attempt, 0, 0))
    if events or job.begun is not None:
        events += usage.last(world, job, at)
    state = _end_state(job, report)
    if state == states.PREEMPTED:
        return [*events, Requeued(at, job.id, job.attempt, state)]
    if state == states.TIMEOUT and deadline.is_over(job, at.wall):
        detail = f"{Reason.DEADLINE}: {deadline.LATE}"
        return [*events, Finished(at, job.id, job.attempt, state, None, None, detail)]
    switch = world.policy.on_time_limit != "cancel"
    if state == states.TIMEOUT and switch and may_requeue(world, job):
        return [*events, Requeued(at, job.id, job.attempt, state)]
    if state in _FAILURES and _may_retry(job) and not isinstance(job.phase, Stopping):
        return [*events, _tried(world, job, at, report.code, report.signal)]
    how = (state, report.code, report.signal, _told(job, report))
    return [*events, Finished(at, job.id, job.attempt, *how)]


def _told(job: Job, report: AttemptEnded) -> str:
    """Why it ended, in words: of the scheduler, of the kernel, of its supervisor."""
    told = job.phase.detail if isinstance(job.phase, Stopping) else ""
    memory = ""
    if report.cause == states.MEMORY:
        limit = job.spec.host_mem
        memory = f"more than its {limit} MiB of --host-mem" if limit else "the machine had no more"
        memory = f"ended by the kernel for want of memory: {memory}"
    return "; ".join(filter(None, (told, memory, report.detail)))


def refused(world: World, job: Job, report: AttemptRefused, now: Now) -> list[Event]:
    """Nothing was executed."""
    if isinstance(job.phase, Stopping):
        return [_finished(job, now, states.CANCELLED)]
    if not report.transient or not isinstance(job.phase, Starting):
        return [_finished(job, now, states.LAUNCH_FAILED, _failure(report))]
    if report.stage == ACCOUNT_STAGE:
        return [_locked_out(job, report, now)]
    return [_retried(world, job, report, now)]


def lost(world: World, job: Job, report: AttemptLost, now: Now) -> list[Event]:
    """How it ended will never be known: no code, and certainly not 0."""
    if isinstance(job.phase, Starting | Running) and _may_retry(job):
        return [_tried(world, job, now, None, None)]
    cancelled = isinstance(job.phase, Stopping) and not _is_preempted(job)
    state = states.CANCELLED if cancelled else states.FAILED
    return [_finished(job, now, state, _join(LOST, report.detail))]


def vanished(world: World, job: Job, _report: AttemptVanished, now: Now) -> list[Event]:
    """Nothing of the attempt exists or has existed."""
    if isinstance(job.phase, Starting):
        return [Deferred(now, job.id, job.attempt, now.boot, "", "", counted=False)]
    if isinstance(job.phase, Running) and _may_retry(job):
        return [_tried(world, job, now, None, None)]
    state = states.CANCELLED if isinstance(job.phase, Stopping) else states.FAILED
    return [_finished(job, now, state, LOST)]


def rebooted(world: World, job: Job, _report: Rebooted, now: Now) -> list[Event]:
    """All processes of before the boot are gone."""
    if isinstance(job.phase, Stopping) and not _is_preempted(job):
        return [_finished(job, now, states.CANCELLED, REBOOTED)]
    bound = world.policy.max_node_failures
    crashes = crashes_after(job, now.wall)
    often = 0 < bound < crashes
    if not often and may_requeue(world, job):
        return [Requeued(now, job.id, job.attempt, states.NODE_FAIL)]
    detail = f"{REBOOTED}, {crashes} times in a row" if often else REBOOTED
    return [_finished(job, now, states.NODE_FAIL, detail)]


def _end_state(job: Job, report: AttemptEnded) -> str:
    if _is_preempted(job):
        done = report.cause == "exit" and (report.code, report.signal) == (0, None)
        return states.COMPLETED if done else states.PREEMPTED
    if isinstance(job.phase, Stopping) and job.phase.cause == states.MEMORY:
        return states.OUT_OF_MEMORY
    if isinstance(job.phase, Stopping) or report.cause == "cancel":
        return states.CANCELLED
    if report.cause == "timelimit":
        return states.TIMEOUT
    if report.cause == states.MEMORY:
        return states.OUT_OF_MEMORY
    return states.COMPLETED if (report.code, report.signal) == (0, None) else states.FAILED


def _is_preempted(job: Job) -> bool:
    return isinstance(job.phase, Stopping) and job.phase.goes_on


def may_requeue(world: World, job: Job) -> bool:
    """Whether it may go on another time; what failed and was tried again does not count."""
    bound = world.policy.max_requeues
    return job.spec.requeue and (bound == 0 or job.restarts - job.failures < bound)


def _may_retry(job: Job) -> bool:
    return job.failures < job.spec.retries


def _tried(world: World, job: Job, at: Now, code: int | None, signal: int | None) -> Retried:
    """Run a failed job again, each time after twice the wait."""
    first = world.policy.retry_delay
    wait = min(first * 2.0 ** min(job.failures, 20), max(first, LONGEST_RETRY))
    return Retried(at, job.id, job.attempt, code, signal, at.boot + wait)


def _locked_out(job: Job, report: AttemptRefused, now: Now) -> Deferred:
    """Wait for the account. Never given up: a directory service may be down for a weekend."""
    earlier = job.attempt - 1 - job.restarts - job.deferrals
    eligible = now.boot + _backoff(earlier)
    detail = report.detail or _failure(report)
    return Deferred(
        now, job.id, job.attempt, eligible, Reason.INVALID_ACCOUNT, detail, counted=False
    )


def _retried(world: World, job: Job, report: AttemptRefused, now: Now) -> Event:
    retries = world.policy.start_retries
    if job.deferrals >= retries:
        return _finished(job, now, states.LAUNCH_FAILED, _failure(report))
    eligible = now.boot + _backoff(job.deferrals)
    detail = f"start failed: {_failure(report)} (retry {job.deferrals + 1} of {retries})"
    return Deferred(now, job.id, job.attempt, eligible, Reason.BEGIN_TIME, detail, counted=True)


def _backoff(earlier: int) -> float:
    """Seconds to wait after the ``earlier + 1``-th failure: 1, 2, 4 ... at most ten minutes."""
    return min(2.0 ** min(max(earlier, 0), 10), LONGEST_BACKOFF)


def _failure(report: AttemptRefused) -> str:
    number = report.errno
    error = errorcode.get(number, f"errno {number}") if number else ""
    return ": ".join(part for part in (report.stage, error, report.detail) if part)


def _join(what: str, detail: str) -> str:
    return f"{what}: {detail}" if detail else what


def _finished(job: Job, now: Now, state: str, detail: str = "") -> Finished:
    return Finished(now, job.id, job.attempt, state, None, None, detail)
