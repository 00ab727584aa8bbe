"""mgpu_srun --follow: print what a job writes until it is over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mgpu.cli.base import INTERRUPTED, complain
from mgpu.cli.job_log import Reader
from mgpu.cli.watch import pause
from mgpu.model.errors import MgpuError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mgpu.client import Client

#: Seconds between looks at what is new.
_OFTEN = 0.3


def follow(client: Client, job: int, wait: Callable[[Client, int], int]) -> int:
    """Print the job's log as it grows; the status of ``wait``, which is asked when it is over.

    A log that cannot be shown does not keep the job from its end, nor the caller from its code.
    """
    complain(f"job {job}; Ctrl-C stops looking and leaves it running", label="note")
    try:
        _copy(client, job)
    except MgpuError as error:
        if error.code != "Refused":
            raise
        complain(f"{error}; only its end is told", label="note")
    except KeyboardInterrupt:
        sys.stdout.flush()
        complain(f"job {job} goes on; come back with: mgpu_job log -f {job}", label="note")
        return INTERRUPTED
    return wait(client, job)


def _copy(client: Client, job: int) -> None:
    reader = Reader(client, job, None, error=False)
    while not reader.open() and not reader.over:
        pause(_OFTEN)
        reader.ask()
    if not reader.opened:
        return  # it never ran, or failed before there was a log: its end says why
    reader.copy()
    while not reader.over:
        pause(_OFTEN)
        reader.ask()  # before the copy, so that nothing is missed of one that is over
        reader.copy()
        reader.turn()
