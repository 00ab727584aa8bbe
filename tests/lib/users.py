"""Throw-away Unix users, made inside the box (tests/lib/nsbox) and gone with it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lib import box

ADMIN_GROUP = "mgpu-admin"
SERVICE_USER = "mgpu"
NOTIFY_USER = "mgpu-notify"


@dataclass(frozen=True, slots=True)
class User:
    """A Unix account to run things as."""

    name: str
    uid: int
    gid: int
    home: Path

    def environment(self, path: str = "/usr/local/bin:/usr/bin:/bin") -> dict[str, str]:
        """What a login shell of this user would hold."""
        return {
            "HOME": str(self.home),
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": "/bin/bash",
            "PATH": path,
            "LANG": "C.UTF-8",
        }


ROOT = User("root", 0, 0, Path("/root"))


def find(name: str) -> User:
    """The account ``name``, which must exist."""
    entry = pwd.getpwnam(name)
    return User(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def make(name: str, *options: str) -> User:
    """Create the user ``name`` with a home of mode 0700; ``options`` go to useradd.

    An account of that name that the machine has is hidden: the box has its own copy of /etc.
    """
    assert box.inside(), "users are made in tests/lib/nsbox only"
    if name in {entry.pw_name for entry in pwd.getpwall()}:
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)
    subprocess.run(
        ["useradd", "--create-home", "--shell", "/bin/bash", *options, name],
        check=True,
        capture_output=True,
    )
    user = find(name)
    user.home.chmod(0o700)
    return user


def make_service_account() -> None:
    """The daemon's own users and the administrators' group."""
    subprocess.run(["groupadd", "--system", "--force", ADMIN_GROUP], check=True)
    options = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    for name in {SERVICE_USER, NOTIFY_USER} - {entry.pw_name for entry in pwd.getpwall()}:
        subprocess.run(["useradd", "--system", "--user-group", *options, name], check=True)


def as_user(user: User, argv: Sequence[str]) -> list[str]:
    """``argv`` run with the user's ids and groups (and root's nothing)."""
    if user.uid == os.getuid():
        return list(argv)
    ids = [f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups"]
    return ["setpriv", *ids, "--inh-caps=-all", "--", *argv]


def run_as(
    user: User,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    timeout: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` as ``user`` in its home with a login's environment; output is captured."""
    return subprocess.run(
        as_user(user, argv),
        env={**user.environment(), **(env or {})},
        cwd=cwd or (user.home if user.uid else Path("/")),
        input=stdin.decode(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
