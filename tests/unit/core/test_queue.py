"""The order in which waiting jobs are looked at."""

from __future__ import annotations

import pytest

from mgpu.core.queue import Queue, rank
from mgpu.model.job import Job, Pending
from mgpu.testing.builders import a_job, a_spec

NARROW, WIDE = a_spec(1), a_spec(2)


def waiting(number: int, *, priority: int = 0, wide: bool = False, eligible: float = 0.0) -> Job:
    job = a_job(number, Pending(0.0, eligible), WIDE if wide else NARROW)
    job.priority = priority
    return job


def order(queue: Queue) -> list[int]:
    heads = queue.heads()
    seen = []
    for _, job in heads:
        seen.append(job.id)
        heads.advance()
    return seen


def filled(*jobs: Job) -> Queue:
    queue = Queue()
    for job in jobs:
        queue.add(job)
    return queue


def test_rank_is_priority_then_place() -> None:
    assert rank(waiting(7, priority=3)) == (-3, 7)


def test_higher_priority_first_then_first_come_across_shapes() -> None:
    queue = filled(waiting(4, wide=True), waiting(2), waiting(3, priority=5, wide=True), waiting(1))
    assert order(queue) == [3, 1, 2, 4]
    assert len(queue.buckets) == 2


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    jobs = [waiting(n, priority=n % 3, wide=n % 2 == 0, eligible=n % 5 // 4) for n in range(1, 30)]
    many = Queue()
    many.extend(jobs)
    many.release(1.0)
    one_by_one = filled(*jobs)
    one_by_one.release(1.0)
    assert order(many) == order(one_by_one)
    assert order(many) == [job.id for job in sorted(jobs, key=rank)]


def test_a_second_batch_of_the_same_shape_is_merged() -> None:
    queue = Queue()
    queue.extend([waiting(5), waiting(6)])
    queue.extend([waiting(1), waiting(2)])
    queue.extend([waiting(8), waiting(9)])
    assert order(queue) == [1, 2, 5, 6, 8, 9]


def test_dropping_a_bucket_leaves_the_others() -> None:
    heads = filled(waiting(1), waiting(2), waiting(3, wide=True)).heads()
    seen = []
    for _, job in heads:
        seen.append(job.id)
        heads.drop()
    assert seen == [1, 3]


def test_removing_the_last_job_of_a_shape_removes_its_bucket() -> None:
    one, two = waiting(1), waiting(2)
    queue = filled(one, two)
    queue.remove(one)
    assert order(queue) == [2]
    queue.remove(two)
    assert queue.buckets == {}


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
    queue.release(9.9)
    assert order(queue) == [2, 3]
    assert queue.next_release() == 10.0
    queue.release(10.0)
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
