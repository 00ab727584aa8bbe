"""What mgpu_top does with a key: a state and a key give the next state, and what to ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mgpu.cli.queue_views import job_name
from mgpu.model.states import COMPLETING, ENDED, PENDING, Reason
from mgpu.protocol import names

Job = dict[str, Any]
#: Utilisations of each GPU, oldest first; -1 where it was not known.
History = Mapping[int, tuple[int, ...]]

_REMEMBERED = 120
_PAGE = 10
_KEY = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z])|.", re.DOTALL)
_NAMES = {
    "\x1b[A": "up", "\x1bOA": "up", "k": "up",
    "\x1b[B": "down", "\x1bOB": "down", "j": "down",
    "\x1b[5~": "page up", "\x1b[6~": "page down",
    "\x1b[H": "first", "\x1bOH": "first", "\x1b[1~": "first", "g": "first",
    "\x1b[F": "last", "\x1bOF": "last", "\x1b[4~": "last", "G": "last",
    "\x1b": "escape",
}  # fmt: skip
_STEPS = {
    "up": -1, "down": 1, "page up": -_PAGE, "page down": _PAGE,
    "first": -(1 << 30), "last": 1 << 30,
}  # fmt: skip


class Action(NamedTuple):
    """What to ask the scheduler for: ``cancel``, ``hold`` or ``release``; or ``quit``."""

    kind: str
    job: int | str = 0


@dataclass(frozen=True, slots=True)
class State:
    """The chosen job by its id and place, the question that is open, and what is to be said.

    With ``log`` the job's log is shown instead of what is known of it.
    """

    chosen: int = 0
    place: int = 0
    asked: Action | None = None
    message: str = ""
    log: bool = False


def keys(data: bytes) -> list[str]:
    """What a terminal sent, as names of keys or as characters."""
    found = _KEY.findall(data.decode("utf-8", "replace"))
    return [_NAMES.get(sequence, sequence) for sequence in found]


def jobs(rows: Sequence[Sequence[Any]]) -> list[Job]:
    """Rows of the queue as jobs: those that run before those that wait."""
    found = [dict(zip(names.JOB_FIELDS, row, strict=True)) for row in rows]
    return sorted(found, key=lambda job: job["state"] == PENDING)


def settled(state: State, listed: Sequence[Job]) -> State:
    """The same job stays chosen; where it is gone, the one that is now in its place."""
    ids = [job["id"] for job in listed]
    if not ids:
        return replace(state, chosen=0, place=0, asked=None)
    place = ids.index(state.chosen) if state.chosen in ids else min(state.place, len(ids) - 1)
    return replace(state, chosen=ids[place], place=place)


def press(state: State, key: str, listed: Sequence[Job]) -> tuple[State, Action | None]:
    """The state after a key, and what is to be asked for now."""
    if state.asked is not None:
        return _answered(state, state.asked, key)
    state = replace(state, message="")
    if key == "q":
        return state, Action("quit")
    if key == "l":
        return replace(state, log=not state.log), None
    if not listed:
        return state, None
    if key in _STEPS:
        place = max(0, min(state.place + _STEPS[key], len(listed) - 1))
        return replace(state, place=place, chosen=listed[place]["id"]), None
    job = listed[state.place]
    if key == "x":
        return _cancel(state, job), None
    if key == "h":
        return _hold(state, job)
    return state, None


def _answered(state: State, asked: Action, key: str) -> tuple[State, Action | None]:
    """Only ``y`` is yes."""
    if key == "y":
        return replace(state, asked=None), asked
    return replace(state, asked=None, message="Nothing was done"), None


def _cancel(state: State, job: Job) -> State:
    if job["state"] in ENDED or job["state"] == COMPLETING:
        return replace(state, message=f"Job {target(job)} is ending already")
    return replace(state, asked=Action("cancel", target(job)))


def _hold(state: State, job: Job) -> tuple[State, Action | None]:
    if job["state"] != PENDING:
        text = f"Job {target(job)} has started: only a job that waits can be held"
        return replace(state, message=text), None
    held = job["reason"] in (Reason.HELD_USER, Reason.HELD_ADMIN)
    return state, Action("release" if held else "hold", target(job))


def target(job: Job) -> int | str:
    """The job as the scheduler is asked about it: ``42``, ``42_7`` or ``42_[8-100]``."""
    if not job["array"]:
        return int(job["id"])
    return job_name([job["id"], job["array"], job["tasks"]])


def remember(history: History, gpus: Sequence[Mapping[str, Any]]) -> History:
    """The history with what the GPUs do now; only of GPUs that are there."""
    return {
        gpu["index"]: (*history.get(gpu["index"], ()), gpu.get("utilization", -1))[-_REMEMBERED:]
        for gpu in gpus
    }
