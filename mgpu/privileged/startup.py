"""Everything the launcher does once: settings, trust, folders, locks, sockets."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import signal
import socket
import sys

import msgpack

from mgpu.privileged import accounts, acl, cgroup, devices, identity, log, syscalls, systemd, trust
from mgpu.privileged.site import Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: Connections that wait to be accepted. Those of a flood are served in turn with everybody's, at a
#: bounded rate, so this many are waited for; further clients block in connect(2).
_BACKLOG = 128
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EXIT_CONFIG = 78
_EXIT_BUSY = 75


class StartError(Exception):
    """Why the daemon does not start: one line, with what to do, and an exit status."""

    def __init__(self, message: str, *, status: int = _EXIT_CONFIG) -> None:
        super().__init__(message)
        self.status = status


class Settings:
    """The settings that matter to root, out of the resolved configuration."""

    __slots__ = (
        *("activate", "admin_group", "admin_groups", "cgroup", "config", "enforce"),
        *("export_slurm", "group", "helpers", "level", "log_format", "processes"),
        *("raw", "report", "rules", "runtime", "service", "state"),
    )

    def __init__(self, raw: bytes) -> None:
        values: dict[str, Any] = msgpack.unpackb(raw)
        self.raw = raw
        self.helpers: list[Any] = []
        self.runtime = _folder(values, "paths.runtime_dir")
        self.state = _folder(values, "paths.state_dir")
        self.cgroup = _relative(values, "paths.cgroup")
        self.group = _string(values, "access.group")
        self.admin_group = _string(values, "access.admin_group")
        self.admin_groups = _strings(values, "access.admin_groups")
        self.service = _string(values, "access.service_user")
        self.enforce = values.get("gpus.isolation") == "enforce"
        self.activate = values.get("jobs.activate") is not False
        self.export_slurm = values.get("jobs.export_slurm") is True
        self.report = values.get("jobs.report") is True
        self.processes = _count(values, "limits.processes_per_job")
        self.config = str(values.get("config.path") or "")
        self.log_format = str(values.get("log.format") or "text")
        self.level = str(values.get("log.level") or "info")
        minimum, root = values.get("access.min_uid"), values.get("access.allow_root")
        if type(minimum) is not int or minimum < 1 or type(root) is not bool:
            raise StartError("access.min_uid or access.allow_root: not usable")
        self.rules = accounts.Rules(minimum, allow_root=root)


def read_settings(fd: int) -> Settings:
    """The settings in the file ``fd``, as mgpud has resolved them."""
    raw = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    return Settings(raw)


def check_trust(settings: Settings) -> None:
    """Refuse to run where somebody else than root decides what root runs."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        for folder in (package, os.path.dirname(msgpack.__file__), *_bundle()):
            trust.check_tree(folder)
        for path in (sys.executable, os.path.dirname(os.__file__), *sys.path, settings.config):
            if path:
                trust.check(path)
        trust.check(settings.runtime)
        trust.check(settings.state, owners=(0, service_account(settings)[0]))
    except trust.Untrusted as error:
        raise StartError(f"refusing to start: {error}") from error


def _bundle() -> list[str]:
    """The folder of the libraries of a program that PyInstaller made; none in Python itself."""
    return [folder] if (folder := getattr(sys, "_MEIPASS", "")) else []


def service_account(settings: Settings) -> tuple[int, int]:
    """uid and gid of the service user; never somebody whose jobs could change the queue."""
    uid, gid = account(settings.service, "access.service_user")
    if accounts.may_run_jobs(uid, settings.rules):
        raise StartError(
            f"the service user {settings.service} (uid {uid}) may run jobs, which could change"
            " the queue: name a system user without a login in access.service_user"
        )
    return uid, gid


