"""mgpu_queue: list jobs as squeue does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mgpu.cli import array_rows
from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_names, run
from mgpu.cli.columns import DEFAULT, Format, Row, parse_format
from mgpu.cli.params import WORDS, Parsed
from mgpu.model.states import ACTIVE, ENDED, STATES
from mgpu.model.target import Name, on_wire
from mgpu.protocol.names import JOB_FIELDS, MAX_IDS

if TYPE_CHECKING:
    from mgpu.client import Client

_USER_AT, _STATE_AT, _MINE_AT = map(JOB_FIELDS.index, ("user", "state", "mine"))


def _states(text: str) -> list[str]:
    """Names of the states ``PD,running``; ``all`` is every one."""
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    found = [STATES.get(word, word) for word in words]
    if "ALL" in found:
        return sorted(ACTIVE | ENDED)
    for state in found:
        if state not in ACTIVE | ENDED:
            raise ValueError(f"{state!r} is no state; known are {', '.join(STATES)}")
    return found


@click.command("mgpu_queue", context_settings=CONTEXT)
@click.option("--me", is_flag=True, help="Only your jobs.")
@click.option("-u", "--user", "users", type=WORDS, metavar="NAMES", help="Only of these users.")
@click.option(
    "-t",
    "--states",
    type=Parsed("states", _states),
    metavar="STATES",
    help="Only in these states: PD,R,CG,CD,F,CA,TO,NF,LF,OOM, long names, or all.",
)
@click.option("-j", "--jobs", metavar="IDS", help="Only these, as 3, 3,4, 3-5, 42_7.")
@click.option("-r", "--array", "each", is_flag=True, help="One line for each task of an array.")
@click.option("-a", "--all", "ended", is_flag=True, help="Everyone's, those that have ended too.")
@click.option(
    "-o",
    "--format",
    "layout",
    type=Parsed("format", parse_format),
    metavar="FORMAT",
    help=f"Columns as squeue writes them, %[[.]WIDTH]LETTER. [default: {DEFAULT}]",
)
@click.option("-h", "--no-header", is_flag=True, help="No line with the names of the columns.")
@click.option("--priority", "ranks", is_flag=True, help="The jobs in line and their ranks.")
@click.option("--start", "starts", is_flag=True, help="When waiting jobs are expected to start.")
@click.option("--tree", is_flag=True, help="Jobs under those that they wait for.")
@click.option("--why", metavar="IDS", help="All there is to say about waiting jobs.")
@click.option("--limit", type=click.IntRange(1, 100_000), metavar="N", help="At most N jobs.")
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON.")
@common_options
def queue(socket: str | None, config: str | None, **options: Any) -> int:
    """List the jobs that wait or run.

    Where a job waits, the last column says why, with the figures. Names and commands of other
    users' jobs may be hidden ("-").

    Letters of --format: i id (42_7 is task 7 of array 42), F id of the array, K task, A id of
    the record, j name, u user, t T state, M time run, l time limit, L time left, G b GPUs,
    m memory of each, x most used of each, N GPUs held, R these or the reason, r reason, k note,
    Q priority, V submitted, S started, e ended, o command, Z folder, D nodes, P partition.
    """
    _check(options)
    ids = job_names([options["jobs"]], MAX_IDS) if options["jobs"] else []
    with connect(socket, config) as client:
        if options["why"] or options["starts"] or options["ranks"]:
            return _ask(client, ids, options)
        rows = client.rows(_filters(options, ids))
    unknown = array_rows.missing(ids, rows)
    if ids:
        rows = _wanted(array_rows.narrowed(ids, rows), options)
    if options["each"]:
        rows = list(array_rows.one_each(rows))
    rows = array_rows.in_order(rows)
    if options["as_json"]:
        _write_json(rows)
    elif options["tree"]:
        _write_tree(rows, options["layout"], header=not options["no_header"])
    else:
        layout = options["layout"] or parse_format(DEFAULT)
        _write_table(rows, layout, header=not options["no_header"])
    for name in unknown:
        complain(f"job {on_wire(name)}: unknown")
    return 1 if ids and len(unknown) == len(ids) else 0


#: Views, and the options that choose or show jobs otherwise; what a view cannot do is refused.
_VIEWS = {"ranks": "--priority", "starts": "--start", "tree": "--tree", "why": "--why"}
_CHOICES = {
    "states": "--states", "each": "--array", "ended": "--all", "layout": "--format",
}  # fmt: skip
_JOBS = {"me": "--me", "users": "--user", "jobs": "--jobs", "limit": "--limit"}


def _check(options: dict[str, Any]) -> None:
    """A usage error for two views at once, and for what a view does not heed."""
    views = [name for name in _VIEWS if options[name]]
    if len(views) > 1:
        both = " and ".join(_VIEWS[name] for name in views)
        raise click.UsageError(f"{both} are views of their own: give one of them")
    if not views or views == ["tree"]:
        return
    choices = _CHOICES | _JOBS if views == ["why"] else _CHOICES
    for name, flag in choices.items():
        if options[name]:
            raise click.UsageError(f"{_VIEWS[views[0]]} does not heed {flag}: leave it away")


def _ask(client: Client, ids: list[Name], options: dict[str, Any]) -> int:
    """Have the scheduler explain its order."""
    from mgpu.cli import queue_views as views

    as_json = options["as_json"]
    if options["why"]:
        return views.show_why(client, job_names([options["why"]], 100), as_json=as_json)
    users = _own_name() if options["me"] else options["users"]
    shown = views.Shown(ids, users, options["limit"], as_json, not options["no_header"])
    return (
        views.show_starts(client, shown) if options["starts"] else views.show_ranks(client, shown)
    )


def _own_name() -> list[str]:
    import os
    import pwd

    return [pwd.getpwuid(os.geteuid()).pw_name]


def _filters(options: dict[str, Any], ids: list[Name]) -> dict[str, object]:
    if ids:  # nothing else, so that a job that another filter leaves out is not called unknown
        return {"scope": "all", "jobs": list(map(on_wire, ids)), "ended": True}
    states = options["states"] or []
    everyone = options["ended"] or options["users"]
    return {
        "scope": "me" if options["me"] else "all" if everyone else None,
        "users": options["users"] or [],
        "states": states,
        "ended": options["ended"] or bool(ENDED.intersection(states)),
        "limit": options["limit"] or 0,
    }


def _wanted(rows: list[Row], options: dict[str, Any]) -> list[Row]:
    """Those of the named jobs that the other options let through."""
    states = options["states"] or (ACTIVE | ENDED if options["ended"] else ACTIVE)
    users = options["users"]
    chosen = [
        row
        for row in rows
        if row[_STATE_AT] in states
        and (not users or row[_USER_AT] in users)
        and (row[_MINE_AT] or not options["me"])
    ]
    return chosen[: options["limit"]]


def _write_table(rows: list[Row], layout: Format, *, header: bool) -> None:
    lines = [layout.header()] if header else []
    lines += layout.lines(rows)
    if lines:
        emit("\n".join(lines))


def _write_tree(rows: list[Row], layout: Format | None, *, header: bool) -> None:
    from mgpu.cli import tree

    behind = layout or parse_format(tree.BEHIND)
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    lines = tree.table(rows, behind, header=header, plain=plain)
    if lines:
        emit("\n".join(lines))


def _write_json(rows: list[Row]) -> None:
    import json

    jobs = [dict(zip(JOB_FIELDS, row, strict=True)) for row in rows]
    emit(json.dumps({"jobs": jobs}, indent=1))


def main() -> NoReturn:
    """The program mgpu_queue."""
    run(queue)
