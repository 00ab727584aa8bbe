"""The columns of mgpu_queue and squeue's format letters for them.

A column makes all its cells at once from all rows: ten thousand jobs cost a few list operations,
not ten thousand calls for each column.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from mgpu.model.states import CODES, ENDED, PENDING
from mgpu.model.units import format_duration, format_memory, quoted, visible
from mgpu.protocol.names import JOB_FIELDS

Row = list[Any]
Cells = Iterable[str]
_AT = {name: index for index, name in enumerate(JOB_FIELDS)}
NOTHING = "-"
_NAME_OF = itemgetter(*(_AT[name] for name in ("id", "array", "tasks", "max_concurrent")))
_TASKS_SHOWN = 64


class Column(NamedTuple):
    """A header and how to make the cells under it."""

    header: str
    cells: Callable[[list[Row]], Cells]


def _field(name: str) -> Callable[[list[Row]], Cells]:
    get = itemgetter(_AT[name])
    return lambda rows: map(str, map(get, rows))


def _text(name: str) -> Callable[[list[Row]], Cells]:
    get = itemgetter(_AT[name])
    return lambda rows: [NOTHING if t is None else visible(t) for t in map(get, rows)]


def _each(show: Callable[[Any], str], *names: str) -> Callable[[list[Row]], Cells]:
    get = itemgetter(*(_AT[name] for name in names))
    return lambda rows: map(show, map(get, rows))


def _limit(seconds: int | None) -> str:
    return format_duration(seconds) if seconds else "UNLIMITED"


def _left(values: tuple[int | None, float, str]) -> str:
    limit, elapsed, state = values
    if not limit:
        return "UNLIMITED"
    return format_duration(limit - (elapsed or 0) if state != "PENDING" else limit)


def _memory(mib: int | None) -> str:
    return NOTHING if mib is None else format_memory(mib)


def moment(seconds: float | None) -> str:
    """A time on the clocks of this machine, as it stands in a column."""
    return "N/A" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def _gpu_names(indexes: list[int]) -> str:
    return ",".join([f"gpu{index}" for index in indexes])


def _sizes(peaks: list[list[int]] | None) -> str:
    return ",".join([format_memory(mib) for _, mib in peaks or ()]) or NOTHING


def _place(values: tuple[list[int], str, str | None, str, int | None, int | None, str]) -> str:
    indexes, reason, detail, state, code, signal, note = values
    if indexes and not detail:
        names = _gpu_names(indexes)
        return f"{names} ({visible(note)})" if note else names
    why = ": ".join([visible(text) for text in (reason, detail) if text])
    if note and state == PENDING:
        why = f"{why}; {visible(note)}"
    return f"({why})" if why else _outcome(state, code, signal)


def _outcome(state: str, code: int | None, signal: int | None) -> str:
    if signal is not None:
        return f"(signal {signal})"
    return f"(exit {code})" if code else NOTHING


def _names(rows: list[Row]) -> Cells:
    return map(_name, map(_NAME_OF, rows))


def _name(values: tuple[int, int, str, int]) -> str:
    """``7``, ``42_7``, ``42_[8-100%4]``; a long list is cut as squeue cuts it."""
    number, array, tasks, bound = values
    if not array:
        return str(number)
    if tasks.isdecimal():
        return f"{array}_{tasks}"
    shown = tasks if len(tasks) <= _TASKS_SHOWN else f"{tasks[:_TASKS_SHOWN]}..."
    return f"{array}_[{shown}{f'%{bound}' if bound else ''}]"


def _shares(values: tuple[int | None, bool]) -> str:
    """Whether others may use its GPUs at the same time, in squeue's words."""
    memory, exclusive = values
    return "NO" if exclusive or memory is None else "YES"


def _given(text: str | None) -> str:
    return visible(text) if text else NOTHING


def _exit(values: tuple[int | None, int | None, str]) -> str:
    """``code:signal`` of a job that has ended, as sacct writes it."""
    code, signal, state = values
    return f"{code or 0}:{signal or 0}" if state in ENDED else NOTHING


def _word(reason: str) -> str:
    return visible(reason) if reason else "None"


