"""Arrays of jobs: which records their tasks are in, and how many may run at once."""

from __future__ import annotations

from collections.abc import Mapping

from mgpu.core.world import World
from mgpu.model.job import Job, Pending
from mgpu.model.records import Array


def may_start(world: World, job: Job, starting: Mapping[int, int]) -> bool:
    """Whether one more task of this waiting record may start.

    ``starting`` are the tasks, by record, that start in this pass already.
    """
    array = world.records.get(Array, job.array)
    if array is None or not array.max_concurrent:
        return True
    records = world.records_by_array.get(job.array, {})
    return (
        running(world, job.array) + sum(starting.get(n, 0) for n in records) < array.max_concurrent
    )


def running(world: World, array: int) -> int:
    """How many tasks of an array have an attempt under way."""
    records = world.records_by_array.get(array, {}).values()
    return sum(not isinstance(job.phase, Pending) for job in records)


def find(world: World, array: int, task: int) -> Job | None:
    """The active record that has this task."""
    for job in world.records_by_array.get(array, {}).values():
        if job.tasks is not None and task in job.tasks:
            return job
    return None
