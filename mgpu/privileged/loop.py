"""One poll(2) for everything that can happen, and named deadlines on a clock that nobody sets."""

from __future__ import annotations

import select

from mgpu.privileged import clock, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int], None]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
#: What a cgroup's events file has when it has changed.
CHANGED = select.POLLPRI


class Loop:
    """Calls the handler of each descriptor that has something to say, in order of registration."""

    __slots__ = ("_handlers", "_poll")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}

    def on(self, fd: int, handler: Handler, events: int = READABLE) -> None:
        """Call ``handler`` with the events of ``fd`` from now on."""
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def want(self, fd: int, events: int) -> None:
        """Change which events of ``fd`` count."""
        if fd in self._handlers:
            self._poll.modify(fd, events)

    def off(self, fd: int) -> None:
        """Forget ``fd``, if it is known; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def turn(self) -> None:
        """Wait until something happens and handle all of it."""
        for fd, events in self._poll.poll():
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)


class Deadlines:
    """Named moments on CLOCK_BOOTTIME, kept by one timer of the kernel."""

    __slots__ = ("_armed", "_moments", "fd")

    def __init__(self) -> None:
        self.fd = syscalls.timer()
        self._moments: dict[object, float] = {}
        self._armed = 0.0

    def set(self, name: object, seconds: float) -> None:
        """Let ``name`` pass in ``seconds`` from now, whatever was set for it before."""
        self._moments[name] = clock.boot() + seconds
        self._arm()

    def set_once(self, name: object, seconds: float) -> None:
        """Like ``set``, but a moment that is already set stays."""
        if name not in self._moments:
            self.set(name, seconds)

    def sooner(self, name: object, seconds: float) -> None:
        """Like ``set``, but an earlier moment that is already set stays."""
        moment = clock.boot() + seconds
        self._moments[name] = min(moment, self._moments.get(name, moment))
        self._arm()

    def clear(self, name: object) -> None:
        """Forget ``name``."""
        if self._moments.pop(name, None) is not None:
            self._arm()

    def passed(self) -> list[object]:
        """Take out the names whose moments have passed, the earliest first."""
        now = clock.boot()
        names = sorted(
            (name for name, moment in self._moments.items() if moment <= now),
            key=self._moments.__getitem__,
        )
        for name in names:
            del self._moments[name]
        self._armed = -1.0  # the timer has rung, or is to be set anew
        self._arm()
        return names

    def _arm(self) -> None:
        first = min(self._moments.values(), default=0.0)
        if first != self._armed:
            syscalls.set_timer(self.fd, first)
            self._armed = first
