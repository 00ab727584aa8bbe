"""Jobs that depend on others: when they may start, when never, and what they wait for."""

from __future__ import annotations

import pytest

from mgpu.core.dependents import End
from mgpu.core.requests import AttemptEnded, AttemptRunning, Cancel, SetDependency, Submit
from mgpu.core.schedule import next_deadline
from mgpu.core.wishes import Outcomes
from mgpu.core.world import World
from mgpu.model.dependency import WHOLE
from mgpu.model.errors import MgpuError
from mgpu.model.events import Requeued, Split
from mgpu.model.job import Ended
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import EPOCH, UID, Desk
from tests.unit.core.dependents import SMALL, a_desk, end, needs, refusal, run, submit, told

MET = {
    ("afterok", "well"),
    ("afterany", "well"),
    ("afterany", "badly"),
    ("afterany", "cancelled"),
    ("afternotok", "badly"),
    ("afternotok", "cancelled"),
    ("after", "well"),
    ("after", "badly"),
    ("after", "cancelled"),
    ("aftercorr", "well"),
}


@pytest.mark.parametrize("how", ["well", "badly", "cancelled"])
@pytest.mark.parametrize("kind", ["afterok", "afterany", "afternotok", "aftercorr"])
def test_a_job_waits_until_the_other_has_ended(kind: str, how: str) -> None:
    desk = a_desk()
    first = submit(desk)
    second = submit(desk, f"{kind}:{first}")
    assert run(desk) == [first]
    assert run(desk) == []
    assert told(desk, second).startswith(f"Dependency: waits for job {first} (running) to ")
    end(desk, first, how)
    assert (run(desk) == [second]) == ((kind, how) in MET)
    assert (second in desk.world.jobs) == ((kind, how) in MET)


def test_after_waits_for_the_start() -> None:
    desk = a_desk()
    first = submit(desk)
    second = submit(desk, f"after:{first}")
    assert sorted(desk.run()) == [first]
    assert desk.run() == {}, "decided is not begun"
    assert told(desk, second) == f"Dependency: waits for job {first} (running) to start"
    desk.launched(first)
    assert run(desk) == [second]


def test_after_takes_a_cancelled_job_for_begun() -> None:
    desk = a_desk()
    first, second = submit(desk), submit(desk, "after:1")
    desk.cancel(first)
    assert run(desk) == [second]


def test_after_waits_so_many_minutes_from_the_start() -> None:
    desk = a_desk()
    first = submit(desk)
    second = submit(desk, f"after:{first}+10")
    run(desk)
    assert run(desk) == []
    assert told(desk, second).endswith("10 min to pass from the start of job 1 (running)")
    desk.wait(590)
    assert run(desk) == []
    assert next_deadline(desk.world) == desk.now.boot + 10
    desk.end(first)
    assert run(desk) == [], "the delay counts from the start, also when it has ended"
    desk.wait(10)
    assert run(desk) == [second]


def test_the_wall_clock_of_a_delay_may_be_set() -> None:
    desk = a_desk()
    submit(desk)
    submit(desk, "after:1+60")
    run(desk)
    run(desk)
    assert next_deadline(desk.world) == desk.now.boot + 60, "it is looked at every minute"


def test_all_conditions_have_to_come_true() -> None:
    desk = a_desk()
    one, two = submit(desk), submit(desk)
    both = submit(desk, f"afterok:{one}:{two}")
    run(desk)
    desk.end(one)
    assert run(desk) == []
    assert told(desk, both) == f"Dependency: waits for job {two} (running) to end well"
    desk.end(two)
    assert run(desk) == [both]


def test_one_of_several_conditions_is_enough() -> None:
    desk = a_desk()
    one, two = submit(desk), submit(desk)
    either = submit(desk, f"afterok:{one}?afterok:{two}")
    run(desk)
    assert told(desk, either).endswith(
        "waits for job 1 (running) to end well or job 2 (running) to end well"
    )
    desk.end(one, code=1)
    assert run(desk) == []
    assert told(desk, either).endswith("waits for job 2 (running) to end well")
    desk.end(two)
    assert run(desk) == [either]


def test_of_many_conditions_the_first_are_told() -> None:
    desk = a_desk()
    submit(desk, count=9)
    many = submit(desk, "afterok:1:2:3:4:5:6:7:8:9", kill_on_invalid_dep=False)
    assert told(desk, many).endswith(" and job 3 (waiting) to end well and 6 more")
    run(desk)
    for number in range(1, 6):
        desk.end(number, code=1)
    run(desk)
    assert told(desk, many).endswith("and job 3 ended FAILED (afterok:3) and 2 more")


