"""The launcher: root's long-lived process. It starts the scheduler and, on its order, supervisors.

It never parses what a user sent, opens no path that a user could have chosen, and asks no name
service itself (a forked worker does). Whatever the scheduler orders is checked field by field.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys

from mgpu.privileged import accounts, log, order, startup, strays, syscalls, tree
from mgpu.privileged.birth import Spare
from mgpu.privileged.helper import Helper, Helpers
from mgpu.privileged.helpers import helpers
from mgpu.privileged.loop import Deadlines, Loop
from mgpu.privileged.refusal import Refusal
from mgpu.privileged.reload import Reload
from mgpu.privileged.remains import Remains
from mgpu.privileged.scheduler import Scheduler
from mgpu.privileged.systemd import Manager
from mgpu.privileged.workers import Workers
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from mgpu.privileged.site import Site
    from mgpu.privileged.startup import Settings

_STOP_SECONDS = 10.0
#: A scheduler that has been ready for so long is started again at once when it ends.
_STABLE_SECONDS = 10.0
#: No use in trying again: it has said why it cannot run here (78), or with us (76).
_EXIT_FOR_GOOD = (76, 78)
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MESSAGES_IN_A_TURN = 64


class Launcher:
    """The supervisors that are its children, the scheduler, and what both ask of it."""

    def __init__(
        self, site: Site, scheduler: Scheduler, manager: Manager, helpers: Sequence[Helper]
    ) -> None:
        self.site = site
        self.scheduler = scheduler
        self.manager = manager
        self.loop = Loop()
        self.deadlines = Deadlines()
        self.helpers = Helpers(helpers, self.deadlines, scheduler)
        self.children: dict[int, tuple[int, int]] = {}
        self.kills: set[str] = set()
        self.spare = Spare(site, self.deadlines)
        self.reload = Reload(lambda: scheduler.settings, self.deadlines, self._reloaded)
        self.remains = Remains(self.loop, site, self._nothing_left)
        self.workers = Workers(self.loop, self.deadlines, site.rules, self._say)
        # Without cgroups: what dead supervisors have left, and whether there may be something.
        self.orphans = tree.ProcessTree(self._known)
        self.orphaned = False
        self._first_children = tree.children()
        self.stopping = False
        self.status: int | None = None
        self.loop.on(site.signals, self._on_signal)
        self.loop.on(self.deadlines.fd, self._on_timer)
        if manager.watchdog:
            self.deadlines.set("watchdog", manager.watchdog)

    def run(self) -> int:
        """Serve until told to stop; the exit status."""
        self.remains.sweep()
        self.helpers.start()
        self._start_scheduler()
        self._refill()
        while self.status is None:
            self.loop.turn()
        return self.status

    # ------------------------------------------------------------ the scheduler

    def _start_scheduler(self) -> None:
        try:
            self.scheduler.start()
        except OSError as error:
            log.error("Cannot start the scheduler", "scheduler-failed", reason=error)
            self.deadlines.set("scheduler", self.scheduler.ended())
            return
        log.info("Started the scheduler", "scheduler-start", pid=self.scheduler.pid)
        if self.scheduler.link is not None:
            self.loop.on(self.scheduler.link.fileno(), self._on_link)
        known = {"tracking": self.site.tracking, "fenced_by": self.site.fenced_by}
        attempts = [list(key) for key in self.children.values()]
        self._say({"op": "hello", "attempts": attempts, **known, **link.versions()})
        self.helpers.introduce()

    def _scheduler_ended(self, status: int) -> None:
        """Take in what it had ordered, which is durable, before another one is told our state."""
        self._on_link(0)
        if self.scheduler.link is not None:
            self.loop.off(self.scheduler.link.fileno())
        code, ready = os.waitstatus_to_exitcode(status), self.scheduler.ready
        say = log.info if self.stopping else log.warning
        say("The scheduler ended", "scheduler-end", pid=self.scheduler.pid, status=code)
        delay = self.scheduler.ended()
        self.deadlines.clear("stable")
        if self.stopping:
            self.status = 0
        elif code in _EXIT_FOR_GOOD and not ready:
            self.status = code
        else:
            self.deadlines.set("scheduler", delay)

    def _say(self, message: dict[str, Any], data: bytes = b"") -> None:
        """Tell the scheduler, if it is there: a new one is told the state as a whole."""
        self.scheduler.send(message, data)

    def _on_link(self, _events: int) -> None:
        for _ in range(_MESSAGES_IN_A_TURN):
            if self.scheduler.link is None:
                return
            try:
                received = link.recv(self.scheduler.link)
            except BlockingIOError:
                return
            except (OSError, link.LinkError) as error:
                log.warning("The scheduler sent nonsense", "link-error", reason=error)
                continue
            if received is None:  # it is ending: its death is a signal
                self.loop.off(self.scheduler.link.fileno())
                return
            message, fds = received
            try:
                self._obey(message, fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _obey(self, message: dict[str, Any], fds: list[int]) -> None:
        operation = message["op"]
        try:
            if operation == "start":
                self._start(message, fds)
            elif operation == "kill":
                self._kill(*order.attempt_of(message))
            elif operation == "clear":
                self._clear(*order.attempt_of(message))
            elif operation == "kill_process":
                strays.kill(message, self.site)
            elif operation == "account":
                self._account(message.get("uid"))
            elif operation == "ready":
                self._ready()
            else:
                self._obey_further(operation, message)
        except Refusal as refusal:
            log.error("Refused an order", "order-refused", op=operation, reason=refusal.detail)
        except OSError as error:  # no room for a process or a descriptor
            log.error("Cannot follow an order", "order-failed", op=operation, reason=error)

    def _obey_further(self, operation: str, message: dict[str, Any]) -> None:
        if operation == "alive":
            self.scheduler.asked = False
        elif operation == "reload":
            self.reload.begin()
        elif operation == "log_level":
            log.configure(str(message.get("level")))
        elif operation == "stop":
            self._stop()
        else:
            log.warning("Unknown order", "order-unknown", op=operation)

    def _ready(self) -> None:
        self.scheduler.ready = True
        self.deadlines.set("stable", _STABLE_SECONDS)
        self.manager.tell("READY=1\nSTATUS=Answering users")
        log.info("Ready", "ready", pid=os.getpid())

    def _reloaded(self, settings: Settings | None, told: dict[str, Any]) -> None:
        """Go on with other settings, if they are good, and tell the scheduler."""
        if settings is None:
            self._say(told)
            return
        self.site.take_over(settings)
        log.configure(settings.level, settings.log_format)
        self.scheduler.settings = settings.raw
        self.spare.forget()  # it knows the site as it was before
        self._refill()
        self.workers.rules = settings.rules
        log.info("The configuration is applied", "reloaded", changed=",".join(told["changed"]))
        self.helpers.renew(settings.helpers)  # what is handed over next is what they know already
        self._say(told, settings.raw)
        self.helpers.change(settings.helpers)

    def _account(self, uid: object) -> None:
        if type(uid) is not int or not 0 <= uid < 2**32 - 1:
            raise Refusal("order", errno.EINVAL, f"account: not a uid: {uid!r:.80}")
        self.workers.ask(uid)

    # ------------------------------------------------------------ attempts

    def _start(self, message: dict[str, Any], fds: list[int]) -> None:
        """Fork the supervisor of an attempt, or tell the scheduler why not."""
        job, attempt = key = order.attempt_of(message)
        try:
            if key in self.children.values():
                raise Refusal("order", errno.EEXIST, "it has been started", transient=False)
            order.check(message, fds, self.site.rules)
            pid = self.spare.give(message, fds)
        except Refusal as refusal:
            self._refuse(job, attempt, refusal)
        except OSError as error:
            self._refuse(job, attempt, Refusal.of("fork", error))
        else:
            self.children[pid] = key
            log.info("Started a supervisor", "supervisor-start", job=job, attempt=attempt, pid=pid)

    def _refuse(self, job: int, attempt: int, refusal: Refusal) -> None:
        key, stage = {"job": job, "attempt": attempt}, refusal.stage
        log.warning("Refused a start", "start-refused", **key, stage=stage, reason=refusal.detail)
        self._say({"op": "refused", **key, **refusal.fields()})

    def _kill(self, job: int, attempt: int) -> None:
        """Kill everything of an attempt; answer when nothing is left."""
        name = f"{job}.{attempt}"
        if self.site.groups is None:
            self.kills.add(name)
            self._kill_supervisor((job, attempt))
            self._clear_orphans()
        elif self.remains.clear(name, kill=True):
            self._say({"op": "killed", "job": job, "attempt": attempt})
        else:
            self.kills.add(name)

    def _clear(self, job: int, attempt: int) -> None:
        """An attempt is over whose supervisor may be an earlier launcher's: nobody else tells."""
        if (job, attempt) not in self.children.values():
            self.remains.clear(f"{job}.{attempt}", kill=False)

    def _kill_supervisor(self, key: tuple[int, int]) -> None:
        """Only the parent of what is left of an attempt knows when nothing is: become it."""
        for pid, child in self.children.items():
            if child == key:
                os.kill(pid, signal.SIGKILL)

    def _clear_orphans(self) -> None:
        """Without cgroups: kill what dead supervisors have left, and answer once nothing is."""
        self.orphaned = not self.orphans.empty()
        if self.orphaned:
            self.orphans.kill()
            return
        supervised = {f"{job}.{attempt}" for job, attempt in self.children.values()}
        for name in self.kills - supervised:
            self.remains.clear(name, kill=True)
            self._nothing_left(name)

    def _nothing_left(self, name: str) -> None:
        if name in self.kills:
            self.kills.discard(name)
            job, attempt = name.split(".")
            self._say({"op": "killed", "job": int(job), "attempt": int(attempt)})

    def _supervisor_ended(self, pid: int, status: int) -> None:
        job, attempt = self.children.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        ids = {"job": job, "attempt": attempt, "pid": pid}
        if code == 0:
            log.info("A supervisor ended", "supervisor-end", **ids)
        else:
            log.error("A supervisor failed", "supervisor-failed", **ids, status=code)
        self._say({"op": "gone", "job": job, "attempt": attempt})
        self.orphaned |= code != 0
        self.remains.clear(f"{job}.{attempt}", kill=True)

    def _known(self) -> set[int]:
        ours = {*self.children, self.scheduler.pid, self.spare.pid, self.reload.pid}
        return ours | self.workers.pids() | self.helpers.pids() | self._first_children

    def _refill(self) -> None:
        try:
            self.spare.refill()
        except OSError as error:
            log.warning("Cannot fork a spare supervisor", "spare-failed", reason=error)

    # ------------------------------------------------------------ signals and time

    def _on_signal(self, _events: int) -> None:
        signals = syscalls.read_signals(self.site.signals)
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        if signal.SIGHUP in signals:
            self.reload.begin()
        self._reap()

    def _reap(self) -> None:
        ended = tree.reap()
        self._first_children -= ended.keys()
        for pid, status in ended.items():
            if pid == self.scheduler.pid:
                self._scheduler_ended(status)
            elif pid in self.helpers.pids():
                self.helpers.ended(pid, status)
            elif pid in self.children:
                self._supervisor_ended(pid, status)
            elif pid == self.spare.pid:
                self.spare.lost()
            elif pid == self.reload.pid:
                self.reload.ended(status)
        if len(ended) == tree.MOST_REAPED:
            self.deadlines.set("reap", 0.0)
        if self.site.groups is None and (self.orphaned or self.kills):
            self._clear_orphans()

    def _stop(self) -> None:
        """End the scheduler, then ourselves; supervisors and jobs go on."""
        if self.stopping:
            return
        self.stopping = self.helpers.stopping = True
        self.manager.tell("STOPPING=1\nSTATUS=Stopping; jobs go on")
        log.info("Stopping; jobs go on", "stop", supervisors=len(self.children))
        self.deadlines.clear("scheduler")
        if self.scheduler.pid:
            self.scheduler.signal(signal.SIGTERM)
            self.deadlines.set("stop", _STOP_SECONDS)
        else:
            self.status = 0

    def _on_timer(self, _events: int) -> None:
        for name in self.deadlines.passed():
            if name == "reap":
                self._reap()
            elif name == "spare":
                self._refill()
            elif name == "scheduler":
                self._start_scheduler()
            elif name == "stable":
                self.scheduler.stable()
            elif name == "reload":
                self.reload.late()
            elif name == "stop":
                self.scheduler.signal(signal.SIGKILL)
            elif name == "watchdog":
                self._watch_over()
            elif type(name) is tuple:
                self._late(*name)

    def _late(self, what: str, whose: Any) -> None:
        self.workers.late(whose) if what == "account" else self.helpers.due(what, whose)

    def _watch_over(self) -> None:
        """Tell the manager that we live, and have the scheduler tell us; a hung one is replaced."""
        self.manager.tell("WATCHDOG=1")
        self.deadlines.set("watchdog", self.manager.watchdog)
        scheduler = self.scheduler
        if scheduler.asked and scheduler.ready:
            log.error("The scheduler hangs: killing it", "scheduler-hung", pid=scheduler.pid)
            scheduler.signal(signal.SIGKILL)
        elif scheduler.ready:
            scheduler.asked = scheduler.send({"op": "alive"})


