"""Who a uid is now, and whether that account may run jobs. Read anew for every start.

Name services can hang (LDAP): these functions are called in a process that somebody waits for
with a deadline, never in the launcher's loop.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd

from mgpu.privileged.syscalls import libc

#: Groups whose names are told; an answer has to fit into one message.
_MAX_NAMED = 1000
_NO_LOGIN = frozenset({"nologin", "false"})


class Rules:
    """Which accounts may run jobs: the configuration's ``access.min_uid`` and ``allow_root``."""

    __slots__ = ("allow_root", "min_uid")

    def __init__(self, min_uid: int, *, allow_root: bool) -> None:
        self.min_uid = min_uid
        self.allow_root = allow_root

    def problem(self, uid: int) -> str:
        """Why no account with this uid may run jobs; empty if one may."""
        if uid == 0:
            return "" if self.allow_root else "root runs no jobs (access.allow_root)"
        return "" if uid >= self.min_uid else f"uid {uid} is below {self.min_uid} (access.min_uid)"


class Account:
    """One account as the machine knows it at this moment."""

    __slots__ = ("gid", "groups", "home", "name", "shell", "uid")

    def __init__(
        self, uid: int, gid: int, name: str, home: str, shell: str, groups: list[int]
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.name = name
        self.home = home
        self.shell = shell
        self.groups = groups


class _Spwd(ctypes.Structure):
    """``struct spwd`` of shadow.h."""

    _fields_ = (
        ("namp", ctypes.c_char_p),
        ("pwdp", ctypes.c_char_p),
        ("lstchg", ctypes.c_long),
        ("min", ctypes.c_long),
        ("max", ctypes.c_long),
        ("warn", ctypes.c_long),
        ("inact", ctypes.c_long),
        ("expire", ctypes.c_long),
        ("flag", ctypes.c_ulong),
    )


libc.getspnam.restype = ctypes.POINTER(_Spwd)
libc.getspnam.argtypes = [ctypes.c_char_p]


def lookup(uid: int) -> Account | None:
    """The account of ``uid`` with its groups of now; None when nobody has that uid."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    shell = entry.pw_shell or "/bin/sh"
    return Account(uid, entry.pw_gid, entry.pw_name, entry.pw_dir, shell, groups)


def problem(account: Account, rules: Rules, today: int) -> str:
    """Why the account may not run jobs; empty if it may. ``today`` counts days since 1970."""
    forbidden = rules.problem(account.uid)
    if forbidden:
        return forbidden
    if account.uid != 0 and account.gid == 0:
        return f"the primary group of {account.name} is root's (gid 0)"
    if account.shell.rpartition("/")[2] in _NO_LOGIN:
        return f"{account.name} may not log in (shell {account.shell})"
    return expiry(account.name, today)


def may_run_jobs(uid: int, rules: Rules) -> bool:
    """Whether ``uid`` is an account whose jobs are started, apart from its expiry."""
    account = lookup(uid)
    return account is not None and not problem(account, rules, today=0)


def expiry(name: str, today: int) -> str:
    """Why the account has expired, by shadow(5); empty if it has not or has no entry there."""
    found = libc.getspnam(os.fsencode(name))
    if not found:
        return ""
    entry = found.contents
    if 0 <= entry.expire <= today:  # an empty field is -1; day 0 is how chage -E 0 locks one out
        return f"the account {name} has expired"
    over = entry.lstchg + entry.max + entry.inact
    if entry.inact >= 0 and entry.max >= 0 and entry.lstchg > 0 and today > over:
        return f"the password of {name} has been expired for too long"
    return ""


def warm_up() -> None:
    """Load what the name services need, so that forked children need not."""
    lookup(0)
    expiry("root", 0)


def answer(uid: int, rules: Rules, today: int) -> dict[str, object]:
    """The launcher's answer to the scheduler's question who ``uid`` is."""
    account = lookup(uid)
    if account is None:
        return unknown(uid, f"uid {uid} has no account")
    return {
        "op": "account",
        "uid": uid,
        "user": account.name,
        "group_names": _group_names(account.groups),
        "problem": problem(account, rules, today),
    }


def unknown(uid: int, problem: str) -> dict[str, object]:
    """As :func:`answer`, where nobody is known to have the uid."""
    return {"op": "account", "uid": uid, "user": "", "problem": problem}


def _group_names(gids: list[int]) -> list[str]:
    """The names of these groups; one without a name is left out."""
    names = []
    for gid in gids[:_MAX_NAMED]:
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return names
