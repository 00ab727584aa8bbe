"""mgpu_srun: when a job may start, must be over, and comes again."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.params import FILLED

_OVERLAP, _MISSED = ("skip", "queue"), ("drop", "once")

OPTIONS = (
    click.option("-b", "--begin", metavar="WHEN",
                 help="Not before: now+2h, 16:00, 4pm, tomorrow 9:00."),
    click.option("--deadline", metavar="WHEN", help="Be over by then, or not run at all."),
    click.option("-H", "--hold", is_flag=True, help="Wait until it is released: mgpu_job release."),
    click.option("--cron", type=FILLED, metavar="EXPRESSION",
                 help='Again and again: "0 2 * * 1-5".'),
    click.option("--cron-overlap", type=click.Choice(_OVERLAP),
                 help="While the last run is active: leave one out, or queue. [default: skip]"),
    click.option("--cron-missed", type=click.Choice(_MISSED),
                 help="Runs missed while mgpu was stopped: drop, or run once. [default: drop]"),
    click.option("--timezone", type=FILLED, metavar="ZONE",
                 help="The clocks that WHEN and --cron mean. "
                 "[default: MGPU_TZ for WHEN, else the configured ones, else the machine's]"),
)  # fmt: skip


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
    _check(options)
    zone = options.pop("timezone")
    fields: dict[str, object] = {}
    for name in ("begin", "deadline"):
        text = options.pop(name)
        if text is not None:
            fields[name] = _moment(text, zone, name)
    if options.pop("hold"):
        fields["hold"] = True
    cron, overlap, missed = (options.pop(n) for n in ("cron", "cron_overlap", "cron_missed"))
    if cron is not None:
        how = {"overlap": overlap or _OVERLAP[0], "missed": missed or _MISSED[0]}
        fields |= {"cron": cron, "zone": zone or "", **how}
    return fields


def _check(options: dict[str, Any]) -> None:
    """A usage error for what would change nothing."""
    when = ("cron", "begin", "deadline")
    for name, needed in (("cron_overlap", when[:1]), ("cron_missed", when[:1]), ("timezone", when)):
        if options[name] is not None and all(options[other] is None for other in needed):
            names = " or ".join(f"--{other}" for other in needed)
            raise click.UsageError(f"--{name.replace('_', '-')} says nothing without {names}")


def _moment(text: str, zone: str | None, name: str) -> int:
    from mgpu.cli.moments import moment
    from mgpu.cli.zone import for_wishes
    from mgpu.system import clock

    try:
        return moment(text, for_wishes(zone), clock.now().wall)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{name}") from error
