"""The order in which waiting jobs are looked at."""

from __future__ import annotations

import pytest

from mgpu.core.queue import RANKED_FOR, Line, Queue, rank
from mgpu.model.dependency import Condition, Dependency
from mgpu.model.job import Job, Pending
from mgpu.model.time import LOOK_AT_WALL, Now
from mgpu.testing.builders import a_job, a_spec

NARROW, WIDE = a_spec(1), a_spec(2)


def waiting(number: int, *, priority: int = 0, wide: bool = False, eligible: float = 0.0) -> Job:
    job = a_job(number, Pending(0.0, eligible), WIDE if wide else NARROW)
    job.priority = priority
    return job


def by_priority(_line: Line, job: Job) -> tuple[int, float]:
    return job.priority, 0.0


def moment(boot: float) -> Now:
    return Now(0.0, boot)


def order(queue: Queue) -> list[int]:
    walk = queue.walk(0.0, by_priority)
    seen = []
    for line, job in walk:
        seen.append(job.id)
        walk.take(line)
    return seen


def filled(*jobs: Job) -> Queue:
    queue = Queue()
    for job in jobs:
        queue.add(job)
    return queue


def test_rank_is_priority_then_place() -> None:
    assert rank(waiting(7, priority=3)) == (-3, 7, 0)


def test_higher_priority_first_then_first_come_across_shapes() -> None:
    queue = filled(waiting(4, wide=True), waiting(2), waiting(3, priority=5, wide=True), waiting(1))
    assert order(queue) == [3, 1, 2, 4]
    assert len(queue.lines) == 2


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    jobs = [waiting(n, priority=n % 3, wide=n % 2 == 0, eligible=n % 5 // 4) for n in range(1, 30)]
    many = Queue()
    many.extend(jobs)
    many.release(moment(1.0))
    one_by_one = filled(*jobs)
    one_by_one.release(moment(1.0))
    assert order(many) == order(one_by_one)
    assert order(many) == [job.id for job in sorted(jobs, key=rank)]


def test_a_second_batch_of_the_same_shape_is_merged() -> None:
    queue = Queue()
    queue.extend([waiting(5), waiting(6)])
    queue.extend([waiting(1), waiting(2)])
    queue.extend([waiting(8), waiting(9)])
    assert order(queue) == [1, 2, 5, 6, 8, 9]


def test_a_line_is_left_alone_unless_its_job_is_dealt_with() -> None:
    walk = filled(waiting(1), waiting(2), waiting(3, wide=True)).walk(0.0, by_priority)
    assert [job.id for _, job in walk] == [1, 3]


def test_what_is_skipped_does_not_come_whoever_it_belongs_to() -> None:
    other = waiting(2)
    other.uid = 7
    walk = filled(waiting(1), other, waiting(3, wide=True)).walk(0.0, by_priority)
    seen = []
    for line, job in walk:
        seen.append(job.id)
        walk.skipped.add(line.kind)
    assert seen == [1, 3]


def test_who_is_served_falls_behind_others_at_once() -> None:
    other = waiting(3)
    other.uid = 7
    served: dict[int, int] = {}

    def fewest(line: Line, _job: Job) -> tuple[int, float]:
        return 0, -float(served.get(line.key.uid, 0))

    walk = filled(waiting(1), waiting(2), waiting(9, wide=True), other).walk(0.0, fewest)
    seen = []
    for line, job in walk:
        seen.append(job.id)
        served[job.uid] = served.get(job.uid, 0) + 1
        walk.take(line)
    assert seen == [1, 3, 2, 9]


def test_ranks_hold_for_a_while_and_are_made_anew() -> None:
    one, two = waiting(1), waiting(2, wide=True)
    queue = filled(one, two)
    assert order(queue) == [1, 2]
    two.priority = 5
    assert [job.id for _, job in queue.walk(RANKED_FOR - 1, by_priority)] == [1, 2]
    assert [job.id for _, job in queue.walk(RANKED_FOR, by_priority)] == [2, 1]
    one.priority = 9
    queue.forget_ranks()
    assert [job.id for _, job in queue.walk(RANKED_FOR, by_priority)] == [1, 2]


def test_a_line_that_was_empty_for_a_moment_is_ranked_once() -> None:
    one, two = waiting(1), waiting(2, wide=True)
    queue = filled(one, two, *(waiting(n, priority=-n) for n in range(10, 40)))
    queue.walk(0.0, by_priority)
    queue.remove(two)
    queue.add(waiting(3, wide=True))
    assert order(queue)[:2] == [1, 3]
    assert len(order(queue)) == 32


def test_held_and_dependent_jobs_wait_apart() -> None:
    held, dependent = waiting(1), waiting(2)
    held.held, dependent.needs = "user", Dependency((Condition("afterok", 9),))
    queue = filled(held, dependent, waiting(3))
    assert order(queue) == [3]
    assert queue.parked == {1: held, 2: dependent}
    queue.remove(held)
    assert queue.parked == {2: dependent}


def test_a_job_that_begins_later_waits_for_the_wall_clock() -> None:
    late, soon = waiting(1), waiting(2)
    late.begin, soon.begin = 1000.0, 20.0
    queue = filled(late, soon)
    queue.release(Now(10.0, 500.0))
    assert order(queue) == []
    assert queue.next_release() == 510.0
    queue.release(Now(20.0, 510.0))
    assert order(queue) == [2]
    assert queue.next_release() == 510.0 + LOOK_AT_WALL
    queue.remove(soon)
    queue.remove(late)
    assert queue.next_release() is None


def test_removing_the_last_job_of_a_shape_removes_its_bucket() -> None:
    one, two = waiting(1), waiting(2)
    queue = filled(one, two)
    queue.remove(one)
    assert order(queue) == [2]
    queue.remove(two)
    assert queue.lines == {}


@pytest.mark.parametrize("number", [1, 3, 9])
def test_removing_what_is_not_there_is_an_error(number: int) -> None:
    queue = filled(waiting(3), waiting(5))
    with pytest.raises(KeyError, match=str(number)):
        queue.remove(waiting(number))
    with pytest.raises(KeyError, match=str(number)):
        queue.remove(waiting(number, wide=True))
    assert order(queue) == [3, 5]


def test_a_job_in_a_back_off_waits_apart_until_it_is_over() -> None:
    first = waiting(1, eligible=10.0)
    queue = filled(first, waiting(2), waiting(3, eligible=5.0))
    assert order(queue) == [2]
    assert queue.next_release() == 5.0
    queue.release(moment(9.9))
    assert order(queue) == [2, 3]
    assert queue.next_release() == 10.0
    queue.release(moment(10.0))
    assert order(queue) == [1, 2, 3]
    assert queue.next_release() is None
    queue.remove(first)
    assert order(queue) == [2, 3]


def test_a_delayed_job_can_be_removed_among_others_of_the_same_time() -> None:
    jobs = [waiting(number, eligible=5.0) for number in (1, 2, 3)]
    queue = filled(*jobs)
    queue.remove(jobs[1])
    assert queue.delayed == [jobs[0], jobs[2]]


def test_the_shortest_back_off_counts() -> None:
    queue = filled(waiting(1, eligible=0.5))
    assert queue.next_release() == 0.5
    assert order(queue) == []
    many = Queue()
    many.extend([waiting(1, eligible=0.5), waiting(2)])
    assert order(many) == [2]
