"""Requests of administrators about the daemon itself, and about jobs that are to wait again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.model.target import Name
from mgpu.protocol import names
from mgpu.protocol.fields import INT64_MAX, LATEST, Fields, as_integer, as_text, refuse

LEVELS = ("debug", "info", "warning", "error")
#: How the daemon may be ended: at once, when no job runs any more, when those that run are ended.
NOW, DRAIN, CANCEL = "now", "drain", "cancel"
_ENDS = (NOW, DRAIN, CANCEL)
_REASON = 200
_LISTED = 100


@dataclass(frozen=True, slots=True)
class ShowConfig:
    """The value of each setting, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Read the configuration again."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the daemon is: version, mode, GPUs, queue, last error."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Who asked for what, newest first, from number ``before`` on (0: the newest).

    Empty filters match all: Unix times, uids, operations, a job, refused requests alone.
    """

    before: int
    since: int
    until: int
    users: tuple[int, ...]
    ops: tuple[str, ...]
    job: int
    refused: bool


@dataclass(frozen=True, slots=True)
class LogLevel:
    """Write lines of at least this level, until the next start or reload."""

    level: str


@dataclass(frozen=True, slots=True)
class DrainMachine:
    """Start no job any more; what runs goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class ResumeMachine:
    """Start jobs again."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the daemon ``now``, when no job runs any more, or after ending those that run."""

    how: str
    reason: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Let these running jobs wait for their turn again."""

    jobs: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Backup:
    """Copy the database and verify the copy; ``keep`` it."""

    keep: bool


Control = (
    ShowConfig
    | Reload
    | Status
    | Audit
    | LogLevel
    | DrainMachine
    | ResumeMachine
    | Shutdown
    | Requeue
    | Backup
)


def _audit(fields: Fields) -> Audit:
    return Audit(
        before=fields.integer("before", 0, INT64_MAX, default=0),
        since=fields.integer("since", 0, LATEST, default=0),
        until=fields.integer("until", 0, LATEST, default=LATEST),
        users=fields.items("users", _LISTED, lambda item, path: as_integer(item, path, 0, 2**32)),
        ops=fields.items("ops", _LISTED, lambda item, path: as_text(item, path, names.MAX_KEY)),
        job=fields.integer("job", 0, INT64_MAX, default=0),
        refused=fields.boolean("refused", default=False),
    )


def _reason(fields: Fields) -> str:
    return fields.text("reason", _REASON, default="").strip()


def _drain(fields: Fields) -> DrainMachine:
    reason = _reason(fields)
    if not reason:
        refuse("reason", "is empty; say why, for those who wonder")
    return DrainMachine(reason)


PARSERS: dict[str, Callable[[Fields], Control]] = {
    names.CONFIG: lambda _: ShowConfig(),
    names.RELOAD: lambda _: Reload(),
    names.STATUS: lambda _: Status(),
    names.AUDIT: _audit,
    names.LOG_LEVEL: lambda fields: LogLevel(fields.choice("level", LEVELS)),
    names.MACHINE_DRAIN: _drain,
    names.MACHINE_RESUME: lambda _: ResumeMachine(),
    names.SHUTDOWN: lambda fields: Shutdown(fields.choice("how", _ENDS), _reason(fields)),
    names.REQUEUE: lambda fields: Requeue(fields.jobs(names.MAX_IDS)),
    names.BACKUP: lambda fields: Backup(fields.boolean("keep", default=True)),
}
