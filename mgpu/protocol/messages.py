"""The requests as typed values, and the shapes of the replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.model import states
from mgpu.model.errors import MgpuError
from mgpu.model.target import Name
from mgpu.model.tasks import MAX_TASKS
from mgpu.protocol import control, gpus, history, jobs, keeping, names, orders, questions
from mgpu.protocol.fields import INT64_MAX, Fields, as_integer, as_state, as_text, refuse, shown
from mgpu.protocol.names import VERSIONS
from mgpu.protocol.spec import LIMITS, SpecFields, parse_spec

_SCOPES = ("all", "me")
_USER_NAME = 256
_USERS = 100
_DEPENDENCY = 4096


@dataclass(frozen=True, slots=True)
class Ping:
    """Is the scheduler there, and how is it?"""


@dataclass(frozen=True, slots=True)
class Submit:
    """``count`` jobs of one spec; a repeated ``key`` of the same user is answered as before.

    ``dry`` asks what would become of it, and keeps nothing.
    """

    key: str
    count: int
    spec: SpecFields
    payload: bytes
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """End these jobs."""

    jobs: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class ListJobs:
    """Which jobs to list; an empty filter matches all. ``scope`` None: as configured."""

    scope: str | None
    users: tuple[str, ...]
    states: tuple[str, ...]
    jobs: tuple[Name, ...]
    ended: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Info:
    """The GPUs and who holds what."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Tell when each of these jobs has ended."""

    jobs: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Give these waiting jobs another priority."""

    jobs: tuple[Name, ...]
    priority: int


@dataclass(frozen=True, slots=True)
class Update:
    """Let at most ``max_concurrent`` tasks of an array run at once; 0 is no bound."""

    job: int
    max_concurrent: int


Question = questions.Question | keeping.Keeping | gpus.Gpus | control.Control | jobs.JobRequest


@dataclass(frozen=True, slots=True)
class Depend:
    """Let these waiting jobs depend on others instead (Slurm's form); empty: on none."""

    jobs: tuple[Name, ...]
    dependency: str


Request = (
    Ping
    | Submit
    | Cancel
    | ListJobs
    | Info
    | Wait
    | SetPriority
    | Update
    | Depend
    | orders.Order
    | history.Stats
    | Question
)


def parse_hello(message: dict[str, object]) -> int:
    """The version to speak, from a client's first message ``{"mgpu": [lowest, highest]}``."""
    fields = Fields(message)
    wanted = fields.items("mgpu", 2, lambda item, path: as_integer(item, path, 0, 65535))
    fields.finish()
    if len(wanted) != 2:
        refuse("mgpu", "the first message gives the lowest and the highest version, [1, 1]")
    version = min(wanted[1], VERSIONS[1])
    if version < max(wanted[0], VERSIONS[0]):
        raise _version_error(wanted)
    return version


def _version_error(wanted: tuple[int, ...]) -> MgpuError:
    """Which of the two is too old; the client prints it as it is."""
    theirs, ours = (f"{pair[0]} to {pair[1]}" for pair in (wanted, VERSIONS))
    speak = f"the client speaks versions {theirs} of the protocol, the server {ours}"
    if wanted[0] > wanted[1]:
        what, hint = "the versions are no range", "the first number is the lowest"
    elif wanted[1] < VERSIONS[0]:
        what, hint = "this command is too old for the scheduler", "install the scheduler's release"
    else:
        what = "the scheduler is too old for this command"
        hint = "upgrade it and restart it: systemctl restart mgpu"
    return MgpuError("Version", f"{what}: {speak}", hint=hint)


def parse_request(message: dict[str, object]) -> Request:
    """The typed request of a decoded map; any fault in it is BadRequest or TooLarge."""
    fields = Fields(message)
    op = fields.text("op", names.MAX_KEY)
    parse = _PARSERS.get(op)
    if parse is None:
        refuse("op", f"unknown operation {shown(op)}", hint=f"known are {', '.join(_PARSERS)}")
    request = parse(fields)
    fields.finish()
    return request


def _submit(fields: Fields) -> Submit:
    key = fields.maybe_text("key", names.MAX_KEY)
    if key is None:
        refuse("key", "is missing; it makes a repeated submission harmless")
    count = fields.integer("count", 1, names.MAX_COUNT, default=1)
    spec, payload = parse_spec(fields.value("spec"), LIMITS, "spec")
    if spec.tty and count > 1:
        refuse("count", f"is {count}; a terminal is for one job")
    dry = fields.boolean("dry", default=False)
    if dry and count > 1:
        refuse("count", f"is {count}; one job can be tried at a time")
    return Submit(key, count, spec, payload, dry)


def _priority(fields: Fields) -> SetPriority:
    bound = LIMITS.priority
    return SetPriority(fields.jobs(names.MAX_IDS), fields.integer("priority", -bound, bound))


def _jobs(fields: Fields) -> ListJobs:
    scope = fields.maybe_text("scope", names.MAX_KEY)
    if scope is not None and scope not in _SCOPES:
        refuse("scope", f"{shown(scope)} is none of {', '.join(_SCOPES)}")
    return ListJobs(
        scope=scope,
        users=fields.items("users", _USERS, lambda item, path: as_text(item, path, _USER_NAME)),
        states=fields.items("states", len(states.CODES), as_state),
        jobs=fields.names("jobs", names.MAX_IDS),
        ended=fields.boolean("ended", default=False),
        limit=fields.integer("limit", 0, names.MAX_COUNT, default=0),
    )


def _update(fields: Fields) -> Update:
    bound = fields.integer("max_concurrent", 0, MAX_TASKS)
    return Update(fields.integer("job", 1, INT64_MAX), bound)


def _depend(fields: Fields) -> Depend:
    return Depend(fields.jobs(names.MAX_IDS), fields.text("dependency", _DEPENDENCY))


_PARSERS: dict[str, Callable[[Fields], Request]] = {
    names.PING: lambda _: Ping(),
    names.SUBMIT: _submit,
    names.CANCEL: lambda fields: Cancel(fields.jobs(names.MAX_IDS)),
    names.JOBS: _jobs,
    names.INFO: lambda _: Info(),
    names.WAIT: lambda fields: Wait(fields.jobs(names.MAX_IDS)),
    names.PRIORITY: _priority,
    names.UPDATE: _update,
    names.DEPEND: _depend,
    **orders.PARSERS,
    **questions.PARSERS,
    **jobs.PARSERS,
    **keeping.PARSERS,
    **gpus.PARSERS,
    **control.PARSERS,
    **history.PARSERS,
}


def hello(version: int, software: str, zone: str = "") -> dict[str, object]:
    """The server's first message: the version it chose, its own release, the configured clocks."""
    greeting: dict[str, object] = {"mgpu": version, "version": software}
    return greeting | {"zone": zone} if zone else greeting


def ok(body: dict[str, object]) -> dict[str, object]:
    """The last message of a reply."""
    return {"ok": body}


def part(body: dict[str, object]) -> dict[str, object]:
    """One of several messages before the last one of a reply."""
    return {"part": body}


def error(fault: MgpuError) -> dict[str, object]:
    """The last message of a reply to a request that could not be done."""
    body = {"code": fault.code, "message": fault.message, "path": fault.path, "hint": fault.hint}
    return {"error": body}
