"""A daemon that sends notices: how it is configured, and the process that sends them."""

from __future__ import annotations

from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.receivers import MailServer

LOOPBACK = ["127.0.0.1"]


def notices(mail: MailServer | None = None, **changes: object) -> dict[str, dict[str, object]]:
    """A configuration that sends, also to this machine."""
    given: dict[str, object] = {"enabled": True, "allow_hosts": LOOPBACK, "timeout": 2, **changes}
    if mail is not None:
        given |= {"smtp_host": "127.0.0.1", "smtp_port": mail.port}
    return {"notices": given}


def helper(daemon: Daemon) -> processes.Process | None:
    """The notifier of this daemon."""
    found = [p for p in processes.running().values() if p.parent == daemon.pid]
    return next((p for p in found if "mgpu.notify.main" in p.command), None)