def test_none_of_several_conditions_is_too_few() -> None:
    desk = a_desk()
    one, two = submit(desk), submit(desk)
    either = submit(desk, f"afterok:{one}?afterok:{two}")
    run(desk)
    for number in (one, two):
        desk.end(number, code=1)
    assert run(desk) == []
    assert refusal(desk, either) == (
        "job 1 ended FAILED (afterok:1) and job 2 ended FAILED (afterok:2)"
    )


def test_a_chain_of_dependents_is_cancelled() -> None:
    desk = a_desk()
    chain = [submit(desk)]
    for _ in range(30):
        chain.append(submit(desk, f"afterok:{chain[-1]}"))
    run(desk)
    desk.end(chain[0], code=1)
    assert run(desk) == []
    assert desk.world.jobs == {}
    assert refusal(desk, 2) == "job 1 ended FAILED (afterok:1)"
    assert refusal(desk, 31) == "job 30 ended CANCELLED (afterok:30)"
    ends = {job.id: job.phase for job in desk.world.take_changed()}
    phase = ends[2]
    assert isinstance(phase, Ended)
    assert phase.detail == "DependencyNeverSatisfied: job 1 ended FAILED (afterok:1)"


def test_whoever_wants_to_stays_though_it_can_never_start() -> None:
    desk = a_desk()
    first = submit(desk)
    second = submit(desk, f"afterok:{first}", kill_on_invalid_dep=False)
    third = submit(desk, f"afterany:{second}")
    run(desk)
    desk.end(first, code=1)
    assert run(desk) == []
    assert told(desk, second) == "DependencyNeverSatisfied: job 1 ended FAILED (afterok:1)"
    loaded = World(desk.world.policy, jobs=desk.world.jobs.values())
    desk.world = loaded
    assert run(desk) == []
    assert told(desk, second) == "DependencyNeverSatisfied: job 1 ended FAILED (afterok:1)"
    desk.cancel(second)
    assert run(desk) == [third]


def test_a_held_job_does_not_start_when_its_dependency_is_over() -> None:
    desk = a_desk()
    submit(desk)
    wish = Submit(UID, "u", SMALL, held="user", needs=needs("1"))
    desk.ask(wish)
    run(desk)
    desk.end(1)
    assert run(desk) == []
    assert desk.job(2).needs is None


def test_dependents_follow_the_newest_attempt() -> None:
    desk = a_desk()
    first = submit(desk)
    second = submit(desk, f"afterany:{first}")
    run(desk)
    desk.ask(AttemptEnded(first, 1, None, None, "timelimit", "", desk.now.wall))
    assert isinstance(desk.log[-1], Requeued)
    assert run(desk) == [first]
    desk.end(first)
    assert run(desk) == [second]


def test_after_counts_a_start_before_a_requeue() -> None:
    desk = a_desk()
    submit(desk)
    run(desk)
    desk.ask(AttemptEnded(1, 1, None, None, "timelimit", "", desk.now.wall))
    second = submit(desk, "after:1")
    assert second in run(desk)


# -- what is over when the job comes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "state", "starts"),
    [
        ("afterok:9", "COMPLETED", True),
        ("afterok:9", "TIMEOUT", False),
        ("afternotok:9", "TIMEOUT", True),
        ("afternotok:9", "COMPLETED", False),
        ("afterany:9", "CANCELLED", True),
        ("after:9", "CANCELLED", True),
        ("aftercorr:9", "COMPLETED", True),
    ],
)
def test_a_job_that_is_over_already_counts(text: str, state: str, *, starts: bool) -> None:
    desk = a_desk()
    desk.world.next_id = 20
    number = submit(desk, text, known={(9, WHOLE): End(state, EPOCH - 60)})
    assert run(desk) == ([number] if starts else [])
    assert starts or refusal(desk, number) == f"job 9 ended {state} ({text})"


def test_minutes_count_from_a_start_long_ago() -> None:
    desk = a_desk()
    desk.world.next_id = 20
    number = submit(desk, "after:9+10", known={(9, WHOLE): End("FAILED", EPOCH - 300)})
    assert run(desk) == []
    desk.wait(299)
    assert run(desk) == []
    desk.wait(1)
    assert run(desk) == [number]


