"""What completes the words of a command line: jobs, users, GPUs and others that there are now.

The scheduler is asked as the caller, so nobody is offered what they may not see.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import click

from mgpu.cli.base import where
from mgpu.protocol import names

#: A word, and what it is.
Words = Iterable[tuple[str, str]]
Source = Callable[[click.Context], Words]
_MOST_JOBS = 2000
#: With those that have ended, the newest: who needs an older one knows its number.
_MOST_PAST = 200
#: One question for terminals names that many jobs.
_MOST_ASKED = 100
_PATIENCE = 1.0


def _ask(context: click.Context, operation: str, fields: dict[str, object]) -> list[Any]:
    """The bodies of an answer: parts, then the end."""
    from mgpu.client import Client

    admin = context.params.get("admin") is True
    with Client(*where(context), timeout=_PATIENCE, admin=admin) as client:
        reply = client.request(operation, fields)
    return [*reply.parts, reply.body]


def _rows(context: click.Context, scope: str | None, **filters: object) -> list[dict[str, Any]]:
    """Jobs that wait or run: with scope ``me`` the caller's, else all that the queue shows."""
    asked: dict[str, object] = {"scope": scope, "limit": _MOST_JOBS}
    found = _ask(context, names.JOBS, asked | filters)
    fields: list[str] = found[0].get("fields", [])
    return [dict(zip(fields, row, strict=False)) for part in found for row in part.get("rows", ())]


def _each(words: Iterable[str | None]) -> Words:
    return [(word, "") for word in dict.fromkeys(words) if word]


def own_jobs(context: click.Context) -> Words:
    """The jobs that the caller may change."""
    return _ids(_rows(context, _scope(context)))


def _scope(context: click.Context) -> str:
    may_any = context.params.get("admin") or os.geteuid() == 0
    return "all" if may_any else "me"


def known_jobs(context: click.Context) -> Words:
    """The caller's jobs, those that have ended too."""
    return _ids(_rows(context, _scope(context), ended=True, limit=_MOST_PAST))


def ended_jobs(context: click.Context) -> Words:
    """The caller's jobs that have ended: only those can be submitted again."""
    from mgpu.model.states import ENDED

    return _ids(_rows(context, "me", states=sorted(ENDED), limit=_MOST_PAST))


def numbers(context: click.Context) -> Words:
    """The numbers of :func:`known_jobs`, tasks by that of their array."""
    told = {name.partition("_")[0]: text for name, text in known_jobs(context)}
    return told.items()


def running_jobs(context: click.Context) -> Words:
    """The caller's jobs that run."""
    from mgpu.model.states import RUNNING

    return _ids(_rows(context, _scope(context), states=[RUNNING]))


def waiting_jobs(context: click.Context) -> Words:
    """The caller's jobs that wait, held ones too."""
    from mgpu.model.states import PENDING

    return _ids(_rows(context, _scope(context), states=[PENDING]))


def terminals(context: click.Context) -> Words:
    """The caller's jobs that have a terminal; the newest, if there are many."""
    rows = _rows(context, "me")
    plain = [row["id"] for row in rows if not row["array"]][-_MOST_ASKED:]
    fields: dict[str, object] = {"jobs": plain, "terminal": True}
    told = _ask(context, names.LOGS, fields)[-1]["rows"] if plain else []
    found = {row["id"] for row in told}
    return _ids([row for row in rows if row["id"] in found])


def running_jobs_or_signals(context: click.Context) -> Words:
    """Another job that runs, or what it is sent."""
    return [*running_jobs(context), *signals(context)]


def all_jobs(context: click.Context) -> Words:
    """The jobs that the caller sees in the queue."""
    return _ids(_rows(context, None))


def _ids(rows: list[dict[str, Any]]) -> Words:
    for row in rows:
        number, tasks = row["array"], row["tasks"]
        name = f"{number}_{tasks}" if number and tasks.isdecimal() else str(number or row["id"])
        yield name, " ".join(filter(None, (row["name"] or row["user"], row["state"].lower())))


def users(context: click.Context) -> Words:
    """Who has jobs."""
    return _each(row["user"] for row in _rows(context, "all"))


def accounts(_context: click.Context) -> Words:
    """The people of this machine, as the password file lists them."""
    import pwd

    return [(one.pw_name, one.pw_gecos.split(",")[0]) for one in pwd.getpwall()
            if 1000 <= one.pw_uid < 65534]  # fmt: skip


def groups(_context: click.Context) -> Words:
    """The Unix groups of people."""
    import grp

    return _each(one.gr_name for one in grp.getgrall() if 1000 <= one.gr_gid < 65534)


def projects(context: click.Context) -> Words:
    """The projects of the jobs that the caller sees."""
    return _each(row["project"] for row in _rows(context, "all"))


def job_names(context: click.Context) -> Words:
    """The names of the caller's jobs."""
    return _each(row["name"] for row in _rows(context, "me"))


def classes(context: click.Context) -> Words:
    """The classes of jobs that are configured."""
    return _each(_ask(context, names.INFO, {})[-1].get("classes", ()))


def _gpus(context: click.Context) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _ask(context, names.INFO, {})[-1]["gpus"]
    return found


def gpus(context: click.Context) -> Words:
    """``gpu0`` and the others."""
    return [(f"gpu{gpu['index']}", gpu["name"]) for gpu in _gpus(context)]


def indices(context: click.Context) -> Words:
    """``0`` and the others."""
    return [(str(gpu["index"]), gpu["name"]) for gpu in _gpus(context)]


def types(context: click.Context) -> Words:
    """A word of each GPU's name that the others do not have, else its last one, as ``a100``."""
    found = dict.fromkeys(gpu["name"] for gpu in _gpus(context))
    for name in found:
        others = {word for other in found if other != name for word in _words(other)}
        own = [word for word in _words(name) if word not in others] or _words(name)[-1:]
        yield from ((word, name) for word in own)


def _words(name: str) -> list[str]:
    return [word for word in name.lower().split() if word not in ("nvidia", "geforce", "tesla")]


def counts(context: click.Context) -> Words:
    """Numbers of GPUs, and of those of each type, as ``2`` and ``a100:2``."""
    every = [gpu["name"] for gpu in _gpus(context)]
    yield from ((str(number), "") for number in range(1, len(every) + 1))
    for kind, name in types(context):
        for number in range(1, every.count(name) + 1):
            yield f"{kind}:{number}", name


def reservations(context: click.Context) -> Words:
    """The reservations and for when they are."""
    from mgpu.cli.moments import written

    rows = _ask(context, names.RESERVATIONS, {})[-1]["reservations"]
    return [(str(row["id"]), " ".join(filter(None, (row["name"], written(row["start"], None)))))
            for row in rows]  # fmt: skip


def crons(context: click.Context) -> Words:
    """The caller's recurring jobs."""
    rows = _ask(context, names.CRONS, {})[-1]["recurring"]
    return [(str(row["id"]), row.get("name") or "") for row in rows]


def states(_context: click.Context) -> Words:
    """The states of jobs."""
    from mgpu.model.states import STATES

    return [(long, short) for short, long in STATES.items()]


def signals(_context: click.Context) -> Words:
    """The signals by name."""
    import signal

    return _each(one.name.removeprefix("SIG") for one in signal.Signals)
