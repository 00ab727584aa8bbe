"""Requests of clients: who may ask what, and what each operation does.

``HANDLERS`` has one function for each operation. What changes jobs goes through the engine and is
answered after it is stored; what only looks is answered at once, from what is stored.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from mgpu import __version__
from mgpu.core import requests as core
from mgpu.core.access import allowed, may_any
from mgpu.core.orders import Order
from mgpu.daemon import (
    audit,
    handle_admin,
    handle_attach,
    handle_control,
    handle_gpus,
    handle_history,
    handle_jobs,
    handle_past,
    handle_queue,
    handle_signal,
    handle_time,
    machine,
    selection,
    submission,
    views,
)
from mgpu.daemon.accounts import Account, Accounts
from mgpu.daemon.attemptdir import Key
from mgpu.daemon.connection import Connection
from mgpu.daemon.control import Control
from mgpu.daemon.copies import Copies
from mgpu.daemon.engine import Ask, Engine
from mgpu.daemon.faults import contained
from mgpu.daemon.history import History
from mgpu.daemon.news import News
from mgpu.daemon.server import Server
from mgpu.daemon.targets import NO_TARGETS, TargetRules
from mgpu.daemon.waiters import Waiters
from mgpu.model.errors import MgpuError
from mgpu.model.job import Job
from mgpu.model.target import Name, of_wire
from mgpu.model.time import Now
from mgpu.protocol import messages, names
from mgpu.store.base import JobFilter, Store


class Rules(NamedTuple):
    """What the configuration says about requests."""

    default_scope: str
    open_queue: bool
    allow_root: bool
    min_uid: int
    recovery: str
    zone: str = ""
    targets: TargetRules = NO_TARGETS
    own_usage: bool = False


class Dispatcher:
    """Answers requests; see ``HANDLERS``."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        server: Callable[[], Server],
        accounts: Accounts,
        rules: Rules,
        started: Now,
    ) -> None:
        self.engine = engine
        self.store = store
        self._server = server
        self.accounts = accounts
        self.rules = rules
        self.started = started
        self.control: Control | None = None
        self.copies: Copies | None = None
        self.history: History | None = None
        self.waiters = Waiters()
        self.news = News()
        self.footing: dict[str, str] = {}
        self.attaching = handle_attach.Attaching()
        self.attach: Callable[[Key, bool], socket.socket | None] = lambda *_: None
        self.simulate: Callable[..., bool] = lambda *_, **__: False
        self.signal: Callable[..., bool] = lambda *_, **__: False
        self.repaired: Callable[[str, Now], None] = lambda *_: None

    def handle(self, conn: Connection, message: dict[str, object], now: Now) -> None:
        """Answer one request of ``conn``, now or when it is done."""
        with self.answering(conn, "", now):
            self._carry_out(conn, messages.parse_request(message), now)

    def _carry_out(self, conn: Connection, request: messages.Request, now: Now) -> None:
        op, handler = HANDLERS[type(request)]
        with self.answering(conn, op, now):
            _check(op, conn)
            self._server().charge(conn, _number_of_jobs(request))
            handler(self, conn, request, now)

    @contextmanager
    def answering(self, conn: Connection, op: str, now: Now) -> Iterator[None]:
        """What goes wrong inside is the answer to the request of ``conn``."""
        try:
            with contained(op, conn.uid):
                yield
        except MgpuError as error:
            if op in names.CHANGES:
                self.note(conn.uid, op, error, now)
            self.waiters.forget(conn)
            self.attaching.forget(conn)
            self.fail(conn, error, now)

    def forget(self, conn: Connection) -> None:
        """The connection is closed."""
        self.waiters.forget(conn)
        self.news.forget(conn)
        self.attaching.forget(conn)

    def ended(self, job: Job, now: Now) -> None:
        """A job has ended: tell those who wait for it."""
        for conn, by_id, done in self.waiters.ended(job):
            self.tell(conn, job, now, by_id=by_id)
            if done:
                self.ok(conn, {}, now)

    def turned(self, now: Now) -> None:
        """A turn is over: tell those who wait for news of what has happened in it."""
        for conn in self.news.concerned(self.engine.version):
            self.ok(conn, {"seen": self.engine.version}, now)
        self.attaching.turned(self, now)

    # -- answers --------------------------------------------------------------------------------

    def ok(self, conn: Connection, body: dict[str, Any], now: Now) -> None:
        """End the reply with ``body``."""
        self._server().reply(conn, messages.ok(body), now)

    def fail(self, conn: Connection, error: MgpuError, now: Now) -> None:
        """End the reply with an error."""
        self._server().reply(conn, messages.error(error), now)

    def part(self, conn: Connection, body: dict[str, Any], now: Now) -> None:
        """Say something before the end of the reply."""
        self._server().push(conn, messages.part(body), now)

    def hand(self, conn: Connection, body: dict[str, Any], line: socket.socket, now: Now) -> None:
        """End the reply with ``body`` and a socket, which is given away."""
        self._server().hand(conn, messages.ok(body), line, now)

    def stream(self, conn: Connection, reply: Iterator[dict[str, Any]], now: Now) -> None:
        """Answer with many messages, each made when the client has taken the ones before."""
        conn.stream(reply)
        self._server().finish(conn, now)

    def tell(self, conn: Connection, job: Job, now: Now, *, by_id: bool) -> None:
        """Say how a job ended that ``conn`` waits for, perhaps ``by_id``."""
        self.part(conn, handle_jobs.end_of(job, by_id=by_id), now)

    def change(self, conn: Connection, op: str, ask: Ask) -> None:
        """Put a request that changes something to the engine, and its outcome into the log."""
        self.refuse_in_recovery()
        then, ask.op = ask.then, op

        def answered(result: Any, now: Now) -> None:
            audit.say(conn.uid, op, result, getattr(ask.request, "jobs", ()))
            if isinstance(result, MgpuError):
                self.fail(conn, result, now)
                return
            with self.answering(conn, "", now):
                then(result, now)

        ask.then = answered
        self.engine.ask(ask)

    def change_jobs(self, conn: Connection, op: str, wish: core.JobWish | core.Update) -> None:
        """As :meth:`change`, for what is answered with a word for each job."""
        answer = self.outcomes(conn, may_any=wish.may_any)
        self.change(conn, op, Ask(wish, answer, conn.uid))

    def order(self, conn: Connection, op: str, order: Order | core.ChangeRepeat) -> None:
        """As :meth:`change`, for what is answered as the core says."""
        self.change(conn, op, Ask(order, self.answer(conn), conn.uid))

    def done(
        self, conn: Connection, op: str, key: str, now: Now, body: dict[str, Any] | None = None
    ) -> None:
        """End the reply to a request that changed something which is not stored."""
        self.note(conn.uid, op, {"key": key}, now)
        self.ok(conn, {"key": key} if body is None else body, now)

    def refuse_in_recovery(self) -> None:
        """Raise MgpuError where the state cannot be read."""
        if self.rules.recovery:
            raise _recovery_error(self.rules.recovery)

    def note(self, uid: int, op: str, result: Any, now: Now) -> None:
        """Keep who asked for what, in the log and in the audit trail."""
        audit.say(uid, op, result)
        self.engine.note(uid, op, result, (), now)

    # -- operations -----------------------------------------------------------------------------

    def ping(self, conn: Connection, _request: messages.Ping, now: Now) -> None:
        """How the scheduler is."""
        recovery = self.rules.recovery
        body = {
            "version": __version__,
            "uptime": now.boot - self.started.boot,
            "backend": self.engine.world.backend,
            "mode": "recovery" if recovery else "normal",
            "detail": recovery,
        }
        self.ok(conn, body, now)

    def submit(self, conn: Connection, request: messages.Submit, now: Now) -> None:
        """Take new jobs in, once the account behind the uid is known."""
        self.refuse_in_recovery()
        self._check_uid(conn.uid)

        def resolved(account: Account | MgpuError, at: Now) -> None:
            if conn.gone:
                return
            with self.answering(conn, names.SUBMIT, at):
                if isinstance(account, MgpuError):
                    raise account
                self._submit_as(conn, request, account, at)

        self.accounts.lookup(conn.uid, resolved, now)

    def _check_uid(self, uid: int) -> None:
        if uid == 0 and not self.rules.allow_root:
            raise MgpuError(
                "AccountRefused",
                "root may not submit jobs",
                hint="submit as an ordinary user, or set access.allow_root",
            )
        if uid and uid < self.rules.min_uid:
            raise MgpuError(
                "AccountRefused",
                f"uid {uid} may not submit jobs: it is under {self.rules.min_uid}",
                hint="system accounts are refused; see access.min_uid",
            )

    def _submit_as(
        self, conn: Connection, request: messages.Submit, account: Account, now: Now
    ) -> None:
        if account.problem:
            raise MgpuError(
                "AccountRefused",
                f"account {account.user} may not submit jobs: {account.problem}",
                hint="ask the administrator about this account",
            )
        world, zone = self.engine.world, self.rules.zone
        submit = submission.wish(
            *(world, self.store, request, account, zone),
            admin=conn.admin,
            targets=self.rules.targets,
        )
        if request.dry:
            handle_queue.foretell_submission(self, conn, submit, now)
            return
        ask = Ask(submit, self.answer(conn), conn.uid, request.key, request.payload)
        self.change(conn, names.SUBMIT, ask)

    def cancel(self, conn: Connection, request: messages.Cancel, _now: Now) -> None:
        """End jobs."""
        wish = core.Cancel(request.jobs, conn.uid, self.may_any(conn, names.CANCEL))
        self.change_jobs(conn, names.CANCEL, wish)

    def priority(self, conn: Connection, request: messages.SetPriority, _now: Now) -> None:
        """Change the priority of waiting jobs."""
        may_any = self.may_any(conn, names.PRIORITY)
        wish = core.SetPriority(request.jobs, request.priority, conn.uid, may_any)
        self.change_jobs(conn, names.PRIORITY, wish)

    def info(self, conn: Connection, _request: messages.Info, now: Now) -> None:
        """The GPUs and who holds them."""
        self.ok(conn, machine.info(self.engine.world, __version__, now) | self.footing, now)

    def jobs(self, conn: Connection, request: messages.ListJobs, now: Now) -> None:
        """List jobs."""
        viewer = views.Viewer(conn.uid, self.may_any(conn, names.JOBS), self.rules.open_queue)
        chosen = self._choose(conn, request)
        self.stream(conn, views.listing(self.engine.world, chosen, viewer, now), now)

    # -- helpers --------------------------------------------------------------------------------

    def answer(self, conn: Connection) -> Callable[[Any, Now], None]:
        """What ends the reply with the body that it is given."""
        return lambda reply, now: self.ok(conn, reply, now)

    def outcomes(self, conn: Connection, *, may_any: bool) -> Callable[[Any, Now], None]:
        """As :meth:`answer`; the core knows active jobs alone, so ended ones are looked up."""

        def answer(reply: dict[str, Any], now: Now) -> None:
            told = dict(reply["jobs"])
            unknown = {of_wire(n): n for n, how in told.items() if how == names.UNKNOWN}
            ended = self.ended_of(list(unknown), None if may_any else conn.uid)
            over = [n for name, n in unknown.items() if handle_jobs.is_among(name, ended)]
            told |= dict.fromkeys(over, names.ALREADY_ENDED)
            self.ok(conn, {"jobs": [[name, how] for name, how in told.items()]}, now)

        return answer

    def ended_of(self, wanted: Sequence[Name], own: int | None) -> list[Job]:
        """The jobs and tasks that have ended; ``own`` is whose they are, None for anybody's."""
        if not wanted:
            return []
        uids = None if own is None else [own]
        return self.store.find(JobFilter(names=wanted, uids=uids, limit=selection.MOST_ENDED))

    def may_any(self, conn: Connection, op: str) -> bool:
        """Whether the caller may do ``op`` with jobs of others: on the admin socket only."""
        return may_any(op, admin=conn.admin, root=conn.uid == 0, granted=conn.granted)

    def _choose(self, conn: Connection, request: messages.ListJobs) -> Iterable[Job]:
        """The jobs that a listing names."""
        scope = request.scope or self.rules.default_scope
        uids = [conn.uid] if scope == "me" and not (request.users or request.jobs) else None
        return selection.choose(self.engine.world, self.store, request, uids)