def test_a_job_that_ends_in_the_same_turn_is_known() -> None:
    desk = a_desk()
    first = submit(desk)
    run(desk)
    desk.end(first)
    second = submit(desk, f"afterok:{first}")
    assert run(desk) == [second]


@pytest.mark.parametrize("text", ["afterok:9", "afterok:3", "afterok:2_0", "afterok:1_0", "3"])
def test_a_job_that_there_is_not_is_refused(text: str) -> None:
    desk = a_desk()
    submit(desk)
    submit(desk, tasks="5-6")
    desk.apply(Split(desk.now, 2, 3, Tasks.only(5)))  # an id that nobody was told
    with pytest.raises(MgpuError, match="there is no job") as caught:
        submit(desk, text)
    assert caught.value.code == "UnknownJob"
    assert caught.value.path == "spec.dependency"


def test_jobs_of_others_may_be_waited_for() -> None:
    desk = a_desk()
    first = submit(desk, uid=2000)
    second = submit(desk, f"afterok:{first}")
    run(desk)
    desk.end(first)
    assert run(desk) == [second]


# -- singleton -----------------------------------------------------------------------------------


def test_one_at_a_time_of_a_name() -> None:
    desk = a_desk()
    first = submit(desk, count=3, name="sweep")
    others = [submit(desk, name="other"), submit(desk, name="sweep", uid=2000)]
    single = submit(desk, "singleton", name="sweep")
    assert run(desk) == [first, first + 1, first + 2, *others]
    assert told(desk, single) == ("Dependency: waits for job 1 and 2 more of the same name to end")
    for number in range(first, first + 3):
        assert run(desk) == []
        end(desk, number, "badly")
    assert run(desk) == [single]


def test_many_of_a_name_go_one_after_the_other() -> None:
    desk = a_desk()
    first = submit(desk, "singleton", count=3)
    for number in range(first, first + 3):
        assert run(desk) == [number]
        desk.end(number)


# -- changed later -------------------------------------------------------------------------------


def change(desk: Desk, text: str, *jobs: int, uid: int = UID) -> dict[object, str]:
    wanted = needs(text) if text else None
    reply = desk.ask(SetDependency(jobs, wanted, {}, uid))
    assert isinstance(reply, Outcomes)
    return dict(reply.jobs)


def test_a_waiting_job_may_depend_on_others_than_before() -> None:
    desk = a_desk()
    one, two = submit(desk), submit(desk)
    third = submit(desk, f"afterok:{one}")
    assert change(desk, f"afterok:{two}", third) == {third: "changed"}
    run(desk)
    desk.end(two)
    assert run(desk) == [third]
    assert change(desk, f"afterok:{one}", third) == {third: "started"}
    assert change(desk, "", 77) == {77: "unknown"}


def test_a_dependency_may_be_dropped() -> None:
    desk = a_desk()
    one = submit(desk)
    second = submit(desk, f"afterok:{one}")
    assert change(desk, "", second, uid=2000) == {second: "unknown"}
    change(desk, "", second)
    assert run(desk) == [one, second]


def test_some_tasks_of_an_array_may_depend_on_others() -> None:
    desk = a_desk()
    one, array = submit(desk), submit(desk, tasks="0-3")
    part = desk.world.next_id
    desk.ask(SetDependency((array,), needs(f"afterok:{one}"), {}, UID))
    assert desk.world.next_id == part, "the whole array needs no record of its own"
    assert run(desk) == [one]


# -- restarts and cost ---------------------------------------------------------------------------


def test_an_end_concerns_only_those_who_wait_for_it() -> None:
    desk = a_desk()
    parents = [submit(desk) for _ in range(20)]
    for parent in parents:
        submit(desk, f"afterok:{parent}")
    run(desk)
    index = desk.world.dependents
    assert index.news == {}
    desk.ask(AttemptEnded(parents[3], 1, 0, None, "exit", "", desk.now.wall))
    assert set(index.news) == {parents[3] + 20}
    run(desk)
    assert (index.news, index.ended) == ({}, {})


def test_what_nobody_waits_for_is_not_remembered() -> None:
    desk = a_desk()
    one = submit(desk)
    two = submit(desk, f"after:{one}+5,afterok:{one},singleton")
    run(desk)
    desk.ask(Cancel((two,), UID))
    desk.ask(AttemptRunning(one, 1, 1, 1, desk.now))
    desk.end(one)
    desk.run()
    index = desk.world.dependents
    assert (index.watched(), index.news, index.next_change()) == (set(), {}, None)
    assert not any(vars(index)[name] for name in ("_starts", "_single", "_origins"))
