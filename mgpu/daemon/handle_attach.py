"""Clients that want to see a job's terminal: they wait for it here, and are handed a line to it.

The line is a socket whose other end the job's supervisor gets. What goes over it does not come
by here, so that a slow terminal costs the scheduler nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mgpu.daemon import handle_jobs, views
from mgpu.daemon.sayings import how_over
from mgpu.model.errors import MgpuError
from mgpu.model.job import Job, Pending
from mgpu.model.time import Now
from mgpu.protocol import codec, names, questions
from mgpu.store.base import Store

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher

#: The fields of a row that say why a job waits.
_TOLD = ("state", "reason", "detail")
#: Events of a job, the newest, among which the end of an attempt is looked for.
_EVENTS = 100
#: Submissions of which it is remembered whether they have a terminal.
_MOST_KNOWN = 10_000


@dataclass(slots=True)
class Wish:
    """A client that waits for a terminal, and what it was ``told`` last of why.

    ``over`` is why the attempt that it saw before is over.
    """

    conn: Connection
    request: questions.Attach
    told: tuple[object, ...] = ()
    over: str = ""


class Attaching:
    """The clients that wait."""

    def __init__(self) -> None:
        self._wishes: dict[Connection, Wish] = {}
        self._seen = 0
        self._terminals: dict[int, bool] = {}

    def has_terminal(self, store: Store, job: Job) -> bool:
        """Whether a job that waits or runs was submitted with a terminal.

        What it was submitted with can be large: it is read once.
        """
        spec = job.spec.spec_id
        if spec not in self._terminals:
            if len(self._terminals) >= _MOST_KNOWN:
                self._terminals.clear()
            payload = codec.unpack_reply(store.payload(spec))
            self._terminals[spec] = payload.get("tty") is not None
        return self._terminals[spec]

    def add(self, wish: Wish) -> None:
        """This client waits from now on."""
        self._wishes[wish.conn] = wish

    def forget(self, conn: Connection) -> None:
        """It waits no more."""
        self._wishes.pop(conn, None)

    def turned(self, desk: Dispatcher, now: Now) -> None:
        """A turn is over: hand lines to those whose job runs, tell the others what is new."""
        news = self._seen != desk.engine.version
        self._seen = desk.engine.version
        for wish in list(self._wishes.values()):
            with desk.answering(wish.conn, names.ATTACH, now):
                if _serve(desk, wish, now, news=news):
                    self.forget(wish.conn)


def attach(desk: Dispatcher, conn: Connection, request: questions.Attach, now: Now) -> None:
    """Hand over a line to the terminal of the caller's job, as soon as it has one."""
    desk.refuse_in_recovery()
    job = desk.engine.world.jobs.get(request.job)
    if job is None:
        ended = desk.ended_of([request.job], conn.uid)
        if not ended:
            raise handle_jobs.unknown_job(request.job)
        desk.ok(conn, handle_jobs.end_of(ended[0], by_id=True), now)
        return
    if job.uid != conn.uid:
        raise handle_jobs.unknown_job(request.job)
    _check_terminal(desk, job)
    wish = Wish(conn, request)
    if not _serve(desk, wish, now, news=True):
        desk.attaching.add(wish)


def _check_terminal(desk: Dispatcher, job: Job) -> None:
    if not desk.attaching.has_terminal(desk.store, job):
        raise MgpuError(
            "Refused",
            f"job {job.id} has no terminal: it was submitted without --interactive",
            hint=f"see what it writes with: mgpu_job log -f {job.id}",
        )


def _serve(desk: Dispatcher, wish: Wish, now: Now, *, news: bool) -> bool:
    """Do what can be done now; whether the client has been answered."""
    job = desk.engine.world.jobs.get(wish.request.job)
    if job is None:
        return _tell_end(desk, wish, now)
    if not isinstance(job.phase, Pending) and job.attempt > wish.request.after:
        line = desk.attach((job.id, job.attempt), wish.request.read_only)
        if line is not None:
            desk.note(wish.conn.uid, names.ATTACH, {"jobs": [[job.id, names.ATTACHED]]}, now)
            desk.hand(wish.conn, {"attempt": job.attempt, **_over(desk, wish, job)}, line, now)
            return True
    if news:
        _tell_why(desk, wish, job, now)
    return False


def _tell_end(desk: Dispatcher, wish: Wish, now: Now) -> bool:
    ended = desk.ended_of([wish.request.job], wish.conn.uid)
    if ended:
        desk.ok(wish.conn, handle_jobs.end_of(ended[0], by_id=True), now)
    return bool(ended)


def _over(desk: Dispatcher, wish: Wish, job: Job) -> dict[str, str]:
    """Why the attempt that the client saw is over, once it is."""
    after = wish.request.after
    if after and not wish.over and (isinstance(job.phase, Pending) or job.attempt > after):
        wish.over = how_over(desk.store.events_of([job.id], _EVENTS), after)
    return {"over": wish.over} if wish.over else {}


def _tell_why(desk: Dispatcher, wish: Wish, job: Job, now: Now) -> None:
    row = views.whole(desk.engine.world, job, now)
    told = tuple(row[name] for name in _TOLD)
    if told != wish.told:
        wish.told = told
        body = dict(zip(_TOLD, told, strict=True)) | _over(desk, wish, job)
        desk.part(wish.conn, body, now)


HANDLERS: dict[type, tuple[str, Callable[..., None]]] = {
    questions.Attach: (names.ATTACH, attach),
}
