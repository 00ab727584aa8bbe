"""The simulator as a command: ``python -m mgpu.simulator``, or ``scripts/simulate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mgpu.simulator.compare import NAMES, policies, simulate
from mgpu.simulator.report import table, to_json, users_table
from mgpu.simulator.trace import Shaping, TraceError, TraceJob, read, shape


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        with open(given.trace, encoding="utf-8", newline="") as file:
            jobs = shape(read(file), _shaping(given))
    except (OSError, TraceError) as error:
        print(f"simulate: {given.trace}: {error}", file=sys.stderr)
        return 1
    if not jobs:
        print(f"simulate: {given.trace}: no job fits on {given.gpus} GPUs", file=sys.stderr)
        return 1
    sys.stdout.write(_compare(jobs, given))
    return 0


def _compare(jobs: Sequence[TraceJob], given: argparse.Namespace) -> str:
    results = simulate(jobs, given.gpus, policies(given.policy))
    if given.json:
        return to_json(results)
    return table(results) + ("\n" + users_table(results) if given.users else "")


def _shaping(given: argparse.Namespace) -> Shaping:
    return Shaping(given.gpus, given.first, given.load, given.limit_factor)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulate",
        description="Replay a trace through the scheduler's core, once with each policy.",
    )
    parser.add_argument("trace", help="CSV: submit,user,gpus,run[,limit...], or a Philly trace")
    parser.add_argument("--gpus", type=_positive, default=8, help="of the machine (default: 8)")
    parser.add_argument(
        "--load", type=float, default=0.0, help="stretch submit times to this load (0.8 is 80 %%)"
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="only the first N jobs")
    parser.add_argument(
        "--limit-factor",
        type=float,
        default=0.0,
        metavar="F",
        help="time limits of F times the run time, rounded up to a usual one",
    )
    parser.add_argument(
        "--policy", type=_names, default=NAMES, help=f"some of {','.join(NAMES)} (default: all)"
    )
    parser.add_argument("--users", action="store_true", help="show how each user fared, too")
    parser.add_argument("--json", action="store_true", help="everything as JSON, in seconds")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no policy {unknown[0]!r}; there are {', '.join(NAMES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
