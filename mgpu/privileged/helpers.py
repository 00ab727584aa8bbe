"""Which processes beside the scheduler the configuration asks for."""

from __future__ import annotations

import msgpack

from mgpu.privileged import secretfiles, startup, trust
from mgpu.privileged.helper import Helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_USER = "access.notify_user"
#: name -> the setting that asks for it, and its program.
_WANTED = {
    "notifier": ("notices.enabled", "mgpu.notify.main"),
    "exporter": ("metrics.listen", "mgpu.metrics.main"),
}


def helpers(settings: startup.Settings, account: tuple[int, int] | None = None) -> list[Helper]:
    """The helpers that are wanted; raises StartError where one cannot be had.

    ``account`` is the user that they run as, where somebody has looked it up.
    """
    values: dict[str, Any] = msgpack.unpackb(settings.raw)
    wanted = {name: one for name, one in _WANTED.items() if values.get(one[0])}
    if not wanted:
        return []
    account = account or _account(settings, str(values.get(_USER) or ""))
    return [
        Helper(name, module, account, _checked(values, setting.partition(".")[0]))
        for name, (setting, module) in wanted.items()
    ]


def _account(settings: startup.Settings, name: str) -> tuple[int, int]:
    found = startup.account(name, _USER)
    if found[0] == startup.service_account(settings)[0]:
        raise startup.StartError(f"{_USER}: must be another user than access.service_user")
    return found


def _checked(values: dict[str, Any], section: str) -> dict[str, Any]:
    """What a helper needs to know; the files of secrets among it can be used."""
    known = {key: one for key, one in values.items() if key.startswith((f"{section}.", "log."))}
    try:
        secretfiles.check(known)
    except (OSError, trust.Untrusted) as error:
        raise startup.StartError(f"a secret cannot be used: {error}") from error
    return known
