"""The settings of the table ``[gpus]``."""

from __future__ import annotations

from typing import Final

from mgpu.config.gpu_kinds import Devices, Gpus
from mgpu.config.kinds import Choice, Duration, Integer, Memory
from mgpu.config.setting import Setting

GPUS: Final = (
    Setting(
        "gpus.backend",
        Choice("auto", "nvml", "simulated"),
        "auto",
        "`nvml` reads NVIDIA's driver, `simulated` uses the list below; `auto` takes the driver "
        "where it finds a GPU, else the list.",
        restart=True,
    ),
    Setting(
        "gpus.devices",
        Devices(),
        "all",
        "The GPUs that jobs are started on, by index. `mgpu_ctl set-gpus` goes before it.",
    ),
    Setting(
        "gpus.simulated",
        Gpus(),
        [],
        "GPUs that do not exist, to try mgpu with. `used` is memory that others seem to use. Those "
        "with the same number as `nvlink`, `switch` or `numa` are linked that way.",
        restart=True,
    ),
    Setting(
        "gpus.placement",
        Choice("pack", "spread", "sequential", "random"),
        "pack",
        "Which GPUs are taken where several would do: those that leave most whole, the emptiest, "
        "the first, or any. Several GPUs that one job has for itself are always the best connected "
        "ones.",
    ),
    Setting(
        "gpus.memory_margin",
        Memory(),
        0,
        "Memory of each GPU that is never given out.",
    ),
    Setting(
        "gpus.unmanaged_ignore",
        Memory(),
        512,
        "Use by processes outside mgpu up to this much does not make a GPU count as taken.",
    ),
    Setting(
        "gpus.outsiders",
        Choice("avoid", "ignore", "report", "kill"),
        "avoid",
        "Where a process outside mgpu uses more than that: `avoid` starts no job there that wants "
        "the GPU for itself; `ignore` does; `report` is `avoid` with a line in the log; `kill` is "
        "`report`, and the process is killed after `outsider_grace`, unless its account is below "
        "`access.min_uid`.",
    ),
    Setting(
        "gpus.outsider_grace",
        Duration(),
        60,
        "How long such a process may stay before it is killed.",
    ),
    Setting(
        "gpus.cleaning_limit",
        Duration(),
        30,
        "A GPU that its last job has not left for so long is dirty until it has.",
    ),
    Setting(
        "gpus.isolation",
        Choice("variables", "detect", "enforce"),
        "detect",
        "What keeps jobs to their GPUs: environment variables alone; besides, jobs that use others "
        "are found out; besides, the kernel lets a job open the nodes of its own GPUs alone.",
        restart=True,
    ),
    Setting(
        "gpus.poll_interval",
        Duration(low=1),
        5,
        "How often the driver is asked.",
        restart=True,
    ),
    Setting(
        "gpus.over_memory",
        Choice("report", "kill"),
        "report",
        "What happens to a job that uses more of a GPU than its `--mem`: its owner is told, or it "
        "ends as OUT_OF_MEMORY.",
    ),
    Setting(
        "gpus.over_memory_margin",
        Memory(),
        512,
        "Use above `--mem` by up to this much is not held against a job.",
    ),
    Setting(
        "gpus.over_memory_grace",
        Duration(),
        60,
        "Nor is more than that, for so long.",
    ),
    Setting(
        "gpus.idle_after",
        Duration(),
        0,
        "A job whose GPUs were idle for so long counts as idle. 0: none does.",
    ),
    Setting(
        "gpus.idle_policy",
        Choice("report", "requeue"),
        "report",
        "What happens to an idle job: its owner is told, or it goes back to the end of the queue "
        "(unless it was submitted with `--no-requeue`).",
    ),
    Setting(
        "gpus.idle_below",
        Integer(1, 100),
        1,
        "A GPU is idle while the driver tells of less utilization than this, in percent.",
    ),
)
