"""The settings of the table ``[access]``, and their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mgpu.config.kinds import (
    Duration,
    Flag,
    Integer,
    Kind,
    Names,
    Projects,
    Text,
    listed,
    shown,
    toml_value,
)
from mgpu.config.setting import Setting
from mgpu.model.units import quoted

_GROUP: Final = Text("the name of a group", r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_MEMBER: Final = Text("a user, or a group behind @", r"@?[A-Za-z_][A-Za-z0-9_.-]{0,31}")


class People:
    """A list of users, and of groups behind ``@``."""

    shape = 'a list of users, and groups behind @, such as ["ada", "@lab"]'

    def parse(self, value: object) -> list[str]:
        """The list."""
        if type(value) is not list:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return [_MEMBER.parse(member) for member in value]

    def from_text(self, text: str) -> list[str]:
        """Those of ``ada,@lab``."""
        return self.parse(listed(text))


class Defaults:
    """What jobs of a group's members get that they do not say themselves."""

    shape = "a list of tables with group and any of time_limit, priority, qos and project"
    _MEMBERS: Final[Mapping[str, Kind]] = {
        "group": _GROUP,
        "time_limit": Duration(),
        "priority": Integer(-1000, 1000),
        "qos": Text("the name of a class", r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}"),
        "project": Projects.NAME,
    }

    def parse(self, value: object) -> list[dict[str, Any]]:
        """The list; what is not given is left out."""
        if type(value) is not list:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return [self._table(number, one) for number, one in enumerate(value)]

    def from_text(self, text: str) -> list[dict[str, Any]]:
        """The list that ``text`` spells, as TOML writes it on one line."""
        return self.parse(toml_value(text))

    def _table(self, number: int, value: object) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError(f"[{number}]: expected a table, got {shown(value)}")
        unknown = sorted(set(value) - set(self._MEMBERS))
        if unknown:
            known = ", ".join(self._MEMBERS)
            raise ValueError(f"[{number}]: unknown key {quoted(unknown[0])}; there are {known}")
        if "group" not in value:
            raise ValueError(f'[{number}]: group is missing; write group = "students"')
        return {key: self._member(number, key, value[key]) for key in self._MEMBERS if key in value}

    def _member(self, number: int, key: str, value: object) -> Any:
        try:
            return self._MEMBERS[key].parse(value)
        except ValueError as error:
            raise ValueError(f"[{number}].{key}: {error}") from error


ACCESS: Final = (
    Setting(
        "access.group",
        Text('the name of a group, or ""', r"([A-Za-z_][A-Za-z0-9_.-]{0,31})?"),
        "",
        "Only members of this group can connect. Empty: everybody can.",
        restart=True,
    ),
    Setting(
        "access.submit",
        People(),
        [],
        "Who may submit jobs. Empty: everybody who can connect.",
    ),
    Setting(
        "access.deny",
        People(),
        [],
        "Who may not, whatever else is said. Their jobs that wait are not started.",
    ),
    Setting(
        "access.raise_priority",
        People(),
        [],
        "Who may give their jobs a priority above `scheduling.max_user_priority`.",
    ),
    Setting(
        "access.reserve",
        People(),
        [],
        "Who may reserve GPUs, and take their own reservations back, besides administrators. "
        "`--preempt` stays theirs.",
    ),
    Setting(
        "access.see_all",
        People(),
        [],
        "Who sees of all jobs what otherwise only owners and administrators see.",
    ),
    Setting(
        "access.defaults",
        Defaults(),
        [],
        "What jobs get that do not say it themselves: of the first table with a group of theirs.",
    ),
    Setting(
        "access.admin_group",
        _GROUP,
        "mgpu-admin",
        "Members may change other people's jobs.",
        restart=True,
    ),
    Setting(
        "access.admin_groups",
        Names(),
        [],
        "Further groups whose members may.",
        restart=True,
    ),
    Setting(
        "access.notify_user",
        Text("the name of a user", r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"),
        "mgpu-notify",
        "The system user that sends notices and serves metrics. It owns nothing.",
        restart=True,
    ),
    Setting(
        "access.service_user",
        Text("the name of a user", r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"),
        "mgpu",
        "The system user that decides and keeps the queue. It needs no right of any kind.",
        restart=True,
    ),
    Setting(
        "access.min_uid",
        Integer(1),
        1000,
        "Accounts with a smaller number may not run jobs.",
    ),
    Setting("access.allow_root", Flag(), default=False, help="Whether root may run jobs."),
)
