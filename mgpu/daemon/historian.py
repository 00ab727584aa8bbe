"""The process that answers questions about the history, beside the scheduler.

It only reads, over a connection of its own, and goes behind everything else that wants the
processor. Question and answer are files in memory that it is handed and hands back, so that
neither end waits for the other to read. It ends when the scheduler is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import msgpack

from mgpu.model.runs import Run
from mgpu.protocol import link
from mgpu.store import reports
from mgpu.store.faults import CORRUPT_HINT
from mgpu.system.process import command

#: Rows in one message of an answer.
ROWS: Final = 250
_NICE: Final = 10


def start(fd: int, folder: str) -> subprocess.Popen[bytes]:
    """Start one that serves the other end of ``fd`` from the state in ``folder``."""
    argv = command("mgpu.daemon.historian", f"main({fd!r}, {folder!r})")
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(fd,), cwd="/")


def main(fd: int, folder: str) -> None:
    """Serve the scheduler at the other end of ``fd``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    db = reports.connect(folder)
    with socket.socket(fileno=fd) as scheduler:
        while (received := link.recv(scheduler)) is not None:
            message, fds = received
            try:
                _serve(scheduler, db, message, fds)
            except BrokenPipeError:
                return


def _serve(
    scheduler: socket.socket, db: sqlite3.Connection, message: dict[str, Any], fds: list[int]
) -> None:
    try:
        if message["op"] == "check":
            link.send(scheduler, {"op": "checked", "verdict": _check(db)})
            return
        with open(fds[0], "rb") as file:
            file.seek(0)
            asked = unpack(file.read())
        paper = to_file(_packed(db, asked))
    except sqlite3.Error as error:
        link.send(scheduler, {"op": "failed", "error": str(error)})
        return
    link.send(scheduler, {"op": "answer"}, [paper])
    os.close(paper)


def _check(db: sqlite3.Connection) -> str:
    """Whether the whole database is sound: what is wrong with it, or nothing."""
    try:
        verdict = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return f"{error}; {CORRUPT_HINT}"
    return "" if verdict == "ok" else f"{verdict}; {CORRUPT_HINT}"


def _packed(db: sqlite3.Connection, asked: reports.Question) -> Iterator[bytes]:
    """The answer as messages of a reply, one after the other."""
    for name, fields, rows in reports.answer(db, asked):
        for first in range(0, len(rows) or 1, ROWS):
            part = {"table": name, "fields": fields, "rows": rows[first : first + ROWS]}
            yield msgpack.packb(part)


# -- what goes both ways ---------------------------------------------------------------------------


def to_file(pieces: Iterator[bytes]) -> int:
    """A descriptor of a file in memory that holds ``pieces``."""
    fd = os.memfd_create("mgpu-history", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.writelines(pieces)
    return fd


def pack(asked: reports.Question) -> bytes:
    """A question as bytes."""
    fields = {name: getattr(asked, name) for name in asked.__slots__}
    running = [[getattr(run, name) for name in Run.__slots__] for run in asked.running]
    packed: bytes = msgpack.packb({**fields, "running": running})
    return packed


def unpack(data: bytes) -> reports.Question:
    """The question that :func:`pack` made bytes of."""
    fields = msgpack.unpackb(data)
    runs = [dict(zip(Run.__slots__, row, strict=True)) for row in fields["running"]]
    running = [Run(**{**run, "gpus": tuple(run["gpus"])}) for run in runs]
    return reports.Question(**{**fields, "running": running})
