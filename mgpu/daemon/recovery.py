"""What a scheduler does before its first turn: match the stored jobs with what it finds.

Each stored job that held GPUs is looked for: a supervisor that lives is adopted, one that is dead
left a record or is lost, one that never came to be is given up by claiming its folder. After
a reboot nothing runs any more, whatever the folders say.
"""

from __future__ import annotations

from collections.abc import Collection

from mgpu.core import requests
from mgpu.core.world import World
from mgpu.daemon.attemptdir import AttemptDirs, Key
from mgpu.daemon.attempts import Attempts
from mgpu.daemon.endings import report_of
from mgpu.daemon.engine import Engine
from mgpu.model.job import Job, Pending, Starting
from mgpu.model.time import Now
from mgpu.system.log import log


class Recovery:
    """Runs once, when the launcher has said which supervisors it knows."""

    def __init__(self, engine: Engine, dirs: AttemptDirs, attempts: Attempts, boot_id: str) -> None:
        self._engine = engine
        self._dirs = dirs
        self._attempts = attempts
        self._boot_id = boot_id

    def run(self, children: Collection[Key], now: Now) -> None:
        """Adopt, report or give up every attempt; ``children``: the launcher's supervisors."""
        held = _held(self._engine.world)
        for key in self._dirs.keys_found():
            if key not in held:
                self._unknown(key, now, child=key in children)
        for key, job in held.items():
            self._known(key, job, now, child=key in children)
        if held:
            log.info("recovered", action="recovered", attempts=len(held))

    def _known(self, key: Key, job: Job, now: Now, *, child: bool) -> None:
        """An attempt that the state knows as under way."""
        if self._stale(key):
            record = self._dirs.record(key)
            lost = requests.Rebooted(*key)
            self._attempts.settled(key, report_of(key, record) if record else lost)
        elif isinstance(job.phase, Starting) and self._dirs.claim(key):
            self._engine.report(requests.AttemptVanished(*key))
        else:
            self._attempts.adopt(key, now, ran=job.begun is not None, child=child)

    def _unknown(self, key: Key, now: Now, *, child: bool) -> None:
        """A folder that no job needs: its end is stored already, or its start never was.

        A folder that is the fence of a supervisor on its way stays until that is gone.
        """
        if not self._stale(key) and self._dirs.alive(key):
            log.warning("supervisor of an attempt that is over", action="adopted-over", job=key[0])
            self._attempts.adopt(key, now, ran=True, child=child)
        elif not child:
            self._dirs.remove(key)

    def _stale(self, key: Key) -> bool:
        """Whether the attempt belongs to an earlier boot of the machine."""
        if self._engine.rebooted:
            return True
        identity = self._dirs.identity(key)
        return identity is not None and identity.get("boot_id") != self._boot_id


def _held(world: World) -> dict[Key, Job]:
    """The jobs that hold GPUs, by their current attempt."""
    return {
        (job.id, job.attempt): job
        for job in world.jobs.values()
        if not isinstance(job.phase, Pending)
    }
