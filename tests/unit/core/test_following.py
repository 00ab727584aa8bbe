"""Arrays that follow arrays task by task: what it costs, and that every task gets its turn."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from mgpu.core.dependents import End
from mgpu.core.policy import Policy
from mgpu.core.progress import Place, Progress
from mgpu.core.requests import Hold, Release
from mgpu.core.world import World
from mgpu.model.dependency import WHOLE
from mgpu.model.errors import MgpuError
from mgpu.model.events import Split
from mgpu.model.job import Job, Pending
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import EPOCH, UID, Desk
from tests.unit.core.dependents import of_task, run, submit, told


def a_desk(at_once: int = 1, pending: int = 0) -> Desk:
    """So many jobs run at once; those that came first go first."""
    return Desk(policy=Policy(max_pending_per_user=pending, max_gpuless=at_once))


def waiting(desk: Desk, array: int) -> list[str]:
    """The tasks of an array's records that wait, and whether they may start."""
    jobs = [job for job in desk.world.arrays.of(array) if isinstance(job.phase, Pending)]
    return [f"{job.tasks}{' ready' * (job.needs is None)}" for job in jobs]


def one_ends(desk: Desk, code: int = 0) -> Job:
    """The next task starts and ends."""
    run(desk)
    [number] = desk.world.placed
    return desk.end(number, code=code)


def drain(desk: Desk) -> list[int]:
    """Everything that can start does, and ends well; the number of each start's array."""
    arrays = []
    while run(desk) or desk.world.placed:
        for number in sorted(desk.world.placed):
            arrays.append(desk.end(number).array)
    return arrays


def test_tasks_that_may_start_wait_together() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-9")
    second = submit(desk, f"aftercorr:{first}", tasks="0-9")
    for _ in range(8):
        one_ends(desk)
    assert waiting(desk, second) == ["0 ready", "1-9"]
    for _ in range(2):
        one_ends(desk)
    run(desk)
    assert waiting(desk, second) == ["1-9"]
    desk.end(of_task(desk, second, 0).id)
    run(desk)
    assert waiting(desk, second) == ["2-9 ready"]
    assert [job.tasks for job in desk.world.placed.values()] == [Tasks.only(1)]


def test_what_happens_to_an_array_costs_little_whoever_follows_it() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-49")
    followers = [submit(desk, f"aftercorr:{first}", tasks="0-49") for _ in range(9)]
    one_ends(desk)
    run(desk)
    before = len(desk.log)
    for _ in range(48):
        one_ends(desk)
    assert {event.job for event in desk.log[before:] if isinstance(event, Split)} == {first}
    assert desk.world.pending_of == {UID: 2 * len(followers) + 1}
    desk.world.set_policy(Policy(max_pending_per_user=0, max_gpuless=0))
    assert sorted(set(drain(desk))) == [first, *followers]
    assert desk.world.jobs == {}


@pytest.mark.parametrize("kill", [True, False])
def test_tasks_that_can_never_start_are_told_in_ever_larger_groups(kill: bool) -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-99")
    second = submit(desk, f"aftercorr:{first}", tasks="0-99", kill_on_invalid_dep=kill)
    for _ in range(100):
        one_ends(desk, code=1)
    desk.run()
    mine = [e for e in desk.log if isinstance(e, Split) and e.job == second]
    assert [str(event.tasks) for event in mine] == [
        "0",
        "1",
        "2-3",
        "4-7",
        "8-15",
        "16-31",
        "32-63",
    ]
    assert desk.world.arrays.has(second) != kill
    assert not kill or not desk.world.jobs


def test_a_held_array_stays_together_until_it_is_released() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-9")
    second = submit(desk, f"aftercorr:{first}", tasks="0-9")
    desk.ask(Hold((second,), UID))
    for _ in range(10):
        one_ends(desk)
    run(desk)
    assert waiting(desk, second) == ["0-9"]
    desk.ask(Release((second,), UID))
    assert drain(desk) == [second] * 10


def test_tasks_that_are_held_do_not_keep_the_others() -> None:
    desk = a_desk(pending=5)
    first = submit(desk, tasks="0-19")
    second = submit(desk, f"aftercorr:{first}", tasks="0-19")
    for task in range(4):
        one_ends(desk)
        run(desk)
        desk.ask(Hold((of_task(desk, second, task).id,), UID))
    one_ends(desk)
    run(desk)
    assert waiting(desk, second) == ["0 ready", "1 ready", "2 ready", "3 ready", "4-19"]
    assert (
        told(desk, second) == "Dependency: 6 jobs of u1000 wait; tasks go on when no more than 5 do"
    )
    for task in range(4):
        desk.ask(Release((of_task(desk, second, task).id,), UID))
    assert sorted(drain(desk)) == [first] * 15 + [second] * 20


