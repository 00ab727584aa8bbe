"""The words and numbers that both ends share; imports nothing, since every command loads it."""

from __future__ import annotations

#: Lowest and highest version of the protocol that this code speaks.
VERSIONS = (1, 1)

#: Bytes of one request frame, and of one reply frame that a client accepts.
MAX_REQUEST = 1 << 20
MAX_REPLY = 16 << 20

#: Bounds of a request's structure.
MAX_DEPTH = 16
MAX_NODES = 10_000

#: Jobs that one request may create, and name.
MAX_COUNT = 100_000
MAX_IDS = 5_000
MAX_KEY = 64

PING = "ping"
SUBMIT = "submit"
CANCEL = "cancel"
JOBS = "jobs"
INFO = "info"
WAIT = "wait"
PRIORITY = "priority"
UPDATE = "update"
DEPEND = "depend"
RESERVE = "reserve"
RESERVATIONS = "reservations"
UNRESERVE = "unreserve"
QUOTA_SET = "quota_set"
QUOTA_LIST = "quota_list"
QUOTA_REMOVE = "quota_remove"
RANKS = "ranks"
STARTS = "starts"
WHY = "why"
LOGS = "logs"
NEWS = "news"
NEWEST = "newest"
SIGNAL = "signal"
ALTER = "alter"
HISTORY = "history"
SUBMISSION = "submission"
ATTACH = "attach"
STATS = "stats"
HOLD = "hold"
RELEASE = "release"
CRONS = "crons"
CRON_CHANGE = "cron_change"
GPU_LIST = "gpu_list"
GPU_PROCESSES = "gpu_processes"
GPU_DRAIN = "gpu_drain"
GPU_RESUME = "gpu_resume"
GPU_SET = "gpu_set"
GPU_IGNORE = "gpu_ignore"
GPU_UNIGNORE = "gpu_unignore"
GPU_SIMULATE = "gpu_simulate"
CONFIG = "config"
RELOAD = "reload"
STATUS = "status"
AUDIT = "audit"
LOG_LEVEL = "log_level"
MACHINE_DRAIN = "machine_drain"
MACHINE_RESUME = "machine_resume"
SHUTDOWN = "shutdown"
REQUEUE = "requeue"
BACKUP = "backup"
OPERATIONS = (
    PING, SUBMIT, CANCEL, JOBS, INFO, WAIT, PRIORITY, UPDATE, DEPEND,
    RESERVE, RESERVATIONS, UNRESERVE, QUOTA_SET, QUOTA_LIST, QUOTA_REMOVE,
    RANKS, STARTS, WHY, LOGS, NEWS, NEWEST, ATTACH, SIGNAL, ALTER, HISTORY, SUBMISSION,
    HOLD, RELEASE, CRONS, CRON_CHANGE,
    GPU_LIST, GPU_PROCESSES, GPU_DRAIN, GPU_RESUME, GPU_SET, GPU_IGNORE, GPU_UNIGNORE,
    GPU_SIMULATE,
    CONFIG, RELOAD, STATUS, AUDIT, LOG_LEVEL, MACHINE_DRAIN, MACHINE_RESUME, SHUTDOWN, REQUEUE,
    BACKUP,
    STATS,
)  # fmt: skip
#: Those that change something: each is one line in the log, allowed or denied.
CHANGES = frozenset(
    {
        SUBMIT,
        CANCEL,
        PRIORITY,
        UPDATE,
        DEPEND,
        SIGNAL,
        ATTACH,
        ALTER,
        RESERVE,
        UNRESERVE,
        QUOTA_SET,
        QUOTA_REMOVE,
        HOLD,
        RELEASE,
        CRON_CHANGE,
        GPU_DRAIN,
        GPU_RESUME,
        GPU_SET,
        GPU_IGNORE,
        GPU_UNIGNORE,
        GPU_SIMULATE,
        RELOAD,
        LOG_LEVEL,
        MACHINE_DRAIN,
        MACHINE_RESUME,
        SHUTDOWN,
        REQUEUE,
        BACKUP,
    }
)

#: The columns of a row of the ``jobs`` reply, in order.
JOB_FIELDS = (
    "id",
    "name",
    "user",
    "state",
    "reason",
    "detail",
    "submitted",
    "started",
    "ended",
    "elapsed",
    "time_limit",
    "gpus",
    "gpu_mem",
    "gpu_ids",
    "priority",
    "restarts",
    "attempt",
    "code",
    "signal",
    "command",
    "cwd",
    "exclusive",
    "requeue",
    "mine",
    "dependency",
    "array",
    "tasks",
    "max_concurrent",
    "params",
    "peak",
    "note",
    "project",
    "qos",
    "cpus",
    "host_mem",
    "gpu_type",
    "begin",
)

#: What ``priority`` and others answer for a job that is as was asked for now.
CHANGED = "changed"
#: What ``requeue`` answers for a job that will wait again.
REQUEUED = "requeued"
#: What ``cancel`` answers for each job.
CANCELLED = "cancelled"
CANCELLING = "cancelling"
#: And ``signal``: it was passed on; the job waits; its supervisor cannot be reached now.
SIGNALLED = "signalled"
WAITING = "waiting"
UNREACHED = "unreached"
#: What is kept of an ``attach`` that was granted.
ATTACHED = "attached"
ALREADY_ENDED = "ended"
UNKNOWN = "unknown"
