"""What an administrator does with the daemon itself: its settings, its log, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from mgpu.config.reload import ORIGINS, WAITING
from mgpu.config.settings import SETTINGS, Setting
from mgpu.config.written import written
from mgpu.core import closure
from mgpu.core.orders import OpenMachine
from mgpu.daemon.engine import Ask, Engine
from mgpu.model.time import Now
from mgpu.system.log import log

Settings = dict[str, Any]
Told = Callable[[dict[str, Any], Now], None]

#: Shown instead of the value of a setting that is secret.
HIDDEN = "(not shown)"


class Control:
    """The settings that hold, and who waits for them to be read again.

    ``send`` orders something of the launcher, ``adopt`` makes the parts of the scheduler go on by
    other settings. ``unasked`` is told where a signal had them read again. ``stopping``: nothing
    is to be started any more, whatever happens.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[dict[str, Any]], None],
        adopt: Callable[[Settings], None],
    ) -> None:
        self.settings = settings
        self._send = send
        self._adopt = adopt
        self.stopping = False
        self.unasked: Told = lambda _told, _now: None
        self._asking: list[Told] = []
        self._next: list[Told] = []

    def reload(self, then: Told) -> None:
        """Have the configuration read again and tell ``then`` what came of it."""
        (self._next if self._asking else self._asking).append(then)
        self._send({"op": "reload"})

    def reloaded(self, message: dict[str, Any], now: Now) -> None:
        """The launcher has read it, and checked root's part."""
        told = self._take_over(message)
        asking, self._asking, self._next = self._asking, self._next, []
        for then in asking or [self.unasked]:
            then(told, now)

    def _take_over(self, message: dict[str, Any]) -> dict[str, Any]:
        if "data" not in message:
            problems = message.get("problems", ())
            for problem in problems[:1]:
                log.remember(f"The configuration is not applied: {problem}")
            return {"problems": problems, "changed": [], "waiting": []}
        settings = msgpack.unpackb(message["data"])
        self._adopt(settings)
        self.settings = settings
        changed, waiting = message["changed"], message["waiting"]
        told = {"changed": ",".join(changed) or "-", "waiting": ",".join(waiting) or "-"}
        log.info("Going on by the configuration as it is now", action="reloaded", **told)
        return {"problems": [], "changed": changed, "waiting": waiting}

    def set_level(self, level: str) -> None:
        """Write lines of at least ``level``, here and in the launcher."""
        log.set_level(level)
        self._send({"op": "log_level", "level": level})

    def stop(self) -> None:
        """End the daemon; jobs go on."""
        self._send({"op": "stop"})

    def turned(self, engine: Engine) -> None:
        """End the daemon once no job runs any more, if that was ordered.

        The order is forgotten before, so that the next start begins as usual; nothing is started
        in between.
        """
        closed = closure.of(engine.world)
        if closed is None or not closed.stop or engine.world.placed or not engine.running:
            return
        log.info("No job runs any more: stopping, as ordered", action="stop", uid=closed.by)
        self.stopping, engine.running = True, False
        engine.ask(Ask(OpenMachine(0), lambda *_: self.stop()))

    def rows(self) -> list[dict[str, Any]]:
        """Each setting, its value as a file would write it, and where it comes from."""
        return [self._row(setting) for setting in SETTINGS]

    def _row(self, setting: Setting) -> dict[str, Any]:
        key, waiting = setting.key, self.settings.get(WAITING, {})
        return {
            "key": key,
            "value": _shown(setting, self.settings[key]),
            "from": self.settings.get(ORIGINS, {}).get(key, "default"),
            "restart": setting.restart,
            "waiting": _shown(setting, waiting[key]) if key in waiting else None,
        }


def _shown(setting: Setting, value: object) -> str:
    return HIDDEN if setting.secret and value else written(value)
