"""Whether this machine could ever run a job; what it never could is refused at submission."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import NoReturn

from mgpu.core.machine import ANY, Wants, counted, described, suits
from mgpu.core.placement import large_enough, need_of
from mgpu.core.world import NO_GPUS, World
from mgpu.model.errors import MgpuError
from mgpu.model.gpu import Gpu
from mgpu.model.job import JobSpec
from mgpu.model.units import format_capability

_LOOK = "mgpu_info shows the GPUs"


def check_feasible(world: World, spec: JobSpec) -> None:
    """Raise MgpuError with the figures where no GPUs, CPUs or memory of this machine would do.

    What is not known yet may do: a GPU that did not answer since the start has no name.
    """
    wants = need_of(spec).wants
    _check_host(world, spec)
    if world.backend == NO_GPUS.backend:
        return
    _check_number(world, spec, wants)
    if not all(gpu.name for gpu in world.gpus.values()):
        return
    if wants is not ANY:
        _check_wants(world, spec, wants)
    _check_memory(world, spec, wants)


def _check_number(world: World, spec: JobSpec, wants: Wants) -> None:
    have = len(world.gpus)
    if spec.gpus > have:
        hint = f"ask for {have} or fewer; mgpu_info shows them"
        _refuse("spec.gpus", f"asks for {counted(spec.gpus)}; this machine has {have}", hint)
    if wants.uuids and spec.gpus > len(wants.uuids):
        what = f"asks for {counted(spec.gpus)} and names {len(wants.uuids)}"
        _refuse("spec.gpu_ids", what, "name as many as the job needs, or more")
    if wants is not ANY and spec.gpus == 0:
        _refuse("spec.gpus", f"asks for no GPU{described(wants)}", "ask for 1 GPU or more")


def _check_wants(world: World, spec: JobSpec, wants: Wants) -> None:
    """Name the one wish that cannot be met; all of them where only together they cannot."""
    gpus = list(world.gpus.values())
    for part in (
        Wants(type=wants.type), Wants(capability=wants.capability), Wants(min_total=wants.min_total)
    ):  # fmt: skip
        if _count(gpus, part) < spec.gpus:
            _refuse_part(gpus, spec, part)
    found = _count(gpus, wants)
    if found < spec.gpus:
        what = f"asks for {counted(spec.gpus)}{described(wants)}; this machine has {found} such"
        _refuse("spec.gpus", what, _LOOK)


def _refuse_part(gpus: list[Gpu], spec: JobSpec, part: Wants) -> NoReturn:
    asks = f"asks for {counted(spec.gpus)}{described(part)}; this machine has {_count(gpus, part)}"
    if part.type:
        hint = _LOOK if _count(gpus, part) else _nearest(gpus, part.type)
        _refuse("spec.gpu_type", f"{asks} (there are: {_stock(gpus)})", hint)
    if part.min_total:
        sizes = sorted(gpu.total for gpu in gpus)
        hint = f"ask for {sizes[-spec.gpus]} MiB or less; {_LOOK}"
        _refuse("spec.min_gpu_total", f"{asks} (largest: {sizes[-1]} MiB)", hint)
    highest = sorted(gpu.capability for gpu in gpus)
    hint = f"ask for {format_capability(highest[-spec.gpus])} or less; {_LOOK}"
    _refuse("spec.min_capability", f"{asks} (highest: {format_capability(highest[-1])})", hint)


def _check_memory(world: World, spec: JobSpec, wants: Wants) -> None:
    need = need_of(spec)
    gpus = [gpu for gpu in world.gpus.values() if suits(gpu, wants)]
    usable = sorted(gpu.total - world.policy.margin for gpu in gpus)
    enough = sum(large_enough(size, need) for size in usable)
    if enough < spec.gpus:
        asks = f"asks for {counted(spec.gpus)}{described(wants)} with {spec.gpu_mem} MiB"
        has = f"this machine has {enough} that large (largest: {usable[-1]} MiB)"
        hint = f"ask for {usable[-spec.gpus]} MiB or less; {_LOOK}"
        _refuse("spec.gpu_mem", f"{asks}{' each' * (spec.gpus > 1)}; {has}", hint)


def _check_host(world: World, spec: JobSpec) -> None:
    cpus, memory = world.policy.cpus, world.policy.host_memory
    if cpus and spec.cpus > cpus:
        what = f"asks for {spec.cpus} CPUs; this machine has {cpus} for jobs"
        _refuse("spec.cpus", what, f"ask for {cpus} or fewer")
    if memory and spec.host_mem > memory:
        what = f"asks for {spec.host_mem} MiB of host memory; this machine has {memory} for jobs"
        _refuse("spec.host_mem", what, f"ask for {memory} MiB or less")


def _count(gpus: list[Gpu], wants: Wants) -> int:
    return sum(suits(gpu, wants) for gpu in gpus)


def _stock(gpus: list[Gpu]) -> str:
    names = Counter(gpu.name for gpu in gpus)
    return ", ".join(f"{count} {name}" for name, count in names.items())


def _nearest(gpus: list[Gpu], wanted: str) -> str:
    """Which part of a name was meant."""
    words = {word.lower() for gpu in gpus for word in gpu.name.split()}
    close = get_close_matches(wanted.lower(), sorted(words), n=1)
    return f"did you mean {close[0]}? {_LOOK}" if close else _LOOK


def _refuse(path: str, what: str, hint: str) -> NoReturn:
    raise MgpuError("Refused", what, path=path, hint=hint)
