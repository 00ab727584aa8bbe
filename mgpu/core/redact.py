"""What of a job only its owner and administrators see (design, section 8).

Others see id, user, state, resources, times and the scheduler's own reasons. A detail that came
from outside the core may hold a path or a name, and is private.
"""

from __future__ import annotations

from typing import Final

from mgpu.model.job import Job, Pending

PRIVATE: Final = frozenset({"name", "command", "cwd", "project"})
OPEN: Final = frozenset({"name", "command"})  # shown to all with [privacy] queue = "open"
DETAIL: Final = "detail"


def hidden_fields(job: Job, *, mine: bool, may_any: bool, open_queue: bool) -> frozenset[str]:
    """The fields of the job's row that this caller does not get to see."""
    if mine or may_any:
        return frozenset()
    hidden = PRIVATE - OPEN if open_queue else PRIVATE
    return hidden if _is_scheduler_s(job) else hidden | {DETAIL}


def _is_scheduler_s(job: Job) -> bool:
    """Whether the detail shown for the job is made of figures that everybody may see."""
    return isinstance(job.phase, Pending) and not job.phase.detail
