"""``mgpud init``: ask what a configuration must say, and write or change the file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import click

from mgpu.config import DEFAULT_PATH, ConfigError, machine
from mgpu.config.load import Resolved, resolve, resolve_text
from mgpu.config.problems import Problem
from mgpu.config.settings import BY_KEY
from mgpu.config.trust import read_trusted, way_problems
from mgpu.config.written import written

Answers = dict[str, Any]


class Question(NamedTuple):
    """What is asked about one setting; ``option`` answers it on the command line."""

    key: str
    option: str
    text: str
    metavar: str


QUESTIONS = (
    Question("gpus.backend", "backend", "Which GPUs: auto, nvml or simulated", "BACKEND"),
    Question("gpus.simulated", "simulated", "Simulated GPUs, as 2x16G", "COUNTxSIZE"),
    Question("gpus.devices", "gpus", "GPUs that jobs are started on: all, or as 0-1,3", "INDICES"),
    Question("access.group", "group", 'Group that may submit jobs; "" is everybody', "GROUP"),
    Question("access.admin_group", "admin_group", "Group of the administrators", "GROUP"),
    Question("access.min_uid", "min_uid", "First uid that may run jobs", "UID"),
    Question("scheduling.max_job_time", "max_job_time",
             "Longest run of a job in one go, as 12h; 0 is no limit", "DURATION"),
    Question("paths.runtime_dir", "runtime_dir", "Folder of the sockets", "DIR"),
    Question("paths.state_dir", "state_dir", "Folder of the queue's database", "DIR"),
)  # fmt: skip


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for one in reversed(QUESTIONS):
        name = "--" + one.option.replace("_", "-")
        option = click.option(name, one.option, metavar=one.metavar, help=f"{one.text}.")
        function = option(function)
    return function


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--yes", is_flag=True, help="Ask nothing: options, then the file, then proposals.")
@click.option(
    "--force", is_flag=True, help="Write anew; the old file is kept: FILE.old, FILE.old.2 ..."
)
@_options
def init(file: Path | None, *, yes: bool, force: bool, **given: str | None) -> None:
    """Write a configuration that fits this machine, or change the one there is.

    Looks for GPUs, groups and a daemon that runs, and asks about what it proposes. An existing FILE
    keeps its comments and all that is not asked about; where it is a link, the file that it leads
    to is changed. Nothing is written that mgpud would refuse.
    """
    path = (file or Path(os.environ.get("MGPU_CONFIG") or DEFAULT_PATH)).absolute()
    if not (yes or _is_terminal()):
        raise click.UsageError("nobody is there to answer; give --yes, and answers as options")
    try:
        if problems := way_problems(path):
            raise ConfigError(problems)
        place = _place(path)
        known = _known(path, force=force)
        new = force or not path.exists()
        answers = _answers(known, given, ask=not yes, new=new)
        text = _text(path, known, answers, new=new)
        resolve_text(text, str(path))  # nothing is written that mgpud would refuse
        if force and path.exists():
            _keep(place)
        _write(place, text)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"mgpud: {problem}", err=True)
        raise SystemExit(1) from error
    _tell(path)


def _place(path: Path) -> Path:
    """The file itself, behind links that root alone can change. Raises ConfigError."""
    if not path.is_symlink():
        return path
    try:
        place = path.resolve(strict=True)
        _, problems = read_trusted(path)
    except OSError as error:
        text = f"this link leads to no file that can be read: {error.strerror}"
        raise ConfigError([Problem(str(path), 0, "", text, "mend or remove it")]) from error
    if problems:
        raise ConfigError(problems)
    return place


def _keep(path: Path) -> None:
    """Keep the old file, and earlier ones; there is one under its own name at every moment."""
    for number in count(1):
        old = path.with_name(f"{path.name}.old" + f".{number}" * (number > 1))
        try:
            os.link(path, old)
        except FileExistsError:
            continue
        except OSError as error:
            raise SystemExit(f"mgpud: {old} cannot be written: {error.strerror}") from error
        click.echo(f"The file of before is kept as {old}")
        return


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _known(path: Path, *, force: bool) -> Resolved:
    """What the file says so far."""
    return resolve_text("", "") if force or not path.exists() else resolve(path, {})


def _answers(known: Resolved, given: Mapping[str, str | None], *, ask: bool, new: bool) -> Answers:
    """The value of each setting asked about, as the file is to hold it."""
    found = machine.cards()
    what = ", ".join(card.name for card in found) or "none"
    click.echo(f"NVIDIA GPUs of this machine: {what}")
    answers: Answers = {}
    for one in QUESTIONS:
        if one.key == "gpus.simulated" and answers["gpus.backend"] != "simulated":
            continue
        proposed = _proposed(one.key, known, simulated=not found, new=new)
        text = given[one.option]
        if text is None and ask:
            read = partial(_read, one)
            answers[one.key] = click.prompt(one.text, default=proposed, value_proc=read)
        else:
            answers[one.key] = _read(one, proposed if text is None else text)
    return answers


def _proposed(key: str, known: Resolved, *, simulated: bool, new: bool) -> str:
    """What holds so far; for a new file, what fits this machine."""
    if not new and (key != "gpus.simulated" or known.values[key]):
        return _spelled(key, known.values[key])
    if key == "gpus.backend":
        return "simulated" if simulated else "auto"
    if key == "gpus.simulated":
        return "2x16G"
    if key == "access.min_uid":
        return str(machine.smallest_uid())
    return _spelled(key, known.values[key])


def _spelled(key: str, value: Any) -> str:
    """A value as one answers a question."""
    if key == "gpus.simulated":
        return ",".join(f"{gpu['count']}x{gpu['memory']}M" for gpu in value)
    if key == "gpus.devices" and value != "all":
        return ",".join(map(str, value))
    return written(value).strip('"') if value != "" else '""'


def _read(question: Question, text: str) -> Any:
    """The value that an answer spells, as the file holds it."""
    plain = text.strip().strip('"')
    value = _simulated(plain) if question.key == "gpus.simulated" else plain
    kind = BY_KEY[question.key].kind
    try:
        if isinstance(value, list):
            kind.parse(value)
            return value
        kind.from_text(plain)
    except ValueError as error:
        option = question.option.replace("_", "-")
        raise click.BadParameter(str(error), param_hint=f"--{option}") from error
    return int(plain) if plain.isdecimal() and question.key != "gpus.devices" else plain


def _simulated(text: str) -> list[dict[str, Any]]:
    found = []
    for word in text.split(","):
        parts = re.fullmatch(r"(\d{1,2})x(\w+)", word.strip())
        if parts is None:
            raise click.BadParameter(f"{word!r} is not as 2x16G", param_hint="--simulated")
        found.append({"name": "Simulated GPU", "memory": parts[2], "count": int(parts[1])})
    return found


def _text(path: Path, known: Resolved, answers: Answers, *, new: bool) -> str:
    """The file as it is to be; of an existing one only what is answered differently changes."""
    from mgpu.config.edit import HEAD, edited

    if new:
        return edited(HEAD, answers)
    changes = {key: value for key, value in answers.items() if not _is_held(key, value, known)}
    return edited(path.read_text(), changes, str(path))


def _is_held(key: str, value: Any, known: Resolved) -> bool:
    kind = BY_KEY[key].kind
    parsed = kind.parse(value) if isinstance(value, list) else kind.from_text(str(value))
    return bool(parsed == known.values[key])


def _write(path: Path, text: str) -> None:
    from mgpu.config.edit import write

    try:
        write(path, text)
    except OSError as error:
        raise SystemExit(f"mgpud: {path} cannot be written: {error.strerror}") from error


def _tell(path: Path) -> None:
    """What is written, and what to do next."""
    resolved = resolve(path, {})
    click.echo(f"Wrote {path}")
    for remark in machine.remarks(*resolved):
        click.echo(f"still to do: {remark}")
    if os.path.exists(f"{resolved.values['paths.runtime_dir']}/admin.sock"):
        click.echo("mgpud runs: mgpu_ctl reload applies it; what needs a restart is named then")
    elif os.path.isdir("/run/systemd/system"):
        click.echo("start it: systemctl start mgpu")
    else:
        click.echo(f"start it: mgpud --config {path}")
