"""Answers the shells that ask, on TAB, how the line so far may go on (``mgpu completion``)."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from mgpu.cli import live
from mgpu.cli.base import COMPLETION
from mgpu.model.units import visible

if TYPE_CHECKING:
    Items = list[CompletionItem[str]]
    _ParamType = click.ParamType[object]
else:
    _ParamType = click.ParamType  # older releases cannot be subscripted

#: Variable that holds the line up to the cursor; ``COMPLETION`` names the shell.
LINE = "COMP_LINE"
#: What a shell takes as it is: a name that somebody else chose must not be a command of its own.
_BREAKS = re.compile(r"([=:@]+)")  # of COMP_WORDBREAKS
_HARMLESS = re.compile(r"(?a)[\w.+@%/:-]+")

#: parameter -> what completes it; a folder or a file is the shell's business.
USUAL: dict[str, live.Source | str] = {
    "jobs": live.own_jobs, "ids": live.own_jobs, "job": live.own_jobs, "id": live.own_jobs,
    "users": live.users, "user": live.users, "names": live.job_names,
    "projects": live.projects, "project": live.projects, "qos": live.classes,
    "gpus": live.gpus, "gpu_ids": live.indices, "gpu_type": live.types,
    "states": live.states, "signal": live.signals,
    "groups": live.groups, "group": live.groups, "chdir": "dir", "venv": "dir",
    "output": "file", "error": "file", "param_file": "file", "trace": "file",
    "socket": "file", "config": "file",
}  # fmt: skip
#: The same where a command means something else by it; the last of its words counts most.
SPECIAL: dict[tuple[str, str], live.Source | str] = {
    ("srun", "gpus"): live.counts, ("sbatch", "gpus"): live.counts,
    ("queue", "jobs"): live.all_jobs, ("queue", "why"): live.all_jobs,
    ("signal", "ids"): live.running_jobs, ("redo", "ids"): live.ended_jobs,
    ("hold", "ids"): live.waiting_jobs, ("release", "ids"): live.waiting_jobs,
    ("attach", "job"): live.terminals,
    ("show", "ids"): live.known_jobs, ("log", "job"): live.known_jobs,
    ("history", "job"): live.known_jobs, ("env", "job"): live.known_jobs,
    ("stats", "jobs"): live.numbers,
    ("cron", "ids"): live.crons, ("ctl", "users"): live.accounts, ("ctl", "user"): live.accounts,
    ("reserve", "numbers"): live.reservations, ("reserve", "number"): live.reservations,
    ("gpu", "name"): live.gpus, ("simulate", "gpus"): "", ("simulate", "names"): "",
}  # fmt: skip


def answer(command: click.Command) -> None:
    """Print how the line goes on; nothing at all if anything is wrong."""
    shell = SHELLS.get(os.environ[COMPLETION])
    with suppress(Exception):
        if shell is not None and command.name:
            items = shell(command, {}, command.name, COMPLETION).complete()
            sys.stdout.write(f"{items}\n" if items else "")


class Live(_ParamType):
    """The kind of a parameter whose values are those that there are now."""

    name = "live"

    def __init__(self, source: live.Source | str) -> None:
        self._source = source

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The words that go on from the last of those between commas."""
        if isinstance(self._source, str):
            return [CompletionItem(incomplete, type=self._source or "plain")]
        before, comma, last = incomplete.rpartition(",")
        return [
            CompletionItem(before + comma + word, help=visible(text) or None)
            for word, text in self._source(ctx)
            if word.lower().startswith(last.lower()) and _HARMLESS.fullmatch(word)
        ]


class Place(NamedTuple):
    """The command that a line is about, by its words, and what was written behind them."""

    command: click.Command
    words: list[str]
    rest: list[str]

    def takes_command(self) -> bool:
        """Whether its arguments are a command of the user's, whose options are not its own."""
        usual = self.command.allow_interspersed_args or isinstance(self.command, click.Group)
        return not self.command.context_settings.get("allow_interspersed_args", usual)


