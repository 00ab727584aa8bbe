"""Jobs that would wait for each other in a circle, and so for ever.

A new job can close no circle, since nobody knows its id. A waiting one whose dependency is changed
can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mgpu.core.dependents import origin
from mgpu.core.world import World
from mgpu.model.dependency import SINGLETON
from mgpu.model.errors import MgpuError
from mgpu.model.job import Job, Pending

#: Jobs of a circle that its description names.
_MOST_NAMED = 8


def check(world: World, changed: Iterable[Job]) -> None:
    """Raise MgpuError where somebody waits for himself once jobs have become ``changed``."""
    graph = _Graph(world, changed)
    done: set[int] = set()
    for number in graph.changed:
        circle = _circle_from(graph, number, done)
        if circle:
            raise MgpuError(
                "Refused",
                f"this would be a circle: {_chain(circle)}",
                path="spec.dependency",
                hint="leave one of these dependencies out",
            )


class _Graph:
    """Who waits for whom, by origin; the parts of an array are one."""

    def __init__(self, world: World, changed: Iterable[Job]) -> None:
        self._world = world
        self.changed: dict[int, dict[int, Job]] = {}
        for job in changed:
            self.changed.setdefault(origin(job), {})[job.id] = job

    def parents(self, number: int) -> Iterator[int]:
        """What a job or the parts of an array wait for."""
        plain = self._world.jobs.get(number)
        parts = self._world.arrays.of(number) or ([plain] if plain is not None else [])
        for part in ({part.id: part for part in parts} | self.changed.get(number, {})).values():
            if part.needs is not None and isinstance(part.phase, Pending):
                yield from self._of(part)

    def _of(self, job: Job) -> Iterator[int]:
        for condition in job.needs.conditions if job.needs is not None else ():
            if condition.kind == SINGLETON:
                yield from self._world.dependents.older((job.uid, job.spec.name), origin(job))
            elif not condition.never:
                yield condition.job


def _circle_from(graph: _Graph, start: int, done: set[int]) -> list[int]:
    """The jobs of a circle that is reached from ``start``, or none; ``done`` are in none."""
    path = [start] if start not in done else []
    rest = {number: graph.parents(number) for number in path}
    while path:
        parent = next((one for one in rest[path[-1]] if one not in done), None)
        if parent is None:
            done.add(path.pop())
        elif parent in rest:
            return path[path.index(parent) :]
        else:
            path.append(parent)
            rest[parent] = graph.parents(parent)
    return []


def _chain(circle: list[int]) -> str:
    numbers = list(map(str, [*circle, circle[0]]))
    if len(numbers) > _MOST_NAMED:
        numbers[_MOST_NAMED // 2 : -1] = ["..."]
    return " waits for ".join(numbers)
