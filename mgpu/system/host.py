"""How many CPUs and how much memory this machine has for jobs."""

from __future__ import annotations

import os


def cpus() -> int:
    """The CPUs that this process may use, which are those that jobs may use."""
    return len(os.sched_getaffinity(0))


def memory() -> int:
    """The machine's memory in MiB; 0 where the kernel does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemTotal"].split()[0]) >> 10
    except (OSError, KeyError, ValueError):
        return 0
