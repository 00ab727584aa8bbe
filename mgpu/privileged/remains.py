"""What an attempt leaves behind: its cgroup and its script, removed once nothing lives in it."""

from __future__ import annotations

import fcntl
import os

from mgpu.privileged import identity, log, script
from mgpu.privileged.loop import CHANGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mgpu.privileged.cgroup import Group
    from mgpu.privileged.loop import Loop
    from mgpu.privileged.site import Site


class Remains:
    """Kills, watches and clears attempts whose supervisor has ended, or is not our child."""

    __slots__ = ("_gone", "_loop", "_site", "_watched")

    def __init__(self, loop: Loop, site: Site, gone: Callable[[str], None]) -> None:
        self._loop = loop
        self._site = site
        self._gone = gone
        self._watched: dict[str, Group] = {}

    def clear(self, name: str, *, kill: bool) -> bool:
        """Remove what is left of the attempt ``name``; True if nothing is.

        Else it is killed, if ``kill``, and ``gone(name)`` is called when it is over.
        """
        groups = self._site.groups
        if name in self._watched:
            if kill:
                self._watched[name].kill()
            return False
        if groups is not None and not groups.remove(name):
            group = groups.find(name)
            if group is not None:
                return self._watch(name, group, kill=kill)
        self._forget(name)
        return True

    def _forget(self, name: str) -> None:
        script.remove(self._site.scripts, name)
        if self._site.fence is not None:
            self._site.fence.remove(name)

    def _watch(self, name: str, group: Group, *, kill: bool) -> bool:
        if kill and group.populated():
            log.info("Killing what is left of an attempt", "attempt-kill", attempt=name)
            group.kill()
        self._watched[name] = group
        self._loop.on(group.fileno(), lambda _events: self._changed(name), CHANGED)
        return self._cleared(name)

    def _changed(self, name: str) -> None:
        if self._cleared(name):
            self._gone(name)

    def _cleared(self, name: str) -> bool:
        """Whether the watched group of ``name`` is empty; if so, it is removed."""
        group = self._watched[name]
        if group.populated():
            return False
        self._loop.off(group.fileno())
        group.close()
        del self._watched[name]
        groups = self._site.groups
        if groups is not None and not groups.remove(name):
            log.warning("Cannot remove a cgroup", "cgroup-left", attempt=name)
        self._forget(name)
        return True

    def sweep(self) -> None:
        """At start-up: clear what earlier launchers left, and watch what lives on."""
        groups = self._site.groups
        for name in groups.names() if groups else []:
            self.clear(name, kill=False)
        if self._site.fence is not None:
            self._site.fence.sweep()
        for name in os.listdir(self._site.scripts):
            if name not in self._watched and not self._supervised(name):
                script.remove(self._site.scripts, name)

    def _supervised(self, name: str) -> bool:
        """Whether a supervisor holds the attempt's lock."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with identity.FilesAs(self._site.uid, self._site.gid):
                fd = os.open(os.path.join(name, "lock"), flags, dir_fd=self._site.attempts)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False
