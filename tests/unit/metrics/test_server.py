"""The web server that knows one page: what clients can make it hold."""

from __future__ import annotations

import asyncio

import pytest

from mgpu.metrics.server import MOST_CONNECTIONS, Server


class _Writer:
    """The side of a client that reads nothing."""

    def __init__(self) -> None:
        self.closed = False
        self.transport = self

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


async def _page() -> bytes:
    return b"mgpu_up 1\n"


async def _living(number: int) -> int:
    """How many connections live when ``number`` have come in one turn of the loop."""
    server, writers = Server(_page), [_Writer() for _ in range(number)]
    tasks = [
        asyncio.create_task(server._serve(asyncio.StreamReader(), writer))  # type: ignore[arg-type]
        for writer in writers
    ]
    await asyncio.wait(tasks, timeout=0.1)
    living = sum(not writer.closed for writer in writers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return living


@pytest.mark.parametrize("number", [1, MOST_CONNECTIONS, 3 * MOST_CONNECTIONS])
def test_connections_that_come_at_once_are_bounded_too(number: int) -> None:
    assert asyncio.run(_living(number)) == min(number, MOST_CONNECTIONS)
