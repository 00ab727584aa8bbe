"""Which connections wait until something has happened: they show the queue as it is."""

from __future__ import annotations

from mgpu.daemon.connection import Connection


class News:
    """Connections that have seen all that there is, until there is more."""

    def __init__(self) -> None:
        self._waiting: dict[Connection, None] = {}
        self._told = 0

    def add(self, conn: Connection) -> None:
        """``conn`` waits for more."""
        self._waiting[conn] = None

    def forget(self, conn: Connection) -> None:
        """``conn`` waits no more."""
        self._waiting.pop(conn, None)

    def concerned(self, version: int) -> list[Connection]:
        """Those that waited, if ``version`` is a new one."""
        if version == self._told:
            return []
        self._told = version
        waiting, self._waiting = self._waiting, {}
        return list(waiting)
