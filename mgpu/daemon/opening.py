"""Opening the state at the start, and what happens when it cannot be read."""

from __future__ import annotations

import sys
from typing import NamedTuple

from mgpu.model.time import Now
from mgpu.store import files
from mgpu.store.base import Store, StoreCorrupt, StoreError
from mgpu.store.memory import MemoryStore
from mgpu.store.sqlite import open_store
from mgpu.system.log import log

#: Exit status that tells the launcher that starting again would not help (sysexits.h, EX_CONFIG).
UNUSABLE = 78


class Opened(NamedTuple):
    """The store, and why the scheduler is in recovery mode ("" in normal operation)."""

    store: Store
    recovery: str


def open_state(state_dir: str, now: Now) -> Opened:
    """The store in ``state_dir``; an empty one in recovery mode when it cannot be read.

    Any other fault (written by a later mgpu, not writable, used by another process) ends the
    process: nothing is changed, and running jobs go on.
    """
    try:
        return Opened(open_store(state_dir, now.wall), "")
    except StoreCorrupt as error:
        why = f"{error} (copied to {_put_aside(state_dir, now)})"
        log.error("the state cannot be read: recovery mode", action="recovery-mode", error=why)
        return Opened(MemoryStore(), why)
    except StoreError as error:
        hint = f"; {error.hint}" if error.hint else ""
        state = f"{state_dir}/{files.DATABASE}"
        log.error(f"the state {state} cannot be used: {error}{hint}", action="state-unusable")
        sys.exit(UNUSABLE)


def _put_aside(state_dir: str, now: Now) -> str:
    """Copy the unreadable state to dated names; the originals stay as they are."""
    try:
        return ", ".join(map(str, files.copy_aside(state_dir, now.wall)))
    except StoreError as error:
        return f"nowhere: {error}"
