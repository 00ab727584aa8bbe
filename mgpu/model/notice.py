"""What people can be told of by mail and webhook: the events, and what a job asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple


class About(NamedTuple):
    """One event: whether it is one of a job, and when it comes."""

    of_job: bool
    when: str


_NAMED: Final = "for whom names this event alone, not `*`; of an array, each task"
#: All events by name. ``docs/reference/notices.md`` is written from this table.
EVENTS: Final[Mapping[str, About]] = {
    "job_submitted": About(True, "A job, or an array, was submitted."),
    "job_updated": About(True, "Its priority, its dependency or the bound of its array changed."),
    "job_started": About(True, "Its program runs; of an array, the first task does."),
    "job_completed": About(True, "It ended well; of an array, all tasks did."),
    "job_failed": About(True, "It ended otherwise; of an array, some tasks did."),
    "job_cancelled": About(True, "It was cancelled, or can never start."),
    "job_timeout": About(True, "It reached its time limit and does not go on."),
    "job_held": About(True, "It is held back."),
    "job_released": About(True, "It is held back no longer."),
    "job_requeued": About(True, "It was switched out, or failed, and waits for another run."),
    "job_time_limit_50": About(True, f"Half of the time limit of its run is over; {_NAMED}."),
    "job_time_limit_80": About(True, f"80 % of it are over; {_NAMED}."),
    "job_time_limit_90": About(True, f"90 % of it are over; {_NAMED}."),
    "gpu_available": About(False, "A GPU that could not be given out can be again."),
    "gpu_fault": About(False, "A GPU reported a fault and was drained."),
    "outsider_seen": About(
        False, "A process outside mgpu keeps jobs off a GPU (`gpus.outsiders` report or kill)."
    ),
    "reservation_created": About(False, "GPUs were reserved."),
    "reservation_cancelled": About(False, "A reservation was cancelled."),
    "scheduler_online": About(False, "The scheduler has started."),
}
#: Events of a run that goes on: the part of its time limit that is over.
MILESTONES: Final[Mapping[str, float]] = {
    "job_time_limit_50": 0.5,
    "job_time_limit_80": 0.8,
    "job_time_limit_90": 0.9,
}
OF_JOBS: Final = tuple(name for name, about in EVENTS.items() if about.of_job)
ENDS: Final = ("job_completed", "job_failed", "job_timeout", "job_cancelled")
ARRAY_TASKS: Final = "ARRAY_TASKS"

#: Slurm's words for ``--mail-type``.
MAIL_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "NONE": (),
    "BEGIN": ("job_started",),
    "END": ENDS,
    "FAIL": ("job_failed", "job_timeout"),
    "REQUEUE": ("job_requeued",),
    "TIME_LIMIT": ("job_timeout",),
    "TIME_LIMIT_50": ("job_time_limit_50",),
    "TIME_LIMIT_80": ("job_time_limit_80",),
    "TIME_LIMIT_90": ("job_time_limit_90",),
    "INVALID_DEPEND": ("job_cancelled",),
    "ALL": ("job_started", *ENDS, "job_requeued"),
    ARRAY_TASKS: (),
}

#: Targets that one job may name, and notices of one user that may wait to be sent.
MOST_TARGETS: Final = 16
MOST_WAITING: Final = 100


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom a job wants to be told of which ``events``: addresses of mail (``mailto:``) and URLs.

    With ``tasks`` an array tells of each of its tasks, else of itself.
    """

    events: tuple[str, ...]
    targets: tuple[str, ...]
    tasks: bool = False


def events_of(words: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """The events that the words of ``--mail-type`` mean, and whether each task tells of itself.

    Without words they are all ends. Raises ValueError for a word that there is not.
    """
    found: list[str] = []
    for word in words:
        known = (word,) if word in OF_JOBS else MAIL_TYPES.get(word.upper())
        if known is None:
            raise ValueError(f"{word!r} is none of {', '.join((*MAIL_TYPES, *OF_JOBS))}")
        found += known
    upper = {word.upper() for word in words}
    if not upper - {ARRAY_TASKS}:
        found += ENDS
    return tuple(dict.fromkeys(found)), ARRAY_TASKS in upper