def account(name: str, key: str) -> tuple[int, int]:
    """uid and gid of the system user that the setting ``key`` names."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StartError(
            f"there is no user {name} ({key}): make it with"
            f" 'useradd --system --user-group --shell /usr/sbin/nologin {name}'"
        ) from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise StartError(f"the service user {name} must not be root")
    return entry.pw_uid, entry.pw_gid


def normalise(signals: Iterable[signal.Signals]) -> int:
    """Shed what the parent process left us; the signalfd that reports ``signals``.

    Jobs inherit dispositions: whatever was ignored (nohup) is at its default from here on.
    """
    os.umask(0o077)
    os.chdir("/")
    while (fd := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(fd, True)  # one of the standard three was closed
    os.close(fd)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return syscalls.block_signals(signals)


def take_folders(settings: Settings, signals: int) -> tuple[Site, list[int]]:
    """Make the folders, take their locks; the site, and the descriptors that hold the locks."""
    uid, gid = service_account(settings)
    runtime = _make(settings.runtime, 0o755)
    lock = _lock_runtime(runtime, settings.runtime)
    state = _make_service(settings.state, (uid, gid))
    _flock(state, f"the state directory {settings.state}")
    attempts = _make_service("attempts", (uid, gid), parent=state)
    scripts = _make("scripts", 0o711, parent=runtime)
    groups, groups_lock = _groups(settings.cgroup)
    site = Site(
        uid=uid,
        gid=gid,
        rules=settings.rules,
        attempts=attempts,
        scripts=scripts,
        scripts_path=os.path.join(settings.runtime, "scripts"),
        groups=groups,
        fence=_fence(groups, settings.cgroup) if settings.enforce else None,
        signals=signals,
        activate=settings.activate,
        export_slurm=settings.export_slurm,
        report=settings.report,
        processes=settings.processes,
    )
    os.close(runtime)
    return site, [lock, state, *groups_lock]


def open_sockets(settings: Settings) -> tuple[socket.socket, socket.socket]:
    """The listening sockets for users and for administrators, made here or by systemd."""
    given = systemd.inherited_sockets(os.environ, os.getpid())
    for name, sock in given.items():
        if problem := systemd.problem(name, sock, settings.runtime):
            raise StartError(problem)
    group, mode = (_gid(settings.group), 0o660) if settings.group else (0, 0o666)
    user = given.get("user") or _listen(settings.runtime, "mgpu.sock", group, mode)
    admin = given.get("admin")
    gids, (gid, mode) = _known(settings.admin_groups), _admin_access(settings.admin_group)
    if admin is None:
        admin = _listen(settings.runtime, "admin.sock", gid, mode, more=gids)
    elif gids:  # systemd knows one group alone
        acl.let_write(admin.getsockname(), gid if mode & 0o060 else None, gids)
    return user, admin


def _listen(
    folder: str, name: str, gid: int, mode: int, more: list[int] | None = None
) -> socket.socket:
    """A socket that has its final owner and mode, and listens, before anybody can find it.

    It takes the place of an earlier daemon's: who connects meanwhile is told that nobody listens,
    never that the way is barred.
    """
    path = os.path.join(folder, name)
    new = path + ".new"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(new)
    except FileNotFoundError:
        pass
    mask = os.umask(0o177)
    try:
        sock.bind(new)
    except OSError as error:
        raise StartError(f"{new}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    os.chown(new, 0, gid)
    os.chmod(new, mode)
    if more:
        acl.let_write(new, gid if mode & 0o060 else None, more)
    sock.listen(_BACKLOG)
    os.rename(new, path)
    return sock


def _admin_access(group: str) -> tuple[int, int]:
    try:
        return grp.getgrnam(group).gr_gid, 0o660
    except KeyError:
        sentence = "There is no group of administrators: only root can use the admin socket"
        log.warning(sentence, "admin-group-missing", group=group)
        return 0, 0o600


def _known(groups: list[str]) -> list[int]:
    """The numbers of further groups of administrators."""
    gids = []
    for group in groups:
        try:
            gids.append(grp.getgrnam(group).gr_gid)
        except KeyError:
            sentence = "A group of administrators does not exist"
            log.warning(sentence, "admin-group-missing", group=group)
    return gids


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartError(f"there is no group {group} (access.group): groupadd {group}") from None


def _make(path: str, mode: int, *, parent: int | None = None) -> int:
    """Open root's folder ``path``, created if it is missing, with that mode."""
    try:
        _ensure(path, mode, parent)
        fd = os.open(path, _FOLDER, dir_fd=parent)
        _refuse_foreign(fd, path, 0)
        os.fchown(fd, 0, 0)
        os.fchmod(fd, mode)
    except OSError as error:
        raise StartError(f"cannot use the folder {path}: {error.strerror}") from error
    return fd


def _make_service(path: str, owner: tuple[int, int], *, parent: int | None = None) -> int:
    """Open the service user's folder ``path``, closed to others, created if it is missing.

    What belongs to that user is used with its rights: root needs none over files.
    """
    try:
        if parent is None:
            _ensure(path, 0o700, None)
            _hand_over(path, owner)
        with identity.FilesAs(*owner):
            if parent is not None:
                _ensure(path, 0o700, parent)
            fd = os.open(path, _FOLDER, dir_fd=parent)
            os.fchmod(fd, 0o700)
    except OSError as error:
        raise StartError(f"cannot use the folder {path}: {error.strerror}") from error
    return fd


