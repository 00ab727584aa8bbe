"""mgpu_srun: arrays of tasks, and sweeps over parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mgpu.cli.params import FILLED, Parsed
from mgpu.model.units import quoted

if TYPE_CHECKING:
    from mgpu.model.sweep import Axis

_MOST_TASKS = 100_000
#: Values and rows of one submission: what fits into a request.
_MOST_VALUES = 9000
_MOST_BYTES = 1 << 20


def _axis(text: str) -> Axis:
    """One parameter and its values, as ``lr=0.1,0.01``; quotes keep a comma: ``a="1,2",3``."""
    import csv

    name, equals, values = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{quoted(text)} is not NAME=VALUE,VALUE,...")
    try:
        row = next(csv.reader([values]), [])
    except csv.Error:
        raise ValueError(f"{quoted(text)}: the values are no line of CSV") from None
    return (name,), tuple((value,) for value in row or [""])


def _table(path: str) -> Axis:
    """The parameters of a CSV file, whose first line names them."""
    import csv
    import io

    try:
        rows = csv.reader(io.StringIO(_content(path).decode("utf-8-sig"), newline=""))
        lines = [[cell.strip() for cell in line] for line in rows if line]
    except (OSError, UnicodeError, csv.Error) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot read {path}: {what}") from None
    if len(lines) < 2:
        raise ValueError(f"{path}: expected a line of names and at least one of values")
    names, *values = map(tuple, lines)
    for number, row in enumerate(values, start=2):
        if len(row) != len(names):
            raise ValueError(f"{path}: row {number} has {len(row)} values, not {len(names)}")
    return names, tuple(values)


def _content(path: str) -> bytes:
    """The bytes of a regular file that is not too large; what else there is may have no end."""
    import os
    import stat

    # Not blocking: it may be a FIFO.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path} is no regular file")
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{path} is larger than {_MOST_BYTES >> 20} MiB")
    return data


OPTIONS = (
    click.option(
        "-a",
        "--array",
        type=FILLED,
        metavar="TASKS",
        help="Run it once for each of these numbers, as 0-15, 0,6,16-32:4 or 0-99%4 (4 at once). "
        "MGPU_ARRAY_TASK_ID tells a task its own.",
    ),
    click.option(
        "--param",
        "params",
        type=Parsed("parameter", _axis),
        multiple=True,
        metavar="NAME=VALUE,...",
        help="Run it once for each value; several give all combinations. {NAME} in the words of "
        "the command is the value.",
    ),
    click.option(
        "--param-file",
        type=Parsed("file", _table),
        metavar="CSV",
        help="Run it once for each line; the first line names the parameters.",
    ),
    click.option(
        "--name-template", type=FILLED, metavar="TEXT", help="Name of each task, with {NAME} in it."
    ),
    click.option(
        "--max-concurrent",
        type=click.IntRange(0, _MOST_TASKS),
        metavar="N",
        help="At most N tasks at once.",
    ),
)


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    table = options.pop("param_file")
    axes = [*([table] if table else []), *options.pop("params")]
    values = sum(len(rows) * (len(names) + 1) for names, rows in axes)
    if values > _MOST_VALUES:
        raise click.UsageError(
            f"the parameters have {values} values and rows; one submission takes {_MOST_VALUES}"
        )
    given = {
        "array": options.pop("array"),
        "sweep": axes or None,
        "name_template": options.pop("name_template"),
        "max_concurrent": options.pop("max_concurrent"),
    }
    return {name: value for name, value in given.items() if value is not None}
