"""Where the daemon listens, and as whom it may run."""

from __future__ import annotations

import os
from typing import NamedTuple

from mgpu.model.errors import MgpuError

RUNTIME_DIR = "/run/mgpu"
SERVICE_USER = "mgpu"


class Address(NamedTuple):
    """A socket and the account, besides root, whose process may answer there."""

    path: str
    service_user: str = SERVICE_USER


def find(socket: str | None = None, config: str | None = None, *, admin: bool = False) -> Address:
    """The address: ``socket``; else below MGPU_RUNTIME_DIR, the config's folder, /run/mgpu.

    The config file is ``config``, else the one that MGPU_CONFIG names; without either none is
    read. ``admin`` chooses the administrators' socket.
    """
    config = config or os.environ.get("MGPU_CONFIG")
    settings = _settings(config) if config else {}
    user = _setting(settings, "access", "service_user") or SERVICE_USER
    if socket:
        return Address(socket, user)
    folder = os.environ.get("MGPU_RUNTIME_DIR") or _setting(settings, "paths", "runtime_dir")
    name = "admin.sock" if admin else "mgpu.sock"
    return Address(os.path.join(folder or RUNTIME_DIR, name), user)


def _settings(path: str) -> dict[str, object]:
    import tomllib  # only who names a file pays for it

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not TOML: {error}"
    raise MgpuError("BadRequest", message, hint="see --config and the variable MGPU_CONFIG")


def _setting(settings: dict[str, object], section: str, key: str) -> str | None:
    table = settings.get(section)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else None
