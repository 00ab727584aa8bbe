"""The scheduler's event loop: one thread, epoll, deadlines on the boot clock, no polling."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable

from mgpu.model.time import Now

Handler = Callable[[int, Now], None]

#: Seconds that the loop sleeps at the longest: the kernel takes no number of any size.
LONGEST = 3600.0

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP | select.EPOLLERR


class Loop:
    """Calls the handler of each descriptor that is ready, then ends the turn.

    ``clock`` is read once a turn. A handler gets the epoll mask and that instant.
    """

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._running = True

    def watch(self, fd: int, handler: Handler, mask: int = READ) -> None:
        """Call ``handler`` whenever ``fd`` is ready for ``mask``."""
        self._handlers[fd] = handler
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Wait for ``mask`` on a watched ``fd`` from now on; 0 waits for hang-ups alone."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Stop watching ``fd``; call it before the descriptor is closed."""
        self._epoll.unregister(fd)
        del self._handlers[fd]

    def stop(self) -> None:
        """End :meth:`run` after this turn."""
        self._running = False

    def run(
        self,
        end_of_turn: Callable[[Now], None],
        deadlines: Callable[[], Iterable[float | None]],
    ) -> None:
        """Run until :meth:`stop`. ``deadlines`` are boot times at which to wake at the latest."""
        while self._running:
            self.turn(end_of_turn, self._timeout(deadlines()))

    def turn(self, end_of_turn: Callable[[Now], None], timeout: float | None) -> None:
        """Handle what is ready, waiting up to ``timeout`` seconds for something to be."""
        ready = [(fd, mask, self._handlers[fd]) for fd, mask in self._epoll.poll(timeout)]
        now = self._clock()
        for fd, mask, handler in ready:
            # The number may belong to another descriptor by now: an earlier handler closed this.
            if self._handlers.get(fd) is handler:
                handler(mask, now)
        end_of_turn(now)

    def _timeout(self, deadlines: Iterable[float | None]) -> float | None:
        """Seconds to sleep; a little more than needed, so that a deadline has passed on waking."""
        earliest = min((d for d in deadlines if d is not None), default=None)
        if earliest is None:
            return None
        return min(LONGEST, max(0.0, earliest - self._clock().boot + 0.001))
