"""``mgpud hold-jobs``: the process that keeps the control group of ``mgpu-jobs.service`` in being.

systemd removes the group of a unit in which no process is left. This one stays in a group of its
own beside those of the jobs and does nothing.
"""

from __future__ import annotations

import os
import signal
import sys

from mgpu.privileged import cgroup, log, startup
from mgpu.privileged.systemd import Manager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_GROUP = "keeper"
#: What ps and killall call it: not the name of a program that somebody ends by its name.
_NAME = "mgpu-jobs"


def main(settings_fd: int) -> NoReturn:
    """Make way for the groups of jobs, say so, and wait for a signal that ends it."""
    settings = startup.read_settings(settings_fd)
    manager = Manager(os.environ)
    try:
        cgroup.open_groups(settings.cgroup).beside(_GROUP).enter()
    except OSError as error:  # the launcher says what follows from that
        log.warning("There is no control group to hold", "hold-jobs", reason=error)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(_NAME)
    manager.tell("READY=1")
    signal.pause()
    sys.exit(0)