def _ensure(path: str, mode: int, parent: int | None) -> None:
    try:
        os.mkdir(path, mode, dir_fd=parent)
    except FileExistsError:
        pass


def _hand_over(path: str, owner: tuple[int, int]) -> None:
    """Give the folder to the service user, unless it has it."""
    if os.lstat(path).st_uid == owner[0]:
        return
    fd = os.open(path, _FOLDER)
    try:
        _refuse_foreign(fd, path, owner[0])
        os.fchown(fd, *owner)
    finally:
        os.close(fd)


def _refuse_foreign(fd: int, path: str, owner: int) -> None:
    """A folder that has another owner and is not empty is not ours to take."""
    found = os.fstat(fd).st_uid
    if found != owner and os.listdir(fd):
        raise StartError(f"{path} belongs to uid {found}, not to uid {owner}: name another")


def _lock_runtime(runtime: int, path: str) -> int:
    """The lock of the runtime directory; who holds it has written its pid there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open("lock", flags, 0o600, dir_fd=runtime)
    holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    _flock(fd, f"the runtime directory {path}", f" (pid {holder})" if holder else "")
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


def _flock(fd: int, what: str, holder: str = "") -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"another mgpud{holder} uses {what}: stop it, or set other [paths]"
        raise StartError(message, status=_EXIT_BUSY) from None


def _groups(name: str) -> tuple[cgroup.Groups | None, list[int]]:
    """The folder of the cgroups, if there can be one, and the descriptor that locks it."""
    try:
        groups = cgroup.open_groups(name)
        lock = groups.lock()  # fails where the folder is there and nothing can be written in it
    except OSError as error:
        sentence = "No cgroups for jobs: their processes are followed by the subreaper flag alone"
        log.warning(sentence, "cgroup-unavailable", reason=error.strerror or error)
        return None, []
    if lock is None:
        message = f"another mgpud uses the cgroup {groups.path}: set another paths.cgroup"
        raise StartError(message, status=_EXIT_BUSY)
    return groups, [lock]


def tell_limits(groups: cgroup.Groups | None) -> None:
    """Say which limits of jobs the kernel does not keep here."""
    found = groups.controllers if groups else frozenset()
    missing = [name for name in cgroup.CONTROLLERS if name not in found]
    if missing:
        sentence = "Some limits of jobs are not kept by the kernel: it gives no controller for them"
        log.warning(sentence, "limits-unavailable", missing=",".join(missing))


def _fence(groups: cgroup.Groups | None, name: str) -> devices.Fence:
    """What keeps jobs off other GPUs; without it the daemon does not start."""
    try:
        return devices.open_fence(groups, name)
    except OSError as error:
        raise StartError(
            f"gpus.isolation is 'enforce', which cannot be had here: {reason(error)}; set 'detect'"
        ) from error


def _string(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if type(value) is not str:
        raise StartError(f"{key}: expected text, got {value!r}")
    return value


def _count(values: dict[str, Any], key: str) -> int:
    value = values.get(key, 0)
    if type(value) is not int or value < 0:
        raise StartError(f"{key}: expected a number, got {value!r}")
    return value


def _strings(values: dict[str, Any], key: str) -> list[str]:
    value = values.get(key, [])
    if type(value) is not list or any(type(one) is not str for one in value):
        raise StartError(f"{key}: expected a list of texts, got {value!r}")
    return value


def _folder(values: dict[str, Any], key: str) -> str:
    value = _string(values, key)
    if not value.startswith("/") or os.path.normpath(value) == "/":
        raise StartError(f"{key}: expected an absolute path, got {value!r}")
    return os.path.normpath(value)


def _relative(values: dict[str, Any], key: str) -> str:
    value = _string(values, key).strip("/")
    if not value or any(part in ("", ".", "..") for part in value.split("/")):
        raise StartError(f"{key}: expected the name of a cgroup, got {value!r}")
    return value


def reason(error: OSError) -> str:
    """An error of the system in one line."""
    named = f"{error.filename}: " if error.filename else ""
    return f"{named}{error.strerror or errno.errorcode.get(error.errno or 0, str(error))}"