def prepare(settings_fd: int, argv: Sequence[str] | None) -> Launcher:
    """Everything up to the point where the scheduler is started."""
    if os.getuid() != 0:
        raise startup.StartError("mgpud must be started as root", status=77)
    settings = startup.read_settings(settings_fd)
    log.configure(settings.level, settings.log_format)
    manager = Manager(os.environ)
    startup.check_trust(settings)
    site, _locks = startup.take_folders(settings, startup.normalise(_SIGNALS))
    sockets = startup.open_sockets(settings)
    startup.tell_limits(site.groups)
    syscalls.set_subreaper()
    accounts.warm_up()
    scheduler = Scheduler(site, settings.raw, sockets, argv)
    return Launcher(site, scheduler, manager, helpers(settings))


def main(settings_fd: int, scheduler: Sequence[str] | None = None) -> NoReturn:
    """Be the launcher, with the resolved settings in ``settings_fd``.

    ``scheduler`` is the command line of another scheduler than ``mgpu.daemon`` (for tests).
    """
    try:
        launcher = prepare(settings_fd, scheduler)
    except startup.StartError as error:
        log.error(str(error), "cannot-start")
        sys.exit(error.status)
    except OSError as error:
        log.error(f"cannot start: {startup.reason(error)}", "cannot-start")
        sys.exit(71)
    # The pages of what lives for ever stay shared with the supervisors; there are no cycles.
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.exit(launcher.run())
