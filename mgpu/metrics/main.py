"""The exporter process: asks the scheduler for a snapshot when somebody asks it for one.

Between the two lies a line on which the scheduler never waits. What was got last is shown again
where the next one does not come in time, with its age.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from typing import Any, Final

from mgpu.metrics.page import Sample, written
from mgpu.metrics.server import Server
from mgpu.protocol import link
from mgpu.system import clock
from mgpu.system.log import log
from mgpu.system.process import settings_in

#: Seconds for which a snapshot is shown again, in which one must come, and after which it is old.
FRESH: Final = 1.0
PATIENCE: Final = 2.0
OLD: Final = 60.0
_MOST_SAMPLES: Final = 50_000


class Exporter:
    """The last snapshot, and the line to whoever makes the next one.

    ``renewed`` is called with the file of other settings to go on by.
    """

    def __init__(self, scheduler: socket.socket, renewed: Callable[[int], None]) -> None:
        scheduler.setblocking(False)
        self._scheduler = scheduler
        self._renewed = renewed
        self._coming: list[Sample] = []
        self._samples: list[Sample] = []
        self._taken: float | None = None
        self._asked: asyncio.Future[None] | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(scheduler, self._hear)

    async def page(self) -> bytes:
        """What is known, no older than a second where the scheduler answers."""
        if self._taken is None or clock.now().boot - self._taken > FRESH:
            await self._refresh()
        age = clock.now().boot - self._taken if self._taken is not None else OLD
        return written(self._samples, age if age < OLD else None)

    async def _refresh(self) -> None:
        """Ask once for all who want to know; give up soon."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            try:
                link.send(self._scheduler, {"op": "scrape"})
            except OSError:
                log.debug("the scheduler does not listen", action="exporter-unheard")
        asked = self._asked
        try:
            await asyncio.wait_for(asyncio.shield(asked), PATIENCE)
        except TimeoutError:
            self._asked = None if self._asked is asked else self._asked

    def _hear(self) -> None:
        while True:
            try:
                received = link.recv(self._scheduler)
            except BlockingIOError:
                return
            if received is None:
                self._end()
                return
            if received[0]["op"] == "settings":
                self._renewed(received[1].pop())
            for fd in received[1]:
                os.close(fd)
            self._take(received[0])

    def _take(self, message: dict[str, Any]) -> None:
        if message["op"] == "begin":
            self._coming = []
        elif message["op"] == "part" and len(self._coming) < _MOST_SAMPLES:
            self._coming += [(name, tuple(labels), v) for name, labels, v in message["samples"]]
        elif message["op"] == "end":
            self._samples, self._coming = self._coming, []
            self._taken = clock.now().boot
            if self._asked is not None and not self._asked.done():
                self._asked.set_result(None)
            self._asked = None

    def _end(self) -> None:
        """Nobody holds the other end any more."""
        asyncio.get_running_loop().remove_reader(self._scheduler)
        if not self.over.done():
            self.over.set_result(None)


def place_of(listen: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9105`` or ``[::1]:9105``."""
    found = re.fullmatch(r"(?a)\[?([^\]]*?)\]?:(\d+)", listen)
    if found is None:
        raise ValueError(f"{listen!r} is no address and port")
    return found[1], int(found[2])


async def _listen(exporter: Exporter, listen: str) -> asyncio.Server:
    try:
        server = await Server(exporter.page).listen(*place_of(listen))
    except OSError as error:
        why = error.strerror or str(error)
        log.error("cannot serve metrics", action="metrics-failed", listen=listen, error=why)
        raise SystemExit(1) from error
    log.info("Serving metrics", action="metrics-ready", listen=listen)
    return server


async def _serve(scheduler: socket.socket, settings: dict[str, Any]) -> None:
    """Serve where the settings say, and elsewhere when others say so."""
    news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    exporter = Exporter(scheduler, lambda fd: news.put_nowait(settings_in(fd)))
    while settings:
        listen = settings["metrics.listen"]
        async with await _listen(exporter, listen):
            while settings and settings["metrics.listen"] == listen:
                settings = await _next(news, exporter.over)


async def _next(news: asyncio.Queue[dict[str, Any]], over: asyncio.Future[None]) -> dict[str, Any]:
    """Other settings, or none when the line is over."""
    waiting = asyncio.ensure_future(news.get())
    await asyncio.wait((waiting, over), return_when=asyncio.FIRST_COMPLETED)
    if waiting.done():
        return waiting.result()
    waiting.cancel()
    return {}


def main(link_fd: int, settings_fd: int) -> None:
    """Serve metrics of the schedulers at the other end of ``link_fd``."""
    settings = settings_in(settings_fd)
    with socket.socket(fileno=link_fd) as scheduler:
        asyncio.run(_serve(scheduler, settings))
