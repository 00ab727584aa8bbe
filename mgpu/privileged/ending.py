"""``mgpud end-jobs``: what ends running jobs when the machine goes down or mgpu is removed.

Each supervisor is told; it gives its job the time that it may have, and records that the job is to
go on another time. The service should be stopped before, or it starts the next ones at once.
"""

from __future__ import annotations

import os
import select
import signal
import sys

from mgpu.privileged import cgroup, clock, log, startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

#: How often is looked whether the groups are empty: supervisors are not our children.
_LOOK_SECONDS = 0.1
#: A supervisor whose job has ended needs that long to write it down; one without a job stays.
_RECORD_SECONDS = 3.0


def main(settings_fd: int, seconds: int) -> NoReturn:
    """Tell all supervisors to end their jobs; wait up to ``seconds`` until they have."""
    settings = startup.read_settings(settings_fd)
    log.configure(settings.level, settings.log_format)
    try:
        groups = cgroup.open_groups(settings.cgroup)
    except OSError as error:
        log.error("Without cgroups, jobs are ended by mgpu_cancel", "end-jobs", reason=error)
        sys.exit(1)
    sys.exit(0 if end(groups, seconds) else 1)


def end(groups: cgroup.Groups, seconds: float) -> bool:
    """End all jobs of ``groups``; False if some are left after ``seconds``."""
    told = [pid for pid in groups.supervisors.pids() if _tell(pid)]
    log.info("Ending the jobs; they go on another time", "end-jobs", supervisors=len(told))
    if not _wait(lambda: not _populated(groups), seconds):
        left = ",".join(_populated(groups))
        log.warning("Jobs are still running", "end-jobs-late", attempts=left)
        return False
    _wait(lambda: not groups.supervisors.pids() & set(told), _RECORD_SECONDS)
    return True


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    deadline = clock.boot() + seconds
    while not done():
        if clock.boot() > deadline:
            return False
        select.select([], [], [], _LOOK_SECONDS)
    return True


def _tell(pid: int) -> bool:
    """SIGTERM to a supervisor; one that still waits for a job is not impressed."""
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError:
        return False
    return True


def _populated(groups: cgroup.Groups) -> list[str]:
    found = []
    for name in groups.names():
        group = groups.find(name)
        if group is not None:
            if group.populated():
                found.append(name)
            group.close()
    return found