def place_of(program: click.Command, args: list[str]) -> Place:
    """Follow the words of ``args`` that are commands."""
    place = Place(program, [(program.name or "").removeprefix("mgpu_")], list(args))
    while isinstance(place.command, click.Group) and place.rest:
        word, *rest = place.rest
        found = place.command.get_command(click.Context(place.command), word)
        if found is None:
            break
        place = Place(found, [*place.words, word], rest)
    return place


def _enliven(place: Place) -> None:
    """Let the parameters of a command be completed by what there is now."""
    for one in place.command.params:
        source = _source_of(one, place)
        if source is not None:
            one.type = Live(source)


def _source_of(one: click.Parameter, place: Place) -> live.Source | str | None:
    known = isinstance(one.type, click.Choice | click.Path | click.File)
    if known or getattr(one, "is_flag", False):
        return None
    if isinstance(one, click.Argument) and place.takes_command():
        return "command"
    name = one.name or ""
    if (place.words[-1], name) == ("signal", "ids") and place.rest:
        return live.running_jobs_or_signals  # the last word is the signal
    keys = [(word, name) for word in reversed(place.words)]
    return next((SPECIAL[key] for key in keys if key in SPECIAL), USUAL.get(name))


def foreign(place: Place) -> int | None:
    """How many words of the rest stand before a command of the user's, where it has begun."""
    if not place.takes_command():
        return None
    argument = next(one for one in place.command.params if isinstance(one, click.Argument))
    context = place.command.make_context("", list(place.rest), resilient_parsing=True)
    given = context.params.get(argument.name or "") or ()
    return len(place.rest) - len(given) if given or place.rest[-1:] == ["--"] else None


class _Shell(ShellComplete):
    """What the three have in common. One line for each item: kind, value and help, with tabs."""

    source_template = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words behind the program's name, and the one that is being written."""
        line = os.environ[LINE]
        words = split_arg_string(line)[1:]
        written = words.pop() if words and not line[-1:].isspace() else ""
        return words, written

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        """As click finds them, with live values; a command of the user's is the shell's matter."""
        place = place_of(self.cli, args)
        before = foreign(place)
        if before is None:
            _enliven(place)
            items = super().get_completions(args, incomplete)
            if not any(item.type == "command" for item in items):
                return self.whole(items, incomplete)
            before = len(place.rest)
        own = args[: len(args) - len(place.rest) + before]
        return [CompletionItem(str(self.index_behind(own)), type="command")]

    def index_behind(self, own: list[str]) -> int:
        """The number of the word behind the program and ``own``, as the shell counts from 0."""
        return 1 + len(own)

    def whole(self, items: Items, incomplete: str) -> Items:
        """``--user=ann`` for ``ann``: shells replace all of the word."""
        option, equals, _ = incomplete.partition("=")
        if not (equals and option.startswith("-")):
            return items
        return [CompletionItem(f"{option}={it.value}", it.type, it.help) for it in items]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """One line."""
        return "\t".join((item.type, item.value, *filter(None, [item.help])))


class Bash(_Shell):
    """bash breaks words at some letters more than at blanks, and shows no help."""

    name = "bash"

    def index_behind(self, own: list[str]) -> int:
        """The number of the word behind the program and ``own``, in COMP_WORDS."""
        return 1 + sum(len([part for part in _BREAKS.split(word) if part]) for word in own)

    def whole(self, items: Items, incomplete: str) -> Items:
        """What is behind the last break of ``--user=ann`` or ``a100:2``."""
        done = max(map(incomplete.rfind, "=:@")) + 1
        items = super().whole(items, incomplete)
        return [CompletionItem(it.value[done:], it.type) for it in items]


class Zsh(_Shell):
    """zsh: nothing special."""

    name = "zsh"


class Fish(_Shell):
    """fish: nothing special."""

    name = "fish"


SHELLS: dict[str, type[_Shell]] = {shell.name: shell for shell in (Bash, Zsh, Fish)}
