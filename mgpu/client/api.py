"""mgpu.Client: submit, list, cancel, wait, look."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from mgpu.client import address
from mgpu.client.session import Reply, Session
from mgpu.model.errors import MgpuError
from mgpu.protocol import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from mgpu.client.attach import Attachment
    from mgpu.client.news import News
    from mgpu.client.session import Message, OnPart
    from mgpu.client.views import Health, JobEnd, JobView, Machine


class Client:
    """A connection to the scheduler of this machine; close it, or use it in ``with``.

    ``socket`` names the scheduler's socket, ``config`` a configuration file that says where it
    is; by default MGPU_RUNTIME_DIR or /run/mgpu. ``admin`` asks over the administrators' socket.
    ``timeout`` bounds the wait for one answer in seconds, None is no bound.

    Nothing is sent before it is sure that the server runs as root or as the service user. A
    request whose connection breaks, as when the scheduler restarts, is asked again for up to 30 s.
    All methods raise :class:`mgpu.MgpuError`.
    """

    def __init__(
        self,
        socket: str | None = None,
        config: str | None = None,
        timeout: float | None = 60.0,
        *,
        admin: bool = False,
        on_zone: Callable[[str], None] | None = None,
    ) -> None:
        self._session = Session(address.find(socket, config, admin=admin), timeout, on_zone)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Jobs are not affected."""
        self._session.close()

    def greet(self) -> None:
        """Connect, unless that is done, so that ``on_zone`` is told the configured time zone."""
        self._session.greet()

    def submit(
        self,
        command: Sequence[str | bytes],
        *,
        gpus: int = 1,
        gpu_mem: int | str | None = None,
        exclusive: bool = False,
        time_limit: int | str | None = None,
        name: str | None = None,
        cwd: str | bytes | None = None,
        output: str | bytes | None = None,
        error: str | bytes | None = None,
        open_mode: str = "append",
        env: Mapping[str, str] | None = None,
        export: str = "ALL",
        requeue: bool = True,
        signal: tuple[int, int] | None = None,
        priority: int = 0,
        script: bytes | None = None,
        script_name: str = "",
        venv: str | None = None,
        conda_env: str | None = None,
        activate: bool = True,
        count: int = 1,
        key: str | None = None,
        extras: Mapping[str, object] | None = None,
        rehearse: Callable[[Message], None] | None = None,
    ) -> int:
        """Queue ``count`` jobs and return the first id; the others follow it without a gap.

        With ``extras["cron"]`` it is a recurring job, whose own number is returned.

        ``command`` is the program and its arguments, run without a shell. With ``script`` (its
        content, beginning with ``#!``) it is the script's arguments. ``gpu_mem`` is memory per
        GPU in MiB or as ``"8G"``; ``time_limit`` seconds or as ``"2h30m"``; ``signal`` is a
        signal's number and how many seconds before the limit it is sent.

        The job gets this process's folder, umask, resource limits and environment; ``cwd``,
        ``env`` (instead of it) and ``export`` (ALL, NONE, ``NAME,NAME=value``) change that. It
        gets the active venv or conda environment, the one named by ``venv`` or ``conda_env``, or
        the nearest one, unless ``activate`` is False. ``key`` (made when None) makes a repeated
        submission harmless: the same key gives the same job. ``extras`` are further fields as in
        :class:`mgpu.protocol.extras.Extras`. ``rehearse`` is given the request instead of the
        scheduler; nothing is asked then, and 0 returned.
        """
        from mgpu.client import capture  # whoever only looks never needs it

        spec = {
            "argv": [os.fsencode(word) for word in command],
            "script": script,
            "script_name": script_name,
            "name": name,
            "gpus": gpus,
            "gpu_mem": _parsed(gpu_mem, "gpu_mem"),
            "exclusive": exclusive,
            "time_limit": _parsed(time_limit, "time_limit"),
            "requeue": requeue,
            "priority": priority,
            "signal": signal,
            "output": output and os.fsencode(output),
            "error": error and os.fsencode(error),
            "open_mode": open_mode,
            "env": capture.environment(export) if env is None else capture.encoded(env),
            "activate": capture.activation(venv, conda_env, activate=activate),
            **capture.surroundings(cwd),
            **(extras or {}),
        }
        request = {"key": key or os.urandom(16).hex(), "count": count, "spec": spec}
        if rehearse is not None:
            rehearse(request)
            return 0
        body = self.request(names.SUBMIT, request).body
        number: int = body["first"] if "first" in body else body["jobs"][0][0]
        return number

    def jobs(
        self,
        *,
        scope: str | None = None,
        users: Sequence[str] = (),
        states: Sequence[str] = (),
        jobs: Sequence[int | str] = (),
        ended: bool = False,
        limit: int = 0,
    ) -> list[JobView]:
        """The jobs that match all filters, in queue order; an empty filter matches every job.

        ``scope`` is ``"all"`` or ``"me"`` (None: as the machine is configured). ``states`` are
        names like ``"PENDING"``. ``ended`` adds those that have ended; ``limit`` 0 is no bound.
        """
        from mgpu.client.views import JobView

        rows = self.rows(
            {"scope": scope, "users": list(users), "states": list(states), "limit": limit}
            | {"jobs": list(jobs), "ended": ended}
        )
        return [JobView._make(row) for row in rows]

    def rows(self, filters: Mapping[str, object]) -> list[list[Any]]:
        """As :meth:`jobs`, but each job as a list in the order of ``names.JOB_FIELDS``."""
        parts = self.request(names.JOBS, filters).parts
        rows = [row for part in parts for row in part["rows"]]
        fields = parts[0]["fields"] if parts else list(names.JOB_FIELDS)
        return rows if fields == list(names.JOB_FIELDS) else _reordered(rows, fields)

    def pieces(
        self, filters: Mapping[str, object], take: Callable[[list[list[Any]], bool], None]
    ) -> None:
        """As :meth:`rows`, but ``take`` gets them in pieces as they come, and whether it is the
        first one: it is so again, from the beginning, when the connection broke meanwhile.
        """
        fields: list[str] = []

        def opened(part: Message) -> None:
            first = "fields" in part
            fields[:] = part["fields"] if first else fields
            known = fields == list(names.JOB_FIELDS)
            take(part["rows"] if known else _reordered(part["rows"], fields), first)

        self.request(names.JOBS, filters, opened)

    def cancel(self, *jobs: int | str) -> dict[int | str, str]:
        """End jobs; of each: ``cancelled`` (it waited), ``cancelling``, ``ended`` or ``unknown``.

        A job is its id, or a text like ``"42_7"`` or ``"42_[1-5]"`` for tasks of the array 42.
        ``unknown`` is also the answer for a job of somebody else. Repeating it is harmless.
        """
        outcome: dict[int | str, str] = {}
        for begin in range(0, len(jobs), names.MAX_IDS):
            batch = list(jobs[begin : begin + names.MAX_IDS])
            outcome.update(self.request(names.CANCEL, {"jobs": batch}).body["jobs"])
        return outcome

    def wait(self, *jobs: int | str) -> dict[int | str, JobEnd]:
        """Wait until all these jobs have ended and say how; a requeued job has not ended.

        Of an array the ends of its tasks are told, as ``"42_7"``; those that were cancelled
        together before they started are one, as ``"42_[8-100]"``.
        """
        from mgpu.client.views import JobEnd

        ends: dict[int | str, JobEnd] = {}

        def note(part: Message) -> None:
            job, *end = part["job"]
            ends[job] = JobEnd(*end)

        for begin in range(0, len(jobs), names.MAX_IDS):
            batch = list(jobs[begin : begin + names.MAX_IDS])
            self.request(names.WAIT, {"jobs": batch}, note, patient=True)
        return ends

    def newest(self, back: int = 0) -> int:
        """The caller's newest job, which commands call ``@``, or the one ``back`` before it."""
        job: int = self.request(names.NEWEST, {"back": back}).body["job"]
        return job

    def set_priority(self, priority: int, *jobs: int | str) -> None:
        """Give these waiting jobs another priority; higher goes first.

        Raises MgpuError naming those that do not wait, or are not the caller's; the others are
        changed all the same.
        """
        told = self.request(names.PRIORITY, {"jobs": list(jobs), "priority": priority}).body["jobs"]
        refused = [f"job {job}: {how}" for job, how in told if how != names.CHANGED]
        if refused:
            raise MgpuError("Refused", "; ".join(refused), path="jobs")

    def info(self) -> Machine:
        """The GPUs of this machine and who holds what."""
        from mgpu.client.views import GpuView, Holder, Machine

        body = self.request(names.INFO).body
        gpus = []
        for gpu in body["gpus"]:
            holders = [Holder(*row[: len(Holder._fields)]) for row in gpu["jobs"]]
            gpus.append(GpuView(**_only(GpuView.__slots__, gpu | {"jobs": holders})))
        return Machine(**_only(Machine._fields, body | {"gpus": gpus}))

    def ping(self) -> Health:
        """Whether the scheduler answers, and how it is."""
        from mgpu.client.views import Health

        return Health(**_only(Health._fields, self.request(names.PING).body))

    def news(self) -> News:
        """What tells, over a connection of its own, that something has happened."""
        return self._session.news()

    def attachment(self, job: int, *, read_only: bool = False) -> Attachment:
        """The terminal of a job that was submitted with one, over a connection of its own."""
        return self._session.attachment(job, read_only=read_only)

    def request(
        self,
        operation: str,
        fields: Mapping[str, object] | None = None,
        on_part: OnPart | None = None,
        *,
        patient: bool = False,
    ) -> Reply:
        """Ask for one operation as it is on the wire; ``patient`` waits for ever for the answer."""
        request = {"op": operation, **(fields or {})}
        return self._session.ask(request, on_part, patient=patient)


def _parsed(value: int | str | None, field: str) -> int | None:
    if not isinstance(value, str):
        return value
    from mgpu.model import units

    try:
        return units.parse_memory(value) if field == "gpu_mem" else units.parse_duration(value)
    except ValueError as error:
        raise MgpuError("BadRequest", str(error), path=field) from None


def _only(known: Sequence[str], members: Message) -> Message:
    """What this release knows of a reply: a newer server may say more, an older one less."""
    return {name: members[name] for name in known if name in members}


def _reordered(rows: list[list[Any]], fields: list[str]) -> list[list[Any]]:
    order = [fields.index(name) if name in fields else None for name in names.JOB_FIELDS]
    return [[None if at is None else row[at] for at in order] for row in rows]
