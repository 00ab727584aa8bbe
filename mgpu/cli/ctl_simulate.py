"""mgpu_ctl simulate: what other policies would do to a workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mgpu.cli.base import CONTEXT, common_options, complain, emit
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.params import WORDS, Parsed
from mgpu.model.errors import MgpuError
from mgpu.model.units import quoted

if TYPE_CHECKING:
    from mgpu.simulator.trace import TraceJob

#: Ended jobs of the machine that are replayed at the most.
_MOST = 10_000
_HIGHEST = 100


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _HIGHEST:
        raise ValueError(f"{quoted(text)} is not a number of 0 to {_HIGHEST}")
    return number


SHARE = Parsed("number", _share)


@click.command("simulate", context_settings=CONTEXT)
@click.argument("trace", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--history", is_flag=True, help="Replay this machine's own jobs instead of a trace.")
@click.option("-G", "--gpus", type=click.IntRange(1, 1024), help="GPUs. [default: 8; with "
              "--history those of this machine]")  # fmt: skip
@click.option("--load", type=SHARE, default=0.0, metavar="L",
              help="Stretch the times of submission to this load, as 0.8.")  # fmt: skip
@click.option("--first", type=click.IntRange(1), default=None, metavar="N", help="Only N jobs.")
@click.option("--limit-factor", type=SHARE, default=0.0, metavar="F",
              help="Time limits of F times the run time, rounded up to a usual one.")  # fmt: skip
@click.option("--policy", "names", type=WORDS, metavar="NAMES",
              help="Some of default, fifo, first-fit, easy. [default: all]")  # fmt: skip
@click.option("--users", is_flag=True, help="Show how each user fared, too.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON; times are seconds.")
@common_options
def simulate(trace: str | None, socket: str | None, config: str | None, **options: Any) -> int:
    """Replay TRACE through the scheduler's core, once with each policy, and compare.

    TRACE is a CSV file with the columns submit,user,gpus,run and, if wanted, limit, gpu_mem,
    priority, project, qos and requeue. Nothing is asked of the daemon, except with --history.
    """
    from mgpu.simulator.compare import NAMES, policies
    from mgpu.simulator.compare import simulate as replay
    from mgpu.simulator.report import table, to_json, users_table

    if (trace is None) == (not options["history"]):
        raise click.UsageError("give a TRACE, or --history")
    names = tuple(options["names"] or NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise click.UsageError(f"no policy {unknown[0]!r}; there are {', '.join(NAMES)}")
    jobs, gpus = _history(socket, config) if trace is None else (_read(trace), 8)
    gpus = options["gpus"] or gpus
    chosen = _shaped(jobs, gpus, options)
    results = replay(chosen, gpus, policies(names))
    text = to_json(results) if options["as_json"] else table(results)
    emit((text + ("\n" + users_table(results) if options["users"] else "")).rstrip("\n"))
    return 0


def _read(path: str) -> list[TraceJob]:
    from mgpu.simulator.trace import TraceError, read

    try:
        with open(path, encoding="utf-8", newline="") as file:
            return read(file)
    except (OSError, UnicodeDecodeError, TraceError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise MgpuError("Refused", f"{path}: {what}") from error


def _shaped(jobs: list[TraceJob], gpus: int, options: dict[str, Any]) -> list[TraceJob]:
    from mgpu.simulator.trace import Shaping, shape

    shaping = Shaping(gpus, options["first"] or 0, options["load"], options["limit_factor"])
    chosen = shape(jobs, shaping)
    if not chosen:
        raise MgpuError("Refused", f"none of {len(jobs)} jobs has a run time and 1 to {gpus} GPUs")
    left_out = sum(not shaping.fits(job) for job in jobs)
    if left_out:
        which = f"without a run time, or with none or more than {gpus} GPUs"
        complain(f"{left_out} of {len(jobs)} jobs are left out: {which}", label="note")
    return chosen


def _history(socket: str | None, config: str | None) -> tuple[list[TraceJob], int]:
    """The jobs that ran on this machine, as one run each, and how many GPUs it has."""
    from mgpu.simulator.trace import TraceJob

    with connect_to_look(socket, config) as client:
        rows = client.jobs(scope="all", ended=True, limit=_MOST)
        gpus = len(client.info().gpus)
    jobs = [
        TraceJob(
            row.submitted,
            row.user,
            row.gpus,
            max(1.0, row.elapsed),
            row.time_limit or None,
            row.gpu_mem,
            row.priority,
        )
        for row in rows
        if row.gpus and row.started is not None and row.ended is not None
    ]
    return sorted(jobs), max(1, gpus)
