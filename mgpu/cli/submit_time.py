"""mgpu_srun: when a job may start, must be over, and comes again."""

from __future__ import annotations

from typing import Any

import click

OPTIONS = (
    click.option("-b", "--begin", metavar="WHEN", help="Not before: now+2h, 16:00, tomorrow 9:00."),
    click.option("--deadline", metavar="WHEN", help="Be over by then, or not run at all."),
    click.option("-H", "--hold", is_flag=True, help="Wait until it is released: mgpu_job release."),
    click.option("--cron", metavar="EXPRESSION", help='Again and again: "0 2 * * 1-5".'),
    click.option("--cron-overlap", type=click.Choice(["skip", "queue"]), default="skip",
                 show_default=True, help="While the last run is active: leave one out, or queue."),
    click.option("--cron-missed", type=click.Choice(["drop", "once"]), default="drop",
                 show_default=True, help="Runs missed while mgpu was stopped: drop, or run once."),
    click.option("--timezone", metavar="ZONE", help="The clocks that WHEN and --cron mean. "
                 "[default: this shell's for WHEN, the machine's for --cron]"),
)  # fmt: skip


def extras(options: dict[str, Any]) -> dict[str, object]:
    """The wire's fields of these options, which are taken out of ``options``."""
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
        fields |= {"cron": cron, "zone": zone or "", "overlap": overlap, "missed": missed}
    return fields


def _moment(text: str, zone: str | None, name: str) -> int:
    from mgpu.cli.moments import moment, zone_named
    from mgpu.system import clock

    try:
        return moment(text, zone_named(zone or ""), clock.now().wall)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{name}") from error
