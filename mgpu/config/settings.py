"""The table of settings. What is not in it does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mgpu.config.access_settings import ACCESS
from mgpu.config.compound import NAMES, PEOPLE, ListOf, Member, TableOf, Tables
from mgpu.config.gpu_settings import GPUS
from mgpu.config.kinds import (
    PROJECT,
    Choice,
    Duration,
    Flag,
    Integer,
    Memory,
    Number,
    Path,
    Text,
    TimeZone,
    Weight,
)
from mgpu.config.metric_settings import METRICS
from mgpu.config.notice_settings import NOTICES
from mgpu.config.setting import Setting as Setting

SECTIONS: Final[Mapping[str, str]] = {
    "paths": "Where things are. Change them to run a second daemon beside the first.",
    "access": "Who may use the machine's GPUs, and as whom mgpu runs.",
    "scheduling": "How long jobs run and how they are switched.",
    "priority": "How the factors of a job's rank weigh; docs/scheduling.md has the formula.",
    "fairshare": "What users may have beside each other. 1 is the usual weight.",
    "projects": "What jobs may name with `--project`.",
    "gpus": "Which GPUs there are and how much of them is given out.",
    "notices": "What is told by mail and webhook, and how: docs/notices.md.",
    "metrics": "What Prometheus is shown: docs/metrics.md.",
    "limits": "What one user may ask of the daemon.",
    "queue": "What `mgpu_queue` shows.",
    "privacy": "What users see of each other's jobs.",
    "history": "How long is kept what has been. Each is forgotten a little at a time.",
    "jobs": "What happens to a job before it starts, and at its end.",
    "log": "What the daemon writes to its standard error.",
}

_CLASSES: Final = Tables(
    "a list of tables with name, priority, preemptible, min_run and groups",
    {
        "name": Member(
            Text("a name of letters, digits and -", r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}"),
            example='"idle"',
        ),
        "priority": Member(Integer(-1000, 1000), 0),
        "preemptible": Member(Flag(), default=False),
        "min_run": Member(Duration(), 600),
        "groups": Member(NAMES, []),
    },
    unique="name",
)
_PROJECTS: Final = ListOf("a list of names of projects", PROJECT)
_MEMBERS: Final = TableOf(
    'a table of projects and members, such as { vision = ["ada", "@lab"] }', PROJECT, PEOPLE
)
_WEIGHTS: Final = TableOf(
    "a table of names and numbers, such as { ada = 2, bob = 0.5 }",
    Text("a name of 1 to 64 characters", r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}"),
    Weight(),
)

SETTINGS: Final = (
    Setting(
        "paths.runtime_dir",
        Path(longest=80),
        "/run/mgpu",
        "Sockets and lock. Clients follow `MGPU_RUNTIME_DIR`.",
        restart=True,
    ),
    Setting(
        "paths.state_dir",
        Path(longest=72),
        "/var/lib/mgpu",
        "The queue's database and the records of running jobs. It belongs to the service's user.",
        restart=True,
    ),
    Setting(
        "paths.cgroup",
        Text(
            "names of letters, digits, `.`, `_` and `-`, with `/` between them",
            r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){0,3}",
        ),
        "mgpu",
        "The control group (version 2) below which each job gets its own. `mgpu.service` names "
        "that of `mgpu-jobs.service`.",
        restart=True,
    ),
    *ACCESS,
    Setting(
        "scheduling.max_job_time",
        Duration(),
        0,
        "No job runs longer in one go: it is switched out then. 0: no such limit.",
    ),
    Setting(
        "scheduling.kill_grace",
        Duration(),
        30,
        "Time between SIGTERM and SIGKILL.",
    ),
    Setting(
        "scheduling.max_requeues",
        Integer(0),
        0,
        "A job that was switched out this often ends as TIMEOUT. 0: no bound.",
    ),
    Setting(
        "scheduling.max_user_priority",
        Integer(0, 1000),
        0,
        "The highest priority that users may give to their jobs.",
    ),
    Setting(
        "scheduling.order",
        Choice("fairshare", "fifo"),
        "fairshare",
        "`fairshare` ranks jobs of one priority by the factors below, `fifo` by when they came.",
    ),
    Setting(
        "scheduling.backfill",
        Choice("reserve", "none", "greedy"),
        "reserve",
        "Who may pass the first job that cannot start: `reserve` who does not delay it, `none` "
        "nobody, `greedy` whoever fits (big jobs can then wait for ever).",
    ),
    Setting(
        "scheduling.drain_after",
        Duration(),
        4 * 3600,
        "GPUs are left idle for the first job in line, where those it waits for have no time "
        "limit, once it has waited for so long.",
    ),
    Setting(
        "scheduling.patience",
        Duration(),
        0,
        "A job that has waited for so long goes before all others of its priority. 0: never; "
        "where the queue is longer than this, the order becomes that of submission.",
    ),
    Setting(
        "scheduling.on_time_limit",
        Choice("requeue", "cancel", "extend-when-idle"),
        "requeue",
        "At the limit a job goes back to the queue, or ends; with `extend-when-idle` it goes on "
        "beyond `max_job_time` while nobody who waits could use its GPUs.",
    ),
    Setting(
        "scheduling.classes",
        _CLASSES,
        [],
        "Classes that jobs name with `--qos`. Jobs of a `preemptible` class are switched out, "
        "after `min_run`, for jobs of a class with a higher `priority`; only members of its "
        "`groups` may use a class that has any.",
    ),
    Setting("priority.expansion", Number(0, 1000), 1.0, "Waiting time against the job's limit."),
    Setting("priority.age", Number(0, 1000), 1.25, "Waiting time, whatever the limit."),
    Setting("priority.brevity", Number(0, 1000), 0.0, "A short limit."),
    Setting("priority.size", Number(0, 1000), 0.5, "Many GPUs."),
    Setting("priority.fairshare", Number(0, 1000), 0.25, "Little use in the last time."),
    Setting(
        "priority.limit_floor",
        Duration(low=1),
        600,
        "Shorter limits count as this one.",
    ),
    Setting(
        "fairshare.half_life",
        Duration(low=60),
        7 * 86400,
        "After so long use counts half.",
    ),
    Setting("fairshare.users", _WEIGHTS, {}, "Weights of users."),
    Setting("fairshare.groups", _WEIGHTS, {}, "Weights of groups; of several the largest holds."),
    Setting("fairshare.projects", _WEIGHTS, {}, "Weights of projects that have members."),
    Setting(
        "projects.known_projects",
        _PROJECTS,
        [],
        "The projects that there are, besides those with members. Empty: any may be named.",
    ),
    Setting(
        "projects.require_project", Flag(), default=False, help="Whether each job must name one."
    ),
    Setting(
        "projects.members",
        _MEMBERS,
        {},
        "Who may name a project: users, and groups behind `@`. One that is not listed is anybody's "
        "to name; it has no weight, and nothing can be reserved for it.",
    ),
    Setting(
        "scheduling.start_retries",
        Integer(0, 100),
        5,
        "How often a start that failed for a passing cause is tried again.",
    ),
    Setting(
        "scheduling.max_node_failures",
        Integer(0),
        5,
        "A job under which the machine went down this often in a row, each time within a day of "
        "its start, ends as NODE_FAIL the next time. 0: no bound.",
    ),
    Setting(
        "scheduling.retry_delay",
        Duration(),
        30,
        "Wait before the first retry of a job that failed (`--retries`); doubled each time, up to "
        "an hour.",
    ),
    Setting(
        "scheduling.time_zone",
        TimeZone(),
        "",
        "Whose clocks times of day and cron expressions mean, and on which commands show times; "
        "`--timezone` and `MGPU_TZ` go before it. Empty: the machine's.",
    ),
    Setting(
        "scheduling.cpus",
        Integer(0, 65536),
        0,
        "CPUs for jobs that name some with `--cpus-per-task`. 0: those of the machine.",
    ),
    Setting(
        "scheduling.host_memory",
        Memory(),
        0,
        "Memory of the machine for jobs that name some with `--host-mem`. 0: all of it.",
    ),
    *GPUS,
    *NOTICES,
    *METRICS,
    Setting(
        "limits.connections_per_user",
        Integer(1, 10000),
        32,
        "Connections that one user may have open.",
    ),
    Setting(
        "limits.request_burst",
        Integer(1, 100000),
        30,
        "Requests that one user may send at once.",
    ),
    Setting(
        "limits.requests_per_second",
        Number(0, 100000),
        2,
        "Requests by which that allowance grows again.",
    ),
    Setting(
        "limits.pending_per_user",
        Integer(1, 10_000_000),
        1000,
        "Jobs of one user that may wait.",
    ),
    Setting(
        "limits.kept_per_user",
        Memory(zero=False),
        128,
        "Scripts, environments and command lines of the active jobs of one user, together.",
    ),
    Setting(
        "limits.running_per_user",
        Integer(1, 1_000_000),
        128,
        "Jobs of one user that may run at once.",
    ),
    Setting(
        "limits.processes_per_job",
        Integer(0, 4_194_304),
        16384,
        "Processes and threads that one job may have, kept by its control group. 0: no bound.",
        restart=True,
    ),
    Setting(
        "limits.running_without_gpus",
        Integer(1, 1_000_000),
        256,
        "Jobs without GPUs that may run at once, of all users together.",
    ),
    Setting(
        "queue.default",
        Choice("all", "me"),
        "all",
        "Whose jobs are listed when the command does not say.",
    ),
    Setting(
        "privacy.queue",
        Choice("private", "open"),
        "private",
        "`open` shows names and commands of jobs to everybody.",
    ),
    Setting(
        "privacy.usage",
        Choice("open", "own"),
        "open",
        "What `mgpu_stats` tells users of each other: with `open` sums, times and GPUs, by user; "
        "with `own` nothing. Names and projects are their owners' to see in any case.",
    ),
    Setting(
        "history.jobs",
        Duration(),
        0,
        "So long after its end a job is forgotten: what it asked for, and how it ended. 0: never.",
    ),
    Setting(
        "history.usage",
        Duration(),
        0,
        "So long the figures of `mgpu_stats` are kept: who had which GPUs, when, and what came of "
        "it. 0: for ever.",
    ),
    Setting(
        "history.events",
        Duration(),
        0,
        "So long it is kept who did what (the audit trail). 0: for ever.",
    ),
    Setting(
        "jobs.report",
        Flag(),
        default=False,
        help="Whether the log of a job ends with what it asked for, used and left idle.",
    ),
    Setting(
        "jobs.activate",
        Flag(),
        default=True,
        help="Whether a virtual environment is found and activated for a job.",
    ),
    Setting(
        "jobs.export_slurm",
        Flag(),
        default=False,
        help="Whether jobs get copies of their variables under Slurm's names, as `SLURM_JOB_ID`, "
        "where they do not say it themselves (`--export-slurm`). Some programs take those for a "
        "sign that `srun` has started them.",
    ),
    Setting(
        "jobs.keep_for_redo",
        Duration(),
        86400,
        "Script, command line and environment of a job that has ended are kept for so long, for "
        "`mgpu_job redo`. 0: not at all.",
    ),
    Setting("log.level", Choice("debug", "info", "warning", "error"), "info", "The least of it."),
    Setting(
        "log.format",
        Choice("text", "json"),
        "text",
        "A sentence with fields, or one JSON object a line. To the journal each line goes with its "
        "priority.",
    ),
)

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
#: Further names of variables: clients and daemon share this one.
ALIASES: Final = {"MGPU_RUNTIME_DIR": "paths.runtime_dir"}
