"""The finer points of a submission: what few jobs say and the scheduler decides by."""

from __future__ import annotations

from dataclasses import dataclass

from mgpu.model.address import MOST_MAIL, MOST_URL
from mgpu.model.notice import MOST_TARGETS
from mgpu.model.sweep import Axis, Sweep
from mgpu.model.units import MAX_MEMORY
from mgpu.protocol.fields import LATEST, Fields, as_integer, as_text, refuse

_NAME = 64
_TEXT = 4096
_GPUS = 1024
_CPUS = 1 << 16
_RETRIES = 1000
_TASKS = 100_000
_AXES = 32
_WORDS = 64


@dataclass(frozen=True, slots=True)
class Extras:
    """As in :class:`mgpu.model.job.JobSpec` and :class:`mgpu.model.job.Job`, as far as given.

    ``array`` and ``dependency`` are texts in Slurm's forms, ``gpu_ids`` indices of GPUs,
    ``begin`` and ``deadline`` Unix times. ``max_concurrent`` is None where not given.
    ``mail_type``, ``mail_user`` and ``notify`` (URLs) are as they were written.
    """

    project: str
    qos: str
    gpu_type: str
    gpu_ids: tuple[int, ...]
    min_gpu_total: int
    min_capability: tuple[int, int]
    cpus: int
    host_mem: int
    begin: float
    deadline: float | None
    hold: bool
    dependency: str
    kill_on_invalid_dep: bool
    retries: int
    array: str
    max_concurrent: int | None
    sweep: Sweep | None
    name_template: str
    cron: str
    zone: str
    overlap: str
    missed: str
    mail_type: tuple[str, ...]
    mail_user: str
    notify: tuple[str, ...]


def parse_extras(fields: Fields) -> Extras:
    """Take the fields of :class:`Extras` out of a submission's spec."""
    return Extras(
        project=fields.text("project", _NAME, default="").strip(),
        qos=fields.text("qos", _NAME, default=""),
        gpu_type=fields.text("gpu_type", _NAME, default=""),
        gpu_ids=fields.items("gpu_ids", _GPUS, lambda item, path: as_integer(item, path, 0, _GPUS)),
        min_gpu_total=fields.integer("min_gpu_total", 0, MAX_MEMORY, default=0),
        min_capability=_capability(fields),
        cpus=fields.integer("cpus", 0, _CPUS, default=0),
        host_mem=fields.integer("host_mem", 0, MAX_MEMORY, default=0),
        begin=float(fields.integer("begin", 0, LATEST, default=0)),
        deadline=fields.maybe_integer("deadline", 0, LATEST),
        hold=fields.boolean("hold", default=False),
        dependency=fields.text("dependency", _TEXT, default=""),
        kill_on_invalid_dep=fields.boolean("kill_on_invalid_dep", default=True),
        retries=fields.integer("retries", 0, _RETRIES, default=0),
        array=fields.text("array", _TEXT, default=""),
        max_concurrent=fields.maybe_integer("max_concurrent", 0, _TASKS),
        sweep=_sweep(fields),
        name_template=fields.text("name_template", 2 * _NAME, default=""),
        cron=fields.text("cron", 2 * _NAME, default=""),
        zone=fields.text("zone", _NAME, default=""),
        overlap=fields.choice("overlap", ("skip", "queue"), "skip"),
        missed=fields.choice("missed", ("drop", "once"), "drop"),
        mail_type=fields.items("mail_type", _WORDS, lambda item, at: as_text(item, at, _NAME)),
        mail_user=fields.text("mail_user", MOST_MAIL, default=""),
        notify=fields.items("notify", MOST_TARGETS, lambda item, at: as_text(item, at, MOST_URL)),
    )


def _capability(fields: Fields) -> tuple[int, int]:
    pair = fields.items("min_capability", 2, lambda item, path: as_integer(item, path, 0, 99))
    if not pair:
        return (0, 0)
    if len(pair) != 2:
        refuse(fields.at("min_capability"), "expected a list of two numbers, [8, 0] for 8.0")
    return pair[0], pair[1]


def _sweep(fields: Fields) -> Sweep | None:
    axes = fields.items("sweep", _AXES, _axis)
    return Sweep(axes) if axes else None


def _axis(value: object, path: str) -> Axis:
    if not isinstance(value, list) or len(value) != 2:
        refuse(path, "expected a list of names and rows")
    names = _texts(value[0], f"{path}[0]")
    if not isinstance(value[1], list) or not names:
        refuse(path, "expected a list of names and rows")
    rows = tuple(_texts(row, f"{path}[1][{i}]") for i, row in enumerate(value[1]))
    if not rows or any(len(row) != len(names) for row in rows):
        refuse(path, f"expected rows of {len(names)} values each")
    return names, rows


def _texts(value: object, path: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        refuse(path, "expected a list of texts")
    return tuple(as_text(item, f"{path}[{i}]", _TEXT) for i, item in enumerate(value))
