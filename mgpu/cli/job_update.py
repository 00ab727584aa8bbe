"""mgpu_job update."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mgpu.cli.base import CONTEXT, common_options, complain, connect, emit, job_names, wired
from mgpu.cli.outcomes import NOT_DONE
from mgpu.cli.params import ADMIN, DURATION, FILLED, IDS, MEMORY, Parsed
from mgpu.cli.submit_priority import MOST, NICE, lowered, with_nice
from mgpu.model.target import Target
from mgpu.protocol import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mgpu.client import Client

Told = dict[int | str, str]

_MOST = 5000
_MOST_TASKS = 100_000
_MOST_GPUS = 1024
_NONE = "none"
_CHANGES = (
    "give --priority, --nice, --time-limit, --qos, --gpus, --mem, --host-mem, --dependency or"
    " --max-concurrent"
)


def _limit(text: str) -> object:
    return 0 if text == _NONE else DURATION.convert(text, None, None)


def _memory(text: str) -> object:
    return 0 if text == _NONE else MEMORY.convert(text, None, None)


class UpdateCommand(click.Command):
    """Knows ``--nice`` without a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does."""
        return super().parse_args(ctx, with_nice(args, self.params, interspersed=True))


@click.command("update", cls=UpdateCommand, context_settings=CONTEXT)
@IDS
@click.option(
    "--max-concurrent",
    type=click.IntRange(0, _MOST_TASKS),
    metavar="N",
    help="At most N tasks of the array at once; 0 is no bound. Tasks that run go on.",
)
@click.option(
    "-d",
    "--dependency",
    type=FILLED,
    metavar="LIST",
    help="Wait for these instead, in the form of mgpu_srun --dependency; none: for nothing.",
)
@click.option(
    "--priority",
    type=click.IntRange(-MOST, MOST),
    metavar="N",
    help="Higher goes first. Jobs that wait get it; more than users may give needs --admin.",
)
@NICE
@click.option(
    "--time-limit",
    type=Parsed("duration", _limit),
    metavar="DURATION",
    help="Another longest run, also of a job that runs: less, or more with --admin; none: the "
    "machine's.",
)
@click.option(
    "-q",
    "--qos",
    type=FILLED,
    metavar="NAME",
    help="Another class, for jobs that wait; none: the usual.",
)
@click.option(
    "-G",
    "--gpus",
    type=click.IntRange(0, _MOST_GPUS),
    metavar="N",
    help="Another number of GPUs, for jobs that wait.",
)
@click.option(
    "--mem",
    "--gpu-mem",
    "gpu_mem",
    type=Parsed("size", _memory),
    metavar="SIZE",
    help="Another memory of each GPU, for jobs that wait; none: the GPUs for itself.",
)
@click.option(
    "--host-mem",
    type=Parsed("size", _memory),
    metavar="SIZE",
    help="Another memory of the machine, for jobs that wait; none: it is not counted.",
)
@ADMIN
@common_options
def update(
    ids: tuple[str, ...],
    max_concurrent: int | None,
    dependency: str | None,
    priority: int | None,
    nice: int | None,
    socket: str | None,
    config: str | None,
    *,
    admin: bool,
    **terms: int | str | None,
) -> int:
    """Change waiting jobs, arrays, and the limit of jobs that run: IDS as 42, 42_[1-5], 3-9, @."""
    if nice is not None:
        priority = lowered(priority or 0, nice)
    given = {name: value for name, value in terms.items() if value is not None}
    if max_concurrent is None and dependency is None and priority is None and not given:
        raise click.UsageError(f"nothing to change: {_CHANGES}")
    wanted = job_names(ids, _MOST)
    if max_concurrent is not None and any(isinstance(name, Target) for name in wanted):
        raise click.UsageError("--max-concurrent bounds whole arrays: name them by their number")
    jobs = wired(wanted)
    told: dict[str, Told] = {}
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        if priority is not None:
            told["priority"] = _ask(client, names.PRIORITY, {"jobs": jobs, "priority": priority})
        if given:
            what = " or ".join(given).replace("_", " ")
            told[what] = _ask(client, names.ALTER, {"jobs": jobs, **given})
        if dependency is not None:
            needs = "" if dependency == _NONE else dependency
            told["dependency"] = _ask(client, names.DEPEND, {"jobs": jobs, "dependency": needs})
        if max_concurrent is not None:
            told["bound"] = {}
            for job in jobs:
                fields = {"job": job, "max_concurrent": max_concurrent}
                told["bound"] |= _ask(client, names.UPDATE, fields)
    return _tell(told)


def _ask(client: Client, operation: str, fields: Mapping[str, object]) -> Told:
    return dict(client.request(operation, dict(fields)).body["jobs"])


def _tell(told: dict[str, Told]) -> int:
    """Say what became of each job, of each change of several; 1 if one was not made."""
    changed: list[int | str] = []
    for what, outcomes in told.items():
        kept = f"; its {what} was not changed" if len(told) > 1 else ""
        for name, word in outcomes.items():
            if word in NOT_DONE:
                complain(f"job {name}: {NOT_DONE[word]}{kept}")
            else:
                changed.append(name)
    for name in dict.fromkeys(changed):
        emit(f"Changed job {name}")
    return int(any(word in NOT_DONE for outcomes in told.values() for word in outcomes.values()))
