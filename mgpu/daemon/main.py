"""The scheduler process: puts its parts together and runs the loop.

The launcher starts it without privileges and hands over descriptors: the settings, the two
listening sockets, the link.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgpack

from mgpu.core.effects import Effect, KillProcess
from mgpu.core.receipt import receipt
from mgpu.core.requests import Report
from mgpu.core.settle import next_look
from mgpu.daemon import export, handle_control, machine, notices, opening, outbox
from mgpu.daemon.accounts import Accounts
from mgpu.daemon.attemptdir import AttemptDirs, Key
from mgpu.daemon.attempts import Attempts
from mgpu.daemon.charges import Meter
from mgpu.daemon.control import Control
from mgpu.daemon.copies import Copies
from mgpu.daemon.dispatch import Dispatcher
from mgpu.daemon.effects import Actor
from mgpu.daemon.engine import Engine
from mgpu.daemon.grants import Grants
from mgpu.daemon.history import History
from mgpu.daemon.launcherlink import LauncherLink
from mgpu.daemon.looks import Looks
from mgpu.daemon.loop import Loop
from mgpu.daemon.monitor import Watch
from mgpu.daemon.pruning import Pruner
from mgpu.daemon.recovery import Recovery
from mgpu.daemon.rules import bounds, ledger, policy, rules
from mgpu.daemon.server import Server
from mgpu.model.gpu import Inventory
from mgpu.model.job import Job, Running
from mgpu.model.records import Array
from mgpu.model.runs import Run
from mgpu.model.time import Now
from mgpu.protocol import link as link_protocol
from mgpu.store.base import StoreCorrupt, StoreError
from mgpu.store.sqlite import SqliteStore
from mgpu.system import bootid, clock
from mgpu.system.log import log

Settings = dict[str, Any]

#: Exit status after an error of the state's disk (sysexits.h, EX_IOERR); the launcher tries again.
_STATE_FAILED = 74
#: Exit status that tells the launcher to end as well (sysexits.h, EX_PROTOCOL).
_OTHER_VERSION = 76


class _Part(Protocol):
    def deadlines(self) -> Iterator[float | None]: ...
    def expire(self, now: Now) -> None: ...


class Scheduler:
    """All parts of the process; :meth:`run` ends when the launcher goes or a signal says so."""

    def __init__(self, settings: Settings, user_fd: int, admin_fd: int, link_fd: int) -> None:
        now = clock.now()
        state_dir = settings["paths.state_dir"]
        opened = opening.open_state(state_dir, now)
        dirs = AttemptDirs(f"{state_dir}/attempts")
        link = socket.socket(fileno=link_fd)
        self._recovered = self._serving = False
        self._store, self._recovery_reason = opened
        self._loop = Loop(clock.now)
        self._sockets = {
            "user": socket.socket(fileno=user_fd),
            "admin": socket.socket(fileno=admin_fd),
        }
        self._launcher = LauncherLink(link, self._loop, self._from_launcher, self._loop.stop)
        self._attempts = Attempts(self._loop, dirs, self._launcher, self._report)
        self._actor = Actor(self._attempts, self._store, self._launcher)
        boot = bootid.boot_id()
        charges = ledger(settings)
        self._outbox = outbox.opened(settings, self._loop, opened.recovery)
        self._export = export.opened(settings, self._loop, clock.now, self._outbox)
        self._engine = Engine(
            self._store,
            policy(settings),
            self._act,
            self._attempts.observed,
            self._ended,
            boot,
            self._attempts.limits,
            Meter(charges, clock.now).timed,
            settings["limits.kept_per_user"] << 20,
            settings["jobs.keep_for_redo"],
            self._outbox,
            self._export.heard,
        )
        self._recovery = Recovery(self._engine, dirs, self._attempts, boot)
        self._accounts = Accounts(self._ask_account)
        self._dispatcher = Dispatcher(
            self._engine,
            self._store,
            lambda: self._server,
            self._accounts,
            rules(settings, opened.recovery),
            now,
        )
        self._server = Server(
            self._loop,
            charges,
            self._dispatcher.handle,
            self._dispatcher.forget,
            Grants.of(settings),
            clock.now,
        )
        self._monitor = Watch(settings, self._loop, self._inventory, self._leaders)
        self._charges = charges
        self._control = Control(settings, self._launcher.send, self._adopt)
        self._copies = Copies(state_dir, opened.store, self._loop)
        self._looks = Looks(lambda: next_look(self._engine.world), self._monitor.look)
        self._acted: list[Effect] = []
        self._introduce()
        self._keep_history(settings, now)

    def _introduce(self) -> None:
        """Tell parts of those that they have to do with, as some requests do."""
        self._attempts.on_stuck = self._engine.stick
        self._server.is_account = self._accounts.is_known
        self._dispatcher.attach = self._attempts.attach
        self._dispatcher.simulate = self._monitor.tell
        self._dispatcher.signal = self._attempts.signal
        self._dispatcher.repaired = self._monitor.forgive
        self._dispatcher.control = self._control
        self._control.unasked = handle_control.by_signal(self._dispatcher)
        self._dispatcher.copies = self._copies
        self._export.observe(lambda: self._engine.world)
        export.time_commits(self._store, self._export.counts, clock.now)

    def _keep_history(self, settings: Settings, now: Now) -> None:
        """What answers questions about what has been, and what forgets it."""
        self._history = History(self._loop, settings["paths.state_dir"], self._damaged)
        kept = isinstance(self._store, SqliteStore)
        self._dispatcher.history = self._history if kept else None
        self._pruner = Pruner(self._store, self._needed, now)
        self._pruner.set_ages(settings)
        self._reporting = settings["jobs.report"]
        self._engine.on_run = self._run_over

    def run(self) -> None:
        """Serve until stopped. What is stored stays; what runs goes on."""
        _stop_on_signals(self._loop)
        self._monitor.start(clock.now())
        self._loop.run(self._end_of_turn, self._deadlines)
        self._monitor.stop()
        self._copies.close()
        if self._outbox is not None:
            self._outbox.detach()
        self._export.detach()
        self._history.stop()
        self._store.close()

    def _deadlines(self) -> Iterator[float | None]:
        yield from self._engine.deadlines()
        for part in self._parts():
            yield from part.deadlines()

    def _parts(self) -> tuple[_Part, ...]:
        """Those that have something to do when a time has come."""
        return (
            self._attempts,
            self._accounts,
            self._server,
            self._looks,
            self._monitor,
            self._copies,
            self._history,
            self._pruner,
        )

    def _end_of_turn(self, now: Now) -> None:
        for part in self._parts():
            part.expire(now)
        self._export.turn(self._engine, now)
        self._dispatcher.turned(now)
        self._control.turned(self._engine)

    # -- what the parts tell each other -----------------------------------------------------------

    def _from_launcher(self, message: dict[str, Any], now: Now) -> None:
        op = message["op"]
        if op == "hello":
            _check_version(message)
            self._dispatcher.footing = {key: message.get(key, "") for key in machine.FOOTING}
            self._recover({(job, attempt) for job, attempt in message["attempts"]}, now)
        elif op == "alive":
            self._launcher.send({"op": "alive"})
        elif op == "account":
            self._accounts.answered(message, now)
        elif op == "reloaded":
            self._control.reloaded(message, now)
        elif op == "refused":
            self._attempts.refused(message)
        elif op == "gone":
            if self._recovered:  # in recovery mode the records of ends stay where they are
                self._attempts.gone((message["job"], message["attempt"]))
        elif op == "helper":
            self._helper(message["name"], message.get("fd"))
        elif op == "killed":
            self._attempts.killed((message["job"], message["attempt"]), now)
        else:
            log.warning("the launcher said what is not known", action="link-unknown", op=op)

    def _helper(self, name: str, fd: int | None) -> None:
        """The line to a process that the launcher keeps for us."""
        part = {"notifier": self._outbox, "exporter": self._export}.get(name)
        if part is not None and fd is not None:
            part.attach(fd)
        elif fd is not None:
            os.close(fd)

    def _recover(self, children: set[Key], now: Now) -> None:
        if not self._recovery_reason:
            self._recovery.run(children, now)
            self._recovered = True
            self._begin()

    def _inventory(self, inventory: Inventory) -> None:
        """The GPUs are known, or known anew."""
        self._engine.set_inventory(inventory)
        if not self._serving:
            self._serve()
        self._begin()

    def _serve(self) -> None:
        """Answer clients; until here they wait in the sockets' queues."""
        self._serving = True
        self._server.zone = self._control.settings["scheduling.time_zone"]
        self._server.listen(self._sockets["user"], admin=False)
        self._server.listen(self._sockets["admin"], admin=True)
        self._launcher.send({"op": "ready"})
        notices.missing(self._engine.world)
        if isinstance(self._store, SqliteStore) and not self._store.checked:
            self._history.check(clock.now())
        log.info("Answering clients", action="scheduler-ready", gpus=len(self._engine.world.gpus))

    def _begin(self) -> None:
        """Schedule as soon as both the earlier attempts and the GPUs are known."""
        if self._recovered and self._serving and not self._control.stopping:
            self._engine.start()

    def _report(self, report: Report) -> None:
        self._engine.report(report)

    def _act(self, effects: list[Effect], now: Now) -> None:
        self._actor.act(self._engine.world, effects, now)
        # What is asked for at each look, or again and again in vain, is no reason for another one.
        telling: list[Effect] = [
            effect for effect in effects if not isinstance(effect, KillProcess)
        ]
        if (telling and telling != self._acted) or self._engine.world.traces.unseen:
            self._monitor.look(now)
        self._acted = telling

    def _leaders(self) -> dict[int, int]:
        """The first process of each running job, and its supervisor, for the monitor."""
        placed = self._engine.world.placed.values()
        first = {job.phase.pid: job.id for job in placed if isinstance(job.phase, Running)}
        return {**self._attempts.supervisors(), **first}

    def _ended(self, job: Job, now: Now) -> None:
        self._dispatcher.ended(job, now)
        self._export.ended(self._engine.world, job)

    def _run_over(self, run: Run) -> None:
        """An attempt is over, and stored: its log may end with what there is to say of it."""
        if self._reporting:
            self._attempts.tell((run.job, run.attempt), receipt(run))

    def _adopt(self, settings: Settings) -> None:
        """Go on by other settings; what needs a restart is as it was in them."""
        rule, asked = policy(settings), rules(settings, self._recovery_reason)
        kept, left_for = settings["limits.kept_per_user"] << 20, settings["jobs.keep_for_redo"]
        self._engine.set_policy(rule, kept, left_for)
        self._dispatcher.rules = asked
        self._charges.set_bounds(*bounds(settings))
        self._server.grants = Grants.of(settings)
        self._server.zone = settings["scheduling.time_zone"]
        log.configure(settings["log.level"], settings["log.format"])
        self._pruner.set_ages(settings)
        self._reporting = settings["jobs.report"]
        self._export.users = settings["metrics.users"]
        self._adopt_notices(settings)

    def _adopt_notices(self, settings: Settings) -> None:
        """Send by other rules, begin to, or end: what waits is kept for when some are sent again.

        The launcher hands over the line to the notifier, or has told it of the other settings.
        """
        known = self._outbox
        if known is not None and settings["notices.enabled"]:
            known.set_rules(outbox.rules(settings))
            return
        if known is not None:
            known.detach()
        self._outbox = outbox.opened(settings, self._loop, self._recovery_reason)
        self._engine.post = self._export.outbox = self._outbox

    def _needed(self) -> set[int]:
        """The jobs and arrays that are over and that others still need."""
        world = self._engine.world
        return world.dependents.watched() | {array.id for array in world.records.all(Array)}

    def _damaged(self, verdict: str) -> None:
        """What is stored cannot be trusted: the next start, which looks itself, says what then."""
        log.error("the database is damaged", action="state-damaged", error=verdict)
        if isinstance(self._store, SqliteStore):
            self._store.suspect()
        raise StoreCorrupt(verdict)

    def _ask_account(self, uid: int) -> None:
        self._launcher.send({"op": "account", "uid": uid})


