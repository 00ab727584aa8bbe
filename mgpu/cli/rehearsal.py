"""mgpu_srun --dry-run: a submission as text."""

from __future__ import annotations

import json
import os
from typing import Any


def shown(spec: dict[str, Any]) -> str:
    """JSON of what would be sent, with the names of the variables alone: values may be secret."""
    names = sorted({os.fsdecode(entry).partition("=")[0] for entry in spec["env"]})
    said = {name: value for name, value in spec.items() if value is not None and name != "rlimits"}
    return json.dumps(said | {"env": names}, indent=2, default=_text)


def _text(value: Any) -> object:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return str(value)
