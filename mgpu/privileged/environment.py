"""A job's environment: defaults, what the user sent, the account, and mgpu's own, which wins."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mgpu.privileged.accounts import Account
    from mgpu.privileged.order import Order

    Environment = dict[bytes, bytes]

DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
_FIRST = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_REST = _FIRST | frozenset(b"0123456789")
#: Names under these are mgpu's: a user's value (from a job that submits a job) does not survive.
_OURS = (b"MGPU_JOB_", b"MGPU_GPU_", b"MGPU_ARRAY_", b"MGPU_RESTART_", b"MGPU_PARAM_")
_ARRAY = (b"JOB_ID", b"TASK_ID", b"TASK_COUNT", b"TASK_MIN", b"TASK_MAX")

_COPIES = (
    (b"SLURM_JOB_ID", b"MGPU_JOB_ID"),
    (b"SLURM_JOBID", b"MGPU_JOB_ID"),
    (b"SLURM_JOB_NAME", b"MGPU_JOB_NAME"),
    (b"SLURM_JOB_USER", b"USER"),
    (b"SLURM_JOB_GPUS", b"MGPU_GPU_IDS"),
    (b"SLURM_RESTART_COUNT", b"MGPU_RESTART_COUNT"),
    *((b"SLURM_ARRAY_" + name, b"MGPU_ARRAY_" + name) for name in _ARRAY),
)
_ONES = (b"SLURM_NTASKS", b"SLURM_NPROCS", b"SLURM_NNODES", b"SLURM_JOB_NUM_NODES")
_ZEROS = (b"SLURM_PROCID", b"SLURM_LOCALID", b"SLURM_NODEID")
_HOSTS = (b"SLURM_NODELIST", b"SLURM_JOB_NODELIST", b"SLURMD_NODENAME", b"SLURM_SUBMIT_HOST")


def valid_name(name: bytes) -> bool:
    """Whether ``name`` is ``[A-Za-z_][A-Za-z0-9_]*``."""
    return bool(name) and name[0] in _FIRST and _REST.issuperset(name)


def captured(entries: Iterable[bytes]) -> Environment:
    """The user's variables of ``NAME=VALUE`` entries; what no shell could have set is left out."""
    found: Environment = {}
    for entry in entries:
        name, equals, value = entry.partition(b"=")
        if equals and valid_name(name) and b"\0" not in value and not name.startswith(_OURS):
            found[name] = value
    return found


def base(entries: Iterable[bytes], account: Account) -> Environment:
    """Defaults, then the user's variables, then what the account says."""
    found: Environment = {b"PATH": DEFAULT_PATH, b"LANG": b"C.UTF-8", b"PYTHONUNBUFFERED": b"1"}
    found.update(captured(entries))
    found[b"HOME"] = os.fsencode(account.home)
    found[b"USER"] = found[b"LOGNAME"] = os.fsencode(account.name)
    found[b"SHELL"] = os.fsencode(account.shell)
    return found


def reserved(order: Order, name: str, *, fenced: bool = False) -> Environment:
    """mgpu's own variables, to be set last. GPUs are numbers in PCI order, which all tools take.

    Behind a fence CUDA sees the job's GPUs alone, and counts those from 0.
    """
    numbers = _numbers(order.gpus)
    uuids = ",".join(order.uuids).encode()
    found = {
        b"CUDA_VISIBLE_DEVICES": _visible(order, fenced=fenced),
        b"CUDA_DEVICE_ORDER": b"PCI_BUS_ID",
        b"NVIDIA_VISIBLE_DEVICES": uuids or b"void",
        b"MGPU_JOB_ID": b"%d" % order.job,
        b"MGPU_JOB_NAME": name.encode("utf-8", "surrogateescape").replace(b"\0", b""),
        b"MGPU_GPU_IDS": numbers,
        b"MGPU_GPU_UUIDS": uuids,
        b"MGPU_RESTART_COUNT": b"%d" % order.restarts,
    }
    if order.gpu_mem is not None:
        found[b"MGPU_GPU_MEM"] = b"%d" % order.gpu_mem
    for variable, value in zip(_ARRAY, order.array or (), strict=False):
        found[b"MGPU_ARRAY_" + variable] = b"%d" % value
    return found


def add_slurms(env: Environment, cwd: bytes, cpus: int, host: str) -> None:
    """Put copies of mgpu's variables into ``env`` under Slurm's names, and no others of those."""
    for name in [name for name in env if name.startswith(b"SLURM_")]:
        del env[name]  # of the job of a real Slurm in which this one was submitted
    env.update({slurms: env[ours] for slurms, ours in _COPIES if ours in env})
    gpus = env[b"MGPU_GPU_IDS"]
    found = dict.fromkeys(_ONES, b"1") | dict.fromkeys(_ZEROS, b"0")
    found |= dict.fromkeys(_HOSTS, os.fsencode(host))
    found[b"SLURM_SUBMIT_DIR"] = cwd
    found[b"SLURM_GPUS_ON_NODE"] = b"%d" % len(gpus.split(b",") if gpus else ())
    if cpus:
        found[b"SLURM_CPUS_PER_TASK"] = b"%d" % cpus
    env.update(found)


def _visible(order: Order, *, fenced: bool) -> bytes:
    """CUDA's list. It addresses instances of a GPU by their UUIDs alone."""
    if any(uuid.startswith("MIG-") for uuid in order.uuids):
        return ",".join(order.uuids).encode()
    return _numbers(range(len(order.gpus)) if fenced else order.gpus)


def _numbers(numbers: Iterable[int]) -> bytes:
    return ",".join(str(number) for number in numbers).encode()


def parameters(values: dict[bytes, bytes]) -> Environment:
    """A variable ``MGPU_PARAM_LR`` for each parameter ``lr`` of a sweep."""
    found = {b"MGPU_PARAM_" + name.upper(): value for name, value in values.items()}
    return {name: value for name, value in found.items() if valid_name(name) and b"\0" not in value}
