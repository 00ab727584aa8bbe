"""The supervisor: one process per attempt, which starts it, keeps its limit, and tells its end.

It begins as root, forked from the launcher; forks the job's child; then drops to the service user
with CAP_KILL alone. It lives as long as anything of the job does, whatever becomes of launcher and
scheduler. Events only change the facts it holds; ``settle`` then does what the facts ask for.
"""

from __future__ import annotations

import errno
import os
import signal
import socket

from mgpu.privileged import childbirth, clock, footer, identity, job, syscalls, tree
from mgpu.privileged.channel import Channel
from mgpu.privileged.console import Console
from mgpu.privileged.loop import CHANGED, Deadlines, Loop
from mgpu.privileged.record import Attempt
from mgpu.privileged.refusal import Refusal, died_early
from mgpu.protocol import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from mgpu.privileged.cgroup import Group
    from mgpu.privileged.order import Order
    from mgpu.privileged.site import Site

#: How long everything before the execution may take: a home on a dead server never answers.
START_SECONDS = 30.0
#: An end that is not acknowledged by then is made durable here; a scheduler is faster.
_SYNC_SECONDS = 1.0
_RETRY_SECONDS = 5.0
#: A leader that seems dead, and of which nothing is told, is looked at so much later.
_LOOK_SECONDS = 1.0
#: How long the end waits for output to be written, and clients for what they have not seen.
_DRAIN_SECONDS = 5.0
_DEATH_SECONDS, _MOST_STUCK = 10.0, 100  # what outlives SIGKILL hangs; so many pids are told of


