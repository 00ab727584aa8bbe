"""What is known of one setting."""

from __future__ import annotations

from typing import Any, NamedTuple

from mgpu.config.kinds import Kind


class Setting(NamedTuple):
    """One setting. ``key`` is ``section.name``; ``default`` is as the file would write it.

    ``restart``: a change holds from the next start of mgpud on. ``secret``: its value is not shown.
    """

    key: str
    kind: Kind
    default: Any
    help: str
    restart: bool = False
    secret: bool = False

    @property
    def section(self) -> str:
        """The table of the file in which it stands."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """Its key in that table."""
        return self.key.partition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that overrides the file."""
        return "MGPU_" + self.key.replace(".", "_").upper()
