"""What is looked at on a machine, and what each thing found means. Nothing is changed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from mgpu.config import machine
from mgpu.config.problems import Problem
from mgpu.config.trust import changeable

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "FAIL"

_ISOLATION: Final = {
    "variables": (WARN, "environment variables alone name a job's GPUs"),
    "detect": (OK, "jobs that use other GPUs are found out, and not hindered"),
    "enforce": (OK, "the kernel lets a job open the nodes of its own GPUs alone"),
}
_STRONGER: Final = 'gpus.isolation = "enforce" has the kernel keep jobs to their GPUs'
_CLOSE: Final = "set NVreg_DeviceFileMode=0660 and NVreg_DeviceFileGID of the nvidia module"
_BY: Final = {"cgroup-v2": "cgroup version 2", "cgroup-v1": "cgroup version 1 (devices)"}
_TRACKING: Final = {
    "cgroup-v2": (OK, "followed by cgroup version 2: nothing of a job is missed"),
    "cgroup-v1": (WARN, "followed by the subreaper flag, on GPUs by cgroup version 1"),
    "subreaper": (WARN, "followed by the subreaper flag alone: no cgroup can be written"),
}
_MOUNT_V2: Final = "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 (writable)"
_HIDDEN: Final = (
    "it does not show mgpu the processes of others (hidepid): whose those on GPUs are is unknown,"
    " none is killed as an outsider, and jobs that catch signals are not warned"
)
_SHOW: Final = (
    "mount -o remount,gid=$(id -g mgpu) /proc, and gid= beside hidepid= in /etc/fstab"
    " (mgpu: access.service_user)"
)
_LOGIND: Final = ("/etc/systemd/logind.conf", "/etc/systemd/logind.conf.d")


class Finding(NamedTuple):
    """One thing that was looked at; ``remedy`` is empty where all is well."""

    level: str
    what: str
    text: str
    remedy: str = ""


def of_daemon(info: Mapping[str, Any]) -> Iterator[Finding]:
    """What the daemon says of itself and its GPUs; the body of an ``info`` answer."""
    yield Finding(OK, "daemon", f"version {info['version']} answers")
    yield _of_backend(info)
    for gpu in info["gpus"]:
        name = f"gpu{gpu['index']}"
        if gpu["available"]:
            yield Finding(OK, name, gpu["name"])
        else:
            yield Finding(WARN, name, gpu["note"], "mgpu_ctl show-gpus tells more")
    yield _of_isolation(info)
    yield from _of_tracking(info)


def _of_isolation(info: Mapping[str, Any]) -> Finding:
    """The level that holds, which is not always the one that is configured."""
    name = info["isolation"]
    if name == "detect" and info.get("hidden"):
        text = "detect is configured, and nothing can be found out: see /proc below"
        return Finding(WARN, "isolation", f"variables: {text}", _SHOW)
    level, text = _ISOLATION.get(name, (WARN, "not known"))
    by = _BY.get(info.get("fenced_by", ""))
    means = f", by {by}" if by else ""
    return Finding(level, "isolation", f"{name}: {text}{means}", _STRONGER * (level == WARN))


def _of_tracking(info: Mapping[str, Any]) -> Iterator[Finding]:
    """What tells whose a process is. Daemons of before do not say."""
    if "tracking" in info:
        level, text = _TRACKING.get(info["tracking"], (WARN, "in a way that is not known here"))
        yield Finding(level, "processes", f"jobs are {text}", _MOUNT_V2 * (level == WARN))
    if info.get("hidden"):
        yield Finding(WARN, "/proc", _HIDDEN, _SHOW)


def _of_backend(info: Mapping[str, Any]) -> Finding:
    if info["backend"] == "simulated":
        remedy = 'gpus.backend = "nvml" uses those of NVIDIA\'s driver'
        return Finding(WARN, "GPUs", "they are simulated: jobs get no real one", remedy)
    if not info["gpus"]:
        remedy = "see whether nvidia-smi finds any, and ldconfig -p libnvidia-ml.so.1"
        return Finding(FAIL, "GPUs", "none was found", remedy)
    driver = info.get("driver") or "of an unknown version"
    return Finding(OK, "GPUs", f"{len(info['gpus'])}, driver {driver}")


def of_helpers(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether there is the user that sends notices and serves metrics, where they are wanted."""
    found = machine.helper_account(settings, {})
    what = f"user {settings['access.notify_user']}"
    if isinstance(found, Problem):
        yield Finding(FAIL, what, f"{found.message}: mgpud does not start", found.hint)
    elif found is not None:
        yield Finding(OK, what, "sends notices and serves metrics")


def of_nodes(folder: Path = Path("/dev")) -> Iterator[Finding]:
    """Who may open the GPUs without mgpu."""
    for node in sorted(folder.glob("nvidia[0-9]*")):
        mode = stat.S_IMODE(node.stat().st_mode)
        if mode & 0o006:
            text = f"mode {mode:04o}: every user can use the GPU without mgpu"
            yield Finding(WARN, str(node), text, _CLOSE)
        else:
            yield Finding(OK, str(node), f"mode {mode:04o}")


def of_cgroups(mountinfo: str) -> Finding:
    """Whether all processes of a job can be found and killed at once."""
    kinds = re.findall(r" - (cgroup2?) ", mountinfo)
    if "cgroup2" in kinds:
        return Finding(OK, "cgroups", "version 2 is mounted: nothing of a job is missed")
    text = "version 2 is not mounted: jobs are followed by the subreaper flag alone"
    return Finding(WARN, "cgroups", text, _MOUNT_V2)


def of_logind(root: Path = Path("/")) -> Finding:
    """Whether a logout takes shared memory from jobs (logind.conf(5), RemoveIPC)."""
    if not (root / "run/systemd/system").is_dir():
        return Finding(OK, "RemoveIPC", "systemd does not run")
    main, drop_ins = (root / name.lstrip("/") for name in _LOGIND)
    value = "yes"
    for file in (main, *sorted(drop_ins.glob("*.conf"))):
        if file.is_file():
            found = re.findall(r"(?m)^\s*RemoveIPC\s*=\s*(\w+)", file.read_text(errors="replace"))
            value = found[-1] if found else value
    if value.lower() in ("no", "false", "off", "0"):
        return Finding(OK, "RemoveIPC", "no")
    text = "yes: at a user's last logout the shared memory of their jobs is removed"
    return Finding(WARN, "RemoveIPC", text, "set RemoveIPC=no in /etc/systemd/logind.conf")


def of_accounts(root: Path = Path("/")) -> Finding:
    """What decides whether an account may run jobs, and which limits these have."""
    text = "PAM is not asked: expiry, shell and [access] decide; limits are the submitting shell's"
    file = root / "etc/security/access.conf"
    rules = re.findall(r"(?m)^\s*[+-]\s*:", _text(file))
    if not rules:
        return Finding(OK, "accounts", text)
    remedy = "keep out by access.deny or access.submit whom it keeps out"
    return Finding(WARN, "accounts", f"{text}; {file} has rules, which do not hold here", remedy)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def of_paths(*paths: str) -> Iterator[Finding]:
    """Whether somebody else than root could change what root runs or believes."""
    for path in filter(os.path.exists, paths):
        if weak := changeable(path):
            text = f"others than root can change {weak[0]}"
            yield Finding(FAIL, path, text, _taken_back(weak[0]))
        else:
            yield Finding(OK, path, "only root can write it")


def _taken_back(path: str) -> str:
    link = os.path.islink(path)
    return f"chown -h root {path}" if link else f"chown root {path} && chmod go-w {path}"
