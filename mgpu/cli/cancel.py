"""mgpu_cancel: end jobs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_names, run, wired
from mgpu.cli.params import WORDS, Parsed, of_projects, signal_number

if TYPE_CHECKING:
    from mgpu.cli.columns import Row
    from mgpu.model.target import Name

_OUTCOMES = {
    "cancelled": "Cancelled job {}",
    "cancelling": "Cancelling job {}: its processes are being ended",
    "ended": "Job {} has ended already",
}
_FILTERS = ("me", "users", "states", "names", "projects", "qos", "gpus")
#: So many jobs are ended without asking.
_UNASKED = 10


def _states(text: str) -> list[str]:
    from mgpu.cli.cancel_choice import parse_states

    return parse_states(text)


def _gpus(text: str) -> list[int]:
    from mgpu.cli.queue_filter import parse_gpus

    return parse_gpus(text)


@click.command("mgpu_cancel", context_settings=CONTEXT)
@click.option("--me", is_flag=True, help="All your jobs.")
@click.option(
    "-n",
    "--name",
    "names",
    type=WORDS,
    metavar="NAMES",
    help="Those of these names; * and ? stand for anything.",
)
@click.option(
    "-t",
    "--state",
    "states",
    type=Parsed("states", _states),
    metavar="STATES",
    help="Those in these states: PD, R, long names.",
)
@click.option(
    "-u",
    "--user",
    "users",
    type=WORDS,
    metavar="NAMES",
    help="Those of these users; others than you with --admin.",
)
@of_projects("Those of these projects.")
@click.option("-q", "--qos", type=WORDS, metavar="NAMES", help="Those of these classes.")
@click.option(
    "-w",
    "--nodelist",
    "gpus",
    type=Parsed("GPUs", _gpus),
    metavar="GPUS",
    help="Those on these GPUs, as gpu0,gpu2.",
)
@click.option(
    "-s",
    "--signal",
    type=Parsed("signal", signal_number),
    metavar="SIGNAL",
    help="Do not cancel: send this signal to those that run (USR1, SIGINT, 10).",
)
@click.option("-b", "--batch", is_flag=True, help="With --signal: to their first processes alone.")
@click.option("--dry-run", is_flag=True, help="Say which jobs it would be, and end none.")
@click.option(
    "-y", "--yes", is_flag=True, help=f"Do not ask before more than {_UNASKED} are ended."
)
@click.option("--admin", is_flag=True, help="As an administrator: jobs of other users too.")
@common_options
@click.argument("jobs", nargs=-1, metavar="[JOBS]...")
def cancel(
    *, jobs: tuple[str, ...], socket: str | None, config: str | None, **options: Any
) -> int:  # fmt: skip
    """End your jobs JOBS, given as 3, 3,4 or 3-5; tasks of an array as 42_7 or 42_[1-5,9]. @ is
    your newest job, @~1 the one before it.

    Instead of JOBS, or beside them, say which: with several options those jobs are meant that fit
    all of them. A waiting job leaves the queue; a running one gets SIGTERM, and SIGKILL after the
    grace. Repeating it is harmless.
    """
    named = job_names(jobs) if jobs else []
    if options["batch"] and options["signal"] is None:
        raise click.UsageError("--batch says who gets a signal: name one with --signal")
    if not named and not any(options[name] for name in _FILTERS):
        raise click.UsageError("no job is named; write 3, 42_7 or 3-5, or give --me or --name")
    admin = options["admin"] or os.geteuid() == 0
    with connect(socket, config, admin=admin) as client:
        if options["dry_run"] or any(options[name] for name in _FILTERS):
            from mgpu.cli import cancel_choice

            choice = cancel_choice.choose(client, named, options, admin=admin)
            if options["dry_run"]:
                return _would(choice.rows, choice.unknown, _verb(options))
            targets, many = choice.targets(), choice.number()
        else:
            targets, many = wired(named), _count(named)
        if not targets:
            emit(f"No job fits: nothing is {_done(options)}")
            return 0
        _confirm(many, _verb(options), yes=options["yes"])
        if options["signal"] is not None:
            from mgpu.cli.job_signal import deliver

            return deliver(client, targets, options["signal"], leader=options["batch"])
        outcomes = client.cancel(*targets)
    return max([_report(job, outcome) for job, outcome in outcomes.items()], default=0)


def _count(named: list[Name]) -> int:
    return sum(1 if isinstance(name, int) else len(name.tasks) for name in named)


def _verb(options: dict[str, Any]) -> str:
    return "cancel" if options["signal"] is None else "signal"


def _done(options: dict[str, Any]) -> str:
    return "cancelled" if options["signal"] is None else "signalled"


def _confirm(many: int, verb: str, *, yes: bool) -> None:
    """Ask a person before many jobs are ended; a script is taken by its word."""
    if many > _UNASKED and not yes and sys.stdin.isatty():
        click.confirm(f"{verb.capitalize()} {many} jobs?", abort=True, err=True)


def _would(rows: list[Row], unknown: list[Name], verb: str) -> int:
    from mgpu.cli.cancel_choice import described

    for row in rows:
        emit(f"Would {verb} job {described(row)}")
    for name in wired(unknown):
        complain(f"job {name}: unknown, ended, or not yours")
    if not rows and not unknown:
        emit(f"No job fits: there is nothing to {verb}")
    return 1 if unknown else 0


def _report(job: int | str, outcome: str) -> int:
    sentence = _OUTCOMES.get(outcome)
    if sentence is None:
        complain(f"job {job}: unknown, or not yours")
        return 1
    emit(sentence.format(job))
    return 0


def main() -> NoReturn:
    """The program mgpu_cancel."""
    run(cancel)