def _check_version(hello: dict[str, Any]) -> None:
    """The launcher is older where an upgrade was not followed by a restart: have it end too."""
    if not link_protocol.understood(hello):
        log.error(
            "this scheduler and its launcher are of different versions of mgpu: starting both anew",
            action="link-version",
        )
        sys.exit(_OTHER_VERSION)


def _stop_on_signals(loop: Loop) -> None:
    """SIGTERM and SIGINT end the loop; SIGHUP is the launcher's to heed and must not kill."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    loop.watch(reader, lambda _mask, _now: loop.stop())


def _use_all_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors(argv: Sequence[str]) -> dict[str, int]:
    """The descriptors that ``--NAME-fd N`` pairs name."""
    names = [word.removeprefix("--").removesuffix("-fd") for word in argv[::2]]
    return dict(zip(names, map(int, argv[1::2]), strict=True))


def main(argv: Sequence[str]) -> None:
    """Run the scheduler on the descriptors that the launcher handed over."""
    fds = descriptors(argv)
    with open(fds["settings"], "rb") as file:
        file.seek(0)
        settings = msgpack.unpackb(file.read())
    log.configure(settings["log.level"], settings["log.format"], os.environ)
    _use_all_descriptors()
    try:
        Scheduler(settings, fds["user"], fds["admin"], fds["link"]).run()
    except StoreError as error:  # memory may be ahead of the disk: the next one loads what is there
        hint = f"; {error.hint}" if error.hint else ""
        log.error(f"the state cannot be used any more: {error}{hint}", action="state-failed")
        sys.exit(_STATE_FAILED)
