"""Options of a submission that stand elsewhere than on the command line.

A variable ``MGPU_SRUN_GPUS`` is ``--gpus``. A script may begin with directives, ``#MGPU --gpus 2``
or ``#SBATCH --gpus=2``, up to its first line that is no comment. The command line goes before
variables, variables before directives, and ``#MGPU`` before ``#SBATCH``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import click

from mgpu.cli import slurm_words, submit_priority
from mgpu.cli.base import is_answer
from mgpu.cli.submit_script import words_of
from mgpu.model.units import quoted

Values = dict[str, Any]

#: Options that say the same thing: one of them, given in a higher place, puts aside the others.
_RIVALS = (
    {"gpus", "gres"},
    {"time_limit", "slurm_time"},
    {"venv", "conda_env", "no_activate"},
    {"param_file", "params", "array"},
)
#: What a person decides who submits, not a script that somebody wrote.
_NOT_IN_SCRIPTS = {"socket", "config", "admin", "wrap"}
_NOT_IN_VARIABLES = {"admin", "wrap"}
_OURS, _SLURMS = b"#MGPU", b"#SBATCH"


class _Line(NamedTuple):
    number: int
    kind: bytes
    text: str


def defaults(
    context: click.Context, command: click.Command, given: Collection[str], script: bytes | None
) -> Values:
    """The values of the options that were not ``given`` on the command line."""
    lines = list(_directives(script or b""))
    found: Values = {}
    for values in (
        _of_environment(context, command),
        _of_lines(context, _srun(), [line for line in lines if line.kind == _OURS]),
        _of_lines(context, _sbatch(), [line for line in lines if line.kind == _SLURMS]),
    ):
        taken = {*given, *found}
        free = {name: value for name, value in values.items() if not _is_taken(name, taken)}
        found |= free
    return found


def _srun() -> click.Command:
    from mgpu.cli.srun import srun

    return srun


def _sbatch() -> click.Command:
    from mgpu.cli.sbatch import sbatch

    return sbatch


def _is_taken(name: str, taken: Collection[str]) -> bool:
    rivals = [group for group in _RIVALS if name in group]
    return name in taken or any(other in taken for group in rivals for other in group)


# ---------------------------------------------------------------- variables


def _of_environment(context: click.Context, command: click.Command) -> Values:
    prefix = (command.name or "").upper() + "_"
    options = _by_variable(prefix, command)
    values: Values = {}
    for variable in sorted(name for name in os.environ if name.startswith(prefix)):
        if variable not in options:
            raise click.UsageError(f"{variable} names no option of {command.name}: unset it")
        option, positive = options[variable]
        if text := os.environ[variable]:
            try:
                values[option.name or ""] = _value(context, option, text, positive=positive)
            except click.UsageError as error:
                raise click.UsageError(f"{variable}: {error.format_message()}") from None
    return values


def _by_variable(prefix: str, command: click.Command) -> dict[str, tuple[click.Option, bool]]:
    """Each variable, its option, and whether that is what the name says or the opposite."""
    options = [
        one for one in command.params if isinstance(one, click.Option) and not is_answer(one)
    ]
    return {
        prefix + word[2:].replace("-", "_").upper(): (option, word in option.opts)
        for option in options
        for word in (*option.opts, *option.secondary_opts)
        if word.startswith("--") and option.name not in _NOT_IN_VARIABLES
    }


def _value(context: click.Context, option: click.Option, text: str, *, positive: bool) -> object:
    if option.is_flag:
        return bool(click.BOOL.convert(text, option, context)) == positive
    value = [text] if option.multiple else text
    option.type_cast_value(context, value)
    return value


# ---------------------------------------------------------------- directives


def _directives(script: bytes) -> Iterator[_Line]:
    for number, line in enumerate(script.split(b"\n"), start=1):
        kind = next((one for one in (_OURS, _SLURMS) if line.split()[:1] == [one]), None)
        if kind is not None and line.startswith(kind):
            yield _Line(number, kind, os.fsdecode(line[len(kind) :]))
        elif line.strip() and not line.lstrip().startswith(b"#"):
            return


def _of_lines(context: click.Context, command: click.Command, lines: list[_Line]) -> Values:
    values: Values = {}
    for line in lines:
        try:
            found = _of_words(context, command, _words(line.text))
        except click.UsageError as error:
            where = f"line {line.number} of the script, {os.fsdecode(line.kind)}"
            raise click.UsageError(f"{where}: {error.format_message()}") from None
        for name, value in found.items():
            both = isinstance(value, list) and name in values
            values[name] = values[name] + value if both else value
    return values


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise click.UsageError(f"{error} in {quoted(text.strip())}") from None


def _of_words(context: click.Context, command: click.Command, words: list[str]) -> Values:
    """The values of the options in ``words``, each checked."""
    words = submit_priority.with_nice(words, command.params)
    try:
        values, rest, _ = command.make_parser(context).parse_args(words)
    except click.NoSuchOption as error:
        raise slurm_words.refusal(error, srun=command.name == "mgpu_srun") from None
    if rest := words_of(values) or rest:
        raise click.UsageError(f"{quoted(' '.join(rest))} is more than options")
    for option in command.get_params(context):
        if option.name in values:
            if is_answer(option) or option.name in _NOT_IN_SCRIPTS:
                raise click.UsageError(f"{option.opts[-1]} is for the command line")
            option.type_cast_value(context, values[option.name])
    return {name: value for name, value in values.items() if name not in slurm_words.HARMLESS}