Handler = Callable[[Dispatcher, Connection, Any, Now], None]

#: request -> the operation as the role table names it, and what answers it.
HANDLERS: dict[type, tuple[str, Handler]] = {
    messages.Ping: (names.PING, Dispatcher.ping),
    messages.Submit: (names.SUBMIT, Dispatcher.submit),
    messages.Cancel: (names.CANCEL, Dispatcher.cancel),
    messages.ListJobs: (names.JOBS, Dispatcher.jobs),
    messages.Info: (names.INFO, Dispatcher.info),
    messages.SetPriority: (names.PRIORITY, Dispatcher.priority),
    **handle_admin.HANDLERS,
    **handle_control.HANDLERS,
    **handle_attach.HANDLERS,
    **handle_gpus.HANDLERS,
    **handle_history.HANDLERS,
    **handle_jobs.HANDLERS,
    **handle_past.HANDLERS,
    **handle_queue.HANDLERS,
    **handle_signal.HANDLERS,
    **handle_time.HANDLERS,
}


def _recovery_error(why: str) -> MgpuError:
    """Nothing may change while the state cannot be read."""
    return MgpuError(
        "RecoveryMode",
        f"mgpu is in recovery mode and changes nothing: {why}",
        hint="an administrator must restore or remove the state file and restart mgpud",
    )


def _number_of_jobs(request: object) -> int:
    """How many jobs a request makes or names, where it is one about jobs."""
    for name in ("jobs", "numbers"):
        if named := getattr(request, name, ()):
            return len(named)
    return getattr(request, "count", 1)


def _check(op: str, conn: Connection) -> None:
    root, granted = conn.uid == 0, conn.granted
    if not allowed(op, owner=True, admin=conn.admin, root=root, granted=granted):
        raise MgpuError("Denied", f"the operation {op} is not allowed")
