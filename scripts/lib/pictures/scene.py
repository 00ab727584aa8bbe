"""A machine, its jobs and its past, made up: nothing of it depends on where or when it is drawn."""

from __future__ import annotations

import math
from typing import Any

from mgpu.protocol.names import JOB_FIELDS

#: 2026-01-02 15:04:05 UTC
NOW = 1767366245.0
_NOTHING: dict[str, Any] = {
    "reason": "", "detail": "", "submitted": NOW - 9000, "started": None, "ended": None,
    "elapsed": 0.0, "time_limit": None, "gpus": 1, "gpu_mem": None, "gpu_ids": [], "priority": 0,
    "restarts": 0, "attempt": 0, "code": None, "signal": None, "command": "", "cwd": "/home/ada",
    "exclusive": False, "requeue": True, "mine": False, "dependency": "", "array": 0, "tasks": "",
    "max_concurrent": 0, "params": {}, "peak": [], "note": "", "project": "", "qos": "", "cpus": 0,
    "host_mem": 0, "gpu_type": "", "begin": None,
}  # fmt: skip


def _job(number: int, name: str, user: str, state: str, **known: Any) -> list[Any]:
    told = {"id": number, "name": name, "user": user, "state": state, "mine": user == "ada"}
    row = _NOTHING | told | known
    return [row[field] for field in JOB_FIELDS]


ROWS = [
    _job(4180, "pretrain", "grace", "RUNNING", elapsed=40_275.0, gpus=2, gpu_ids=[0, 1],
         time_limit=86_400, attempt=1),
    _job(4203, "finetune", "ada", "RUNNING", elapsed=5025.0, gpu_ids=[2], gpu_mem=40_960,
         time_limit=7200, attempt=3, restarts=2, peak=[[2, 37_412]],
         command="python finetune.py --epochs 90", cwd="/home/ada/vision"),
    _job(4207, "embed", "alan", "RUNNING", elapsed=611.0, gpu_ids=[2], gpu_mem=24_576, attempt=1),
    _job(4211, "sweep", "ada", "RUNNING", elapsed=124.0, gpu_ids=[3], gpu_mem=16_384, array=4209,
         tasks="2", attempt=1),
    _job(4215, "sweep", "ada", "PENDING", array=4209, tasks="3-31", max_concurrent=4,
         gpu_mem=16_384, reason="JobArrayTaskLimit", detail="4 of its tasks run"),
    _job(4216, "train-big", "edsger", "PENDING", gpus=4, reason="Resources",
         detail="needs 4 GPUs; free: none; gpu0-gpu1 held by job 4180"),
    _job(4217, "evaluate", "ada", "PENDING", reason="Dependency", detail="after job 4203",
         dependency="afterok:4203"),
    _job(4218, "nightly", "barbara", "PENDING", reason="BeginTime", detail="at 02:00"),
]  # fmt: skip


def _gpu(index: int, used: int, busy: int, **known: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "index": index, "uuid": f"GPU-{index:08}", "name": "NVIDIA A100-SXM4-80GB",
        "capability": "8.0", "bus": f"00000000:{index:02}:00.0", "card": "", "total": 81_920,
        "used": used, "outside": 0, "reserved": used, "free": 81_920 - used, "utilization": busy,
        "temperature": 34 + busy // 3, "power": 60 + 3 * busy, "power_limit": 400,
        "available": True, "state": "available", "note": "", "jobs": [], "outsiders": [],
        "reservations": [],
    }  # fmt: skip
    return usual | known


GPUS = [
    _gpu(0, 78_310, 99, reserved=81_920, free=0,
         jobs=[[4180, "grace", None, 40_275.0, "RUNNING", 78_200, 0, ""]]),
    _gpu(1, 78_294, 98, reserved=81_920, free=0,
         jobs=[[4180, "grace", None, 40_275.0, "RUNNING", 78_188, 0, ""]]),
    _gpu(2, 61_002, 71, reserved=65_536, free=15_872,
         jobs=[[4203, "ada", 40_960, 5025.0, "RUNNING", 37_412, 0, ""],
               [4207, "alan", 24_576, 611.0, "RUNNING", 23_102, 0, ""]]),
    _gpu(3, 17_920, 42, reserved=16_384, free=63_488, outside=2048,
         jobs=[[4211, "ada", 16_384, 124.0, "RUNNING", 15_110, 4209, "2"]],
         outsiders=[{"pid": 90_210, "uid": 1007, "memory": 2048, "since": NOW - 3000, "job": 0,
                     "ignored": False, "over": True}]),
]  # fmt: skip
MACHINE: dict[str, Any] = {
    "backend": "nvml", "version": "1", "driver": "550.54", "gpus": GPUS, "running": 4,
    "pending": 32, "age": 0.4, "now": NOW, "topology": [], "host": None,
    "next": {"id": 4216, "array": 0, "tasks": "", "user": "edsger", "gpus": [0, 1, 2, 3],
             "in": 46_125.0, "after": "4180"},
}  # fmt: skip
HISTORY = {
    gpu["index"]: tuple(
        max(0, min(100, round(gpu["utilization"] + 30 * math.sin(place / (gpu["index"] + 2)) - 12)))
        for place in range(60)
    )
    for gpu in GPUS
}
