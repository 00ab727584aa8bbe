"""What a submission may say: every limit of a job's description is kept here.

``parse_spec`` splits it: the few fields that the scheduler decides by, and the launch payload,
which is stored as bytes and read again only by the job's own process.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass

from mgpu.model.units import MAX_MEMORY, MAX_SECONDS, quoted
from mgpu.protocol.codec import pack
from mgpu.protocol.extras import Extras, parse_extras
from mgpu.protocol.fields import Fields, as_blob, as_integer, refuse, too_large


@dataclass(frozen=True, slots=True)
class Limits:
    """The published bounds of one submission."""

    argv: int = 128 << 10
    env: int = 128 << 10
    script: int = 768 << 10
    name: int = 128
    path: int = 4095
    command_shown: int = 1024
    gpus: int = 1024
    priority: int = 1000


LIMITS = Limits()
_ITEMS = 10_000
_VARIABLE = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_OPEN_MODES = ("append", "truncate")
_EXPORT_SLURM = ("configured", "yes", "no")
_ACTIVATE = ("auto", "none", "venv", "conda")
_MAX_RESOURCE = 15
_INFINITY = -1
_MOST_ROWS = 0xFFFF


@dataclass(frozen=True, slots=True)
class SpecFields:
    """What the scheduler decides by and shows; meanings as in :class:`mgpu.model.job.JobSpec`."""

    name: str
    command: str
    cwd: str
    gpus: int
    gpu_mem: int | None
    exclusive: bool
    time_limit: int | None
    requeue: bool
    signal: tuple[int, int] | None
    priority: int
    output: str
    error: str
    extras: Extras
    tty: bool = False


def parse_spec(
    value: object, limits: Limits = LIMITS, path: str = "spec"
) -> tuple[SpecFields, bytes]:
    """The scheduling fields and the launch payload of a ``spec`` map from a stranger."""
    fields = Fields(value, path)
    payload = _payload(fields, limits)
    spec = _scheduling(fields, limits, payload)
    if spec.gpus == 0 and (spec.gpu_mem is not None or spec.exclusive):
        refuse(fields.at("gpus"), "asks for no GPU, and for memory of it or for it alone")
    if spec.tty:
        _check_terminal(fields, spec)
    fields.finish()
    return spec, pack(payload | {"name": spec.name, **_known(spec.extras)})


def _known(extras: Extras) -> dict[str, object]:
    """What the job's process needs to know of its CPUs and of a sweep."""
    cpus: dict[str, object] = {"cpus": extras.cpus} if extras.cpus else {}
    if extras.sweep is None:
        return cpus
    return {**cpus, "sweep": extras.sweep.axes, "name_template": extras.name_template}


def _scheduling(fields: Fields, limits: Limits, payload: dict[str, object]) -> SpecFields:
    return SpecFields(
        name=fields.maybe_text("name", limits.name) or _default_name(payload, limits),
        command=_command(payload, limits),
        cwd=_decoded(payload["cwd"]),
        gpus=fields.integer("gpus", 0, limits.gpus, default=1),
        gpu_mem=fields.maybe_integer("gpu_mem", 1, MAX_MEMORY),
        exclusive=fields.boolean("exclusive", default=False),
        time_limit=fields.maybe_integer("time_limit", 0, MAX_SECONDS),
        requeue=fields.boolean("requeue", default=True),
        signal=_signal(fields),
        priority=fields.integer("priority", -limits.priority, limits.priority, default=0),
        output=_decoded(payload["output"]),
        error=_decoded(payload["error"]),
        extras=parse_extras(fields),
        tty="tty" in payload,
    )


def _payload(fields: Fields, limits: Limits) -> dict[str, object]:
    script = _script(fields, limits)
    return {
        "argv": _argv(fields, limits, required=script is None),
        "script": script,
        "script_name": fields.text("script_name", 255, default=""),
        "env": _environment(fields, limits),
        "cwd": _directory(fields, limits),
        "output": _log_path(fields, "output", limits),
        "error": _log_path(fields, "error", limits),
        "open_mode": fields.choice("open_mode", _OPEN_MODES, "append"),
        "umask": fields.integer("umask", 0, 0o777, default=0o022),
        "rlimits": _rlimits(fields),
        "activate": _activate(fields, limits),
        "export_slurm": fields.choice("export_slurm", _EXPORT_SLURM, "configured"),
        **_terminal(fields),
    }


def _script(fields: Fields, limits: Limits) -> bytes | None:
    script = fields.maybe_blob("script", limits.script)
    if script is not None and not script.startswith(b"#!"):
        refuse(fields.at("script"), 'does not begin with "#!" and an interpreter')
    return script


def _argv(fields: Fields, limits: Limits, *, required: bool) -> tuple[bytes, ...]:
    at = fields.at("argv")
    argv = fields.items("argv", _ITEMS, lambda item, path: _c_string(item, path, limits.argv))
    if required and not (argv and argv[0]):
        refuse(at, "no command is given")
    _check_sum(at, "the command", argv, limits.argv)
    return argv


