"""mgpu_top: the GPUs and the queue on a screen that stays, and what to do with a job of it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, run
from mgpu.cli.zone import timezone_option
from mgpu.model.errors import MgpuError
from mgpu.protocol import names

if TYPE_CHECKING:
    from rich.console import Console, Group

    from mgpu.cli.top_state import Action, History, State
    from mgpu.cli.top_view import Known, Size
    from mgpu.client import Client

#: So many jobs are listed: nobody scrolls through more.
_MOST = 1000
_OUTCOMES = {
    "cancelled": "Cancelled job {}",
    "cancelling": "Cancelling job {}: its processes are being ended",
    "ended": "Job {} has ended already",
    "started": "Job {} has started already",
    "admin": "Job {} is held by an administrator, who alone can release it",
    "unknown": "Job {} is unknown, or not yours",
}
_CHANGED = {"hold": "Held job {}", "release": "Released job {}"}
_OPERATIONS = {"cancel": names.CANCEL, "hold": names.HOLD, "release": names.RELEASE}


@click.command("mgpu_top", context_settings=CONTEXT)
@click.option(
    "--interval",
    type=click.IntRange(1, 3600),
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="Ask the scheduler so often.",
)
@click.option("--admin", is_flag=True, help="As an administrator: anybody's jobs. [root: always]")
@timezone_option
@common_options
def top(*, interval: int, admin: bool, socket: str | None, config: str | None) -> int:
    """Watch the GPUs and the queue on the whole screen, and cancel or hold jobs there.

    \b
    up, down, j, k    choose a job; page up and down, g and G for the first and the last
    l                 show the end of its log, or what is known of it
    x                 cancel it, after a question
    h                 hold it, or let it go on
    q                 quit

    Where there is no terminal, or one that cannot move its cursor, the screen is printed once.
    """
    from mgpu.cli import top_terminal

    with connect(socket, config, admin=admin or os.geteuid() == 0) as client:
        asked = Asked(client)
        if not top_terminal.usable():
            return _once(asked)
        return _stay(asked, interval)


class Asked:
    """What the scheduler was asked for last."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._machine: dict[str, Any] = {}
        self._history: History = {}
        self._listed: list[dict[str, Any]] = []
        self._why: tuple[int, list[str]] = (0, [])

    def refresh(self, state: State) -> State:
        """Ask for all of it anew."""
        from mgpu.cli import top_state

        self._machine = self._client.request(names.INFO).body
        self._history = top_state.remember(self._history, self._machine["gpus"])
        self._listed = top_state.jobs(self._client.rows({"scope": None, "limit": _MOST}))
        self._why = (0, [])
        return top_state.settled(state, self._listed)

    def known(self, state: State) -> Known:
        """What is shown; why the chosen job waits is asked for once it is chosen."""
        from mgpu.cli.top_view import Known
        from mgpu.system import clock

        if state.chosen != self._why[0]:
            self._why = (state.chosen, self._reasons(state.chosen))
        now = clock.now().wall
        log = self._log(state.chosen) if state.log and state.chosen else []
        return Known(self._machine, self._listed, self._why[1], self._history, now, log)

    def press(self, state: State, key: str) -> State | None:
        """The state after a key, and after what it asks for; None to end."""
        from dataclasses import replace

        from mgpu.cli import top_state

        state, action = top_state.press(state, key, self._listed)
        if action is None:
            return state
        if action.kind == "quit":
            return None
        state = replace(state, message=self._do(action))
        return self.refresh(state)

    def _reasons(self, job: int) -> list[str]:
        if not job:
            return []
        rows = self._client.request(names.WHY, {"jobs": [job]}).body["rows"]
        return next((row[5] for row in rows if row[0] == job), [])

    def _log(self, job: int) -> list[str]:
        from mgpu.cli.top_log import last_lines

        rows = self._client.request(names.LOGS, {"jobs": [job]}).body["rows"]
        return last_lines(next((row for row in rows if row["id"] == job), None))

    def _do(self, action: Action) -> str:
        try:
            told = self._client.request(_OPERATIONS[action.kind], {"jobs": [action.job]}).body
        except MgpuError as error:
            return str(error)
        word = told["jobs"][0][1] if told["jobs"] else "unknown"
        sentence = _OUTCOMES.get(word) or _CHANGED.get(action.kind, word)
        return sentence.format(action.job)


def _once(asked: Asked) -> int:
    """Print the screen once, as long as it is."""
    import shutil

    from rich.console import Console

    from mgpu.cli import top_state, top_view

    columns = shutil.get_terminal_size((100, 0)).columns
    state = top_state.State()
    asked.refresh(state)
    console = Console(width=columns, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(top_view.screen(asked.known(state), state, _size(columns, 0)))
    emit("\n".join(line.rstrip() for line in capture.get().splitlines()))
    return 0


def _size(columns: int, lines: int) -> Size:
    from mgpu.cli.top_view import Size

    return Size(columns, lines, "utf" not in (sys.stdout.encoding or "").lower())


def _stay(asked: Asked, interval: int) -> int:
    """Show the screen until the user has seen enough."""
    from rich.console import Console
    from rich.live import Live

    from mgpu.cli import top_state, top_terminal

    state = asked.refresh(top_state.State())  # what is wrong is said on the usual screen
    console = Console(highlight=False)
    try:
        with (
            top_terminal.keyboard() as typed,
            Live(
                _drawn(asked, state, console), console=console, screen=True, auto_refresh=False,
                redirect_stdout=False, redirect_stderr=False,
            ) as live,
        ):  # fmt: skip
            return _converse(asked, state, interval, typed, live.update, console)
    except KeyboardInterrupt:
        return 0  # another way to quit


def _drawn(asked: Asked, state: State, console: Console) -> Group:
    from mgpu.cli import top_view

    return top_view.screen(asked.known(state), state, _size(*console.size))


def _converse(
    asked: Asked, state: State, interval: int, typed: Any, update: Any, console: Console
) -> int:
    from mgpu.cli import top_state
    from mgpu.system import clock

    due = clock.now().boot + interval
    while True:
        update(_drawn(asked, state, console), refresh=True)
        data = typed(due - clock.now().boot)
        if data is None:
            return 0
        for key in top_state.keys(data):
            after = asked.press(state, key)
            if after is None:
                return 0
            state = after
        if clock.now().boot >= due:
            state = asked.refresh(state)
            due = clock.now().boot + interval


def main() -> NoReturn:
    """The program mgpu_top."""
    run(top)
