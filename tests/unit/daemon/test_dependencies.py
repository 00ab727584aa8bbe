"""Dependencies through real frames: the caller's newest jobs, jobs that are over, a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mgpu.core.dependents import End
from mgpu.core.policy import Policy
from mgpu.core.world import World
from mgpu.daemon import dependencies
from mgpu.model.dependency import WHOLE, Condition, Dependency, parse_dependency
from mgpu.model.errors import MgpuError
from mgpu.model.job import Ended, Job, Pending, Starting
from mgpu.model.tasks import Tasks
from mgpu.store.base import Batch
from mgpu.store.memory import MemoryStore
from tests.lib.samples import job as a_job
from tests.lib.samples import spec, submitted
from tests.unit.daemon.outside import Map
from tests.unit.daemon.rig import ALICE, BOB, Rig, a_submit

AT = 1_700_000_000.0


def run_to_end(rig: Rig, number: int, code: int = 0) -> None:
    supervisor = rig.supervisor(number, rig.active()[number].attempt)
    supervisor.runs()
    supervisor.ends(code)


def dependent(rig: Rig, text: str, uid: int = ALICE, **fields: object) -> int:
    return rig.submit(uid, dependency=text, gpus=0, **fields)


def test_a_job_starts_when_the_other_has_ended_well(rig: Rig) -> None:
    first = rig.submit()
    second = dependent(rig, f"afterok:{first}")
    assert isinstance(rig.job(second).phase, Pending)
    run_to_end(rig, first)
    assert isinstance(rig.job(second).phase, Starting)


def test_a_job_is_cancelled_when_the_other_has_failed(rig: Rig) -> None:
    first = rig.submit()
    second = dependent(rig, f"afterok:{first}")
    client = rig.client()
    client.ask({"op": "wait", "jobs": [second]})
    run_to_end(rig, first, code=3)
    detail = f"DependencyNeverSatisfied: job {first} ended FAILED (afterok:{first})"
    assert client.take()[0]["part"]["job"] == [second, "CANCELLED", None, None, detail]


def test_whoever_wants_to_stays(rig: Rig) -> None:
    first = rig.submit()
    second = dependent(rig, f"afterok:{first}", kill_on_invalid_dep=False)
    run_to_end(rig, first, code=3)
    row = rig.client().ask({"op": "jobs", "scope": "all"})[0]["part"]
    shown = dict(zip(row["fields"], row["rows"][-1], strict=True))
    assert (shown["id"], shown["reason"]) == (second, "DependencyNeverSatisfied")
    assert shown["dependency"] == f"afterok:{first}"


def test_the_newest_jobs_are_the_caller_s(rig: Rig) -> None:
    mine = [rig.submit(), rig.submit()]
    rig.submit(BOB)
    assert rig.job(dependent(rig, "@")).needs == Dependency((Condition("afterany", mine[1]),))
    assert rig.job(dependent(rig, "afterok:@~2")).needs == Dependency(
        (Condition("afterok", mine[0]),)
    )


@pytest.mark.parametrize("back", [0, 1])
def test_a_client_is_told_which_its_newest_jobs_are(rig: Rig, back: int) -> None:
    mine = [rig.submit(), rig.submit()]
    rig.submit(BOB)
    run_to_end(rig, mine[0])
    assert rig.client().one({"op": "newest", "back": back})["ok"] == {"job": mine[1 - back]}


def test_there_are_no_newest_jobs_of_whoever_submitted_none(rig: Rig) -> None:
    rig.submit(BOB)
    error = rig.client(ALICE).one({"op": "newest"})["error"]
    assert (error["code"], error["path"]) == ("UnknownJob", "jobs")
    assert error["message"] == "@: you have submitted 0 jobs"


def test_a_job_that_is_over_is_among_the_newest(rig: Rig) -> None:
    first = rig.submit()
    run_to_end(rig, first)
    assert isinstance(rig.job(dependent(rig, "afterok:@")).phase, Starting)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("@", "UnknownJob", "@: you have submitted 0 jobs"),
        ("@~3", "UnknownJob", "@~3: you have submitted 0 jobs"),
        ("afterok:77", "UnknownJob", "afterok:77: there is no job 77"),
        ("afterok:77_1", "UnknownJob", "there is no job 77_1"),
        ("expand:1", "BadRequest", "expand is not possible"),
        ("after ok", "BadRequest", "is no condition"),
    ],
)
def test_what_makes_no_sense_is_refused(rig: Rig, text: str, code: str, words: str) -> None:
    rig.submit(BOB)
    error = rig.client(ALICE).one(a_submit(dependency=text))["error"]
    assert (error["code"], error["path"]) == (code, "spec.dependency")
    assert words in error["message"]
    assert error["hint"]


def test_after_a_restart_a_job_still_waits(rig: Rig) -> None:
    first = rig.submit()
    second = dependent(rig, f"afterok:{first}")
    rig.again(children=((first, 1),))
    assert isinstance(rig.job(second).phase, Pending)
    assert rig.scheduler._engine.world.dependents.watched() == {first}


def test_an_end_that_was_stored_and_not_followed_is_followed_after_a_restart(
    make_rig: Callable[..., Rig],
) -> None:
    store = MemoryStore()
    over = a_job(1, Ended("COMPLETED", 20.0), spec=spec(1))
    waits = a_job(2, spec=spec(2, gpus=0), needs=parse_dependency("afterok:1", int))
    store.commit(Batch(AT, [submitted(over), submitted(waits)], [over, waits], {2: b"x"}))
    rig = make_rig(store=store)
    rig.settle()
    assert rig.job(2).needs is None


def test_an_array_follows_on_after_a_restart(make_rig: Callable[..., Rig]) -> None:
    """Tasks 0 to 2 of array 1 are over; the array that follows had let none of its own go on."""
    store = MemoryStore()
    over = [
        a_job(10 + task, Ended("COMPLETED", 20.0), spec=spec(1), array=1, tasks=Tasks.only(task))
        for task in range(3)
    ]
    rest = a_job(1, spec=spec(1), array=1, tasks=Tasks(((3, 4, 1),)), held="user")
    needs = parse_dependency("aftercorr:1", int)
    waits = a_job(2, spec=spec(2, gpus=0), needs=needs, array=2, tasks=Tasks(((0, 4, 1),)))
    store.commit(Batch(AT, [], [*over, rest, waits], {1: b"x", 2: b"x"}))
    rig = make_rig(store=store)
    rig.settle()
    jobs = [job for job in rig.active().values() if job.array == 2]
    assert sorted(str(job.tasks) for job in jobs if job.needs is None) == ["0", "1", "2"]
    assert [str(job.tasks) for job in jobs if job.needs is not None] == ["3-4"]


# -- changed later -------------------------------------------------------------------------------


def depend(rig: Rig, text: str, *jobs: object, uid: int = ALICE, admin: bool = False) -> Map:
    client = rig.client(uid, admin=admin)
    return client.one({"op": "depend", "jobs": list(jobs), "dependency": text})


def test_a_waiting_job_may_depend_on_others_than_before(rig: Rig) -> None:
    one, two = rig.submit(), rig.submit()
    third = dependent(rig, f"afterok:{one}")
    assert depend(rig, f"afterok:{two}", third) == {"ok": {"jobs": [[third, "changed"]]}}
    run_to_end(rig, two)
    assert isinstance(rig.job(third).phase, Starting)
    assert depend(rig, f"afterok:{one}", third) == {"ok": {"jobs": [[third, "started"]]}}


def test_a_dependency_may_be_dropped(rig: Rig) -> None:
    third = dependent(rig, f"afterok:{rig.submit()}")
    assert depend(rig, "", third, 99) == {"ok": {"jobs": [[third, "changed"], [99, "unknown"]]}}
    assert isinstance(rig.job(third).phase, Starting)


def test_it_may_be_one_that_has_come_true_already(rig: Rig) -> None:
    one, two = rig.submit(), rig.submit()
    run_to_end(rig, one)
    third = dependent(rig, f"afterok:{two}")
    depend(rig, f"afterok:{one}", third)
    assert isinstance(rig.job(third).phase, Starting)


def test_a_circle_is_refused(rig: Rig) -> None:
    rig.submit(count=2)
    third = dependent(rig, "afterok:1")
    fourth = dependent(rig, f"afterok:{third}")
    error = depend(rig, f"afterok:{fourth}", third)["error"]
    assert (error["code"], error["message"]) == (
        "Refused", f"this would be a circle: {third} waits for {fourth} waits for {third}",
    )  # fmt: skip
    assert depend(rig, f"afterok:{third}", third)["error"]["code"] == "Refused"


def test_only_the_owner_and_administrators_change_it(rig: Rig) -> None:
    third = dependent(rig, f"afterok:{rig.submit()}")
    assert depend(rig, "", third, uid=BOB) == {"ok": {"jobs": [[third, "unknown"]]}}
    assert depend(rig, "", third, uid=0, admin=True) == {"ok": {"jobs": [[third, "changed"]]}}


# -- what is over --------------------------------------------------------------------------------


def a_store(*jobs: Job) -> tuple[World, MemoryStore]:
    store = MemoryStore()
    store.commit(Batch(AT, jobs=jobs))
    loaded = store.load()
    return World(Policy(), jobs=loaded.jobs), store


def ends(world: World, store: MemoryStore, text: str) -> dict[tuple[int, int], End]:
    return dependencies.known(world, store, parse_dependency(text, int).conditions)


def test_jobs_that_are_over_are_looked_up() -> None:
    well, failed = Ended("COMPLETED", 20.0, 11.0), Ended("FAILED", 21.0)
    world, store = a_store(a_job(1, well), a_job(2, failed), a_job(3))
    assert ends(world, store, "afterok:1:2:3:4,singleton") == {
        (1, WHOLE): End("COMPLETED", 11.0),
        (2, WHOLE): End("FAILED", 21.0),
    }
    lost = [Condition("afterok", 1, never="FAILED")]
    assert dependencies.known(world, store, lost) == {}


def test_tasks_that_are_over_are_looked_up() -> None:
    done = a_job(5, Ended("COMPLETED", 20.0), array=4, tasks=Tasks.only(0))
    rest = a_job(4, Ended("CANCELLED", 30.0), array=4, tasks=Tasks(((1, 2, 1),)))
    world, store = a_store(done, rest)
    tasks = {(4, 0): End("COMPLETED", 20.0), (4, 1): End("CANCELLED", 30.0)}
    assert ends(world, store, "afterok:4_0") == {(4, 0): tasks[4, 0]}
    assert ends(world, store, "afterok:4_1") == {(4, 1): tasks[4, 1]}
    assert ends(world, store, "afterok:4_0:4_1:4_7") == tasks
    whole = {(4, WHOLE): End("FAILED", 30.0)}
    assert ends(world, store, "afterok:4") == whole
    assert ends(world, store, "aftercorr:4") == {**tasks, (4, 2): tasks[4, 1], **whole}
    assert ends(world, store, "afterok:5") == {}, "nobody was told this id"


def test_a_part_of_an_array_may_still_be_active() -> None:
    done = a_job(5, Ended("COMPLETED", 20.0), array=4, tasks=Tasks.only(0))
    world, store = a_store(done, a_job(4, array=4, tasks=Tasks(((1, 2, 1),))))
    over = {(4, 0): End("COMPLETED", 20.0)}
    assert ends(world, store, "aftercorr:4") == ends(world, store, "afterok:4_0") == over
    assert ends(world, store, "afterok:4") == ends(world, store, "afterok:4_1") == {}


def test_an_array_counts_once_among_the_newest() -> None:
    parts = [a_job(n, Ended("COMPLETED", 20.0), array=4, tasks=Tasks.only(n)) for n in (4, 5, 6)]
    world, store = a_store(a_job(1), *parts, a_job(7, array=4, tasks=Tasks.only(7)))
    newest = dependencies.newest(world, store, 1001)
    assert [newest(0), newest(1)] == [4, 1]
    with pytest.raises(MgpuError, match="you have submitted 2 jobs"):
        newest(2)
