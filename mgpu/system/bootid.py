"""Which boot of the machine this is: a process is (pid, start time, boot id)."""

from __future__ import annotations


def boot_id() -> str:
    """The kernel's random id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
