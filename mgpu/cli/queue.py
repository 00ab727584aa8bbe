"""mgpu_queue: list jobs as squeue does."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mgpu.cli import queue_filter, queue_show, watch
from mgpu.cli.base import (
    CONTEXT,
    common_options,
    complain,
    connect,
    emit,
    job_names,
    run,
    user_name,
)
from mgpu.cli.queue_options import queue_options
from mgpu.cli.zone import timezone_option
from mgpu.model.units import quoted
from mgpu.protocol.names import MAX_IDS

if TYPE_CHECKING:
    from mgpu.cli.columns import Row
    from mgpu.client import Client
    from mgpu.model.target import Name


@click.command("mgpu_queue", context_settings=CONTEXT)
@queue_options
@timezone_option
@common_options
def queue(socket: str | None, config: str | None, *, admin: bool, **options: Any) -> int:
    """List the jobs that wait or run.

    Where a job waits, the last column says why, with the figures. Names, commands and projects of
    other users' jobs may be hidden ("-"); administrators see them with --admin.

    Letters of --format: i id (42_7 is task 7 of array 42), F id of the array, K task, A id of
    the record, j name, u user, a project, q class, t T state, M time run, l time limit, L time
    left, G b GPUs, f type of GPU, m memory of each, x most used of each, h shared, c C CPUs, N
    GPUs held, R these or the reason, r reason, k note, E dependency, Q priority, V submitted, S
    started, e ended, o command, Z folder, D nodes, P partition.
    """
    from mgpu.cli import array_rows, queue_stream  # --help does without

    _check(options)
    _note_strangers(options["users"] or [])
    options["layout"] = options["layout"] or options["fields"]
    ids = job_names([options["jobs"]], MAX_IDS) if options["jobs"] else []
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        if options["why"] or options["starts"] or options["ranks"]:
            return _ask(client, ids, options)
        if options["seconds"]:
            return _watch(client, ids, options)
        width = watch.width()
        if not ids and queue_stream.suits(options, width):
            return queue_stream.show(client, queue_filter.wire_filters(options, ids), options)
        rows = client.rows(queue_filter.wire_filters(options, ids))
    unknown = array_rows.missing(ids, rows)
    shown = _arranged(rows, ids, options)
    lines = queue_show.lines(shown, options, width)
    if lines:
        emit("\n".join(lines))
    if ids and not shown and queue_filter.leaves_out_ended(rows, options):
        complain("what is named has ended; --all shows it", label="note")
    for name in unknown:
        complain(f"job {name}: unknown")
    return 1 if ids and len(unknown) == len(ids) else 0


def _watch(client: Client, ids: list[Name], options: dict[str, Any]) -> int:
    """Show the jobs again whenever something has happened, and every so many seconds."""
    filters = queue_filter.wire_filters(options, ids)

    def draw(width: int) -> list[str]:
        return queue_show.lines(_arranged(client.rows(filters), ids, options), options, width)

    with closing(client.news()) as news:
        watch.watch(draw, options["seconds"], news)
    return 0


def _arranged(rows: list[Row], ids: list[Name], options: dict[str, Any]) -> list[Row]:
    """The rows that are meant, in the order that is."""
    from mgpu.cli import array_rows

    rows = queue_filter.chosen(rows, ids, options)
    if options["each"]:
        rows = list(array_rows.one_each(rows))
    rows = array_rows.in_order(rows)
    if options["sort"]:
        from mgpu.cli import sorting

        rows = sorting.in_order(rows, options["sort"])
    return rows[: options["limit"]]


#: Views, and the options that choose or show jobs otherwise; what a view cannot do is refused.
_VIEWS = {"ranks": "--priority", "starts": "--start", "tree": "--tree", "why": "--why"}
_CHOICES = {
    "states": "--states", "each": "--array", "ended": "--all", "layout": "--format",
    "fields": "--Format", "long": "--long", "sort": "--sort", "names": "--name",
    "projects": "--project", "qos": "--qos", "gpus": "--nodelist", "since": "--since",
    "group": "--group", "as_csv": "--csv", "seconds": "--watch",
}  # fmt: skip
_JOBS = {"me": "--me", "users": "--user", "jobs": "--jobs", "limit": "--limit"}
#: Only one of each of these is heeded.
_RIVALS = (
    {"as_json": "--json", "as_csv": "--csv", "tree": "--tree"},
    {"group": "--group", "tree": "--tree", "layout": "--format", "fields": "--Format",
     "long": "--long"},
    {"as_json": "--json", "layout": "--format", "fields": "--Format", "long": "--long"},
)  # fmt: skip


def _check(options: dict[str, Any]) -> None:
    """A usage error for two views at once, and for what a view does not heed."""
    views = [name for name in _VIEWS if options[name]]
    if len(views) > 1:
        both = " and ".join(_VIEWS[name] for name in views)
        raise click.UsageError(f"{both} are views of their own: give one of them")
    if not views or views == ["tree"]:
        _check_rivals(options)
        return
    choices = _CHOICES | _JOBS if views == ["why"] else _CHOICES
    for name, flag in choices.items():
        if options[name]:
            raise click.UsageError(f"{_VIEWS[views[0]]} does not heed {flag}: leave it away")


def _check_rivals(options: dict[str, Any]) -> None:
    for rivals in _RIVALS:
        given = [flag for name, flag in rivals.items() if options[name]]
        if len(given) > 1 and not {"--tree", "--format"} >= set(given):
            raise click.UsageError(f"{' and '.join(given)} do not go together: give one of them")


def _ask(client: Client, ids: list[Name], options: dict[str, Any]) -> int:
    """Have the scheduler explain its order."""
    from mgpu.cli import queue_views as views

    as_json = options["as_json"]
    if options["why"]:
        return views.show_why(client, job_names([options["why"]], 100), as_json=as_json)
    users = [user_name(os.geteuid())] if options["me"] else options["users"]
    shown = views.Shown(ids, users, options["limit"], as_json, not options["no_header"])
    return (
        views.show_starts(client, shown) if options["starts"] else views.show_ranks(client, shown)
    )


def _note_strangers(users: list[str]) -> None:
    """Say which names no account has: a queue that is empty for a typing error looks like rest."""
    import pwd

    for name in users:
        try:
            pwd.getpwnam(name)
        except (KeyError, ValueError):
            complain(f"no account is called {quoted(name)}", label="note")


def main() -> NoReturn:
    """The program mgpu_queue."""
    run(queue)
