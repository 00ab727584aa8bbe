"""The settings of the table ``[metrics]``."""

from __future__ import annotations

from typing import Final

from mgpu.config.kinds import Flag, Text
from mgpu.config.setting import Setting

METRICS: Final = (
    Setting(
        "metrics.listen",
        Text(
            'an address and a port, such as "127.0.0.1:9105", or ""',
            r"(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5})?",
        ),
        "",
        "Where `/metrics` is served. Empty: nowhere. Whoever reaches the address reads them.",
    ),
    Setting(
        "metrics.users",
        Flag(),
        default=False,
        help="Whether users are named in metrics.",
    ),
)
