"""What can be measured of the scheduler and its GPUs: the name, kind and labels of each metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
HISTOGRAM: Final = "histogram"


class Metric(NamedTuple):
    """One metric; a counter counts from the start of the scheduler on."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


#: All metrics by name. ``docs/reference/metrics.md`` is written from this table.
METRICS: Final[Mapping[str, Metric]] = {
    "mgpu_up": Metric(GAUGE, "1 while the scheduler answers, 0 while it does not."),
    "mgpu_info": Metric(GAUGE, "1; the version is the label.", ("version",)),
    "mgpu_snapshot_age_seconds": Metric(GAUGE, "Age of what is shown here."),
    "mgpu_uptime_seconds": Metric(GAUGE, "Since the scheduler was started."),
    "mgpu_jobs": Metric(GAUGE, "Jobs and tasks that wait (PENDING) or run.", ("state",)),
    "mgpu_users": Metric(GAUGE, "Users with jobs that wait or run.", ("state",)),
    "mgpu_first_in_line_seconds": Metric(
        GAUGE, "How long the job that GPUs are kept for has waited; 0 without one."
    ),
    "mgpu_class_jobs": Metric(GAUGE, "Jobs that run, by class (`--qos`).", ("class",)),
    "mgpu_class_gpus": Metric(GAUGE, "GPUs that they hold.", ("class",)),
    "mgpu_class_utilization_ratio": Metric(
        GAUGE, "Mean utilization of these GPUs, 0 to 1.", ("class",)
    ),
    "mgpu_user_jobs": Metric(GAUGE, "Jobs that run (`metrics.users`).", ("user",)),
    "mgpu_user_gpus": Metric(GAUGE, "GPUs that they hold (`metrics.users`).", ("user",)),
    "mgpu_user_waiting": Metric(GAUGE, "Jobs that wait (`metrics.users`).", ("user",)),
    "mgpu_gpu_info": Metric(GAUGE, "1; what is known of a GPU.", ("gpu", "uuid", "model")),
    "mgpu_gpu_state": Metric(
        GAUGE, "1 for the state that a GPU is in, as in `mgpu_info`.", ("gpu", "state")
    ),
    "mgpu_gpu_jobs": Metric(GAUGE, "Jobs on a GPU.", ("gpu",)),
    "mgpu_gpu_memory_bytes": Metric(GAUGE, "Memory of a GPU.", ("gpu",)),
    "mgpu_gpu_memory_used_bytes": Metric(GAUGE, "What all processes use of it.", ("gpu",)),
    "mgpu_gpu_memory_reserved_bytes": Metric(GAUGE, "What jobs asked for.", ("gpu",)),
    "mgpu_gpu_memory_outside_bytes": Metric(
        GAUGE, "What processes outside mgpu use of it.", ("gpu",)
    ),
    "mgpu_gpu_utilization_ratio": Metric(GAUGE, "Share of the time it is used, 0 to 1.", ("gpu",)),
    "mgpu_gpu_temperature_celsius": Metric(GAUGE, "Its temperature.", ("gpu",)),
    "mgpu_gpu_power_watts": Metric(GAUGE, "What it draws.", ("gpu",)),
    "mgpu_notices_waiting": Metric(GAUGE, "Notices that wait or are on their way."),
    "mgpu_jobs_submitted_total": Metric(COUNTER, "Jobs and tasks submitted.", ("class",)),
    "mgpu_jobs_started_total": Metric(COUNTER, "Starts of jobs.", ("class",)),
    "mgpu_jobs_ended_total": Metric(COUNTER, "Jobs and tasks that ended.", ("class", "state")),
    "mgpu_jobs_requeued_total": Metric(COUNTER, "Runs that were followed by another.", ("class",)),
    "mgpu_starts_deferred_total": Metric(COUNTER, "Starts that failed for a passing cause."),
    "mgpu_notices_sent_total": Metric(COUNTER, "Notices that were delivered."),
    "mgpu_notices_failed_total": Metric(COUNTER, "Notices that were given up."),
    "mgpu_notices_dropped_total": Metric(COUNTER, "Notices for which too many waited."),
    "mgpu_wait_seconds": Metric(
        HISTOGRAM, "From submission (or `--begin`) to the first start.", ("class",)
    ),
    "mgpu_turn_seconds": Metric(
        HISTOGRAM, "Turns of the scheduler in which something changed: decide, schedule, store."
    ),
    "mgpu_commit_seconds": Metric(HISTOGRAM, "Storing, within those turns."),
    "mgpu_snapshot_seconds": Metric(HISTOGRAM, "Making what is shown here."),
}

#: Upper bounds of the buckets of each histogram.
BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "mgpu_wait_seconds": (1, 10, 60, 300, 900, 3600, 14400, 43200, 86400, 604800),
    "mgpu_turn_seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    "mgpu_commit_seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    "mgpu_snapshot_seconds": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
}
