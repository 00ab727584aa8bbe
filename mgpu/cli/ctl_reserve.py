"""mgpu_ctl reserve: keep GPUs for some people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, emit_json, record_ids
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.lazy import Words
from mgpu.cli.params import DURATION, INDICES, JSON, WORDS
from mgpu.model.units import format_duration, visible

if TYPE_CHECKING:
    from mgpu.client import Client

Row = dict[str, Any]

_HEADER = ("ID", "NAME", "STATE", "START", "END", "GPUS", "FOR", "REPEATS")
_DAY = 86400


@click.group("reserve", cls=Words, context_settings=CONTEXT)
def reserve() -> None:
    """Keep GPUs for users, groups or projects for a while, once or again and again."""


@reserve.command("create", context_settings=CONTEXT)
@click.option("-u", "--user", "users", type=WORDS, metavar="NAMES", help="For these users.")
@click.option("-g", "--group", "groups", type=WORDS, metavar="NAMES", help="For these groups.")
@click.option(
    "-P", "--project", "projects", type=WORDS, metavar="NAMES", help="For these projects."
)
@click.option("--nobody", is_flag=True, help="For nobody: the GPUs stay idle, as for maintenance.")
@click.option("-G", "--gpus", "--count", "count", type=click.IntRange(1), metavar="N",
              help="This many GPUs, whichever disturbs least.")  # fmt: skip
@click.option("--gpu-ids", "--gpu-spec", "gpu_ids", type=INDICES,
              metavar="INDICES", help="Exactly these GPUs, as 0,2.")  # fmt: skip
@click.option("--start", metavar="TIME", help="From then on: now+2h, 16:00, tomorrow 9:00, "
              "2026-12-24T18:00. [default: now, or the next time of --cron]")  # fmt: skip
@click.option("--end", metavar="TIME", help="Until then.")
@click.option("--duration", type=DURATION, metavar="TIME", help="For so long: 90m, 8h, 2-00:00:00.")
@click.option("--cron", metavar="EXPRESSION", help='Again and again: "0 9 * * 1-5" is each weekday '
              "at 9.")  # fmt: skip
@click.option("--timezone", "zone", envvar="MGPU_TZ", metavar="ZONE",
              help="The clocks that TIME and --cron mean, "
              "as Europe/Berlin. [default: the configured ones, or the machine's]")  # fmt: skip
@click.option("--preempt", is_flag=True, help="When it begins, switch out jobs of others that may "
              "be requeued.")  # fmt: skip
@click.option("--name", default="", metavar="NAME", help="What it is called in lists.")
@click.option("--parsable", is_flag=True, help="Print the id alone.")
@common_options
def create(socket: str | None, config: str | None, **options: Any) -> None:
    """Make a reservation.

    Inside, only jobs of those whom it is for start on its GPUs. Before, other jobs may run there
    if their limit ends in time.
    """
    _check_people(options)
    with connect(socket, config, admin=True) as client:
        fields = _fields(client, options)
        number = client.request("reserve", fields).body["key"]
    emit(number if options["parsable"] else f"Created reservation {number}")


@reserve.command("list", context_settings=CONTEXT)
@click.option("-u", "--user", metavar="NAME", help="Only those that name this user.")
@click.option("--active", is_flag=True, help="Only those that have begun.")
@click.option("--timeline", is_flag=True, help="Draw them, a line for each GPU.")
@click.option("--range", "span", type=DURATION, default="1d", metavar="TIME",
              help="How long a time to draw. [default: 1d]")  # fmt: skip
@click.option("--from", "begin", default="now", metavar="TIME", help="Draw from then on.")
@click.option("--to", "until", metavar="TIME", help="Draw until then.")
@click.option(
    "--timezone", "zone", envvar="MGPU_TZ", metavar="ZONE", help="Times on the clocks of this zone."
)
@JSON
@common_options
def list_(socket: str | None, config: str | None, **options: Any) -> None:
    """List the reservations: when, which GPUs, for whom.

    Whom other people's are for is shown to administrators only.
    """
    with connect_to_look(socket, config) as client:
        body = client.request("reservations").body
    rows = [row for row in body["reservations"] if _wanted(row, options)]
    if options["as_json"]:
        emit_json({"reservations": rows})
    elif options["timeline"]:
        _draw(rows, body, options)
    else:
        _write_table(rows, _zone(options["zone"] or body["zone"]))


@reserve.command("show", context_settings=CONTEXT)
@click.argument("number", type=click.IntRange(1), metavar="ID")
@click.option(
    "--timezone", "zone", envvar="MGPU_TZ", metavar="ZONE", help="Times on the clocks of this zone."
)
@common_options
def show(number: int, zone: str | None, socket: str | None, config: str | None) -> int:
    """Show all of reservation ID."""
    with connect_to_look(socket, config) as client:
        body = client.request("reservations").body
    rows = [row for row in body["reservations"] if row["id"] == number]
    if not rows:
        complain(f"there is no reservation {number}")
        return 1
    emit("\n".join(_lines(rows[0], _zone(zone or body["zone"]))))
    return 0


@reserve.command("cancel", context_settings=CONTEXT)
@click.argument("numbers", nargs=-1, required=True, metavar="IDS...")
@common_options
def cancel(numbers: tuple[str, ...], socket: str | None, config: str | None) -> None:
    """Take reservations back, given as 3, 3,4 or 3-5, with all that is still to come of them."""
    with connect(socket, config, admin=True) as client:
        for number in record_ids(numbers, "reservation", 1000):
            client.request("unreserve", {"id": number})
            emit(f"Cancelled reservation {number}")


# -- what is asked --------------------------------------------------------------------------------


def _check_people(options: dict[str, Any]) -> None:
    named = options["users"] or options["groups"] or options["projects"]
    if bool(named) == options["nobody"]:
        raise click.UsageError("say whom it is for: --user, --group or --project, or --nobody")
    check_accounts(options["users"] or (), options["groups"] or ())


def check_accounts(users: tuple[str, ...] | list[str], groups: tuple[str, ...] | list[str]) -> None:
    """A usage error unless the machine knows these users and groups."""
    import grp
    import pwd

    for name in users:
        try:
            pwd.getpwnam(name)
        except KeyError:
            raise click.UsageError(f"this machine has no user {name!r}") from None
    for name in groups:
        try:
            grp.getgrnam(name)
        except KeyError:
            raise click.UsageError(f"this machine has no group {name!r}") from None


def _fields(client: Client, options: dict[str, Any]) -> dict[str, object]:
    known = client.request("reservations").body  # it says the time and the zone that hold there
    name = options["zone"] or known["zone"]
    return {
        "key": os.urandom(16).hex(),
        "name": options["name"],
        "start": _time("--start", options["start"], name, known["now"]),
        "end": _time("--end", options["end"], name, known["now"]),
        "duration": options["duration"] or None,
        "count": options["count"] or 0,
        "gpus": options["gpu_ids"] or [],
        "for_users": options["users"] or [],
        "for_groups": options["groups"] or [],
        "for_projects": options["projects"] or [],
        "cron": options["cron"] or "",
        "zone": name,
        "preempt": options["preempt"],
    }


def _time(option: str, text: str | None, zone: str, now: float) -> int | None:
    from mgpu.cli import moments
    from mgpu.system.zone import zone_named

    try:
        return None if text is None else moments.moment(text, zone_named(zone), now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _zone(name: str) -> Any:
    from mgpu.system.zone import zone_named

    try:
        return zone_named(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timezone") from None


# -- what is shown --------------------------------------------------------------------------------


def _wanted(row: Row, options: dict[str, Any]) -> bool:
    if options["user"] and options["user"] not in row["users"]:
        return False
    return row["active"] or not options["active"]


def _write_table(rows: list[Row], zone: Any) -> None:
    from mgpu.cli.base import table

    emit("\n".join(table([_HEADER, *(_cells(row, zone) for row in rows)])))


def _cells(row: Row, zone: Any) -> tuple[str, ...]:
    from mgpu.cli.moments import written

    return (
        str(row["id"]),
        visible(row["name"]) or "-",
        "active" if row["active"] else "waiting",
        written(row["start"], zone),
        written(row["end"], zone),
        gpus_of(row),
        people_of(row),
        visible(row["cron"]) or "-",
    )


def gpus_of(row: Row) -> str:
    """``gpu0,gpu1``, or ``1 of 2: gpu0`` where GPUs are lacking."""
    names = ",".join(f"gpu{index}" for index in row["gpus"])
    short = len(row["gpus"]) < row["count"]
    return f"{len(row['gpus'])} of {row['count']}: {names or '-'}" if short else names


def people_of(row: Row) -> str:
    """``user ada; group lab``; ``others`` where that is nobody else's business."""
    kinds = (("user", "users"), ("group", "groups"), ("project", "projects"))
    parts = [f"{word} {','.join(map(visible, row[key]))}" for word, key in kinds if row[key]]
    if not parts:
        return "nobody" if row["nobody"] else "others"
    return "; ".join(parts) + (" (yours)" if row["mine"] else "")


