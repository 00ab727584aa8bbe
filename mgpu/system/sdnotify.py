"""Tells the service manager how we are (sd_notify(3)); does nothing where there is none."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def notify(env: Mapping[str, str], *assignments: str) -> bool:
    """Send lines such as ``READY=1``. False where nobody listens."""
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto("\n".join(assignments).encode(), name)
    except OSError:
        return False
    return True


def watchdog_interval(env: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two ``WATCHDOG=1`` that this process owes, or None."""
    micros = env.get("WATCHDOG_USEC", "")
    if not micros.isdecimal() or env.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(micros) / 2e6
