"""The settings of the table ``[metrics]``."""

from __future__ import annotations

from typing import Final

from mgpu.config.kinds import Flag
from mgpu.config.notice_kinds import PLACE
from mgpu.config.setting import Setting

METRICS: Final = (
    Setting(
        "metrics.listen",
        PLACE,
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