def _lines(row: Row, zone: Any) -> list[str]:
    from mgpu.cli.moments import written

    repeats = visible(row["cron"]) or "-"
    if row["cron"] and row["zone"]:
        repeats += f" ({visible(row['zone'])})"
    known = {
        "Reservation": str(row["id"]),
        "Name": visible(row["name"]) or "-",
        "State": "active" if row["active"] else "waiting",
        "Start": written(row["start"], zone),
        "End": written(row["end"], zone),
        "Duration": format_duration(row["end"] - row["start"]),
        "GPUs": gpus_of(row) + (" (these)" if row["exact"] else " (any)"),
        "For": people_of(row),
        "Repeats": repeats,
        "Preempt": "yes" if row["preempt"] else "no",
    }
    if row["cron"]:
        known["Then"] = ", ".join(written(start, zone) for start in row["starts"][1:4])
    return [f"{name + ':':13}{value}" for name, value in known.items()]


def _draw(rows: list[Row], body: dict[str, Any], options: dict[str, Any]) -> None:
    import shutil

    from mgpu.cli.timeline import timeline

    name = options["zone"] or body["zone"]
    zone = _zone(name)
    begin = _time("--from", options["begin"], name, body["now"]) or 0
    until = _time("--to", options["until"], name, body["now"]) or begin + options["span"]
    if until <= begin:
        raise click.UsageError("there is nothing to draw: the end is not after the beginning")
    width = shutil.get_terminal_size((100, 24)).columns
    emit("\n".join(timeline(rows, body["gpus"], (begin, until), width, zone)))
