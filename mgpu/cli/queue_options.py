"""The options of mgpu_queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mgpu.cli import queue_filter, queue_show
from mgpu.cli.columns import DEFAULT, LONG, parse_format
from mgpu.cli.params import WORDS, Parsed, of_projects

if TYPE_CHECKING:
    from collections.abc import Callable

    from mgpu.cli.columns import Format
    from mgpu.cli.sorting import Key


def _fields(text: str) -> Format:
    from mgpu.cli.fields import parse_fields

    return parse_fields(text)


def _sort(text: str) -> list[Key]:
    from mgpu.cli.sorting import parse_sort

    return parse_sort(text)


_OPTIONS = (
    click.option("--me", is_flag=True, help="Only your jobs."),
    click.option("-u", "--user", "--users", "users", type=WORDS, metavar="NAMES",
                 help="Only of these users."),
    click.option("-t", "--states", "--state", "states",
                 type=Parsed("states", queue_filter.parse_states), metavar="STATES",
                 help="Only in these states: PD,R,CG,CD,F,CA,TO,NF,LF,OOM, long names, or all."),
    click.option("-j", "--jobs", "--job", "jobs", metavar="IDS",
                 help="Only these, as 3, 3,4, 3-5, 42_7."),
    click.option("-n", "--name", "--names", "names", type=WORDS, metavar="NAMES",
                 help="Only of these names; * and ? stand for anything."),
    of_projects("Only of these projects."),
    click.option("-q", "--qos", type=WORDS, metavar="NAMES", help="Only of these classes."),
    click.option("-w", "--nodelist", "gpus", type=Parsed("GPUs", queue_filter.parse_gpus),
                 metavar="GPUS", help="Only those on these GPUs, as gpu0,gpu2."),
    click.option("-r", "--array", "each", is_flag=True, help="One line for each task of an array."),
    click.option("-a", "--all", "ended", is_flag=True,
                 help="Everyone's, those that have ended too."),
    click.option("--since", type=Parsed("time", queue_filter.parse_since), metavar="TIME",
                 help="Those that have ended since then too: 2h, 7d, 9:00, yesterday."),
    click.option("-o", "--format", "layout", type=Parsed("format", parse_format), metavar="FORMAT",
                 help=f"Columns as squeue writes them, %[[.]WIDTH]LETTER. [default: {DEFAULT}]"),
    click.option("-O", "--Format", "fields", type=Parsed("fields", _fields), metavar="FIELDS",
                 help="Columns by squeue's names, as JobID:10,Name,State."),
    click.option("-l", "--long", is_flag=True, help=f"More columns: {LONG}"),
    click.option("-S", "--sort", type=Parsed("fields", _sort), metavar="FIELDS",
                 help="In this order, as t,-M or user,-priority; - turns it around."),
    click.option("-h", "--no-header", "--noheader", is_flag=True,
                 help="No line with the names of the columns."),
    click.option("--priority", "ranks", is_flag=True, help="The jobs in line and their ranks."),
    click.option("--start", "starts", is_flag=True,
                 help="When waiting jobs are expected to start."),
    click.option("--tree", is_flag=True, help="Jobs under those that they wait for."),
    click.option("-g", "--group", type=click.Choice(queue_show.GROUPS),
                 help="Count the jobs of each array, user, project, class or state."),
    click.option("--watch", "-i", "--iterate", "seconds", is_flag=False, flag_value=2,
                 type=click.IntRange(1, 3600), metavar="[SECONDS]",
                 help="Show it again when something happens, and every so many seconds. "
                 "[default: 2]"),
    click.option("--why", metavar="IDS", help="All there is to say about waiting jobs."),
    click.option("--limit", type=click.IntRange(1, 100_000), metavar="N", help="At most N jobs."),
    click.option("--admin", is_flag=True,
                 help="As an administrator: also what is private. [root: always]"),
    click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON."),
    click.option("--csv", "as_csv", is_flag=True,
                 help="Everything that is known, or the columns of a format, as CSV."),
)  # fmt: skip


def queue_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add all of them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
