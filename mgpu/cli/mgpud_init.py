"""``mgpud init``: ask what a configuration must say, and write or change the file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import click

from mgpu.cli.mgpud_words import QUESTIONS, Question
from mgpu.config import DEFAULT_PATH, ConfigError, machine
from mgpu.config.load import Resolved, resolve, resolve_text
from mgpu.config.problems import Problem
from mgpu.config.settings import BY_KEY
from mgpu.config.trust import read_trusted, way_problems
from mgpu.config.written import written

Answers = dict[str, Any]


def configure(file: str | None, given: Mapping[str, str | None], *, yes: bool, force: bool) -> None:
    """Do it; ``given`` are the answers that stand on the command line."""
    path = Path(file or os.environ.get("MGPU_CONFIG") or DEFAULT_PATH).absolute()
    if not (yes or _is_terminal()):
        raise click.UsageError("nobody is there to answer; give --yes, and answers as options")
    try:
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
    """The file itself, on a way that root alone can change, links included. Raises ConfigError."""
    place = path
    try:
        problems = way_problems(path)
        if not problems and path.is_symlink():
            place = path.resolve(strict=True)
            _, problems = read_trusted(path)
    except OSError as error:
        text = f"this leads to no file that can be read: {error.strerror}"
        hint = "mind the links and folders on the way"
        raise ConfigError([Problem(str(path), 0, "", text, hint)]) from error
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
    """Whether the file says so, besides what no answer can say, as the names of GPUs."""
    kind = BY_KEY[key].kind
    parsed = kind.parse(value) if isinstance(value, list) else kind.from_text(str(value))
    return _spelled(key, parsed) == _spelled(key, known.values[key])


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
