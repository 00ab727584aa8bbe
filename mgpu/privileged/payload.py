"""What the user sent for the job alone: read by the job's child, as the user, and nowhere else."""

from __future__ import annotations

import errno
import os

import msgpack

from mgpu.privileged import sweep
from mgpu.privileged.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_BYTES = 4 * 1024 * 1024
_MAX_NAME = 128
_MOST_ROWS = 0xFFFF
_MODES = ("auto", "none", "venv", "conda")


class Payload:
    """The launch payload with its types checked."""

    __slots__ = (
        *("activate", "activate_path", "argv", "cpus", "cwd", "env", "error", "export_slurm"),
        *("name", "output"),
        *("rlimits", "script", "template", "truncate", "tty", "umask", "values"),
    )

    def __init__(self, data: dict[str, Any], task: int | None = None) -> None:
        self.name: str = _typed(data, "name", str)
        self.argv: list[bytes] = _list_of(data, "argv", bytes)
        self.script: bytes | None = _maybe(data, "script")
        self.env: list[bytes] = _list_of(data, "env", bytes)
        self.cwd: bytes = _typed(data, "cwd", bytes)
        self.output: bytes | None = _maybe(data, "output")
        self.error: bytes | None = _maybe(data, "error")
        self.truncate = data.get("open_mode") == "truncate"
        self.tty: tuple[int, int] | None = _size(data.get("tty"))
        self.umask: int = _typed(data, "umask", int) & 0o777
        self.rlimits: list[list[int]] = _list_of(data, "rlimits", list)
        self.cpus: int = _typed(data, "cpus", int) if "cpus" in data else 0
        self.export_slurm: str = data.get("export_slurm") or "configured"
        self.template: str = data.get("name_template") or ""
        self.values: dict[bytes, bytes] = {}
        activate = data.get("activate") or {}
        self.activate: str = activate.get("mode", "auto")
        self.activate_path: bytes = activate.get("path") or b""
        if self.activate not in _MODES or type(self.activate_path) is not bytes:
            raise _bad("activate")
        if self.script is None and not self.argv:
            raise _bad("argv")
        if task is not None and data.get("sweep"):
            self._fill_in(data["sweep"], task)

    def _fill_in(self, axes: Any, task: int) -> None:
        """Put the values of this task of a sweep into its words and its name."""
        try:
            values = self.values = sweep.values(axes, task)
            self.argv = [sweep.expand(word, values) for word in self.argv]
            if self.template:
                self.name = sweep.expand(self.template.encode(), values).decode()[:_MAX_NAME]
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise _bad(f"sweep: {error}") from error


def read(fd: int, task: int | None = None) -> Payload:
    """The payload in the file ``fd``, whose position is not used: others may share it.

    ``task`` is the index of the array's task that it is for.
    """
    size = os.fstat(fd).st_size
    if size > _MAX_BYTES:
        raise Refusal("payload", errno.E2BIG, f"{size} bytes")
    try:
        data = msgpack.unpackb(os.pread(fd, size, 0))
    except Exception as error:  # msgpack has a dozen exceptions without a common ancestor
        raise _bad(str(error)) from error
    if type(data) is not dict:
        raise _bad("not a map")
    return Payload(data, task)


def _typed(data: dict[str, Any], key: str, kind: type) -> Any:
    value = data.get(key)
    if type(value) is not kind:
        raise _bad(key)
    return value


def _maybe(data: dict[str, Any], key: str) -> bytes | None:
    value = data.get(key)
    if value is not None and type(value) is not bytes:
        raise _bad(key)
    return value


def _list_of(data: dict[str, Any], key: str, kind: type) -> Any:
    value = data.get(key)
    if type(value) is not list or not all(type(item) is kind for item in value):
        raise _bad(key)
    return value


def _size(value: object) -> tuple[int, int] | None:
    """Rows and columns of the terminal that is wanted, if one is."""
    if value is None:
        return None
    if type(value) is list and [type(item) for item in value] == [int, int]:
        rows, columns = value
        if 0 < rows <= _MOST_ROWS and 0 < columns <= _MOST_ROWS:
            return rows, columns
    raise _bad("tty")


def _bad(what: str) -> Refusal:
    return Refusal("payload", errno.EINVAL, f"not a launch payload: {what}")