def test_who_has_submitted_all_that_may_wait_goes_on() -> None:
    desk = a_desk(pending=4)
    first = submit(desk, tasks="0-9")
    for _ in range(3):
        submit(desk, f"aftercorr:{first}", tasks="0-9")
    assert len(drain(desk)) == 40


def test_a_submission_cannot_bring_more_groups_than_may_wait() -> None:
    desk = a_desk(pending=3)
    desk.world.next_id = 50
    states = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
    known = {(9, task): End(state, EPOCH) for task, state in enumerate(states)}
    known |= {(9, WHOLE): End("FAILED", EPOCH)}
    with pytest.raises(MgpuError, match="4 more, apart from their arrays"):
        submit(desk, "aftercorr:9", tasks="0-9", known=known)


def test_of_two_arrays_one_after_the_other_is_followed() -> None:
    desk = a_desk()
    one, two = submit(desk, tasks="0-31"), submit(desk, tasks="0-31")
    both = submit(desk, f"aftercorr:{one}:{two}", tasks="0-31")
    for _ in range(31):
        one_ends(desk)
    assert waiting(desk, both) == ["0", "1", "2-3", "4-7", "8-15", "16-31"]
    assert sorted(drain(desk)) == [one] + [two] * 32 + [both] * 32


def test_of_two_arrays_either_may_be_the_one() -> None:
    desk = a_desk()
    one, two = submit(desk, tasks="0-3"), submit(desk, tasks="0-3")
    either = submit(desk, f"aftercorr:{one}?aftercorr:{two}", tasks="0-3")
    for code in (0, 1, 0, 1):
        one_ends(desk, code)
    for code in (1, 1, 1, 0):
        one_ends(desk, code)
    assert drain(desk) == [either] * 3
    assert desk.world.jobs == {}


def test_the_last_tasks_say_what_they_go_on_after() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-3")
    plug = submit(desk)
    second = submit(desk, f"aftercorr:{first}", tasks="0-3")
    for _ in range(4):
        one_ends(desk)
    assert run(desk) == [plug]
    assert told(desk, second) == f"Dependency: goes on when {second}_0 has started"


def test_a_loaded_world_knows_how_far_the_others_are() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-9")
    second = submit(desk, f"aftercorr:{first}", tasks="0-9")
    for _ in range(6):
        one_ends(desk)
    run(desk)
    world = desk.world
    jobs = [replace(world.jobs[number]) for number in sorted(world.jobs)]
    records = [record for record in world.records.take_changed().values() if record]
    desk.world = World(world.policy, jobs=jobs, next_id=world.next_id, records=records)
    desk.world.dependents.learn({(first, task): End("COMPLETED", EPOCH) for task in range(6)})
    run(desk)
    assert waiting(desk, second) == ["0 ready", "1-5 ready", "6-9"]
    assert drain(desk).count(second) == 10


def test_what_nobody_follows_any_more_is_forgotten() -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-9")
    second = submit(desk, f"aftercorr:{first}", tasks="0-9")
    one_ends(desk)
    run(desk)
    assert set(desk.world.dependents.progress) == {first}
    desk.cancel(second)
    one_ends(desk)
    run(desk)
    index = desk.world.dependents
    assert (index.progress, index.put_off) == ({}, {})
    assert (index._followers, index._batches) == ({}, {})


def test_progress_is_read_on_from_where_it_was_read() -> None:
    progress = Progress()
    progress.note("COMPLETED", Tasks.of(range(5)))
    place = progress.place
    assert list(progress.since(place)) == []
    for task in range(5, 2500):
        progress.note("FAILED" if task == 7 else "COMPLETED", Tasks.only(task))
    seen = list(progress.since(place))
    assert sum(len(tasks) for _, tasks in seen) == progress.count == 2500
    assert len(seen) < 510, "what was long ago is kept as ranges"
    assert (progress.state_of(7), progress.state_of(3), progress.state_of(2500)) == (
        "FAILED", "COMPLETED", "",
    )  # fmt: skip
    assert (
        len(list(progress.since(progress.place._replace(offset=400))))
        == progress.place.offset - 400
    )
    assert list(progress.since(Place())) == seen


def test_a_submission_does_not_look_at_tasks_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = a_desk()
    first = submit(desk, tasks="0-99999")
    looks = Mock(side_effect=desk.world.arrays.find)
    monkeypatch.setattr(desk.world.arrays, "find", looks)
    submit(desk, f"aftercorr:{first}", tasks="0-99999")
    assert looks.call_count < 10
