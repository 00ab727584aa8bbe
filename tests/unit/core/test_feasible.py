"""What this machine could never do is refused at submission, with the figures and the remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.policy import Policy
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import JobSpec
from mgpu.testing.builders import Desk, a_spec

A100, L4 = "NVIDIA A100-SXM4-80GB", "NVIDIA L4"


@pytest.fixture
def desk() -> Desk:
    made = Desk(policy=Policy(cpus=16, host_memory=64000, margin=100))
    made.set_gpus(
        Gpu("GPU-0", 0, A100, 81000, capability=(8, 0)),
        Gpu("GPU-1", 1, A100, 81000, capability=(8, 0)),
        Gpu("GPU-2", 2, L4, 23000, capability=(8, 9)),
    )
    return made


REFUSED: list[tuple[JobSpec, str, str, str]] = [
    (
        a_spec(4),
        "spec.gpus",
        "asks for 4 GPUs; this machine has 3",
        "ask for 3 or fewer; mgpu_info shows them",
    ),
    (
        replace(a_spec(), gpu_type="h100"),
        "spec.gpu_type",
        f"asks for 1 GPU of type h100; this machine has 0 (there are: 2 {A100}, 1 {L4})",
        "mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(), gpu_type="nvida"),
        "spec.gpu_type",
        f"asks for 1 GPU of type nvida; this machine has 0 (there are: 2 {A100}, 1 {L4})",
        "did you mean nvidia? mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(2), gpu_type="l4"),
        "spec.gpu_type",
        f"asks for 2 GPUs of type l4; this machine has 1 (there are: 2 {A100}, 1 {L4})",
        "mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(2), min_capability=(8, 6)),
        "spec.min_capability",
        "asks for 2 GPUs of capability 8.6 or more; this machine has 1 (highest: 8.9)",
        "ask for 8.0 or less; mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(3), min_gpu_total=40960),
        "spec.min_gpu_total",
        "asks for 3 GPUs of 40960 MiB or more; this machine has 2 (largest: 81000 MiB)",
        "ask for 23000 MiB or less; mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(), gpu_type="a100", min_capability=(8, 6)),
        "spec.gpus",
        "asks for 1 GPU of type a100 of capability 8.6 or more; this machine has 0 such",
        "mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(2), gpu_uuids=("GPU-1",)),
        "spec.gpu_ids",
        "asks for 2 GPUs and names 1",
        "name as many as the job needs, or more",
    ),
    (
        replace(a_spec(2), gpu_uuids=("GPU-1", "GPU-2"), gpu_type="a100"),
        "spec.gpus",
        "asks for 2 GPUs of those it names of type a100; this machine has 1 such",
        "mgpu_info shows the GPUs",
    ),
    (
        replace(a_spec(0), gpu_type="a100"),
        "spec.gpus",
        "asks for no GPU of type a100",
        "ask for 1 GPU or more",
    ),
    (
        replace(a_spec(1, 30000), gpu_type="l4"),
        "spec.gpu_mem",
        "asks for 1 GPU of type l4 with 30000 MiB; this machine has 0 that large "
        "(largest: 22900 MiB)",
        "ask for 22900 MiB or less; mgpu_info shows the GPUs",
    ),
    (
        a_spec(cpus=17),
        "spec.cpus",
        "asks for 17 CPUs; this machine has 16 for jobs",
        "ask for 16 or fewer",
    ),
    (
        a_spec(0, host_mem=64001),
        "spec.host_mem",
        "asks for 64001 MiB of host memory; this machine has 64000 for jobs",
        "ask for 64000 MiB or less",
    ),
]


@pytest.mark.parametrize(("spec", "path", "what", "hint"), REFUSED)
def test_refused(desk: Desk, spec: JobSpec, path: str, what: str, hint: str) -> None:
    with pytest.raises(MgpuError) as raised:
        desk.submit(spec)
    error = raised.value
    assert (error.code, error.path, error.message, error.hint) == ("Refused", path, what, hint)


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        (replace(a_spec(), gpu_type="L4"), (2,)),
        (replace(a_spec(2), gpu_type="a100"), (0, 1)),
        (replace(a_spec(), min_capability=(8, 6)), (2,)),
        (replace(a_spec(3), min_capability=(8, 0)), (0, 1, 2)),
        (replace(a_spec(), min_gpu_total=81000), (0,)),
        (replace(a_spec(2), gpu_uuids=("GPU-0", "GPU-2")), (0, 2)),
        (replace(a_spec(1), gpu_uuids=("GPU-1", "GPU-2")), (1,)),
        (a_spec(0, cpus=16, host_mem=64000), ()),
    ],
)
def test_accepted_and_placed_where_it_was_asked_for(
    desk: Desk, spec: JobSpec, gpus: tuple[int, ...]
) -> None:
    number = desk.submit(spec)
    assert desk.run() == {number: gpus}


def test_a_machine_without_totals_takes_any_number_of_cpus() -> None:
    made = Desk(policy=Policy())
    number = made.submit(a_spec(0, cpus=1000, host_mem=10**6))
    assert made.run() == {number: ()}


def test_nothing_is_refused_before_anything_is_known_of_the_gpus() -> None:
    made = Desk()
    made.world.set_inventory(Inventory("none", ()))
    number = made.submit(replace(a_spec(2, 40000), gpu_type="a100"))
    assert made.run() == {}
    assert made.reason(number) == (
        "ReqGpuNotAvail",
        "needs 2 GPUs of type a100 with 40000 MiB each; this machine has 0 that can be used",
    )
    made.set_gpus(*(Gpu(f"GPU-{i}", i, A100, 81000) for i in range(2)))
    assert made.run() == {number: (0, 1)}


def test_what_a_gpu_could_do_that_has_not_answered_yet_is_not_known(desk: Desk) -> None:
    known = desk.inventory().gpus
    desk.set_gpus(*known, Gpu("GPU-unknown-3", 3, "", 0, available=False, note="no answer"))
    assert desk.submit(a_spec(3, 60000))
    assert desk.run() == {}
    with pytest.raises(MgpuError, match="asks for 5 GPUs; this machine has 4"):
        desk.submit(a_spec(5))


def test_exact_gpus_stay_the_same_when_a_boot_renumbers_them(desk: Desk) -> None:
    number = desk.submit(replace(a_spec(), gpu_uuids=("GPU-2",)))
    desk.renumber({"GPU-2": 0, "GPU-0": 1, "GPU-1": 2})
    desk.run()
    assert desk.job(number).gpus == ("GPU-2",)


def test_a_job_whose_gpu_is_gone_waits_and_says_so(desk: Desk) -> None:
    number = desk.submit(replace(a_spec(2), gpu_uuids=("GPU-1", "GPU-2")))
    desk.keep_gpus(2)
    assert desk.run() == {}
    assert desk.reason(number) == (
        "ReqGpuNotAvail",
        "needs 2 GPUs of those it names for itself; this machine has 1 that can be used",
    )


def test_the_reason_names_only_what_could_matter(desk: Desk) -> None:
    desk.submit(a_spec(2))
    mine = desk.submit(replace(a_spec(), gpu_type="a100"))
    desk.run()
    assert desk.reason(mine) == (
        "Resources",
        "needs 1 GPU of type a100 for itself; free: none; "
        f"gpu0 held by job 1, gpu1 held by job 1, gpu2 is {L4}",
    )
    exact = desk.submit(replace(a_spec(1, 100), gpu_uuids=("GPU-1",)))
    desk.run()
    assert desk.reason(exact)[1] == (
        f"behind job {mine}; needs 1 GPU of those it names with 100 MiB; free: none; "
        "gpu1 held by job 1"
    )
    desk.set_gpu(0, available=False, note="lost")
    desk.set_gpu(1, available=False, note="lost")
    assert desk.reason(desk.submit(replace(a_spec(2), min_gpu_total=60000))) == (
        "ReqGpuNotAvail",
        "needs 2 GPUs of 60000 MiB or more for itself; this machine has 0 that can be used "
        "(gpu0 not available: lost, gpu1 not available: lost, gpu2 has 23000 in all)",
    )
