"""mgpu_srun --interactive and mgpu_job attach: a job's terminal in the caller's."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from mgpu.cli.base import INTERRUPTED, complain
from mgpu.client.attach import readable
from mgpu.client.keys import Keys
from mgpu.client.relay import Relay
from mgpu.client.screen import Screen, is_terminal, size
from mgpu.client.views import JobEnd
from mgpu.model.units import visible

if TYPE_CHECKING:
    from mgpu.client import Client
    from mgpu.client.attach import Attachment
    from mgpu.client.session import Message

_INPUT = 0
_CTRL_C = b"\x03"
_CLEAR = "\r\x1b[K"


def need_terminal(what: str, instead: str) -> None:
    """Raise a usage error unless this command has a terminal."""
    if not is_terminal():
        raise click.UsageError(
            f"{what} needs a terminal on standard input and output; without one: {instead}"
        )


def wishes(export: str) -> dict[str, object]:
    """The fields of a submission that ask for a terminal like this one.

    ``export`` is what is asked for of the environment; the terminal's kind always goes with it.
    """
    return {"tty": list(size()), "export": f"{export},TERM" if "TERM" in os.environ else export}


def attend(client: Client, job: int, *, again: bool = False, read_only: bool = False) -> int:
    """Show the job's terminal until the job is over or the user detaches; the exit status.

    ``again``: it may run already, and be seen by others.
    """
    keys = ", read-only; Ctrl-\\ d or Ctrl-C" if read_only else "; Ctrl-\\ d"
    start = Introduction(f"job {job}{keys} detaches and leaves it to run")
    if not again:
        start.say()
    attachment = client.attachment(job, read_only=read_only)
    try:
        with Screen() as screen:
            session = Session(attachment, job, screen, start, read_only=read_only)
            return session.run(redraw=again and not read_only)
    except (KeyboardInterrupt, SystemExit):
        if start.said:
            _interrupted(job)
        raise
    finally:
        attachment.close()


class Introduction:
    """What is told first, and once: when it is known that there is such a job."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.said = False

    def say(self) -> None:
        """Say it, unless it was."""
        if not self.said:
            self.said = True
            _note(self._text)


class Session:
    """From the queue to the terminal, and back to the queue, until it is over."""

    def __init__(
        self,
        attachment: Attachment,
        job: int,
        screen: Screen,
        start: Introduction,
        *,
        read_only: bool,
    ) -> None:
        self._attachment = attachment
        self._job = job
        self._screen = screen
        self._start = start
        self._keys = Keys(on_control_c=read_only)
        self._typed = b""
        self._status = ""

    def run(self, *, redraw: bool) -> int:
        """Wait, show, and wait again; the exit status."""
        while True:
            before = self._attachment.attempt
            answer = self._wait()
            self._show("")
            if answer is None:
                return self._detached(INTERRUPTED)
            if "job" in answer:
                return self._ended(answer)
            if before:
                over = _over(before, answer)
                _note(f"{over}; this is attempt {self._attachment.attempt}")
            relay = Relay(self._attachment.line(), self._screen, self._keys, self._typed)
            relay.run(redraw=redraw and not self._waited)
            self._typed = b""
            if self._keys.detached:
                self._screen.typing()
                print(file=sys.stderr)
                return self._detached(0)

    def _wait(self) -> Message | None:
        """Tell why the job waits until it runs or is over; None when the user has enough."""
        self._screen.typing()
        self._waited = False
        while True:
            ready = readable(_INPUT, self._attachment.fileno(), self._screen.resized)
            if self._screen.resized in ready:
                self._screen.seen()
                self._show(self._status)
            if _INPUT in ready and self._enough():
                return None
            if self._attachment.fileno() in ready:
                answer = self._hear()
                if answer is not None:
                    return answer

    def _enough(self) -> bool:
        data = self._screen.read()
        self._typed += self._keys.typed(data)
        return self._keys.detached or not data or _CTRL_C in data

    def _hear(self) -> Message | None:
        """What the scheduler says, if it is the last word."""
        while True:
            said = self._attachment.take()
            if said is not None and "job" not in said:
                self._start.say()
            if said is not None and "state" not in said:
                return said
            if said is not None:
                self._waited = True
                self._show(_words(self._job, said, self._attachment.attempt))
            if not self._attachment.more:
                return None

    def _show(self, status: str) -> None:
        """Have one line that changes, in the place of the one before."""
        if status == self._status == "" or not sys.stderr.isatty():
            return
        self._status = status
        _, columns = self._screen.size()
        sys.stderr.write(_CLEAR + visible(status)[: columns - 1])
        sys.stderr.flush()

    def _detached(self, status: int) -> int:
        _note(_goes_on(self._job))
        return status

    def _ended(self, answer: Message) -> int:
        _, *fields = answer["job"]
        end = JobEnd(*fields)
        if end.state != "COMPLETED":
            _note(f"job {self._job} ended: {end.told()}")
        return end.exit_status


def _words(job: int, said: Message, attempt: int) -> str:
    """Why the job is not to be seen now."""
    again = f" ({_over(attempt, said)})" if attempt else ""
    if said["state"] != "PENDING":
        return f"job {job} starts{again}" if not attempt else f"job {job} ends"
    why = said["reason"] or "its turn"
    return f"job {job} waits{again}: {why}{': ' + said['detail'] if said['detail'] else ''}"


def _over(attempt: int, said: Message) -> str:
    """That an attempt is over, and why, where the scheduler tells."""
    why = said.get("over", "")
    return f"attempt {attempt} is over{': ' + why if why else ''}"


def _goes_on(job: int) -> str:
    return f"job {job} goes on; come back with: mgpu_job attach {job}"


def _interrupted(job: int) -> None:
    """Say so after a signal, with the terminal as it was, unless that is gone too."""
    with contextlib.suppress(OSError):
        print(file=sys.stderr)
        _note(_goes_on(job))


def _note(text: str) -> None:
    complain(text, label="note")
