"""mgpu_srun --dry-run and --test-only: a submission, and what would become of it, as text."""

from __future__ import annotations

import json
import os
import time
from typing import Any


def shown(spec: dict[str, Any]) -> str:
    """JSON of what would be sent, with the names of the variables alone: values may be secret."""
    names = sorted({os.fsdecode(entry).partition("=")[0] for entry in spec["env"]})
    said = {name: value for name, value in spec.items() if value is not None and name != "rlimits"}
    return json.dumps(said | {"env": names}, indent=2, default=_text)


def foretold(told: dict[str, Any]) -> str:
    """One line: whether it would start now, or else when, where, after which job, and why."""
    why = ": ".join(filter(None, (told["reason"], told["detail"])))
    if "at" not in told:
        return f"It would wait, and no start is known: {why}"
    where = " on " + ",".join(f"gpu{index}" for index in told["gpus"]) if told["gpus"] else ""
    if not why:
        return f"It would start now{where}"
    after = f" after job {told['after']}" if told["after"] else ""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(told["at"]))
    return f"It would start at {moment}{where}{after}: {why}"


def _text(value: Any) -> object:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return str(value)