class Supervisor:
    """One attempt: the facts, the handlers that learn them, and what follows."""

    __slots__ = (
        *("about_to_execute", "announced", "attempt", "begun", "cause", "channel", "child"),
        *("console", "deadlines", "killed", "leaving", "log", "loop", "order", "over", "patient"),
        *("pipe", "refusal", "report", "site", "stage", "started", "status", "ticks", "tree"),
    )

    def __init__(self, order: Order, site: Site) -> None:
        self.order = order
        self.site = site
        self.loop = Loop()
        self.deadlines = Deadlines()
        self.channel = Channel(self.loop, site.uid, self._on_message, self._on_lost)
        self.console = Console(self.loop)
        self.attempt: Attempt | None = None
        self.pipe: socket.socket | None = None
        self.tree: tree.Tree | None = None
        self.child = self.ticks = 0
        self.log = -1
        self.stage = "prepare"
        # What is known of the job, and what is wanted.
        self.about_to_execute = False
        self.started: float | None = None
        self.announced = False
        self.begun = 0.0
        self.status: int | None = None
        self.refusal: Refusal | None = None
        self.report: Refusal | None = None
        self.cause = "exit"
        self.patient = self.killed = self.over = self.leaving = False

    # ------------------------------------------------------------ start

    def start(self, payload: int) -> None:
        """Fork the child, become the service user, make the attempt known, let the child go on."""
        group = childbirth.make_group(self.site, self.order)
        fence_fd = childbirth.make_fence(self.site, self.order, group)
        script_fd = childbirth.make_script(self.site, self.order)
        self.stage = "fork"
        pipe = self._fork(group, payload, script_fd, fence_fd)
        family = tree.CgroupTree(group) if group else tree.ProcessTree()
        self.pipe, self.tree = pipe, family
        self.ticks = tree.ticks(self.child)
        self.stage = "supervisor"
        identity.become_supervisor(self.site.uid, self.site.gid)
        self._watch(pipe, family)
        self.stage = "record"
        self._publish(pipe)

    def _fork(
        self, group: Group | None, payload: int, script_fd: int, fence_fd: int
    ) -> socket.socket:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.child, entered = childbirth.fork(group)
        if self.child == 0:
            near.close()  # else the child would hold open itself what tells it that we have died
            fds = {"payload_fd": payload, "script_fd": script_fd, "fence_fd": fence_fd}
            ours = {"parent": parent, "pipe": far.fileno(), **fds}
            job.run(job.Child(self.order, self.site, group=group, entered=entered, **ours))
        far.close()
        for fd in (payload, script_fd, fence_fd):
            if fd >= 0:
                os.close(fd)
        return near

    def _publish(self, pipe: socket.socket) -> None:
        """Make the folder (the fence), and only then let the child touch anything.

        The folder says that the attempt exists; the word "ready" is for a scheduler that connects.
        """
        order, site = self.order, self.site
        self.attempt = Attempt(site.attempts, order.name)
        process = {"uid": order.uid, "pid": self.child, "ticks": self.ticks}
        ours = {"job": order.job, "attempt": order.attempt, "boot_id": site.boot_id}
        listener = self.attempt.publish({**ours, **process, **link.versions()})
        self.channel.listen(listener)
        self.channel.note(self._message("ready"))
        try:
            pipe.send(b"g", socket.MSG_NOSIGNAL)
        except OSError:
            return  # the child has already failed, and its report is in the pipe

    def _watch(self, pipe: socket.socket, family: tree.Tree) -> None:
        pipe.setblocking(False)
        self.loop.on(pipe.fileno(), self._on_pipe)
        self.loop.on(self.site.signals, self._on_signal)
        self.loop.on(self.deadlines.fd, self._on_timer)
        if family.fileno() >= 0:
            self.loop.on(family.fileno(), lambda _events: self._on_change(family), CHANGED)
        self.deadlines.set("start", START_SECONDS)

    def run(self) -> NoReturn:
        """Learn and act for ever; ``leave`` is the way out."""
        while True:
            self.settle()
            self.loop.turn()

    # ------------------------------------------------------------ learn

    def _on_pipe(self, _events: int) -> None:
        """The child says that it executes or why it cannot; the exec closes its end."""
        while self.pipe is not None:
            try:
                data, fds, _ = link.receive(self.pipe)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it left without reading our word: hear its own first
                continue
            if data == job.ABOUT_TO_EXECUTE:
                self.about_to_execute = True
            elif fds and data == footer.LOG:
                self.log = fds[0]
            elif fds:
                self._open_console(fds)
            elif data:
                self.report = childbirth.report_of(data)
            else:
                self._pipe_closed(self.pipe)

    def _open_console(self, fds: list[int]) -> None:
        try:
            self.console.open(fds)
        except (Refusal, OSError) as error:
            self.refusal = error if isinstance(error, Refusal) else Refusal.of("terminal", error)

    def _pipe_closed(self, pipe: socket.socket) -> None:
        self.loop.off(pipe.fileno())
        pipe.close()
        self.pipe = None
        self.deadlines.clear("start")
        if self.about_to_execute and self.report is None:
            self.started = clock.wall()
            self.console.decide()

    def _on_signal(self, _events: int) -> None:
        """A child of ours ended: the job's leader, or something that the job orphaned.

        SIGTERM says that the machine goes down: the job is ended, and goes on another time.
        """
        if signal.SIGTERM in syscalls.read_signals(self.site.signals):
            self.stop("shutdown", self.order.grace)
        self._reap()

    def _reap(self) -> None:
        ended = tree.reap()
        if self.child in ended:
            self.status = ended[self.child]
            self._on_pipe(0)
        if len(ended) == tree.MOST_REAPED:
            self.deadlines.set("reap", 0.0)

    def _on_change(self, family: tree.Tree) -> None:
        family.look()  # which ends the event
        self.deadlines.set_once("look", _LOOK_SECONDS)

    def _look(self) -> None:
        """A leader can be dead and only its tracer be told how it ended: unknown, so not well."""
        if self.status is None and tree.withheld(self.child):
            self.status = signal.SIGKILL
        elif self.killed and not self.over:
            self.deadlines.set("look", _LOOK_SECONDS)

    def _on_timer(self, _events: int) -> None:
        grace = self.order.grace
        due: dict[object, Callable[[], object]] = {
            "start": self._too_late,
            "warn": self._warn,
            "limit": lambda: self.stop("timelimit", grace),
            "term": lambda: self.stop("cancel", grace),
            "kill": self.kill,
            "stuck": self._look_after,
            "reap": self._reap,
            "look": self._look,
            "drain": self.console.give_up,
            "keep": lambda: self.keep(durable=True),
            "leave": lambda: os._exit(0),
        }
        for name in self.deadlines.passed():
            due[name]()

    def _too_late(self) -> None:
        detail = f"not started in {START_SECONDS:.0f} s: does a file system not answer?"
        self.refusal = Refusal("start", errno.ETIMEDOUT, detail)

    def _warn(self) -> None:
        if self.order.warn and self.tree:
            tree.warn(self.tree, self.order.warn[0])

    def _on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        order, operation = self.order, message.get("op")
        if operation == "attach":
            self.console.attach(fds, read_only=message.get("read_only") is not False)
            return
        link.close(fds)
        if operation == "stop":
            if not (message.get("warn") and self._warn_first()):
                grace = message.get("grace")
                self.stop("cancel", grace if type(grace) is int and grace >= 0 else order.grace)
        elif operation == "limit" and type(message.get("seconds")) is int:
            self._extend(message["seconds"])
        elif operation == "signal" and self.tree is not None and self.started is not None:
            tree.pass_on(self.tree, message.get("number"), self.child * bool(message.get("leader")))
        elif operation == "ack" and self.over:
            if (message.get("job"), message.get("attempt")) != (order.job, order.attempt):
                return
            if self.attempt is not None:
                self.attempt.remove()
            footer.write(self.log, message.get("report"))
            self._leave()

    def _on_lost(self) -> None:
        """The scheduler is gone: an end that nobody took is made durable, then we leave."""
        if self.over:
            self.keep(durable=True)

    # ------------------------------------------------------------ act

    def settle(self) -> None:
        """Do what the facts ask for; nothing, if it has been done."""
        if self.over:
            if self.leaving and not self.console.unsent:
                os._exit(0)
        elif self.refusal is not None and self.cause == "exit":
            self._refuse(self.refusal)
        elif self.status is None:
            self._announce()
        elif self.tree is not None and not self.tree.empty():
            if not self.patient:
                self.kill()
        elif not self.console.drained():
            self.deadlines.set_once("drain", _DRAIN_SECONDS)
        elif self.started is None and self.cause == "exit":
            self._refuse(self.report or died_early(self.status))
        else:
            self._end(self.status)

    def _announce(self) -> None:
        """Say "running", once, and start the clocks of the limit."""
        if self.started is None or self.announced:
            return
        self.announced, self.begun = True, clock.boot()
        process = {"pid": self.child, "ticks": self.ticks, "supervisor": os.getpid()}
        self._tell("running", **process, wall=self.started, boot=self.begun)
        limit, warn = self.order.limit, self.order.warn
        if limit:
            self.deadlines.set("limit", limit)
        if limit and warn is not None and warn[1] < limit:
            self.deadlines.set("warn", limit - warn[1])

    def _warn_first(self) -> bool:
        """The warning that its owner asked for, and SIGTERM so long after it; False for none."""
        warn = self.order.warn
        if warn is None or self.tree is None or self.started is None or self.patient:
            return False
        self._warn()
        self.deadlines.set("term", warn[1])
        return True

    def _extend(self, seconds: int) -> None:
        """Let the attempt run so long from its start, unless it is being ended already."""
        if self.announced and self.cause == "exit" and not self.patient:
            left = max(0.0, self.begun + seconds - clock.boot())
            self.deadlines.set("limit", left)
            if self.order.warn is not None and self.order.warn[1] < seconds:
                self.deadlines.set("warn", max(0.0, left - self.order.warn[1]))

    def stop(self, cause: str, grace: int) -> None:
        """SIGTERM the tree now, SIGKILL it after ``grace`` seconds; a cancel outweighs a limit."""
        if self.over or self.tree is None:
            return
        if self.status is None and self.cause != "cancel":
            self.cause = cause
        if grace == 0 or self.started is None or self.killed:
            self.kill()
            return
        if not self.patient:
            self.patient = True
            tree.terminate(self.tree, hang_up=self.console.terminal is not None)
        self.deadlines.sooner("kill", grace)

    def kill(self) -> None:
        """SIGKILL the tree; without a cgroup again whenever something of it is left."""
        self.patient = False
        self.killed = True
        self.deadlines.set_once("stuck", _DEATH_SECONDS)
        if self.tree is not None:
            self.tree.kill()
            self.deadlines.set_once("look", _LOOK_SECONDS)

    def _look_after(self) -> None:
        """Tell what outlives its SIGKILL, as long as something does."""
        if self.tree is not None and not self.over:
            self.channel.add(stuck=sorted(self.tree.members())[:_MOST_STUCK])
            self.deadlines.set("stuck", _DEATH_SECONDS)

    def _refuse(self, refusal: Refusal) -> None:
        """Nothing was executed: say why, having made sure that nothing will be."""
        self.kill()
        self._finish("refused", **refusal.fields())

    def _end(self, status: int) -> None:
        """The tree is empty: say how its leader ended, if it was the user's program at all."""
        if self.cause == "shutdown":
            self._finish("interrupted", detail="the machine was going down")
            return
        code = os.waitstatus_to_exitcode(status)
        ran = self.started is not None
        if ran and code and self.cause == "exit" and self.tree and self.tree.out_of_memory():
            self.cause = "memory"
        self._finish(
            "ended",
            code=code if ran and code >= 0 else None,
            signal=-code if ran and code < 0 else None,
            cause=self.cause,
            wall=clock.wall(),
            boot=clock.boot(),
            started_wall=self.started,
            detail="",
        )

    def _finish(self, operation: str, **fields: object) -> None:
        """Tell it first, since the next job waits for that; then keep it until the ack."""
        self.over = True
        self._tell(operation, **fields)
        self.console.hang_up()
        self.keep(durable=not self.channel.connected)

    def _leave(self) -> None:
        """Nothing is owed to the scheduler: end, as soon as the clients have seen everything."""
        if not self.console.unsent:
            os._exit(0)
        self.leaving = True
        self.deadlines.set_once("leave", _DRAIN_SECONDS)

    def _tell(self, operation: str, **fields: object) -> None:
        self.channel.tell(self._message(operation, **fields))

    def _message(self, operation: str, **fields: object) -> dict[str, Any]:
        order = self.order
        return {"op": operation, "job": order.job, "attempt": order.attempt, **fields}

    def keep(self, *, durable: bool) -> None:
        """Write the end down; leave once it is durable and no scheduler is there to take it."""
        seconds = _SYNC_SECONDS
        if self.attempt is not None:
            try:
                end = {**self.channel.newest, "boot_id": self.site.boot_id}
                self.attempt.write(end, durable=durable)
            except OSError:  # a full disk: stay, for room or for a scheduler
                durable, seconds = False, _RETRY_SECONDS
        if not durable:
            self.deadlines.set("keep", seconds)
        elif not self.channel.connected:
            self._leave()