#: squeue's letters for what mgpu knows too; D and P are constant here and kept for old scripts.
COLUMNS = {
    "A": Column("JOBID", _field("id")),
    "C": Column("CPUS", _field("cpus")),
    "D": Column("NODES", _each(lambda _: "1", "id")),
    "E": Column("DEPENDENCY", _each(_given, "dependency")),
    "F": Column("ARRAY_JOB_ID", _each(lambda ids: str(ids[1] or ids[0]), "id", "array")),
    "G": Column("GPUS", _field("gpus")),
    "K": Column("ARRAY_TASK_ID", _each(lambda tasks: tasks or "N/A", "tasks")),
    "L": Column("TIME_LEFT", _each(_left, "time_limit", "elapsed", "state")),
    "M": Column("TIME", _each(lambda elapsed: format_duration(elapsed or 0), "elapsed")),
    "N": Column("NODELIST", _each(_gpu_names, "gpu_ids")),
    "P": Column("PARTITION", _each(lambda _: "gpu", "id")),
    "Q": Column("PRIORITY", _field("priority")),
    "R": Column(
        "NODELIST(REASON)",
        _each(_place, "gpu_ids", "reason", "detail", "state", "code", "signal", "note"),
    ),
    "S": Column("START_TIME", _each(moment, "started")),
    "T": Column("STATE", _field("state")),
    "V": Column("SUBMIT_TIME", _each(moment, "submitted")),
    "Z": Column("WORK_DIR", _text("cwd")),
    "a": Column("ACCOUNT", _each(_given, "project")),
    "b": Column("TRES_PER_NODE", _each(lambda count: f"gpu:{count}", "gpus")),
    "c": Column("MIN_CPUS", _field("cpus")),
    "e": Column("END_TIME", _each(moment, "ended")),
    "f": Column("FEATURES", _each(_given, "gpu_type")),
    "h": Column("OVER_SUBSCRIBE", _each(_shares, "gpu_mem", "exclusive")),
    "i": Column("JOBID", _names),
    "j": Column("NAME", _text("name")),
    "k": Column("NOTE", _each(lambda note: visible(note or "") or NOTHING, "note")),
    "l": Column("TIME_LIMIT", _each(_limit, "time_limit")),
    "m": Column("GPU_MEMORY", _each(_memory, "gpu_mem")),
    "o": Column("COMMAND", _text("command")),
    "p": Column("PRIORITY", _field("priority")),
    "q": Column("QOS", _each(lambda qos: visible(qos or "") or "normal", "qos")),
    "r": Column("REASON", _each(_word, "reason")),
    "t": Column("ST", _each(lambda state: CODES.get(state, state), "state")),
    "u": Column("USER", _text("user")),
    "x": Column("PEAK", _each(_sizes, "peak")),
}
#: Names of squeue's --Format for what has no letter: as people write them, without case and dashes.
UNLETTERED = {
    "EligibleTime": Column("ELIGIBLE_TIME", _each(moment, "begin")),
    "Exclusive": Column("EXCLUSIVE", _field("exclusive")),
    "Exit_Code": Column("EXIT_CODE", _each(_exit, "code", "signal", "state")),
    "HostMemory": Column("HOST_MEMORY", _each(lambda mib: format_memory(mib or 0), "host_mem")),
    "Requeue": Column("REQUEUE", _field("requeue")),
    "RestartCnt": Column("RESTART_COUNT", _field("restarts")),
}
DEFAULT = "%.18i %16j %.8u %.2t %.11M %.4G %R"
LONG = "%.18i %16j %.8u %.10T %.11M %.11l %.4G %R"
_WIDEST = 1000


class Format(NamedTuple):
    """A template for the % operator and the columns that fill it."""

    template: str
    columns: list[Column]

    def header(self) -> str:
        """The line above the jobs."""
        return (self.template % tuple(column.header for column in self.columns)).rstrip()

    def lines(self, rows: list[Row]) -> list[str]:
        """One line for each job."""
        template = self.template
        cells = [column.cells(rows) for column in self.columns]
        return [(template % line).rstrip() for line in zip(*cells, strict=True)]


def parse_format(text: str) -> Format:
    """Read squeue's ``%[[.]width]letter``; ``.`` means right-justified, ``%%`` a percent sign."""
    literal, *items = text.replace("%%", "\0").split("%")
    template, columns = [literal], []
    for item in items:
        digits = item.removeprefix(".")
        letter_at = len(digits) - len(digits.lstrip("0123456789"))
        letter, rest = digits[letter_at : letter_at + 1], digits[letter_at + 1 :]
        columns.append(_column(letter, text))
        template.append(conversion(digits[:letter_at], right=item.startswith(".")) + rest)
    if not columns:
        raise ValueError(f"{quoted(text)} names no column; write for example {DEFAULT!r}")
    return Format("".join(template).replace("\0", "%%"), columns)


def _column(letter: str, text: str) -> Column:
    if letter not in COLUMNS:
        known = "".join(sorted(COLUMNS, key=str.lower))
        raise ValueError(f"unknown field %{letter} in {quoted(text)}; known are {known}")
    return COLUMNS[letter]


def conversion(width: str, *, right: bool) -> str:
    """A place in a template that is ``width`` letters wide, or as its cell is."""
    if not width:
        return "%s"
    if len(width) > len(str(_WIDEST)) or not 1 <= int(width) <= _WIDEST:
        raise ValueError(f"the width {width[:20]} is not 1 to {_WIDEST}")
    return f"%{'' if right else '-'}{width}.{width}s"
