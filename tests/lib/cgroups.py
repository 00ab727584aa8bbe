"""The cgroups of test daemons: where the v2 tree is, what is left in it, and its removal."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest

#: The group that a daemon keeps for its supervisors; it stays.
SUPERVISORS = "supervisors"


def v2_root() -> Path | None:
    """The mount point of cgroup v2, also on machines that have it beside v1."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split()[0] == "cgroup2":
            return Path(fields.split()[4])
    return None


def hidden() -> list[str]:
    """A prefix that runs a command where no v2 tree is mounted, as in many containers."""
    return mounted("umount -a -l -t cgroup2")


def mounted(script: str) -> list[str]:
    """A prefix that runs a command among mounts that ``script`` has changed for it alone."""
    command = ["unshare", "--mount", "--propagation", "private"]
    return [*command, "sh", "-c", f'{script}; exec "$@"', "sh"]


def old_root(controller: str) -> Path:
    """The mount point of a controller of version 1; skips where there is none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup ") and kind.endswith(controller):
            return Path(fields.split()[4])
    raise SkipTest(f"no {controller} controller of cgroup version 1")


def groups_of(name: str) -> list[Path]:
    """The groups below ``name``, the deepest first; empty where there is no v2 tree."""
    root = v2_root()
    if root is None:
        return []
    # os.walk passes over groups that are removed meanwhile.
    found = os.walk(root / name)
    groups = sorted(
        (Path(path, group) for path, below, _ in found for group in below), reverse=True
    )
    return [group for group in groups if group.name != SUPERVISORS]


def beside(name: str, group: str) -> Path:
    """A group that is none of a job's, below ``name``, to be removed with it."""
    root = v2_root()
    assert root is not None
    made = root / name / group
    made.mkdir()
    return made


def remove(name: str) -> None:
    """Kill what is in the groups of ``name`` and remove them."""
    root = v2_root()
    last = [root / name / SUPERVISORS, root / name] if root else []
    for group in [*groups_of(name), *last]:
        try:
            (group / "cgroup.kill").write_text("1")
            group.rmdir()
        except OSError:
            continue
