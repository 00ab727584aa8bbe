"""What this machine has, for a configuration that is to fit it."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mgpu.config.problems import Problem
from mgpu.config.trust import changeable
from mgpu.model.address import split_url
from mgpu.model.hosts import is_public, problem_of
from mgpu.model.units import quoted

#: Settings that list users, and groups behind ``@``.
PEOPLE = (
    *("access.submit", "access.deny", "access.raise_priority"),
    *("access.reserve", "access.see_all"),
)


class Card(NamedTuple):
    """An NVIDIA GPU of this machine, as the kernel's driver tells of it."""

    place: str
    name: str


def cards(root: Path = Path("/")) -> list[Card]:
    """The GPUs that NVIDIA's driver has found; none is asked anything."""
    found = []
    for folder in sorted((root / "proc/driver/nvidia/gpus").glob("*")):
        model = re.search(r"(?m)^Model:\s*(.+)$", _read(folder / "information"))
        found.append(Card(folder.name, model[1].strip() if model else "a GPU"))
    return found


def smallest_uid(root: Path = Path("/")) -> int:
    """The first number of people's accounts, as login.defs(5) says."""
    found = re.findall(r"(?m)^\s*UID_MIN\s+(\d{1,9})", _read(root / "etc/login.defs"))
    return int(found[-1]) if found else 1000


def remarks(settings: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[Problem]:
    """What the settings name and the machine does not have, with what to do about it."""
    user = settings["access.service_user"]
    if not _has(pwd.getpwnam, user):
        make = f"useradd --system --user-group --shell /usr/sbin/nologin {user}"
        yield _remark("access.service_user", origins, f"there is no user {user}", make)
    yield from _of_mail(settings, origins)
    yield from _of_files(settings, origins)
    helpers = helper_account(settings, origins)
    if isinstance(helpers, Problem):
        yield helpers
    for key in ("access.group", "access.admin_group"):
        group = settings[key]
        if group and not _has(grp.getgrnam, group):
            yield _remark(key, origins, f"there is no group {group}", f"groupadd {group}")
    for key in PEOPLE:
        for name in settings[key]:
            yield from _of_member(key, origins, name)
    if settings["gpus.backend"] == "simulated" and not settings["gpus.simulated"]:
        hint = "list some below [[gpus.simulated]]; mgpud init does it"
        yield _remark("gpus.simulated", origins, "there are no GPUs", hint)


def helper_account(
    settings: Mapping[str, Any], origins: Mapping[str, str]
) -> tuple[int, int] | Problem | None:
    """uid and gid that notices and metrics run as, or why not; None where nothing is to run."""
    if not (settings["notices.enabled"] or settings["metrics.listen"]):
        return None
    name, service = settings["access.notify_user"], settings["access.service_user"]
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        make = f"useradd --system --user-group --shell /usr/sbin/nologin {name}"
        return _remark("access.notify_user", origins, f"there is no user {name}", make)
    if found.pw_uid == 0 or name == service:
        hint = "name another system user, which does nothing else"
        return _remark("access.notify_user", origins, f"{name} runs other parts of mgpu", hint)
    return found.pw_uid, found.pw_gid


def webhooks(settings: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[Problem]:
    """Webhooks whose notices would be refused, and those of which that is not known."""
    for hook in settings["notices.webhooks"]:
        if (found := _of_webhook(hook["url"], settings["notices.allow_hosts"])) is not None:
            text, hint = found
            yield _remark("notices.webhooks", origins, f"{quoted(hook['name'])}: {text}", hint)


def _of_mail(settings: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[Problem]:
    """A password that everybody on the way could read."""
    host, security = settings["notices.smtp_host"], settings["notices.smtp_security"]
    away = host and host != "localhost" and not host.startswith(("127.", "::1"))
    if away and settings["notices.smtp_user"] and security == "none":
        text = f"the password is sent to {host} for everybody on the way to read"
        yield _remark("notices.smtp_security", origins, text, 'write "starttls" or "tls"')


def _of_files(settings: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[Problem]:
    """Files that notices need: of secrets, which root alone may read, and of certificates."""
    for key in ("notices.smtp_password", "notices.webhooks"):
        for path in dict.fromkeys(_secrets(settings[key])):
            if found := _of_secret(path):
                yield _remark(key, origins, *found)
    path = settings["notices.ca_file"]
    if path and not os.path.isfile(path):
        yield _remark("notices.ca_file", origins, f"there is no file {path}", "put it there")


def _secrets(value: object) -> Iterator[str]:
    """The paths behind each ``@``."""
    if isinstance(value, str) and value.startswith("@/"):
        yield value[1:]
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets(one)


def _of_secret(path: str) -> tuple[str, str] | tuple[()]:
    """Why mgpud will not take a secret from there, and what to do; nothing where it will."""
    try:
        mode, weak = os.lstat(path).st_mode, changeable(path)
    except PermissionError:
        return ()
    except OSError:
        return f"there is no file {path}", "mgpud will not start without"
    if not stat.S_ISREG(mode) or mode & 0o077:
        return f"{path} must be a file that root alone can read", f"chmod 600 {path}"
    return (f"others than root can change {weak[0]}", f"chown root {weak[0]}") if weak else ()


def _of_webhook(url: str, allowed: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with where it leads, or what was not looked at, and what to do."""
    if url.startswith("@"):
        return "its URL is in a file, which was not looked at", "mind notices.allow_hosts"
    host = split_url(url).host
    if host in allowed:
        return None
    allow = f'add "{host}" to notices.allow_hosts'
    if problem_of(host, allowed):
        return f"{host} is no host of the open Internet: its notices will be refused", allow
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):  # the latter for labels that are empty or too long
        text = f"whether {host} has a public address was not checked: its name is not known here"
        return text, f"if it has none, {allow}"
    if any(map(is_public, found)):
        return None
    text = f"{host} has no public address ({', '.join(sorted(found))})"
    return f"{text}: its notices will be refused", allow


def _of_member(key: str, origins: Mapping[str, str], name: str) -> Iterator[Problem]:
    """A user, or a group behind ``@``, who is not there."""
    if name.startswith("@") and not _has(grp.getgrnam, name[1:]):
        yield _remark(key, origins, f"there is no group {name[1:]}", f"groupadd {name[1:]}")
    elif not name.startswith("@") and not _has(pwd.getpwnam, name):
        hint = f"write @{name} for a group" if _has(grp.getgrnam, name) else "mind the spelling"
        yield _remark(key, origins, f"there is no user {name}", hint)


def _remark(key: str, origins: Mapping[str, str], text: str, hint: str) -> Problem:
    kind, _, place = origins.get(key, "").partition(" ")
    source, _, line = place.rpartition(":")
    if kind == "file" and line.isdecimal():
        return Problem(source, int(line), key, text, hint)
    return Problem(place or "default", 0, key, text, hint)


def _has(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
