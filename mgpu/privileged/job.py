"""The job's child: from a fork of the supervisor to the user's program, one step after another.

``STEPS`` is the order of system calls that security rests on; each step either succeeds or ends the
child with its name and errno. Nothing is imported here after the drop: the interpreter may be
unreadable for the user.
"""

from __future__ import annotations

import errno
import os
import resource
import signal

import msgpack

from mgpu.privileged import (
    accounts,
    activation,
    clock,
    environment,
    footer,
    identity,
    output,
    payload,
    pty,
    script,
    syscalls,
)
from mgpu.privileged.probe import Probe
from mgpu.privileged.refusal import Refusal, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from mgpu.privileged.cgroup import Group
    from mgpu.privileged.order import Order
    from mgpu.privileged.site import Site

#: What the child says on its pipe just before it executes; a close without it is a death.
ABOUT_TO_EXECUTE = b"\0"
_MAX_DETAIL = 1024
_SHELL = b"/bin/bash"
#: Sources its first N arguments, each in a function so that it cannot see the rest, then executes.
_SOURCE = (
    b'_mgpu_source() { . "$1"; }; _mgpu_n=$1; shift; '
    b'while [ "$_mgpu_n" -gt 0 ]; do _mgpu_source "$1"; shift; _mgpu_n=$((_mgpu_n-1)); done; '
    b'exec "$@"'
)


class Child:
    """What the steps know and find out."""

    __slots__ = (
        *("account", "activation", "argv", "cwd", "entered", "env", "error", "group", "order"),
        *("fence", "output", "parent", "payload", "payload_fd", "pipe", "script", "site"),
        *("stage", "terminal"),
    )

    account: accounts.Account
    activation: activation.Activation
    argv: list[bytes]
    cwd: bytes
    env: dict[bytes, bytes]
    error: int
    output: int
    payload: payload.Payload

    def __init__(
        self,
        order: Order,
        site: Site,
        *,
        group: Group | None,
        entered: bool,
        parent: int,
        pipe: int,
        payload_fd: int,
        script_fd: int,
        fence_fd: int,
    ) -> None:
        self.order = order
        self.site = site
        self.group = group
        self.entered = entered
        self.parent = parent
        self.pipe = pipe
        self.payload_fd = payload_fd
        self.script = script_fd
        self.fence = fence_fd
        self.stage = ""
        self.terminal = -1


def run(child: Child) -> NoReturn:
    """Take every step; report the one that failed through the pipe, and end."""
    try:
        for stage, step in STEPS:
            child.stage = stage
            step(child)
    except Refusal as refusal:
        _report(child, refusal)
    except OSError as error:
        _report(child, Refusal.of(child.stage, error))
    except BaseException as error:  # whatever it is, it must not return into the supervisor's code
        _report(child, Refusal(child.stage, 0, f"internal error: {error!r}"))
    finally:
        os._exit(1)


def _report(child: Child, refusal: Refusal) -> None:
    detail = refusal.detail[:_MAX_DETAIL]
    fields = [refusal.stage, refusal.code, detail, refusal.transient]
    os.write(child.pipe, msgpack.packb(fields, unicode_errors="surrogateescape"))


# ---------------------------------------------------------------- as root


def _signals(child: Child) -> None:
    """The launcher has everything at the default; Python itself ignores these two."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _session(child: Child) -> None:
    os.setsid()


def _cgroup(child: Child) -> None:
    if child.group is not None and not child.entered:
        child.group.enter()
    if child.fence >= 0:
        os.write(child.fence, b"0")


def _account(child: Child) -> None:
    order = child.order
    account = accounts.lookup(order.uid)
    if account is None:
        problem = f"uid {order.uid} has no account any more"
    elif account.name != order.user:
        problem = f"uid {order.uid} is {account.name} now, was {order.user} at submission"
    else:
        problem = accounts.problem(account, child.site.rules, clock.today())
        child.account = account
    if problem:
        raise Refusal("account", errno.EPERM, problem, transient=True)


def _priority(child: Child) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        if int(os.read(fd, 16)) < 0:
            os.write(fd, b"0")
    finally:
        os.close(fd)


def _keyring(child: Child) -> None:
    identity.new_session_keyring()


def _identity(child: Child) -> None:
    account, rules = child.account, child.site.rules
    identity.become_user(account.uid, account.gid, account.groups, allow_root=rules.allow_root)


# ---------------------------------------------------------------- as the user


def _wait(child: Child) -> None:
    """Nothing of the user's is touched before the supervisor says that the attempt is valid."""
    if not os.read(child.pipe, 1):
        os._exit(0)


def _parent(child: Child) -> None:
    syscalls.set_death_signal(signal.SIGKILL)
    if os.getppid() != child.parent:
        os._exit(0)


def _payload(child: Child) -> None:
    array = child.order.array
    child.payload = payload.read(child.payload_fd, array[1] if array else None)


def _limits(child: Child) -> None:
    for number, soft, hard in child.payload.rlimits:
        try:
            ceiling = resource.getrlimit(number)[1]
        except ValueError:
            continue  # a limit that this machine does not have
        hard = _least(hard, ceiling)
        resource.setrlimit(number, (_least(soft, hard), hard))


def _least(wanted: int, ceiling: int) -> int:
    if ceiling == resource.RLIM_INFINITY:
        return wanted
    return ceiling if wanted == resource.RLIM_INFINITY else min(wanted, ceiling)


def _umask(child: Child) -> None:
    os.umask(child.payload.umask)


def _chdir(child: Child) -> None:
    os.chdir(child.payload.cwd)


