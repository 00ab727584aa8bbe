"""Who asked for a change, and what came of it: a line in the log and an event that is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from mgpu.model.errors import MgpuError
from mgpu.model.events import Audited, Submitted
from mgpu.model.target import compact, of_wire
from mgpu.model.time import Now
from mgpu.protocol import names
from mgpu.system.log import log

#: Jobs of one request that its line names, as does its event where nothing was done to them;
#: characters of a name: those of tasks may be long.
MOST_NAMED: Final = 20
NAME: Final = 64
#: Characters of a stored list: a short name can stand for tasks whose list is long.
_MOST_STORED: Final = 1 << 16
#: Requests of one user that changed nothing and are stored, in an hour; the log has all.
MOST_REFUSALS: Final = 100
_DONE: Final = frozenset(
    {
        names.CHANGED,
        names.CANCELLED,
        names.CANCELLING,
        names.REQUEUED,
        names.SIGNALLED,
        names.ATTACHED,
    }
)
_FULL: Final = _DONE | {"ok"}
_HOUR: Final = 3600.0


class Trail:
    """Makes the events; what somebody is refused again and again does not fill the disk."""

    def __init__(self) -> None:
        self._refused: dict[int, tuple[float, int]] = {}

    def event(
        self, uid: int, op: str, result: Any, jobs: Sequence[object], now: Now
    ) -> Audited | None:
        """What is to be stored about a request, if anything is."""
        if not _has_changed(result) and not self._has_room(uid, now):
            return None
        if isinstance(result, dict) and "first" in result:
            return None  # the submission is an event itself
        about, told = _kept(result, jobs)
        return Audited(now, uid, op, about, told)

    def _has_room(self, uid: int, now: Now) -> bool:
        since, count = self._refused.get(uid, (now.boot, 0))
        if now.boot - since >= _HOUR:
            since, count = now.boot, 0
        self._refused[uid] = (since, count + 1)
        return count < MOST_REFUSALS or uid == 0


def _has_changed(result: Any) -> bool:
    """Whether anything was done that was asked for."""
    if isinstance(result, MgpuError):
        return False
    jobs = result.get("jobs")
    return jobs is None or any(how in _DONE for _, how in jobs)


def say(uid: int, op: str, result: Any, jobs: Sequence[object] = ()) -> None:
    """One line in the log: who, what, which jobs or what else, and the result."""
    about, told = _told(result, jobs)
    ids = {"record": about} if "key" in _body(result) else {"jobs": about or "-"}
    log.info("request", action=op, uid=uid, **ids, result=told)


def shown(event: Audited | Submitted) -> dict[str, Any]:
    """An event of the trail, for those who read it."""
    if isinstance(event, Audited):
        op, about, result = event.op, event.about, event.result
    else:
        last = event.job + event.count - 1
        op, result = "submit", "ok"
        about = str(event.job) if event.count == 1 else f"{event.job}-{last}"
    return {"at": event.at.wall, "uid": event.uid, "op": op, "about": about, "result": result}


def cut(text: str) -> str:
    """The beginning of a long text of an entry."""
    return text if len(text) <= NAME else f"{text[:NAME]}..."


def did_all(result: str) -> bool:
    """Whether an entry of the trail says that all was done that was asked for."""
    return _FULL.issuperset(re.sub(r"\([^)]*\)", "", result).split(","))


def _told(result: Any, jobs: Sequence[object]) -> tuple[str, str]:
    body = _body(result)
    if isinstance(result, MgpuError):
        return _shortened(jobs), result.code
    if "key" in body:
        return str(body["key"]), "ok"
    if "first" in body:
        return _shortened(range(body["first"], body["first"] + body["count"])), "ok"
    return _shortened([job for job, _ in body["jobs"]]), _shortened(
        [how for _, how in body["jobs"]]
    )


def _kept(result: Any, jobs: Sequence[object]) -> tuple[str, str]:
    """What is stored: every job that something was done to, and what."""
    if isinstance(result, MgpuError) or "jobs" not in result:
        return _told(result, jobs)
    by_outcome: dict[str, list[Any]] = {}
    for job, how in result["jobs"]:
        by_outcome.setdefault(how, []).append(job)
    texts = {how: _listed(how, names) for how, names in by_outcome.items()}
    if len(texts) == 1:
        return next(iter(texts.values())), next(iter(texts))
    return ",".join(texts.values()), ",".join(f"{how}({text})" for how, text in texts.items())


def _listed(how: str, listed: Sequence[Any]) -> str:
    if how not in _DONE:
        return _shortened(listed)
    text = compact(map(of_wire, listed))
    return text if len(text) <= _MOST_STORED else f"{text[:_MOST_STORED]}..."


def _body(result: Any) -> dict[str, Any]:
    return result if isinstance(result, dict) else {}


def _shortened(values: Sequence[object]) -> str:
    named = ",".join([str(value)[:NAME] for value in values[:MOST_NAMED]])
    return f"{named},..." if len(values) > MOST_NAMED else named
