"""The settings of the table ``[access]``, and their kinds."""

from __future__ import annotations

from typing import Final

from mgpu.config.compound import NAMES, PEOPLE, Member, Tables
from mgpu.config.kinds import PROJECT, Duration, Flag, Integer, Text
from mgpu.config.setting import Setting

_GROUP: Final = Text("the name of a group", r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_DEFAULTS: Final = Tables(
    "a list of tables with group and any of time_limit, priority, qos and project",
    {
        "group": Member(_GROUP, example='"students"'),
        "time_limit": Member(Duration()),
        "priority": Member(Integer(-1000, 1000)),
        "qos": Member(Text("the name of a class", r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")),
        "project": Member(PROJECT),
    },
)

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
        PEOPLE,
        [],
        "Who may submit jobs. Empty: everybody who can connect.",
    ),
    Setting(
        "access.deny",
        PEOPLE,
        [],
        "Who may not, whatever else is said. Their jobs that wait are not started.",
    ),
    Setting(
        "access.raise_priority",
        PEOPLE,
        [],
        "Who may give their jobs a priority above `scheduling.max_user_priority`.",
    ),
    Setting(
        "access.reserve",
        PEOPLE,
        [],
        "Who may reserve GPUs, and take their own reservations back, besides administrators. "
        "`--preempt` stays theirs.",
    ),
    Setting(
        "access.see_all",
        PEOPLE,
        [],
        "Who sees of all jobs what otherwise only owners and administrators see.",
    ),
    Setting(
        "access.defaults",
        _DEFAULTS,
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
        NAMES,
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
