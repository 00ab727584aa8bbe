"""What a job is told at the end of its log: what it asked for, used and left idle, and a hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mgpu.core.machine import counted
from mgpu.model import states
from mgpu.model.runs import Run
from mgpu.model.units import format_duration, format_memory

#: Parts from which on a hint is given: GPUs idle, GPUs hardly busy, memory and time left over.
_IDLE: Final = 0.5
_BUSY: Final = 25.0
_LEFT: Final = 0.5
#: Shorter runs, and shorter looks at their GPUs, say little (seconds).
_SHORT: Final = 60.0
_LIMIT: Final = 1800


def receipt(run: Run) -> str:
    """The lines about an attempt that is over; nothing where its program never ran."""
    if run.started is None:
        return ""
    lines = [_end(run), *_gpus(run), *_memory(run)]
    hint = next(_hints(run), "")
    return "".join(f"[mgpu] {line}\n" for line in [*lines, *([f"hint: {hint}"] if hint else [])])


def _end(run: Run) -> str:
    name = f"job {run.job}, attempt {run.attempt}"
    how = f"signal {run.signal}" if run.signal is not None else f"code {run.code}"
    told = f"{run.state}, {how}" if (run.code, run.signal) != (None, None) else run.state
    again = "" if run.final else ", goes on later"
    limit = f" of {format_duration(run.time_limit)}" if run.time_limit else ""
    return f"{name}: {told}{again}; ran {format_duration(round(run.elapsed))}{limit}"


def _gpus(run: Run) -> Iterator[str]:
    if not run.gpus:
        return
    told = f"{counted(len(run.gpus))}: {run.gpu_seconds / 3600:.2f} GPU-hours"
    if run.utilization is None or run.idle is None:
        yield f"{told}; how busy is not known"
    else:
        idle = format_duration(round(run.idle))
        yield f"{told}; busy {run.utilization:.0f}%, idle {idle} of {_seen(run)} seen"


def _memory(run: Run) -> Iterator[str]:
    if not run.gpus:
        return
    asked = format_memory(run.gpu_mem) if run.gpu_mem is not None else "all"
    peak = "not known" if not run.peak else format_memory(run.peak)
    mean = "" if run.mean is None else f", mean {format_memory(round(run.mean))}"
    yield f"memory of each GPU: asked for {asked}, peak {peak}{mean}"


def _seen(run: Run) -> str:
    return format_duration(round(run.seen))


def _hints(run: Run) -> Iterator[str]:
    """What could be done better, the most important first."""
    if run.state == states.TIMEOUT and run.final:
        yield "it met its time limit: ask for more with --time-limit, or save its state and requeue"
    if run.gpus and run.seen >= _SHORT:
        yield from _hints_of_use(run)
    limit = run.time_limit or 0
    early = limit >= _LIMIT and run.elapsed < limit * _LEFT / 2
    if early and run.final and run.state == states.COMPLETED:
        yield "with a shorter --time-limit it could start earlier"


def _hints_of_use(run: Run) -> Iterator[str]:
    if run.idle is not None and run.idle >= run.seen * _IDLE:
        yield "its GPUs did nothing most of the time: does the program use them, or wait for data?"
    if run.utilization is not None and run.utilization < _BUSY:
        yield "its GPUs were hardly busy: a larger batch, or more workers that load data, may help"
    if run.gpu_mem and run.peak and run.peak < run.gpu_mem * _LEFT:
        enough = format_memory(-(-run.peak * 5 // 4))
        yield f"--mem {enough} would have been enough, and leaves room for others"
