"""Which sets of GPUs are connected best, and what each strategy takes."""

from __future__ import annotations

import pytest

from mgpu.core.policy import Policy
from mgpu.core.requests import Submit
from mgpu.core.topology import Links, links_of
from mgpu.model.gpu import Gpu, Link, Topology, is_of_type
from mgpu.model.job import JobSpec
from mgpu.model.tasks import Tasks
from mgpu.testing.builders import UID, Desk, a_gpu, a_spec, links

#: NVLink pairs below two switches at two nodes.
PAIRS = links("aaa", "aaa", "aab", "aab", "baa", "baa", "bab", "bab")
#: The same node by node, but the indices alternate between the nodes.
MIXED = links("aa", "ba", "aa", "ba", "aa", "ba", "aa", "ba")


def desk(topology: Topology, strategy: str = "pack") -> Desk:
    made = Desk(policy=Policy(placement=strategy))
    made.set_gpus(*(a_gpu(index) for index in range(len(topology))), links=topology)
    return made


def placed(on: Desk, *specs: JobSpec) -> list[tuple[int, ...]]:
    """Where jobs are put, one after the other."""
    for spec in specs:
        on.submit(spec)
    return list(on.run().values())


def test_the_builder_s_words_are_links() -> None:
    assert links("aaa", "aaa", "aab", "ab", "b")[0] == (
        Link.SELF, Link.NVLINK, Link.SWITCH, Link.NUMA, Link.SYSTEM,
    )  # fmt: skip


def test_where_all_links_are_alike_there_is_nothing_to_choose() -> None:
    assert links_of((), 8) is None
    assert links_of(links("a", "a", "a", "a"), 4) is None
    assert links_of(PAIRS, 8) is not None
    assert links_of(PAIRS, 9) is None


@pytest.mark.parametrize(
    ("pool", "count", "best"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 2, [0, 1]),
        ([1, 2, 3, 4], 2, [2, 3]),
        ([1, 3, 4, 6], 2, [1, 3]),
        ([1, 4, 6], 2, [4, 6]),
        ([0, 4], 1, [0]),
        ([0, 2, 4, 5, 7], 3, [4, 5, 7]),
        ([0, 1, 2, 3, 4, 5, 6, 7], 4, [0, 1, 2, 3]),
        ([0, 4, 5, 6, 7], 4, [4, 5, 6, 7]),
        ([0, 1, 2, 4, 5, 6], 4, [0, 1, 2, 4]),
        ([0, 2, 4, 6], 3, [0, 2, 4]),
    ],
)
def test_nvlink_then_the_switch_then_the_node(pool: list[int], count: int, best: list[int]) -> None:
    assert Links(PAIRS).best([], pool, count) == best


def test_the_worst_link_of_a_set_counts_first() -> None:
    # 0 and 1 have NVLink and nothing else; 2, 3 and 4 share a node.
    far = links("aaa", "aaa", "b", "b", "b")
    assert Links(far).best([], [0, 1, 2, 3, 4], 3) == [2, 3, 4]


def test_what_is_held_already_is_completed() -> None:
    assert Links(PAIRS).best([5], [0, 1, 2, 3, 4, 6, 7], 1) == [5, 4]
    assert Links(PAIRS).best([0, 4], [1, 2, 3, 5, 6, 7], 1) == [0, 4, 1]


def test_a_set_that_is_connected_badly_is_better_than_none() -> None:
    assert placed(desk(PAIRS), a_spec(8)) == [tuple(range(8))]
    assert placed(desk(links("a", "b", "c", "d")), a_spec(3)) == [(0, 1, 2)]


@pytest.mark.parametrize("strategy", ["pack", "spread", "sequential", "random"])
def test_several_gpus_are_the_best_connected_ones_whatever_the_strategy(strategy: str) -> None:
    for gpus in placed(desk(MIXED, strategy), a_spec(3), a_spec(4)):
        assert len({index % 2 for index in gpus}) == 1
    ((one, other),) = placed(desk(PAIRS, strategy), a_spec(2))
    assert one // 2 == other // 2


def test_packed_jobs_leave_linked_gpus_together() -> None:
    # One pair, one GPU apart, then the other pair: the odd ones are taken first.
    odd = links("aaa", "aaa", "ab", "bbb", "bbb")
    assert placed(desk(odd), a_spec(), a_spec(2), a_spec(2)) == [(2,), (0, 1), (3, 4)]
    assert placed(desk(odd, "sequential"), a_spec(), a_spec(2)) == [(0,), (3, 4)]


def test_packed_jobs_that_share_leave_gpus_whole() -> None:
    small = a_spec(1, 8000)
    assert placed(desk(PAIRS), small, small, small, a_spec(7)) == [
        (0,),
        (0,),
        (0,),
        (1, 2, 3, 4, 5, 6, 7),
    ]
    # Two GPUs in use are taken before a whole one, though NVLink would be there.
    both = desk(PAIRS)
    placed(both, small, a_spec(1, 20000))
    assert placed(both, a_spec(2, 4000)) == [(0, 1)]
    apart = desk(links("aaa", "aaa", "b"))
    apart.set_gpu(0, available=False)
    placed(apart, a_spec(1, 20000), a_spec(1, 20000))
    apart.set_gpu(0, available=True)
    assert placed(apart, a_spec(2, 4000)) == [(1, 2)]
    assert placed(apart, a_spec(3, 100)) == [(0, 1, 2)]


def test_spread_jobs_go_where_it_is_emptiest() -> None:
    small = a_spec(1, 8000)
    assert placed(desk(PAIRS, "spread"), small, small, small) == [(0,), (1,), (2,)]


def test_sequential_jobs_go_to_the_first_that_fits() -> None:
    made = desk(PAIRS, "sequential")
    assert placed(made, a_spec(1, 20000), a_spec(1, 20000), a_spec(1, 4000)) == [(0,), (1,), (0,)]


def test_random_placement_follows_from_the_job_s_id() -> None:
    first, second = [placed(desk(PAIRS, "random"), a_spec(1))[0] for _ in range(2)]
    assert first == second
    many = placed(desk(PAIRS, "random"), *[a_spec(1, 100)] * 40)
    assert len(set(many)) == 8


def test_each_task_of_an_array_is_placed_at_random() -> None:
    made = desk(PAIRS, "random")
    made.ask(Submit(UID, "u", a_spec(1, 100), tasks=Tasks(((0, 39, 1),))))
    assert len(set(made.run().values())) == 8


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100", True),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4", True),
        ("NVIDIA A100-SXM4-80GB", "nvidia_a100", True),
        ("NVIDIA A100-SXM4-80GB", "a10", False),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb", False),
        ("NVIDIA GeForce RTX 3090", "rtx3090", True),
        ("NVIDIA GeForce RTX 3090", "3090", True),
        ("NVIDIA GeForce RTX 3090", "309", False),
        ("NVIDIA L4", "l40", False),
        ("NVIDIA L4", "", True),
        ("", "l4", False),
    ],
)
def test_a_type_names_whole_words(name: str, wanted: str, found: bool) -> None:
    assert is_of_type(name, wanted) is found


def test_a_gpu_without_a_place_in_the_matrix_is_taken_as_well() -> None:
    made = Desk()
    gpus = [Gpu(f"GPU-{n}", n, "A", 1000) for n in range(3)]
    made.set_gpus(*gpus, links=links("aaa", "aaa"))
    assert placed(made, a_spec(3)) == [(0, 1, 2)]