def _environment(child: Child) -> None:
    """The user's environment, activated; mgpu's own variables come last and win."""
    wanted, account = child.payload, child.account
    env = environment.base(wanted.env, account)
    env[b"PWD"] = wanted.cwd
    home = os.fsencode(account.home)
    place = activation.Place(env, wanted.cwd, home, account.uid)
    child.stage = "activate"
    mode = wanted.activate if child.site.activate or wanted.activate != "auto" else "none"
    child.activation = activation.choose(mode, wanted.activate_path, place, Probe())
    child.activation.apply(env)
    env.update(environment.parameters(wanted.values))
    fenced = child.site.fence is not None
    env.update(environment.reserved(child.order, wanted.name, fenced=fenced))
    if wanted.export_slurm == "yes" or (
        wanted.export_slurm == "configured" and child.site.export_slurm
    ):
        environment.add_slurms(env, wanted.cwd, wanted.cpus, child.site.host)
    child.env = env


def _output(child: Child) -> None:
    wanted, order = child.payload, child.order
    truncate = wanted.truncate and order.attempt == 1
    path = _path(child, wanted.output) or output.default_path(
        os.fsencode(child.account.home), order.job, order.array
    )
    child.output = output.open_log(path, truncate=truncate, make_folder=wanted.output is None)
    error = _path(child, wanted.error)
    same = error is None or error == path
    child.error = child.output if same else output.open_log(error or b"", truncate=truncate)


def _path(child: Child, pattern: bytes | None) -> bytes | None:
    """An output pattern, expanded, below the working directory."""
    if pattern is None:
        return None
    order, wanted = child.order, child.payload
    group, task = (order.array or (order.job, 0))[:2]
    values: dict[bytes, int | bytes] = {
        b"j": order.job,
        b"A": group,
        b"a": task,
        b"r": order.restarts,
        b"x": wanted.name.encode("utf-8", "replace"),
        b"u": os.fsencode(child.account.name),
        b"N": os.fsencode(child.site.host),
    }
    return os.path.join(wanted.cwd, output.expand(pattern, values))


def _script(child: Child) -> None:
    """The command line; a script goes into the file that root made for it."""
    text = child.payload.script
    if text is None:
        child.argv = child.payload.argv
        return
    if child.script < 0:
        raise Refusal("script", errno.ENOENT, "the order promised that there is none")
    script.fill(child.script, text)
    path = os.path.join(os.fsencode(child.site.scripts_path), child.order.name.encode())
    child.argv = [*script.interpreter(text), path, *child.payload.argv]


def _header(child: Child) -> None:
    """The first line in the log: what runs where. A full disk is the job's own matter."""
    order = child.order
    if child.site.report:
        footer.hand_over(child.pipe, child.output)
    gpus = ",".join(str(index) for index in order.gpus) or "none"
    label = "".join(letter if letter.isprintable() else "?" for letter in child.activation.label)
    job = "_".join(map(str, order.array[:2])) if order.array else order.job
    line = f"[mgpu] job {job}, attempt {order.attempt}, GPUs: {gpus}, environment: {label}\n"
    try:
        os.write(child.output, line.encode("utf-8", "replace"))
    except OSError:
        return


def _terminal(child: Child) -> None:
    """A job with a terminal: its supervisor holds that, and writes the log."""
    size = child.payload.tty
    if size is not None:
        master, child.terminal = pty.open_pair(*size)
        pty.control(child.terminal)
        pty.send(child.pipe, (master, child.terminal, child.output))


def _descriptors(child: Child) -> None:
    """0, 1, 2 are the job's; of the rest only the pipe stays, until the exec closes it."""
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    sources = (null, child.output, child.error)
    for target, source in enumerate(sources if child.terminal < 0 else [child.terminal] * 3):
        os.dup2(source, target)
    syscalls.keep_only([child.pipe])


def _execute(child: Child) -> None:
    argv = child.argv
    if child.activation.scripts:
        scripts = child.activation.scripts
        argv = [_SHELL, b"-c", _SOURCE, b"mgpu", b"%d" % len(scripts), *scripts, *argv]
    os.write(child.pipe, ABOUT_TO_EXECUTE)
    failure = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for program in programs(argv[0], child.env):
        try:
            os.execve(program, argv, child.env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            failure = error
            if error.errno == errno.ENOEXEC:
                os.execve(b"/bin/sh", [b"/bin/sh", program, *argv[1:]], child.env)
            if error.errno != errno.EACCES:
                break
    raise Refusal.of("exec", failure, shown(argv[0])) from failure


def programs(name: bytes, env: dict[bytes, bytes]) -> list[bytes]:
    """The files that ``name`` may mean: itself if it has a slash, else one for each of PATH."""
    if b"/" in name:
        return [name]
    path = env.get(b"PATH", b"") or environment.DEFAULT_PATH
    return [os.path.join(folder or b".", name) for folder in path.split(b":")]


STEPS: tuple[tuple[str, Callable[[Child], None]], ...] = (
    ("signals", _signals),
    ("session", _session),
    ("cgroup", _cgroup),
    ("account", _account),
    ("priority", _priority),
    ("keyring", _keyring),
    ("identity", _identity),
    ("go", _wait),
    ("parent", _parent),
    ("payload", _payload),
    ("rlimits", _limits),
    ("umask", _umask),
    ("chdir", _chdir),
    ("environment", _environment),
    ("output", _output),
    ("script", _script),
    ("header", _header),
    ("terminal", _terminal),
    ("descriptors", _descriptors),
    ("exec", _execute),
)
