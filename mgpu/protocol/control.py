"""Requests of administrators about the daemon itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mgpu.protocol import names
from mgpu.protocol.fields import Fields


@dataclass(frozen=True, slots=True)
class ShowConfig:
    """The value of each setting, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Read the configuration again."""


Control = ShowConfig | Reload

PARSERS: dict[str, Callable[[Fields], Control]] = {
    names.CONFIG: lambda _: ShowConfig(),
    names.RELOAD: lambda _: Reload(),
}
