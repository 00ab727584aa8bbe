"""Runs the measurements and shows them; see scripts/bench --help."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from scripts.lib.bench import cost, gpus, large, listing, past, rig, speed, terminal
from scripts.lib.bench.measure import Row, Scale, Yardsticks
from tests.lib import users

Part = Callable[[users.User, Scale], list[Row]]
PARTS: dict[str, Part] = {
    "commands": speed.commands,
    "helps": speed.helps,
    "full": speed.full,
    "start": speed.start,
    "gap": speed.gap,
    "slots": speed.slots,
    "listing": listing.listing,
    "bulk": speed.bulk,
    "restart": speed.restart,
    "cancel": speed.cancel,
    "terminal": terminal.terminal,
    "idle": cost.idle,
    "memory": cost.memory,
    "flood": cost.flood,
    "loss": cost.loss,
    "pass": large.passes,
    "large": large.large,
    "gpus": gpus.gpus,
    "past": past.past,
}


def arguments() -> argparse.Namespace:
    """The options of scripts/bench that are not the shell's."""
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS))
    chosen = parser.parse_args()
    unknown = set(chosen.only) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}")
    return chosen


def line(row: Row) -> str:
    """One row of the table, in Markdown."""
    figure = f"{row.value:.4g} {row.unit}"
    late = "" if row.spread is None else f"{row.spread:.4g}"
    ratio = f"{row.ratio:.2f} {row.beside}" if row.beside else ""
    sign = "at least" if row.at_least else "at most"
    aim = f"{sign} {row.aim:g} {row.beside or row.unit}"
    return f"| {row.what} | {figure} | {late} | {ratio} | {aim} | {'yes' if row.met else 'NO'} |"


def main() -> None:
    """Measure, print, and write the JSON that the environment asks for."""
    chosen = arguments()
    users.make_service_account()
    user = users.make("bencher")
    rig.build_stamp()
    yard = Yardsticks.take()
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, {platform.python_version()}"
    print(f"{machine}; T {yard.true:.3f} ms, P {yard.python:.2f} ms at the beginning\n")
    print("| what | median | p95 | beside | aim | met |\n| --- | --- | --- | --- | --- | --- |")
    rows: list[Row] = []
    for name in chosen.only:
        for row in PARTS[name](user, Scale(quick=chosen.quick)):
            rows.append(row)
            print(line(row), flush=True)
    if target := os.environ.get("MGPU_BENCH_JSON"):
        report = {"machine": machine, "yardsticks": asdict(yard)}
        found = [{**asdict(row), "met": row.met} for row in rows]
        Path(target).write_text(json.dumps({**report, "rows": found}, indent=1) + "\n")


main()
