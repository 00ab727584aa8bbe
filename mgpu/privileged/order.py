"""The scheduler's order to start an attempt, field by field: the launcher trusts it little."""

from __future__ import annotations

import errno
import os
import stat

from mgpu.privileged.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mgpu.privileged.accounts import Rules

_MAX_ID = 2**63 - 1
_MAX_SECONDS = 100 * 365 * 86400
_MAX_GPUS = 1024
_MAX_MINORS = 2**20  # of one major: MINORBITS of the kernel
_MAX_CPUS = 2**16
_MAX_MIB = 2**40
_MAX_NAME = 256
_ARRAY = 5
_UUID_LETTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:"  # MIG ids have / and :
)


class Order:
    """A checked ``start``: which attempt, whose, on which GPUs, for how long."""

    __slots__ = (
        *(
            "array",
            "attempt",
            "capabilities",
            "cpus",
            "gpu_mem",
            "gpus",
            "grace",
            "host_mem",
            "job",
            "limit",
        ),
        *("minors", "restarts", "script", "uid", "user", "uuids", "warn"),
    )

    def __init__(self, message: dict[str, Any]) -> None:
        self.job, self.attempt = attempt_of(message)
        self.uid = _integer(message, "uid", 2**32 - 2)
        self.user = _text(message, "user")
        self.limit = _integer(message, "limit", _MAX_SECONDS)
        self.grace = _integer(message, "grace", _MAX_SECONDS)
        self.restarts = _integer(message, "restarts", 2**31)
        self.gpus: list[int] = _list(message, "gpus", _is_index)
        self.uuids: list[str] = _list(message, "uuids", _is_uuid)
        self.minors: list[int] = _list(message, "minors", _is_minor)
        #: Minors of the capability nodes of its instances (MIG); -1: the driver does not tell.
        self.capabilities: list[int] = (
            _list(message, "capabilities", _is_capability) if "capabilities" in message else []
        )
        self.warn = _warning(message.get("warn"))
        self.array = _array(message.get("array"))
        self.gpu_mem = message.get("gpu_mem")
        if self.gpu_mem is not None:
            self.gpu_mem = _integer(message, "gpu_mem", _MAX_ID)
        #: CPUs and MiB of memory that it may use; 0 is no limit.
        self.cpus = _integer(message, "cpus", _MAX_CPUS) if "cpus" in message else 0
        self.host_mem = _integer(message, "host_mem", _MAX_MIB) if "host_mem" in message else 0
        #: False promises that the payload has no script, which saves the file for it.
        self.script = message.get("script", True) is not False

    @property
    def name(self) -> str:
        """The name of the attempt's folder, cgroup and script."""
        return f"{self.job}.{self.attempt}"


def check(message: dict[str, Any], fds: Sequence[int], rules: Rules) -> None:
    """``Refusal``, with the field at fault or of the account, unless it is a proper order."""
    order = Order(message)
    if not len(order.gpus) == len(order.uuids) == len(order.minors):
        raise _bad("gpus, uuids and minors differ in length")
    if not fds:
        raise Refusal("order", errno.EMFILE, "no room for the descriptors of a start")
    if len(fds) != 2 or not stat.S_ISREG(os.fstat(fds[0]).st_mode):
        raise _bad("a payload and a socket must come with it")
    if not stat.S_ISSOCK(os.fstat(fds[1]).st_mode):
        raise _bad("the second descriptor is no socket")
    forbidden = rules.problem(order.uid)
    if forbidden:
        raise Refusal("account", errno.EPERM, forbidden, transient=True)


def attempt_of(message: dict[str, Any]) -> tuple[int, int]:
    """The job and the attempt that a message is about."""
    return _integer(message, "job", _MAX_ID, 1), _integer(message, "attempt", 2**31, 1)


def _integer(message: dict[str, Any], key: str, most: int, least: int = 0) -> int:
    value = message.get(key)
    if type(value) is not int or not least <= value <= most:
        raise _bad(f"{key}: expected an integer from {least} to {most}, got {value!r:.80}")
    return value


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if type(value) is not str or not 0 < len(value) <= _MAX_NAME or "\0" in value:
        raise _bad(f"{key}: expected a name, got {value!r:.80}")
    return value


def _list(message: dict[str, Any], key: str, good: Any) -> list[Any]:
    value = message.get(key)
    if type(value) is not list or len(value) > _MAX_GPUS or not all(map(good, value)):
        raise _bad(f"{key}: not a list of GPUs: {value!r:.80}")
    return value


def _is_index(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_GPUS


def _is_minor(value: object) -> bool:
    return type(value) is int and -1 <= value < _MAX_GPUS


def _is_capability(value: object) -> bool:
    return type(value) is int and -1 <= value < _MAX_MINORS


def _is_uuid(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= _MAX_NAME and _UUID_LETTERS.issuperset(value)


def _warning(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if type(value) is list and len(value) == 2 and all(type(item) is int for item in value):
        signum, before = value
        if 1 <= signum <= 64 and 0 < before <= _MAX_SECONDS:
            return signum, before
    raise _bad(f"warn: expected [signal, seconds], got {value!r:.80}")


def _array(value: object) -> tuple[int, int, int, int, int] | None:
    """The array's id, the task, how many tasks there are, the smallest and the greatest one."""
    if value is None:
        return None
    if type(value) is list and len(value) == _ARRAY and all(map(_is_number, value)):
        number, task, count, first, last = value
        return number, task, count, first, last
    raise _bad(f"array: expected five numbers, got {value!r:.80}")


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_ID


def _bad(detail: str) -> Refusal:
    return Refusal("order", errno.EINVAL, detail, transient=False)
