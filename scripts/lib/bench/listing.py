"""mgpu_queue of a long queue: its first line, and its memory."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from statistics import median
from typing import Final

from scripts.lib.bench import rig
from scripts.lib.bench.measure import Row, Scale, percentile
from tests.lib.users import User

#: Kinds of output whose memory is looked at.
FORMS: Final = ("", "--json", "--csv", "--tree")


def listing(user: User, scale: Scale) -> list[Row]:
    """The first line of an empty queue and of a long one, and the most memory of each form."""
    count = 3 if scale.quick else 21
    with rig.daemon() as running:
        empty = rig.as_user(user, running, partial(_first_lines, count))
        rig.as_user(user, running, partial(_fill, scale.many))
        full = rig.as_user(user, running, partial(_first_lines, count))
        memory = {form: rig.as_user(user, running, partial(_peak, form)) for form in FORMS}
    ratio, spread = median(full) / median(empty), percentile(full, 0.95) / median(empty)
    first = f"first line of mgpu_queue, {scale.many:,} waiting, to empty"
    rows = [Row("listing", first, ratio, "x", 3, spread=spread)]
    for form, mib in memory.items():
        name = f"mgpu_queue {form}".strip()
        rows.append(Row("listing", f"{name} of {scale.many:,}: most memory", mib, "MiB", 100))
    return rows


def _fill(count: int) -> int:
    rig.block()
    return rig.submit(["python", "train.py", "--epochs", "90"], count=count, gpus=2)


def _first_lines(count: int) -> list[float]:
    return [_first_line() for _ in range(count)]


def _first_line() -> float:
    """Milliseconds until mgpu_queue has printed its first line."""
    begin = time.perf_counter()
    with subprocess.Popen([rig.BIN / "mgpu_queue"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        took = (time.perf_counter() - begin) * 1e3
        process.stdout.read()
    return took


def _peak(form: str) -> float:
    """The most MiB that mgpu_queue had in memory at once."""
    argv = [str(rig.BIN / "mgpu_queue"), *form.split()]
    null = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=null)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{argv}: status {status}")
    return usage.ru_maxrss / 1024
