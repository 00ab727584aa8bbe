"""Writes ``docs/reference/PROGRAM.md`` and ``packaging/man/PROGRAM.1`` from the commands.

Run it as ``python -m mgpu.cli.document`` at the root of the source.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click

from mgpu.cli import (
    document_man,
    document_md,
    document_metrics,
    document_notices,
    document_rights,
)
from mgpu.cli.main import TASKS, group, programs

#: What is the same for all commands that ask the scheduler.
STATUS: Final = (
    ("0", "It was done."),
    ("1", "It was refused, or not all of it could be done."),
    ("2", "The command line is wrong."),
    ("69", "No scheduler answers, or one of another version, or one that is not trusted."),
    ("70", "A defect of mgpu."),
    ("130", "It was interrupted (Ctrl-C)."),
)
WAITS: Final = ("the job's", "With an option that waits for the end of a job: the job's own exit "
                "status, or 128 and the number of the signal that ended it.")  # fmt: skip
DAEMON_STATUS: Final = (
    ("0", "It was stopped, or the configuration is good."),
    ("1", "The configuration that is judged is wrong, or it is not for this user."),
    ("2", "The command line is wrong."),
    ("71, 75", "It cannot start now: the system refuses something, or another mgpud is there."),
    ("77, 78", "It cannot start as things are: not root; configuration, folder or database."),
)
ENVIRONMENT: Final = (
    ("MGPU_RUNTIME_DIR", "Folder of the scheduler's sockets, where --socket is not given."),
    ("MGPU_CONFIG", "Configuration file, where --config is not given."),
    ("MGPU_DEBUG", "With 1, errors also say where in the code they come from."),
    ("NO_COLOR", "With anything in it, nothing is coloured."),
    ("COLUMNS", "Width of what is printed."),
)
DAEMON_ENVIRONMENT: Final = (
    ("MGPU_CONFIG", "Configuration file, where --config is not given."),
    ("MGPU_SECTION_KEY", "A setting, as MGPU_SCHEDULING_MAX_JOB_TIME=2h."),
)
FILES: Final = (
    ("/run/mgpu/mgpu.sock", "Where the scheduler listens."),
    ("/run/mgpu/admin.sock", "Where it listens to administrators."),
    ("/etc/mgpu/config.toml", "The configuration of the daemon."),
)
_ALL: Final = [*(f"{name}(1)" for name in programs()), "mgpud(8)"]
_SHORT: Final = {f"mgpu_{word}": text for word, text in group.summaries()}
_WAITING: Final = {"wait", "follow", "interactive", "pty"}
#: A paragraph that begins so keeps its lines, as in click.
AS_IT_IS: Final = "\b\n"
_EXAMPLE: Final = re.compile(r"Example(?P<what>[^:]*): (?P<line>.+)")


class Entry(NamedTuple):
    """A command or a command of a command; ``path`` is how one calls it."""

    path: str
    usage: str
    title: str
    text: list[str]
    options: list[tuple[str, str]]
    examples: list[tuple[str, str]]


class Page(NamedTuple):
    """A program: its entries, itself first, and what else is to be said about it."""

    name: str
    section: int
    entries: list[Entry]
    words: list[tuple[str, str]]
    status: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    see: list[str]


def pages() -> Iterator[Page]:
    """All programs."""
    from mgpu.cli.mgpud import main as daemon

    context = click.Context(group)
    for name in programs():
        yield _page(name, group.get_command(context, name.removeprefix("mgpu_")) or group)
    page = _page("mgpud", daemon)
    yield page._replace(section=8, status=DAEMON_STATUS, environment=DAEMON_ENVIRONMENT)


def files() -> dict[str, str]:
    """The text of each file by its path below the root."""
    found = {
        "docs/reference/metrics.md": document_metrics.written(),
        "docs/reference/notices.md": document_notices.written(),
        "docs/reference/rights.md": document_rights.written(),
    }
    for page in pages():
        found[f"docs/reference/{page.name}.md"] = document_md.written(page)
        found[f"packaging/man/{page.name}.{page.section}"] = document_man.written(page, FILES)
    return found


def _page(name: str, command: click.Command) -> Page:
    waits = any(one.name in _WAITING for one in command.params)
    return Page(
        name,
        1,
        list(_entries(name, command)),
        group.summaries() if command is group else [],
        (*STATUS, WAITS) if waits else STATUS,
        (*_variables(name), *ENVIRONMENT),
        [other for other in _ALL if not other.startswith(f"{name}(")],
    )


def _variables(name: str) -> list[tuple[str, str]]:
    """The variables that stand for options of a submission."""
    if name not in ("mgpu_srun", "mgpu_sbatch"):
        return []
    prefix = name.upper()
    return [(f"{prefix}_OPTION", f"A long option: {prefix}_TIME_LIMIT=2h is --time-limit 2h.")]


def _subcommands(command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            if found is not None and not found.hidden:
                yield word, found


def _entries(path: str, command: click.Command) -> Iterator[Entry]:
    """The command and those within it that are no programs of their own."""
    yield _entry(path, command)
    for word, sub in _subcommands(command):
        if f"{path}_{word}" not in programs():
            yield from _entries(f"{path} {word}", sub)


def _entry(path: str, command: click.Command) -> Entry:
    context = click.Context(command, info_name=path, **command.context_settings)
    options = (one for one in command.get_params(context) if isinstance(one, click.Option))
    records = (option.get_help_record(context) for option in options)
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))
    text = [block if block.startswith(AS_IT_IS) else " ".join(block.split()) for block in blocks]
    examples = [found for found in map(_EXAMPLE.fullmatch, text) if found]
    return Entry(
        path,
        " ".join([path, *command.collect_usage_pieces(context)]),
        _SHORT.get(path, command.get_short_help_str(200)).rstrip("."),
        [block for block in text if not _EXAMPLE.fullmatch(block)],
        [record for record in records if record],
        [(found["what"].strip(), found["line"]) for found in examples] + _tasks(command),
    )


def _tasks(command: click.Command) -> list[tuple[str, str]]:
    """What the help of all commands teaches."""
    return [(f"to {what}", line) for what, line in TASKS] if command is group else []


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


if __name__ == "__main__":
    main()
