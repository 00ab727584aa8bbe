"""Whatever comes and goes: what runs stays within the quotas, and the tally is right."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.core import quotas
from mgpu.core.orders import SetQuota
from mgpu.core.requests import Submit
from mgpu.core.tally import Load, Owner, memory_of, owner_of, weight
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.events import Recorded
from mgpu.model.job import JobSpec, Pending
from mgpu.model.records import Membership, Quota
from mgpu.testing.builders import Desk

SIZES = (8, 8, 16, 16, 32)
SUBJECTS = ["user:u1000", "default:user", "group:lab", "group:all", "project:x", "default:project"]
GROUPS = {1000: ("lab", "all"), 1001: ("all",), 1002: ()}

bounds = st.fixed_dictionaries(
    {},
    optional={
        "running_gpus": st.integers(0, 5),
        "running_jobs": st.integers(0, 4),
        "gpu_memory": st.integers(0, 60),
        "queued_jobs": st.integers(0, 4),
    },
).filter(bool)
specs = st.builds(
    lambda gpus, mem, exclusive, project: JobSpec(
        1, "n", "c", "/", gpus, mem, exclusive, project=project
    ),
    st.integers(0, 3),
    st.none() | st.integers(1, 8),
    st.booleans(),
    st.sampled_from(["", "x", "y"]),
)
jobs = st.tuples(st.sampled_from(sorted(GROUPS)), specs)


def held(world: World, subject: str) -> Load:
    """What the jobs of a subject hold, from the jobs alone."""
    mine = quotas.counts(world, subject)
    load = Load()
    for job in world.placed.values():
        if mine(owner_of(job)):
            sizes = [world.gpus[uuid].total for uuid in job.gpus]
            load = load.plus(Load(1, job.spec.gpus, memory_of(job.spec, sizes)))
    return load


def check(world: World) -> None:
    """No bound of what runs is passed for anybody whom it binds."""
    owners = {owner_of(job) for job in world.placed.values()}
    for owner in owners:
        for subject, quota in quotas.bounds(world, owner, world.groups_of(owner.uid)):
            load = held(world, subject)
            assert load == world.tally.load(quotas.counts(world, subject))
            assert quota.running_jobs is None or load.jobs <= quota.running_jobs
            assert quota.running_gpus is None or load.gpus <= quota.running_gpus
            assert quota.gpu_memory is None or load.memory <= quota.gpu_memory


def check_queue(world: World) -> None:
    """What waits is counted right, and bounded for whom a bound was set."""
    waiting = Counter[Owner]()
    for job in world.jobs.values():
        if isinstance(job.phase, Pending):
            waiting[owner_of(job)] += weight(job)
    assert world.tally.queued == waiting
    for uid in GROUPS:
        quota = world.records.get(Quota, f"user:u{uid}")
        if quota is not None and quota.queued_jobs is not None:
            mine = quotas.counts(world, quota.subject)
            assert world.tally.waiting(mine) <= quota.queued_jobs


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(SUBJECTS), bounds, max_size=4),
    st.lists(st.lists(jobs, max_size=5) | st.integers(0, 20), max_size=6),
)
def test_no_quota_is_passed(
    set_: dict[str, dict[str, int]], plan: list[list[tuple[int, JobSpec]] | int]
) -> None:
    """Whoever submits what, the passes keep within the bounds and say why a job waits."""
    desk = Desk(*SIZES)
    for subject, limits in set_.items():
        desk.ask(SetQuota(0, subject, limits))
    for step in plan:
        work(desk, step)
        desk.launched(*desk.run())
        check(desk.world)
        check_queue(desk.world)
        for number, job in desk.world.jobs.items():
            if isinstance(job.phase, Pending):
                assert desk.reason(number)[0]


def work(desk: Desk, step: list[tuple[int, JobSpec]] | int) -> None:
    """Submit jobs, or end one of those that run."""
    if not isinstance(step, int):
        for uid, spec in step:
            submit(desk, uid, spec)
    elif desk.world.placed:
        running = sorted(desk.world.placed)
        desk.end(running[step % len(running)])


def submit(desk: Desk, uid: int, spec: JobSpec) -> None:
    """Submit a job unless it is refused."""
    try:
        desk.ask(Submit(uid, f"u{uid}", spec, groups=GROUPS[uid]))
    except MgpuError:
        desk.apply(Recorded(desk.now, 0, Membership(uid, GROUPS[uid])))
