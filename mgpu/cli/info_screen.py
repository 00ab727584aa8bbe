"""The screen of mgpu_info: each GPU, who is on it, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from mgpu.cli.base import table
from mgpu.model.units import format_duration, format_memory, visible

Known = dict[str, Any]
#: The name of a user, by uid.
NameOf = Callable[[int], str]

_HEADER = ("GPU", "MEMORY", "RESERVED", "USED", "FREE", "UTIL", "TEMP", "POWER", "STATE")
_RIGHT = frozenset(_HEADER[1:-1])
_UNKNOWN = "-"
_BELOW = "      "
#: Of the processes that are none of its jobs so many are shown of each GPU.
_NAMED = 3
#: The scheduler names so many at most of each GPU, the largest.
_LISTED = 32
#: Seconds after which what is shown of the GPUs is old: more than the pause between two looks.
_OLD = 30.0


def screen(machine: Known, name_of: NameOf, width: int = 0) -> list[str]:
    """The lines, none of them longer than ``width``; 0 is no bound."""
    lines = [*_types(machine["gpus"]), *_gpus(machine, name_of), *_rest(machine)]
    return [part for line in lines for part in _wrapped(line, width)]


def _wrapped(line: str, width: int) -> list[str]:
    if not width or len(line) <= width:
        return [line]
    import textwrap

    begin = _BELOW if line.startswith(_BELOW) else ""
    kept = {"initial_indent": begin, "subsequent_indent": f"{begin}  "}
    return textwrap.wrap(line.strip(), max(width, 20), break_on_hyphens=False, **kept)  # type: ignore[arg-type]


# -- above the table -------------------------------------------------------------------------------


def _types(gpus: list[Known]) -> Iterator[str]:
    """``gpu0-gpu3: NVIDIA A100-SXM4-80GB, compute capability 8.0`` for GPUs that are alike."""
    for kind, alike in groupby(gpus, key=_type):
        names = [_name(gpu) for gpu in alike]
        span = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
        yield f"{span}: {kind}"


def _type(gpu: Known) -> str:
    parts = [visible(gpu["name"])]
    if gpu.get("capability"):
        parts.append(f"compute capability {gpu['capability']}")
    if gpu.get("card"):
        parts.append(f"part of {visible(gpu['card'][:12])}")
    return ", ".join(parts)


def _name(gpu: Known) -> str:
    return f"gpu{gpu['index']}"


# -- the table -------------------------------------------------------------------------------------


def _gpus(machine: Known, name_of: NameOf) -> Iterator[str]:
    gpus = machine["gpus"]
    if gpus:
        header, *rows = table([_HEADER, *map(_cells, gpus)], _RIGHT)
        yield header
        for gpu, row in zip(gpus, rows, strict=True):
            yield row
            yield from (_BELOW + text for text in _below(gpu, machine.get("now"), name_of))


def _cells(gpu: Known) -> tuple[str, ...]:
    sizes = (_size(gpu.get(key)) for key in ("total", "reserved", "used", "free"))
    return (
        _name(gpu),
        *sizes,
        _reading(gpu, "utilization", "%"),
        _reading(gpu, "temperature", "C"),
        _power(gpu),
        _state(gpu),
    )


def _size(mib: int | None) -> str:
    return _UNKNOWN if mib is None else format_memory(mib)


def _reading(gpu: Known, key: str, unit: str) -> str:
    number = gpu.get(key, -1)
    return f"{number}{unit}" if number >= 0 else _UNKNOWN


def _power(gpu: Known) -> str:
    limit = gpu.get("power_limit", -1)
    if gpu.get("power", -1) < 0 or limit < 0:
        return _reading(gpu, "power", "W")
    return f"{gpu['power']}/{limit}W"


def _state(gpu: Known) -> str:
    word = gpu.get("state") or ("available" if gpu["available"] else "unknown")
    return "no answer" if word == "unknown" else visible(word)


# -- below each GPU --------------------------------------------------------------------------------


def _below(gpu: Known, now: float | None, name_of: NameOf) -> Iterator[str]:
    if gpu["note"]:
        yield visible(gpu["note"])
    yield from map(_holder, gpu["jobs"])
    outsiders = sorted(gpu.get("outsiders", ()), key=_is_stranger)
    yield from (_outsider(one, now, name_of) for one in outsiders[:_NAMED])
    if outsiders[_NAMED:]:
        more = "or more" if len(outsiders) >= _LISTED else "more"
        yield f"and {len(outsiders) - _NAMED} {more}: mgpu_info --json names them"
    if gpu["outside"] and not outsiders:
        yield f"{format_memory(gpu['outside'])} used outside mgpu"
    yield from map(_reservation, gpu.get("reservations", ()))


def _job(number: int, array: int | None, tasks: str | None) -> str:
    if not array:
        return str(number)
    from mgpu.cli.queue_views import job_name

    return job_name([number, array, tasks or ""])


def _holder(row: list[Any]) -> str:
    """Of a newer or older scheduler the row may be longer or shorter."""
    number, user, gpu_mem, elapsed, state, used, array, tasks = (*row, None, 0, "")[:8]
    named, time = _job(number, array, tasks), format_duration(elapsed or 0)
    parts = [f"job {named} of {visible(user)} for {time}"]
    parts.append("alone" if gpu_mem is None else f"{format_memory(gpu_mem)} reserved")
    if used is not None:
        parts.append(f"{format_memory(used)} used")
    if state == "COMPLETING":
        parts.append("ending")
    return ", ".join(parts)


def _outsider(one: Known, now: float | None, name_of: NameOf) -> str:
    whose = "" if one["uid"] is None else f" of {visible(name_of(one['uid']))}"
    since = "" if not one["since"] or not now else f" for {format_duration(now - one['since'])}"
    memory = "unknown memory" if one["memory"] is None else f"{format_memory(one['memory'])} used"
    ignored = ", ignored" if one["ignored"] else ""
    return f"pid {one['pid']}{whose}{since}, {memory}, {_origin(one)}{ignored}"


def _is_stranger(one: Known) -> bool:
    """Those of jobs are shown first: something is wrong with these."""
    return not one["job"]


def _origin(one: Known) -> str:
    if not one["job"]:
        return "outside mgpu"
    return f"left by job {one['job']}" if one["over"] else f"of job {one['job']} on other GPUs"


def _reservation(row: list[float]) -> str:
    number, begins, ends = row[:3]
    if begins:
        span = f"in {format_duration(begins)} for {format_duration(ends - begins)}"
    else:
        span = f"for another {format_duration(ends)}"
    return f"kept by reservation {number:.0f} {span}"


# -- below the table -------------------------------------------------------------------------------


def _rest(machine: Known) -> Iterator[str]:
    counts = f"{machine['running']} running, {machine['pending']} waiting"
    yield "; ".join([counts, *_next(machine.get("next"))])
    yield from _host(machine.get("host") or {})
    if machine["backend"] == "none":
        yield "Nothing is known of the GPUs yet: only jobs with --gpus 0 are started."
    elif not machine["gpus"]:
        yield "No GPU was found: only jobs with --gpus 0 can run."
    if machine["backend"] == "simulated":
        yield "These GPUs are simulated: jobs get the variables, and no real GPU."
    elif machine.get("driver"):
        yield f"driver {visible(machine['driver'])}{_age(machine.get('age') or 0.0)}"
    yield from _footing(machine)


def _footing(machine: Known) -> Iterator[str]:
    """How jobs are kept apart and followed, as it really is; older schedulers do not say."""
    tracking, level = machine.get("tracking"), machine.get("isolation", "")
    if tracking:
        by = f" by {visible(machine['fenced_by'])}" if machine.get("fenced_by") else ""
        level = "variables" if machine.get("hidden") and level == "detect" else level
        yield f"isolation: {visible(level)}{by}, jobs followed by {visible(tracking)}"
    if machine.get("hidden"):
        yield "/proc hides from mgpu whose the processes on GPUs are (mgpu_ctl doctor)"


def _age(seconds: float) -> str:
    return f", last asked {format_duration(seconds)} ago" if seconds > _OLD else ""


def _next(first: Known | None) -> Iterable[str]:
    """``next: job 42 of ada on gpu0, gpu1 within 2:00:00``."""
    if not first:
        return []
    named = _job(first["id"], first["array"], first["tasks"])
    where = ", ".join(f"gpu{index}" for index in first["gpus"])
    text = f"next: job {named} of {visible(first['user'])}" + f" on {where}" * bool(where)
    if first["in"] is not None:
        return [f"{text} within {format_duration(first['in'])}"]
    return [f"{text} when job {first['after']} ends" if first["after"] else text]


def _host(host: dict[str, int]) -> list[str]:
    """What jobs that named any have of the machine itself."""
    parts = []
    if host.get("cpus_reserved"):
        parts.append(f"{host['cpus_reserved']} of {host['cpus']} CPUs")
    if host.get("memory_reserved"):
        sizes = [format_memory(host[key]) for key in ("memory_reserved", "memory")]
        parts.append(f"{sizes[0]} of {sizes[1]} host memory")
    return [f"reserved for jobs: {', '.join(parts)}"] if parts else []
