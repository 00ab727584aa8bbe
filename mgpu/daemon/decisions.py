"""What was decided about jobs, in the log: each line names the job, none says what it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mgpu.model import events as ev
from mgpu.model import states
from mgpu.model.events import Event
from mgpu.system.log import log

#: Fields of events that are said: no name, path, command or text that came from a user or a job.
_SAID: Final = (
    *("job", "attempt", "uid", "child", "state", "code", "signal", "reason", "cause", "by"),
    *("held", "begin", "priority", "extension", "pid"),
)

#: event -> (how it is said, whether it is for developers alone, its name).
_SENTENCES: Final[Mapping[type, tuple[Callable[..., None], str, str]]] = {
    ev.Started: (log.info, "a job starts", "job-start"),
    ev.Launched: (log.debug, "the job's program runs", "job-running"),
    ev.Finished: (log.info, "a job has ended", "job-end"),
    ev.Requeued: (log.info, "a job goes back to the queue", "job-requeued"),
    ev.Retried: (log.info, "a job failed and is tried again", "job-retried"),
    ev.Deferred: (log.info, "a start is put off", "job-deferred"),
    ev.Preempted: (log.info, "a job makes room", "job-preempted"),
    ev.Evicted: (log.info, "a job is ended because of its own doing", "job-evicted"),
    ev.Refused: (log.info, "a job can never run", "job-refused"),
    ev.CancelRequested: (log.info, "a job is to end", "job-cancel"),
    ev.Held: (log.info, "a job is held", "job-held"),
    ev.Released: (log.info, "a job is released", "job-released"),
    ev.PriorityChanged: (log.info, "a job has another priority", "job-priority"),
    ev.Extended: (log.debug, "a job may run on", "job-extended"),
    ev.Split: (log.debug, "tasks of an array have a record of their own", "job-split"),
    ev.DependencyChanged: (log.debug, "a job waits for less", "job-depends"),
}


def tell(events: Iterable[Event]) -> None:
    """Write down what is stored about jobs."""
    for event in events:
        if isinstance(event, ev.Submitted):
            _submitted(event)
            continue
        known = _SENTENCES.get(type(event))
        if known is not None:
            say, sentence, action = known
            say(_ordered(event) or sentence, action=action, **_fields(event))


def _ordered(event: Event) -> str:
    """Who sent a job back, where somebody did: it has done nothing for that."""
    if isinstance(event, ev.Evicted) and event.cause == states.REQUEUE:
        return f"a job is {event.detail}"
    return ""


def _submitted(event: ev.Submitted) -> None:
    last = event.job + event.count - 1
    many: dict[str, Any] = {"last": last} if event.count > 1 else {}
    if event.tasks is not None:
        many["tasks"] = len(event.tasks)
    fields = {"gpus": event.spec.gpus, "gpu_mem": event.spec.gpu_mem}
    log.info("a job waits", action="job-submitted", job=event.job, uid=event.uid, **many, **fields)


def _fields(event: Event) -> dict[str, object]:
    found = {name: getattr(event, name, None) for name in _SAID}
    if isinstance(event, ev.Started):
        found["gpus"] = ",".join(event.gpus) or None
    return {name: value for name, value in found.items() if value not in (None, "")}