def _environment(fields: Fields, limits: Limits) -> tuple[bytes, ...]:
    at = fields.at("env")
    entries = fields.items("env", _ITEMS, lambda item, path: _c_string(item, path, limits.env))
    seen: set[bytes] = set()
    for index, entry in enumerate(entries):
        name = _variable(entry, f"{at}[{index}]")
        if name in seen:
            refuse(f"{at}[{index}]", f"the variable {_shown(name)} is given twice")
        seen.add(name)
    _check_sum(at, "the environment", entries, limits.env)
    return entries


def _variable(entry: bytes, path: str) -> bytes:
    name, equals, _ = entry.partition(b"=")
    if not equals or not _VARIABLE.fullmatch(name):
        refuse(path, f"{_shown(name)} is not the name of a variable followed by =")
    return name


def _check_sum(path: str, what: str, strings: tuple[bytes, ...], limit: int) -> None:
    total = sum(map(len, strings)) + len(strings)
    if total > limit:
        too_large(path, f"{what} has {total} bytes; at most {limit} are allowed")


def _c_string(value: object, path: str, limit: int) -> bytes:
    blob = as_blob(value, path, limit)
    if b"\0" in blob:
        refuse(path, "contains a NUL byte")
    return blob


def _directory(fields: Fields, limits: Limits) -> bytes:
    cwd = _c_string(fields.blob("cwd", limits.path), fields.at("cwd"), limits.path)
    if not cwd.startswith(b"/"):
        refuse(fields.at("cwd"), f"{_shown(cwd)} is not an absolute path")
    return cwd


def _log_path(fields: Fields, name: str, limits: Limits) -> bytes | None:
    value = fields.maybe_blob(name, limits.path)
    if value == b"":
        refuse(fields.at(name), "is empty")
    return None if value is None else _c_string(value, fields.at(name), limits.path)


def _terminal(fields: Fields) -> dict[str, object]:
    """Rows and columns of the terminal that the job is to have, if any."""
    size = fields.items("tty", 2, lambda item, path: as_integer(item, path, 1, _MOST_ROWS))
    if size and len(size) != 2:
        refuse(fields.at("tty"), "expected a list of rows and columns")
    return {"tty": size} if size else {}


def _check_terminal(fields: Fields, spec: SpecFields) -> None:
    """A terminal is one for standard output and error, and for one job."""
    extras = spec.extras
    for name, given in (("error", spec.error), ("array", extras.array), ("cron", extras.cron)):
        if given:
            refuse(fields.at(name), "cannot be had together with a terminal (tty)")
    if extras.sweep is not None:
        refuse(fields.at("sweep"), "cannot be had together with a terminal (tty)")


def _rlimits(fields: Fields) -> tuple[tuple[int, int, int], ...]:
    rows = fields.items("rlimits", _MAX_RESOURCE + 1, _rlimit)
    if len({row[0] for row in rows}) != len(rows):
        refuse(fields.at("rlimits"), "a resource is given twice")
    return rows


def _rlimit(value: object, path: str) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        refuse(path, "expected a list of resource, soft limit, hard limit")
    resource = as_integer(value[0], path, 0, _MAX_RESOURCE)
    soft, hard = (as_integer(item, path, _INFINITY, (1 << 63) - 1) for item in value[1:])
    if hard != _INFINITY and not _INFINITY < soft <= hard:
        refuse(path, f"the soft limit {soft} is above the hard limit {hard}")
    return resource, soft, hard


def _activate(fields: Fields, limits: Limits) -> dict[str, object]:
    wish = fields.map("activate")
    mode = wish.choice("mode", _ACTIVATE, "auto")
    path = wish.maybe_blob("path", limits.path) or b""
    _c_string(path, wish.at("path"), limits.path)
    if mode in ("venv", "conda") and not path:
        refuse(wish.at("path"), f"is missing; mode {mode} needs it")
    if mode == "venv" and not path.startswith(b"/"):
        refuse(wish.at("path"), f"{_shown(path)} is not an absolute path")
    wish.finish()
    return {"mode": mode, "path": path}


def _signal(fields: Fields) -> tuple[int, int] | None:
    pair = fields.items("signal", 2, lambda item, path: as_integer(item, path, 1, 65535))
    if not pair:
        return None
    if len(pair) != 2 or pair[0] > 64:
        refuse(fields.at("signal"), "expected a list of signal (1 to 64) and seconds (1 to 65535)")
    return pair[0], pair[1]


def _default_name(payload: dict[str, object], limits: Limits) -> str:
    argv, script_name = payload["argv"], payload["script_name"]
    word = script_name or (_decoded(argv[0]) if isinstance(argv, tuple) and argv else "")
    return (os.path.basename(str(word)) or "job")[: limits.name]


def _command(payload: dict[str, object], limits: Limits) -> str:
    argv = payload["argv"]
    words = [_decoded(word) for word in argv] if isinstance(argv, tuple) else []
    if payload["script"] is not None:
        words.insert(0, str(payload["script_name"]) or "script")
    line = shlex.join(words)
    cut = limits.command_shown
    return line if len(line) <= cut else line[: cut - 3] + "..."


def _decoded(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else ""


def _shown(value: bytes) -> str:
    return quoted(_decoded(value[:200]), 40)
