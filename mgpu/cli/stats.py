"""mgpu_stats: what has run, as sacct and sreport tell it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, job_numbers, run
from mgpu.cli.params import WORDS, Parsed, of_projects
from mgpu.cli.queue_filter import parse_since, parse_states
from mgpu.cli.zone import timezone_option
from mgpu.protocol.names import MAX_IDS

if TYPE_CHECKING:
    from mgpu.cli.stats_tables import Table

#: What --by can be, and the table of the scheduler's answer.
VIEWS = {
    "job": "runs", "user": "user", "project": "project", "gpu": "gpu", "state": "state",
    "day": "day", "hour": "hours", "top": "top",
}  # fmt: skip
REPORT = ("total", "user", "project", "gpu", "top", "hours")
_DAYS = 30


@click.command("mgpu_stats", context_settings=CONTEXT)
@click.option(
    "-S",
    "--since",
    "--starttime",
    type=Parsed("time", parse_since),
    metavar="TIME",
    help=f"What ended since then: 2h, 7d, 9:00, yesterday. [default: {_DAYS}d]",
)
@click.option(
    "-E",
    "--until",
    "--endtime",
    type=Parsed("time", parse_since),
    metavar="TIME",
    help="What ended before then. [default: now, and what runs]",
)
@click.option(
    "-u", "--user", "--users", "users", type=WORDS, metavar="NAMES", help="Only of these users."
)
@click.option("--me", is_flag=True, help="Only yours.")
@click.option(
    "-s",
    "-t",
    "--state",
    "--states",
    "states",
    type=Parsed("states", parse_states),
    metavar="STATES",
    help="Only what ended so: CD,F,CA,TO,NF,LF,OOM, R runs.",
)
@of_projects("Only of these projects.")
@click.option(
    "-j",
    "--jobs",
    "--job",
    "jobs",
    metavar="IDS",
    help="Only these, as 3, 3,4, 3-5, @ (your newest); each attempt is a line.",
)
@click.option(
    "--by",
    type=click.Choice(list(VIEWS)),
    help="One table: each attempt (job), sums by user, project, GPU, state or day, the week "
    "by hour, or the largest jobs (top). [default: a report of all]",
)
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    default=10,
    metavar="N",
    show_default=True,
    help="So many of the largest jobs.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=1000,
    metavar="N",
    show_default=True,
    help="At most so many attempts, the newest.",
)
@click.option(
    "-h", "--no-header", "--noheader", is_flag=True, help="No line with the names of the columns."
)
@click.option(
    "--admin",
    is_flag=True,
    help="As an administrator: names and projects of others too. [default: for root]",
)
@click.option("--json", "as_json", is_flag=True, help="All figures, as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="All figures of one table, as CSV.")
@timezone_option
@common_options
def stats(socket: str | None, config: str | None, **options: Any) -> None:
    """Tell what has run: GPU time, waits, how jobs ended, how well GPUs were used.

    What ended in the time counts whole; what still runs counts so far. SUCCESS is the part of the
    jobs that completed, cancelled ones left out. WAIT is the mean time from when a job could start
    to its start; half of the jobs waited no longer than MEDIAN, 95 of 100 no longer than 95%. UTIL
    is how busy the GPUs of jobs were, MEM how much of the memory that jobs asked for they used,
    IDLE the GPU time in which all GPUs of a job did nothing: as far as they were looked at while
    the job ran. Names and projects of others are hidden ("-" and "*").
    """
    _check(options)
    tables, told = _ask(socket, config, options)
    lines = _lines(tables, told, options)
    if lines:
        emit("\n".join(lines))


def _check(options: dict[str, Any]) -> None:
    if options["as_json"] and options["as_csv"]:
        raise click.UsageError("--json and --csv do not go together: give one of them")
    if options["jobs"] is not None:
        options["jobs"] = job_numbers([options["jobs"]], MAX_IDS)
        if not options["jobs"]:
            raise click.UsageError("--jobs names none; write 3, 3,4, 3-5 or @")
        options["by"] = options["by"] or "job"
    if options["as_csv"] and options["by"] is None:
        options["by"] = "job"


def _ask(
    socket: str | None, config: str | None, options: dict[str, Any]
) -> tuple[dict[str, Table], dict[str, Any]]:
    """The tables by name, and from when to when they are."""
    from mgpu.protocol.names import STATS

    admin = options["admin"] or os.geteuid() == 0
    with connect(socket, config, admin=admin) as client:
        reply = client.request(STATS, _request(options))
    tables: dict[str, Table] = {}
    for part in reply.parts:
        known = tables.setdefault(part["table"], (part["fields"], []))
        known[1].extend(part["rows"])
    return tables, reply.body


def _request(options: dict[str, Any]) -> dict[str, object]:
    from mgpu.system import clock

    now = clock.now().wall
    since, until = options["since"], options["until"]
    if since is None:
        since = 0 if options["jobs"] else (until or now) - _DAYS * 86400
    if until is not None and until <= since:
        raise click.UsageError("--until is not after --since")
    days = _days(since, until or now) if options["by"] == "day" else []
    if days and options["since"] is None:
        since = days[0]
    return {
        **({"days": days} if days else {}),
        "tables": [VIEWS[options["by"]]] if options["by"] else list(REPORT),
        "since": int(max(0, since)),
        "until": int(until or 0),
        "users": options["users"] or [],
        "states": options["states"] or [],
        "projects": options["projects"] or [],
        "jobs": options["jobs"] or [],
        "mine": options["me"],
        "limit": options["limit"],
        "top": options["top"],
    }


def _days(since: float, until: float) -> list[int]:
    """When the days begin, on the clocks that times are shown on."""
    from mgpu.cli import zone
    from mgpu.cli.moments import midnights
    from mgpu.protocol.history import MOST_DAYS

    zone.settle()
    days = midnights(since, until, MOST_DAYS + 1)
    if len(days) > MOST_DAYS:
        raise click.UsageError(f"--by day tells of {MOST_DAYS} days at most: give --since")
    return days


def _lines(tables: dict[str, Table], told: dict[str, Any], options: dict[str, Any]) -> list[str]:
    from mgpu.cli import stats_tables, watch

    if options["as_json"]:
        return stats_tables.as_json(tables, told)
    if options["as_csv"]:
        return stats_tables.as_csv(*tables.values())
    return stats_tables.shown(tables, told, watch.width(), header=not options["no_header"])


def main() -> NoReturn:
    """The program mgpu_stats."""
    run(stats)
