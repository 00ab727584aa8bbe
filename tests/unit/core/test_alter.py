"""Another time limit or class for jobs: which may have it, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mgpu.core.decide import decide
from mgpu.core.effects import LIVE, NO_LIMIT, Extend, required_effects
from mgpu.core.invariants import check_invariants
from mgpu.core.lifecycle import evolve
from mgpu.core.policy import Policy, QosClass
from mgpu.core.requests import Alter, Submit
from mgpu.core.wishes import Outcomes
from mgpu.core.world import World
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Inventory
from mgpu.model.job import Job, JobSpec, Pending, Running
from mgpu.model.target import parse_target
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import EPOCH, a_gpu, a_job, a_spec, at

UID, STRANGER = 1000, 2000
GPU = a_gpu(0)
CLASSES = {"": QosClass("normal"), "low": QosClass("low"), "vip": QosClass("vip", groups=("vips",))}
POLICY = Policy(classes=CLASSES, max_job_time=7200)


def a_world(*jobs: Job) -> World:
    return World(POLICY, Inventory("simulated", (GPU,)), jobs=list(jobs), next_id=50)


def waiting(number: int, spec: JobSpec | None = None) -> Job:
    return a_job(number, Pending(EPOCH), spec or a_spec(spec_id=number))


def running(number: int = 1, limit: int | None = 3600) -> Job:
    phase = Running((GPU.uuid,), at(1), 4001, 77)
    return a_job(number, phase, spec=a_spec(spec_id=number, limit=limit), attempt=1)


def alter(world: World, *jobs: int, limit: int | None = None, qos: str | None = None,
          uid: int = UID, may_any: bool = False, **sizes: int) -> list[str]:  # fmt: skip
    decision = decide(world, Alter(tuple(jobs), limit, qos, uid, may_any, **sizes), at(5))
    for event in decision.events:
        evolve(world, event)
    check_invariants(world)
    assert isinstance(decision.reply, Outcomes)
    return [how for _, how in decision.reply.jobs]


def test_a_waiting_job_gets_both_and_what_is_not_named_stays() -> None:
    world = a_world(waiting(1), waiting(2))
    assert alter(world, 1, limit=600, qos="low") == ["changed"]
    assert (world.jobs[1].spec.time_limit, world.jobs[1].spec.qos) == (600, "low")
    assert alter(world, 1, limit=0) == ["changed"]
    assert (world.jobs[1].spec.time_limit, world.jobs[1].spec.qos) == (None, "low")
    assert world.jobs[2].spec.time_limit is None
    assert world.jobs[2].altered is None


def test_some_tasks_of_an_array_are_changed_and_the_others_are_as_before() -> None:
    world = a_world()
    wish = Submit(UID, "u", a_spec(spec_id=50), 0, 1, tasks=Tasks(((0, 9, 1),)))
    for event in decide(world, wish, at(0)).events:
        evolve(world, event)
    decision = decide(world, Alter((parse_target("50_[2-3]"),), 600, None, UID), at(1))
    for event in decision.events:
        evolve(world, event)
    check_invariants(world)
    limits = {str(job.tasks): job.spec.time_limit for job in world.jobs.values()}
    assert limits == {"0-1,4-9": None, "2-3": 600}


def test_the_owner_shortens_what_runs_and_an_administrator_gives_it_more() -> None:
    world = a_world(running())
    assert alter(world, 1, limit=1800) == ["changed"]
    assert required_effects(world, {(1, 1): LIVE}) == [Extend(1, 1, 1800)]
    assert required_effects(world, {(1, 1): LIVE}, {(1, 1): 1800}) == []
    with pytest.raises(MgpuError, match="only an administrator gives it more"):
        alter(world, 1, limit=1801)
    with pytest.raises(MgpuError, match="only an administrator"):
        alter(world, 1, limit=0)
    assert alter(world, 1, limit=5400, uid=0, may_any=True) == ["changed"]
    assert required_effects(world, {(1, 1): LIVE}, {(1, 1): 1800}) == [Extend(1, 1, 5400)]


def test_nobody_passes_the_limit_of_the_machine() -> None:
    world = a_world(running())
    alter(world, 1, limit=100_000, uid=0, may_any=True)
    assert required_effects(world, {(1, 1): LIVE}) == [Extend(1, 1, 7200)]
    world.policy = Policy(classes=CLASSES)
    alter(world, 1, limit=0, uid=0, may_any=True)
    assert required_effects(world, {(1, 1): LIVE}) == [Extend(1, 1, NO_LIMIT)]


def test_the_class_of_what_runs_stays() -> None:
    world = a_world(running())
    assert alter(world, 1, qos="low") == ["started"]
    assert alter(world, 1, qos="low", limit=60) == ["started"]
    assert world.jobs[1].altered is None


@pytest.mark.parametrize(("qos", "why"), [("none", "there is no class"), ("vip", "for members")])
def test_a_class_is_checked(qos: str, why: str) -> None:
    world = a_world(waiting(1))
    with pytest.raises(MgpuError, match=why) as refused:
        alter(world, 1, qos=qos)
    assert refused.value.path == "qos"


def test_administrators_give_any_class() -> None:
    world = a_world(waiting(1))
    assert alter(world, 1, qos="vip", uid=0, may_any=True) == ["changed"]


def test_a_limit_beyond_the_deadline_is_refused() -> None:
    world = a_world(waiting(1, replace(a_spec(), deadline=EPOCH + 600)))
    with pytest.raises(MgpuError):
        alter(world, 1, limit=3600)
    assert alter(world, 1, limit=60) == ["changed"]


def test_jobs_of_others_are_unknown() -> None:
    world = a_world(waiting(1))
    assert alter(world, 1, 9, limit=60, uid=STRANGER) == ["unknown", "unknown"]
    assert world.jobs[1].altered is None


def sizes(world: World, number: int) -> tuple[int, int | None, int]:
    spec = world.jobs[number].spec
    return (spec.gpus, spec.gpu_mem, spec.host_mem)


def test_a_waiting_job_gets_other_sizes_and_keeps_the_others() -> None:
    world = a_world(waiting(1), waiting(2))
    assert alter(world, 1, gpu_mem=2000) == ["changed"]
    assert sizes(world, 1) == (1, 2000, 0)
    assert alter(world, 1, host_mem=512, limit=60) == ["changed"]
    assert alter(world, 1, limit=90, qos="low") == ["changed"]
    assert sizes(world, 1) == (1, 2000, 512)
    assert world.jobs[1].altered == (90, "low", (1, 2000, 512))
    assert alter(world, 1, gpu_mem=0) == ["changed"]
    assert alter(world, 1, gpus=0, host_mem=0) == ["changed"]
    assert sizes(world, 1) == (0, None, 0)
    assert sizes(world, 2) == (1, None, 0)


def test_a_job_that_runs_keeps_its_sizes() -> None:
    world = a_world(running())
    assert alter(world, 1, gpus=0) == ["started"]
    assert alter(world, 1, limit=60, gpu_mem=9) == ["started"]
    assert world.jobs[1].altered is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpus": 2}, "asks for 2 GPUs; this machine has 1"),
        ({"gpu_mem": 10**6}, "this machine has 0 that large"),
        ({"gpus": 0, "gpu_mem": 100}, "asks for no GPU, and for memory of it"),
    ],
)
def test_sizes_that_no_machine_has_are_refused(change: Any, words: str) -> None:
    world = a_world(waiting(1))
    with pytest.raises(MgpuError, match=words):
        alter(world, 1, **change)
    assert world.jobs[1].altered is None


def test_some_tasks_of_an_array_get_other_sizes() -> None:
    array = waiting(1)
    array.array, array.tasks = 1, Tasks(((0, 9, 1),))
    world = a_world(array)
    named = Alter((parse_target("1_[0-3]"),), None, None, UID, gpu_mem=3000)
    for event in decide(world, named, at(5)).events:
        evolve(world, event)
    check_invariants(world)
    found = {str(job.tasks): job.spec.gpu_mem for job in world.jobs.values()}
    assert found == {"0-3": 3000, "4-9": None}
