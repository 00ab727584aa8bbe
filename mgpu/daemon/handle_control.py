"""Requests of administrators about the daemon itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mgpu.daemon.control import Control
from mgpu.model.errors import MgpuError
from mgpu.model.time import Now
from mgpu.protocol import control, names

if TYPE_CHECKING:
    from mgpu.daemon.connection import Connection
    from mgpu.daemon.dispatch import Dispatcher


def show_config(desk: Dispatcher, conn: Connection, _request: control.ShowConfig, now: Now) -> None:
    """The value of each setting, and where it comes from."""
    held = _control(desk)
    file = held.settings.get("config.path", "")
    desk.ok(conn, {"now": now.wall, "file": file, "settings": held.rows()}, now)


def reload(desk: Dispatcher, conn: Connection, _request: control.Reload, _now: Now) -> None:
    """Read the configuration again; a bad one changes nothing."""

    def done(told: dict[str, Any], at: Now) -> None:
        with desk.answering(conn, names.RELOAD, at):
            desk.done(conn, names.RELOAD, "refused" if told["problems"] else "ok", at, told)

    _control(desk).reload(done)


def _control(desk: Dispatcher) -> Control:
    if desk.control is None:
        raise MgpuError("Refused", "this scheduler has no launcher to ask")
    return desk.control


#: request -> the operation as the role table names it, and what answers it.
HANDLERS: dict[type, tuple[str, Callable[[Any, Any, Any, Now], None]]] = {
    control.ShowConfig: (names.CONFIG, show_config),
    control.Reload: (names.RELOAD, reload),
}
