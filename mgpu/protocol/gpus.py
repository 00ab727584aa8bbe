"""Requests about GPUs: which are given out, which processes outside mgpu use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mgpu.model.units import MAX_MEMORY
from mgpu.protocol import names
from mgpu.protocol.fields import INT64_MAX, Fields, as_integer, as_text, refuse

_WORD = 128
_WORDS = 1024
_REASON = 200
_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class ListGpus:
    """Which GPUs are given out, and why the others are not?"""


@dataclass(frozen=True, slots=True)
class ListProcesses:
    """Which processes outside mgpu use GPUs?"""


@dataclass(frozen=True, slots=True)
class Drain:
    """Start nothing new on ``gpus``, words as people write them: ``0``, ``0-3``, a UUID."""

    gpus: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Give these drained GPUs out again."""

    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restrict:
    """Start new jobs on ``gpus`` alone; ``all`` lifts that."""

    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ignore:
    """Let the process ``pid`` not keep jobs off its GPUs."""

    pid: int


@dataclass(frozen=True, slots=True)
class Unignore:
    """Let the process ``pid`` count again."""

    pid: int


@dataclass(frozen=True, slots=True)
class Simulate:
    """Let something happen to a simulated GPU; what is None stays as it is.

    ``used`` is what others seem to use, in MiB (-1: as configured), ``processes`` are those that
    use it as (pid, MiB); ``fault`` is empty where there is none any more.
    """

    gpu: str
    used: int | None
    processes: tuple[tuple[int, int], ...] | None
    utilization: int | None
    fault: str | None
    hang: bool | None

    def facts(self) -> dict[str, Any]:
        """What changes."""
        facts = asdict(self)
        return {name: facts[name] for name in facts if name != "gpu" and facts[name] is not None}


Gpus = ListGpus | ListProcesses | Drain | Resume | Restrict | Ignore | Unignore | Simulate


def _drain(fields: Fields) -> Drain:
    reason = fields.text("reason", _REASON).strip()
    if not reason:
        refuse("reason", "is empty; say why, for those who wonder")
    return Drain(_gpus(fields), reason)


def _simulate(fields: Fields) -> Simulate:
    return Simulate(
        fields.text("gpu", _WORD),
        fields.maybe_integer("used", -1, MAX_MEMORY),
        None if fields.absent("processes") else fields.items("processes", _PROCESSES, _process),
        fields.maybe_integer("utilization", -1, 100),
        None if fields.absent("fault") else fields.text("fault", _REASON),
        None if fields.absent("hang") else fields.boolean("hang", default=False),
    )


def _process(value: object, path: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        refuse(path, "expected a pid and a number of MiB")
    pid = as_integer(value[0], f"{path}[0]", 1, INT64_MAX)
    return pid, as_integer(value[1], f"{path}[1]", 0, MAX_MEMORY)


def _gpus(fields: Fields) -> tuple[str, ...]:
    gpus = fields.items("gpus", _WORDS, lambda item, path: as_text(item, path, _WORD))
    if not gpus:
        refuse("gpus", "names no GPU")
    return gpus


def _pid(fields: Fields) -> int:
    return fields.integer("pid", 1, INT64_MAX)


PARSERS: dict[str, Callable[[Fields], Gpus]] = {
    names.GPU_LIST: lambda _: ListGpus(),
    names.GPU_PROCESSES: lambda _: ListProcesses(),
    names.GPU_DRAIN: _drain,
    names.GPU_RESUME: lambda fields: Resume(_gpus(fields)),
    names.GPU_SET: lambda fields: Restrict(_gpus(fields)),
    names.GPU_IGNORE: lambda fields: Ignore(_pid(fields)),
    names.GPU_UNIGNORE: lambda fields: Unignore(_pid(fields)),
    names.GPU_SIMULATE: _simulate,
}
