"""A web server that knows one page, and costs little whatever clients do.

There are so many connections at most (the oldest makes room for a new one), each is closed after a
few seconds and one answer, and of a request no more is read than a scraper needs to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from mgpu.metrics.page import CONTENT_TYPE

MOST_CONNECTIONS: Final = 32
MOST_REQUEST: Final = 8192
#: Seconds from the first byte to the last one of the answer.
LONGEST: Final = 10.0

Page = Callable[[], Awaitable[bytes]]


class Server:
    """Answers ``GET /metrics`` with what ``page`` gives."""

    def __init__(self, page: Page, *, longest: float = LONGEST) -> None:
        self._page = page
        self._longest = longest
        self._open: dict[asyncio.Task[None], None] = {}

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Begin to serve."""
        return await asyncio.start_server(self._serve, host, port, limit=MOST_REQUEST, backlog=32)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        if len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]  # at once: several may come before it ends
            oldest.cancel()
        self._open[task] = None
        try:
            async with asyncio.timeout(self._longest):
                await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # a client that goes, or does not come to the point
        finally:
            self._open.pop(task, None)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _send(writer, "431 Request Header Fields Too Large", b"")
            return
        words = head.split(b"\r\n", 1)[0].split(b" ")
        method, path = (words[0], words[1]) if len(words) == 3 else (b"", b"")
        if not words[-1].startswith(b"HTTP/1."):
            await _send(writer, "400 Bad Request", b"")
        elif method not in (b"GET", b"HEAD"):
            await _send(writer, "405 Method Not Allowed", b"")
        elif path.partition(b"?")[0] != b"/metrics":
            await _send(writer, "404 Not Found", b"metrics are at /metrics\n")
        else:
            await _send(writer, "200 OK", await self._page(), bare=method == b"HEAD")


async def _send(
    writer: asyncio.StreamWriter, status: str, body: bytes, *, bare: bool = False
) -> None:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + (b"" if bare else body))
    await writer.drain()
    if writer.can_write_eof():
        with suppress(OSError):
            writer.write_eof()
    await _flushed(writer)


async def _flushed(writer: asyncio.StreamWriter) -> None:
    """Return when everything is on its way; the caller bounds how long that takes."""
    writer.transport.set_write_buffer_limits(0)
    await writer.drain()
