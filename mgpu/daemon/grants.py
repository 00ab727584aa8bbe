"""Which roles the configuration gives to whom, as numbers: no name service is asked meanwhile."""

from __future__ import annotations

import grp
import pwd
import socket
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mgpu.core.access import RESERVER, VIEWER
from mgpu.system import peer
from mgpu.system.log import log

#: role -> the setting that lists who has it.
SETTINGS = {RESERVER: "access.reserve", VIEWER: "access.see_all"}


class _Numbers(NamedTuple):
    uids: frozenset[int]
    gids: frozenset[int]


class Grants:
    """Whose connections have which roles; made anew when the configuration is read.

    ``users`` are the groups that may use the users' socket; None: everybody may.
    """

    def __init__(
        self,
        admins: frozenset[int],
        granted: Mapping[str, _Numbers],
        users: frozenset[int] | None = None,
    ) -> None:
        self._admins = admins
        self._granted = granted
        self._users = users

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Grants:
        """As configured; a name that this machine does not know is in the log, and nobody's."""
        groups = [settings["access.admin_group"], *settings["access.admin_groups"]]
        named = {role: settings[key] for role, key in SETTINGS.items() if settings[key]}
        return cls(
            frozenset(_gids(groups)),
            {role: _numbers(people) for role, people in named.items()},
            frozenset(_gids([group])) if (group := settings["access.group"]) else None,
        )

    def admits(self, uid: int, client: socket.socket, *, admin: bool) -> bool:
        """Whether the peer may use the socket it is at. Raises OSError.

        The socket's mode says so too, but where systemd has made it, that is not of this file.
        """
        groups = self._admins if admin else self._users
        return uid == 0 or groups is None or not groups.isdisjoint(peer.groups(client))

    def roles(self, uid: int, client: socket.socket) -> frozenset[str]:
        """The roles of the peer. Raises OSError."""
        if not self._granted:
            return frozenset()
        gids = peer.groups(client)
        return frozenset(
            role
            for role, who in self._granted.items()
            if uid in who.uids or not who.gids.isdisjoint(gids)
        )


def _numbers(people: Iterable[str]) -> _Numbers:
    names = list(people)
    users = [name for name in names if not name.startswith("@")]
    return _Numbers(
        frozenset(_uids(users)),
        frozenset(_gids(name[1:] for name in names if name.startswith("@"))),
    )


def _uids(names: Iterable[str]) -> Iterable[int]:
    for name in names:
        try:
            yield pwd.getpwnam(name).pw_uid
        except KeyError:
            log.warning("The configuration names a user that is unknown", "user-unknown", user=name)


def _gids(names: Iterable[str]) -> Iterable[int]:
    for name in names:
        try:
            yield grp.getgrnam(name).gr_gid
        except KeyError:
            log.warning("There is no such group", "group-unknown", group=name)
