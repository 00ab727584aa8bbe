"""No set of GPUs is connected better than the one that is chosen, and whole GPUs stay whole."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from mgpu.core.placement import Need, Room, choose, fits
from mgpu.core.topology import Links
from mgpu.model.gpu import Link, Topology

MOST = 7
LINKS = st.sampled_from([Link.SYSTEM, Link.NUMA, Link.SWITCH, Link.NVLINK])


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    count = draw(st.integers(2, MOST))
    links = {pair: draw(LINKS) for pair in combinations(range(count), 2)}
    row = range(count)
    return tuple(
        tuple(links.get((min(one, other), max(one, other)), Link.SELF) for other in row)
        for one in row
    )


def quality(topology: Topology, gpus: list[int]) -> tuple[int, int]:
    """The worst link among these GPUs, and the sum of all."""
    links = [topology[one][other] for one, other in combinations(gpus, 2)]
    return min(links, default=Link.SELF), sum(links)


@given(topologies(), st.data())
def test_no_other_set_is_connected_better(topology: Topology, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(topology))))
    split = data.draw(st.integers(0, len(order) - 1))
    held, pool = order[:split], order[split:]
    count = data.draw(st.integers(1, len(pool)))
    best = Links(topology).best(held, pool, count)
    assert len(set(best)) == split + count
    assert set(held) <= set(best) <= set(order)
    every = [quality(topology, [*held, *others]) for others in combinations(pool, count)]
    assert quality(topology, best) == max(every)


@st.composite
def used_rooms(draw: st.DrawFn) -> list[Room]:
    """GPUs with up to three sharing jobs on each."""
    rooms = []
    for index in range(draw(st.integers(1, MOST))):
        usable = draw(st.integers(1, 40))
        room = Room(f"GPU-{index}", index, usable, 0, available=True, quiet=True)
        for job in range(draw(st.integers(0, 3))):
            need = Need(1, draw(st.integers(1, 20)), shares=True)
            if fits(room, need):
                room.take(job, need)
        rooms.append(room)
    return rooms


@given(used_rooms(), st.integers(1, 3), st.integers(1, 40))
def test_a_whole_gpu_is_begun_only_where_those_in_use_do_not_suffice(
    rooms: list[Room], gpus: int, mem: int
) -> None:
    need = Need(gpus, mem, shares=True)
    taken = choose(rooms, need)
    fitting = [room for room in rooms if fits(room, need)]
    if taken is None:
        assert len(fitting) < gpus
        return
    in_use = sum(bool(room.jobs) for room in fitting)
    assert sum(bool(room.jobs) for room in taken) == min(gpus, in_use)
    for began in (True, False):
        left = [r.free for r in fitting if r not in taken and bool(r.jobs) is began]
        assert all(r.free <= least for r in taken if bool(r.jobs) is began for least in left)
