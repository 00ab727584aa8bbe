"""The screen of mgpu_top, from what is known to what rich shows; nothing is asked for here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from mgpu.cli.columns import parse_format
from mgpu.cli.top_state import History, Job, State
from mgpu.model.states import COMPLETING, PENDING, RUNNING
from mgpu.model.units import format_duration, format_memory, visible

_JOBS = parse_format("%12i %16j %.8u %.2t %.11M %.4G %R")
_KEYS = "  up/down j k: choose   l: log   x: cancel   h: hold or release   q: quit"
_STATES = {RUNNING: "green", PENDING: "yellow", COMPLETING: "magenta"}
_TICKS = " ▁▂▃▄▅▆▇█"
_FULL, _EMPTY = "█", "░"
_PLAIN_FULL, _PLAIN_EMPTY, _PLAIN_TICKS = "#", ".", " .:-=+*%#"
#: What a line about a GPU holds besides the bars; the second part only where there is room.
_FIGURES, _MORE = 42, 16
_WIDE = 76


class Known(NamedTuple):
    """What the scheduler said, and when: the machine, its jobs, and why the chosen one waits.

    ``log`` are the last lines that the chosen one wrote, where they are to be shown.
    """

    machine: dict[str, Any]
    jobs: Sequence[Job]
    why: Sequence[str]
    history: History
    now: float
    log: Sequence[str] = ()


class Size(NamedTuple):
    """Of the screen; a height of 0 is as high as it needs. ``plain`` is without block letters."""

    width: int
    height: int
    plain: bool = False


def screen(known: Known, state: State, size: Size) -> Group:
    """The whole screen: as many lines as it is high, none of them longer than it is wide."""
    gpus = list(_gpus(known, size))
    details: list[Text] = []
    if size.height:
        gpus = _cut(gpus, max(2, size.height // 3))
        details = _below(known, state, size.height)
    room = max(1, size.height - len(gpus) - len(details) - 5) if size.height else 0
    listed = list(_listed(known, state, room))
    lines = [_head(known, size.width), *gpus, Text(), *listed]
    if size.height:
        lines += [_rule(known, state, size), *details, _foot(state)]
    return Group(*(_fitted(line, size) for line in lines))


def _fitted(line: Text, size: Size) -> Text:
    line.no_wrap, line.overflow = True, "crop" if size.plain else "ellipsis"
    line.truncate(size.width, overflow=line.overflow)
    return line


def _cut(lines: list[Text], most: int) -> list[Text]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], Text(f"... and {len(lines) - most + 1} more", "dim")]


def _sized(lines: list[Text], height: int) -> list[Text]:
    return _cut(lines, height) + [Text()] * (height - len(lines))


# -- the machine -----------------------------------------------------------------------------------


def _head(known: Known, width: int) -> Text:
    machine = known.machine
    text = f"mgpu  {machine['running']} running, {machine['pending']} waiting"
    moment = time.strftime("%H:%M:%S", time.localtime(known.now))
    return Text(set_cell_size(text, max(0, width - len(moment))) + moment, "bold")


def _gpus(known: Known, size: Size) -> Iterator[Text]:
    machine = known.machine
    if not machine["gpus"]:
        yield Text("No GPU was found: only jobs with --gpus 0 can run.")
        return
    widths = _widths(size.width)
    titles = _columns(("MEMORY", "UTIL", "HISTORY"), widths)
    more = "TEMP POWER  " if size.width >= _WIDE else ""
    yield Text(f"GPU   {titles}{more}STATE", "bold")
    for gpu in machine["gpus"]:
        yield _gpu(gpu, known.history.get(gpu["index"], ()), widths, size)


def _widths(width: int) -> tuple[int, int, int]:
    """Of the bars of memory and utilisation, and of the history."""
    room = max(12, width - _FIGURES - (_MORE if width >= _WIDE else 0))
    bar = min(40, room * 2 // 5)
    use = min(20, room // 4)
    return bar, use, min(60, room - bar - use)


def _columns(titles: tuple[str, str, str], widths: tuple[int, int, int]) -> str:
    extra = (14, 6, 2)
    cells = zip(titles, widths, extra, strict=True)
    return "".join(set_cell_size(title, width + more) for title, width, more in cells)


def _gpu(
    gpu: dict[str, Any], past: tuple[int, ...], widths: tuple[int, int, int], size: Size
) -> Text:
    memory, use, span = widths
    total, used, busy = gpu.get("total") or 0, gpu.get("used") or 0, gpu.get("utilization", -1)
    line = Text(f"gpu{gpu['index']}".ljust(6))
    line.append_text(_bar(used / total if total else 0.0, memory, plain=size.plain))
    line.append(f" {_gib(used)}/{_gib(total)}".ljust(14))
    line.append_text(_bar(max(0, busy) / 100, use, plain=size.plain))
    line.append((f" {busy}%" if busy >= 0 else " -").ljust(6))
    line.append(_spark(past, span, plain=size.plain) + "  ", "cyan")
    if size.width >= _WIDE:
        line.append(f"{_reading(gpu, 'temperature', 'C'):>4} {_reading(gpu, 'power', 'W'):>5}  ")
    well = gpu["available"] and gpu.get("state") == "available"
    word = _holders(gpu) if well else visible(gpu.get("state") or "unknown")
    return line.append(word, "green" if well else "bold red")


def _holders(gpu: dict[str, Any]) -> str:
    """``job 7``, ``3 jobs``, ``outsiders`` (processes without mgpu) or ``free``."""
    holders = gpu.get("jobs") or []
    if len(holders) == 1:
        return f"job {holders[0][0]}"
    if holders:
        return f"{len(holders)} jobs"
    return "outsiders" if gpu.get("outsiders") else "free"


def _gib(mib: int) -> str:
    """Short: ``512M``, ``44.2G``, ``80G``."""
    if mib < 1024:
        return f"{mib}M"
    return f"{mib / 1024:.1f}".removesuffix(".0") + "G"


def _reading(gpu: dict[str, Any], key: str, unit: str) -> str:
    number = gpu.get(key, -1)
    return f"{number}{unit}" if number >= 0 else "-"


def _bar(part: float, width: int, *, plain: bool) -> Text:
    """``█████░░░``: green, yellow from three quarters, red from nine tenths."""
    full = round(max(0.0, min(1.0, part)) * width)
    colour = "red" if part >= 0.9 else "yellow" if part >= 0.75 else "green"
    done, rest = (_PLAIN_FULL, _PLAIN_EMPTY) if plain else (_FULL, _EMPTY)
    return Text(done * full, colour).append(rest * (width - full), "bright_black")


def _spark(past: tuple[int, ...], width: int, *, plain: bool) -> str:
    """The newest at the right end; nothing where it was not known."""
    ticks = _PLAIN_TICKS if plain else _TICKS
    seen = past[-width:] if width else ()
    drawn = "".join(ticks[_tick(busy)] for busy in seen)
    return drawn.rjust(width)


def _tick(busy: int) -> int:
    return 0 if busy < 0 else 1 + min(7, busy * 8 // 100)


# -- the jobs --------------------------------------------------------------------------------------


def _listed(known: Known, state: State, room: int) -> Iterator[Text]:
    """The jobs around the chosen one; ``room`` 0 is room for all."""
    yield Text("  " + _JOBS.header(), "bold")
    jobs = known.jobs
    if not jobs:
        yield Text("  No job waits or runs.", "dim")
    begin = _begin(state.place, len(jobs), room) if room > 0 else 0
    shown = jobs[begin : begin + room] if room > 0 else jobs
    lines = _JOBS.lines([list(job.values()) for job in shown])
    for job, line in zip(shown, lines, strict=True):
        yield _job(job, line, chosen=bool(room) and job["id"] == state.chosen)
    yield from [Text()] * (room - max(1, len(shown)))


def _begin(place: int, count: int, room: int) -> int:
    """The first job that is shown, so that the chosen one stands in the middle."""
    return max(0, min(place - room // 2, count - room))


def _job(job: Job, line: str, *, chosen: bool) -> Text:
    style = _STATES.get(job["state"], "")
    return Text(f"{'>' if chosen else ' '} {line}", f"{style} reverse" if chosen else style)


# -- the chosen job --------------------------------------------------------------------------------


def _rule(known: Known, state: State, size: Size) -> Text:
    what = "log of job" if state.log else "job"
    name = f" {what} {_names(known.jobs[state.place])} " if known.jobs else ""
    line = "-" if size.plain else "─"
    return Text(line * 2 + name + line * max(0, size.width - 2 - cell_len(name)), "bright_black")


def _names(job: Job) -> str:
    return parse_format("%i").lines([list(job.values())])[0]


def _below(known: Known, state: State, height: int) -> list[Text]:
    """What is told of the chosen job: its log takes a part of the room of the list."""
    if not state.log:
        return _sized(list(_details(known, state)), max(3, height // 4))
    room = max(3, height // 2 - 2)
    return _sized([Text(line) for line in known.log[-room:]], room)


def _details(known: Known, state: State) -> Iterator[Text]:
    if not known.jobs:
        return
    job = known.jobs[state.place]
    yield Text(", ".join(_wishes(job)))
    if past := ", ".join(_past(job)):
        yield Text(past)
    if job["command"] is not None:
        where = f"   in {visible(job['cwd'])}" if job["cwd"] else ""
        yield Text(f"$ {visible(job['command'])}{where}", "cyan")
    yield from (Text(visible(sentence), "yellow") for sentence in known.why)
    if job["note"]:
        yield Text(visible(job["note"]), "yellow")


def _wishes(job: Job) -> Iterator[str]:
    yield f"{visible(job['user'] or '-')}: {job['state']}"
    memory = "" if job["gpu_mem"] is None else f" with {format_memory(job['gpu_mem'])} each"
    yield f"{job['gpus']} GPU{'s' * (job['gpus'] != 1)}{memory}"
    if job["cpus"]:
        yield f"{job['cpus']} CPUs"
    yield f"limit {format_duration(job['time_limit'])}" if job["time_limit"] else "no time limit"


def _past(job: Job) -> Iterator[str]:
    if job["peak"]:
        used = ", ".join(f"{format_memory(mib)} on gpu{index}" for index, mib in job["peak"])
        yield f"used at most {used}"
    if job["restarts"]:
        yield f"attempt {job['attempt']}, begun again {job['restarts']} times"


def _foot(state: State) -> Text:
    if state.asked is not None:
        return Text(f"  Cancel job {state.asked.job}?  y: yes   any other key: no", "bold reverse")
    return Text(f"  {visible(state.message)}" if state.message else _KEYS, "bold")
