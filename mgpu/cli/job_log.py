"""mgpu_job log: what a job wrote. The file is opened here, with the rights of the caller."""

from __future__ import annotations

import codecs
import os
import re
import sys
from typing import TYPE_CHECKING

import click

from mgpu.cli.base import CONTEXT, OutputLost, common_options, connect, job_name, user_name
from mgpu.cli.watch import pause
from mgpu.client.logs import is_per_run, open_regular, path_of
from mgpu.model.errors import MgpuError
from mgpu.model.states import ENDED
from mgpu.model.target import on_wire
from mgpu.model.units import quoted, visible
from mgpu.protocol import names

if TYPE_CHECKING:
    from mgpu.client import Client
    from mgpu.client.logs import Log
    from mgpu.model.target import Name

#: Seconds between looks at what is new.
_OFTEN = 0.3
_BLOCK = 1 << 16


@click.command("log", context_settings=CONTEXT)
@click.argument("job", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option("-n", "--lines", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option(
    "--attempt",
    type=click.IntRange(1),
    metavar="K",
    help="What its K-th run wrote, where --output names a file for each (%r).",
)
@click.option("--stderr", is_flag=True, help="Its standard error, where that is another file.")
@click.option("--admin", is_flag=True, help="As an administrator: anybody's job.")
@common_options
def log(
    job: str,
    lines: int | None,
    attempt: int | None,
    socket: str | None,
    config: str | None,
    *,
    follow: bool,
    stderr: bool,
    admin: bool,
) -> None:
    """Print what a job wrote: ID as 42, 42_7, @ (your newest). The file is read as yourself."""
    wanted = job_name(job)
    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        reader = Reader(client, wanted, attempt, error=stderr)
        while not reader.open() and follow and not reader.over:
            pause(_OFTEN)
            reader.ask()
        reader.need()
        reader.skip(lines)
        reader.copy()
        while follow and not reader.over:
            pause(_OFTEN)
            reader.ask()  # before the copy, so that nothing is missed of one that is over
            reader.copy()
            reader.turn()


class Reader:
    """The log of one job. ``over`` tells whether the job was when it was asked about last.

    ``opened`` is the path of the file that is being read, "" before there is one.
    """

    def __init__(self, client: Client, job: Name, attempt: int | None, *, error: bool) -> None:
        self._client = client
        self._job = job
        self._attempt = attempt
        self._error = error
        self._descriptor = -1
        self.opened = ""
        self._problem = "it is not there yet"
        self.over = False
        self.path = ""
        self.ask()
        # What was read may end within a character.
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._strange = sys.stdout.isatty() and self._known["user"] != user_name(os.getuid())

    def ask(self) -> None:
        """Learn how the job is now, and where its log is."""
        rows = self._client.request(names.LOGS, {"jobs": [on_wire(self._job)]}).body["rows"]
        self._known = known = _only_one(self._job, rows)
        self.over = known["state"] in ENDED
        several = known["array"] and not known["tasks"].isdecimal()
        if several or not known["attempt"]:
            self.path = ""
            return
        if self._attempt is not None:
            self._check(known, self._attempt)
        restarts = known["restarts"] if self._attempt is None else self._attempt - 1
        self.path = path_of(known, restarts, error=self._error)

    def _check(self, known: Log, attempt: int) -> None:
        if not is_per_run(known, error=self._error):
            path = path_of(known, 0, error=self._error)
            hint = "name the file with %r (--output %j-%r.log) to have one for each"
            raise _refused(f"all runs of job {self._job} wrote to {quoted(path)}", hint)
        if attempt > known["restarts"] + 1:
            raise _refused(
                f"job {self._job} ran {known['restarts'] + 1} times and has no run {attempt}"
            )

    def open(self) -> bool:
        """Open the log, if there is one yet."""
        if not self.path:
            return False
        try:
            descriptor = open_regular(self.path)
        except OSError as error:
            self._problem = error.strerror or str(error)
            if not isinstance(error, FileNotFoundError):
                raise self._unreadable(self._problem) from error
            return False
        if descriptor < 0:
            raise _refused(f"{quoted(self.path, 200)} is no regular file: nothing is kept in it")
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self.opened = descriptor, self.path
        return True

    def need(self) -> None:
        """Raise MgpuError that says why there is nothing to read, if there is nothing."""
        if self._descriptor >= 0:
            return
        if not self.path:
            how = "never ran" if self.over else "has not run yet"
            raise _refused(f"job {self._job} {how}: it has no log", "mgpu_job show tells its state")
        raise self._unreadable(self._problem)

    def _unreadable(self, why: str) -> MgpuError:
        user, me = self._known["user"], user_name(os.getuid())
        hint = f"mgpu_job show {on_wire(self._job)} tells what became of the job"
        if user != me:
            hint = f"job {self._job} wrote it as {user}, and it is read as {me}"
        return _refused(f"cannot read {quoted(self.path, 200)}: {why}", hint)

    def skip(self, lines: int | None) -> None:
        """Leave out all but the last so many lines; None leaves out nothing."""
        if lines is not None:
            os.lseek(self._descriptor, _start_of_last(self._descriptor, lines), os.SEEK_SET)

    def copy(self) -> None:
        """Print what is there and was not printed yet."""
        place = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if os.fstat(self._descriptor).st_size < place:
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # somebody began it anew
        while data := os.read(self._descriptor, _BLOCK):
            _write(_harmless(self._decoder.decode(data)) if self._strange else data)

    def turn(self) -> None:
        """Go on in the file of the next run, once there is one."""
        if self.path and self.path != self.opened and self.open():
            self.copy()


def _only_one(job: Name, rows: list[Log]) -> Log:
    if not rows:
        raise MgpuError(
            "UnknownJob",
            f"job {on_wire(job)}: unknown, or not yours",
            hint="mgpu_queue --me --all lists your jobs",
        )
    if len(rows) > 1:
        raise _refused(f"job {job} is an array; name one of its tasks, as {job}_7")
    return rows[0]


def _refused(message: str, hint: str = "") -> MgpuError:
    return MgpuError("Refused", message, hint=hint)


def _start_of_last(descriptor: int, lines: int) -> int:
    """Where the last so many lines begin; what follows the last newline is a line too."""
    end = place = os.fstat(descriptor).st_size
    if not lines:
        return end
    ends_open = bool(end) and os.pread(descriptor, 1, end - 1) != b"\n"
    wanted = lines if ends_open else lines + 1
    while place > 0:
        begin = max(0, place - _BLOCK)
        block = os.pread(descriptor, place - begin, begin)
        found = block.count(b"\n")
        if found >= wanted:
            for _ in range(wanted):
                at = block.rindex(b"\n")
                block = block[:at]
            return begin + at + 1
        wanted, place = wanted - found, begin
    return 0


def _harmless(text: str) -> bytes:
    """What somebody else's job wrote, without power over the terminal."""
    return re.sub(r"[^\n\t]+", lambda line: visible(line[0]), text).encode()


def _write(data: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputLost(error) from error
