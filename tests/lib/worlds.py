"""Hypothesis strategies for whole worlds: policies, jobs, what users and administrators ask for.

The numbers are few and small, so that jobs meet on the GPUs, at bounds and in time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st

from mgpu.core.orders import Reserve, SetQuota
from mgpu.core.policy import Policy, QosClass
from mgpu.core.requests import Repeat, Submit
from mgpu.model.dependency import KINDS, WHOLE, Condition, Dependency
from mgpu.model.job import JobSpec
from mgpu.model.target import Name, Target
from mgpu.model.tasks import Tasks
from mgpu.model.time import Now
from mgpu.testing.builders import a_spec

TOTALS: Final = (1000, 1000, 2000)
UUIDS: Final = ("GPU-0", "GPU-1", "GPU-2")
CLASSES: Final = {
    "": QosClass("normal", 10),
    "low": QosClass("low", 0, preemptible=True, min_run=20),
    "high": QosClass("high", 20),
}
#: The users and the groups that they are in.
GROUPS: Final = {1000: ("lab", "all"), 1001: ("all",), 1002: ()}
SUBJECTS: Final = ("user:u1000", "default:user", "group:all", "project:x")

policies = st.builds(
    Policy,
    max_job_time=st.sampled_from([0, 0, 100]),
    max_requeues=st.sampled_from([0, 2]),
    margin=st.just(50),
    unmanaged_ignore=st.just(100),
    retry_delay=st.just(10.0),
    max_gpuless=st.just(2),
    order=st.sampled_from(["fifo", "fifo", "fairshare"]),
    backfill=st.sampled_from(["reserve", "reserve", "reserve", "none", "greedy"]),
    drain_after=st.sampled_from([0.0, 100.0]),
    half_life=st.just(1000.0),
    patience=st.sampled_from([0.0, 300.0]),
    limit_floor=st.just(10.0),
    max_running_per_user=st.sampled_from([0, 0, 3]),
    classes=st.just(CLASSES),
    on_time_limit=st.sampled_from(["requeue", "cancel", "extend-when-idle", "extend-when-idle"]),
    placement=st.sampled_from(["pack", "spread", "random"]),
    cpus=st.sampled_from([0, 4]),
)
users = st.sampled_from(sorted(GROUPS))
specs = st.builds(
    replace,
    st.builds(
        a_spec,
        st.sampled_from([0, 1, 1, 2, 2, 3]),
        st.sampled_from([None, None, 200, 500, 900]),
        exclusive=st.booleans(),
        limit=st.sampled_from([None, None, 30, 100, 400]),
        requeue=st.sampled_from([True, True, False]),
        cpus=st.sampled_from([0, 0, 3]),
    ),
    name=st.sampled_from(["a", "b"]),
    project=st.sampled_from(["", "x"]),
    qos=st.sampled_from(["", "low", "low", "high"]),
    gpu_uuids=st.sampled_from([(), (), (), UUIDS[1:]]),
    retries=st.integers(0, 2),
    kill_on_invalid_dep=st.booleans(),
)
arrays = st.integers(1, 5).map(lambda last: Tasks(((0, last, 1),)))


def submissions(
    now: Now, known: Mapping[int, tuple[int, ...]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Fields of a submission that most do without."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "priority": st.just(1),
        "held": st.just("user"),
        "begin": st.integers(1, 300).map(lambda after: now.wall + after),
        "needs": dependencies(known),
    }
    many: dict[str, st.SearchStrategy[Any]] = {"count": st.integers(1, 3)}
    array: dict[str, st.SearchStrategy[Any]] = {"max_concurrent": st.integers(1, 2)}
    return st.fixed_dictionaries({}, optional=fields | many) | st.fixed_dictionaries(
        {"tasks": arrays}, optional=fields | array
    )


def dependencies(known: Mapping[int, tuple[int, ...]]) -> st.SearchStrategy[Dependency | None]:
    """What a job may wait for where ``known`` are the submissions and their tasks."""
    latest = sorted(known)[-4:]
    if not latest:
        return st.none()
    one = st.sampled_from(KINDS).flatmap(lambda kind: _conditions(kind, latest, known))
    several = st.lists(one, min_size=1, max_size=2, unique=True).map(tuple)
    return st.builds(lambda them, one: Dependency(them, any_of=one), several, st.booleans())


def _conditions(
    kind: str, latest: list[int], known: Mapping[int, tuple[int, ...]]
) -> st.SearchStrategy[Condition]:
    if kind == "singleton":
        return st.just(Condition(kind, 0))
    delays = st.sampled_from([0, 60] if kind == "after" else [0])
    tasks = {job: (WHOLE,) if kind == "aftercorr" else (WHOLE, *known[job]) for job in latest}
    parents = st.sampled_from([(job, task) for job in latest for task in tasks[job]])
    return st.builds(lambda at, delay: Condition(kind, at[0], at[1], delay), parents, delays)


@st.composite
def names(draw: st.DrawFn, known: Mapping[int, tuple[int, ...]], active: list[int]) -> Name:
    """A job, an array, or some tasks of one."""
    number = draw(st.sampled_from(active))
    tasks = known.get(number, (WHOLE,))
    if tasks == (WHOLE,) or draw(st.booleans()):
        return number
    return Target(number, Tasks.of(draw(st.sets(st.sampled_from(tasks), min_size=1))))


_bounds = st.fixed_dictionaries(
    {},
    optional={
        "running_gpus": st.none() | st.integers(0, 3),
        "running_jobs": st.none() | st.integers(1, 3),
        "gpu_memory": st.none() | st.sampled_from([500, 1500, 3000]),
        "queued_jobs": st.none() | st.integers(2, 6),
        "gpu_hours": st.none() | st.sampled_from([0.05, 0.2]),
        "period": st.just(600),
    },
).filter(lambda some: some.get("gpu_hours") or (some and "period" not in some))
quotas = st.builds(SetQuota, st.just(0), st.sampled_from(SUBJECTS), _bounds)
_gpus = st.sampled_from([{"count": 1}, {"count": 2}, {"gpus": UUIDS[:1]}, {"gpus": UUIDS[1:]}])
reservations = st.builds(
    lambda length, gpus, cron, **more: Reserve(0, "", length, cron=cron, **gpus, **more),
    st.integers(20, 300),
    _gpus,
    st.sampled_from(["", "", "400"]),
    preempt=st.booleans(),
)


def _repeat(uid: int, spec: JobSpec, overlap: str) -> Repeat:
    return Repeat(Submit(uid, f"u{uid}", spec, groups=GROUPS[uid]), "150", "", overlap)


repeats = st.builds(_repeat, users, specs, st.sampled_from(["skip", "queue"]))


def every(cron: str, _zone: str, after: float) -> float:
    """A calendar in which ``200`` means every 200 seconds."""
    return math.floor(after / int(cron) + 1) * float(cron)
