"""What the launcher prepares once and every supervisor and job child inherits by the fork."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mgpu.privileged.accounts import Rules
    from mgpu.privileged.cgroup import Groups
    from mgpu.privileged.devices import Fence
    from mgpu.privileged.startup import Settings


class Site:
    """The open folders, the service account and the facts of this boot.

    ``attempts`` and ``scripts`` are open folders; ``groups`` is None where cgroups cannot be had;
    ``activate`` says whether environments are looked for that no job asked for;
    ``export_slurm`` says whether jobs that do not say it themselves get Slurm's variables;
    ``report`` says whether logs end with what the scheduler tells of the attempt;
    ``processes`` is how many processes and threads a job may have, 0 for no limit;
    ``fence`` is None where jobs are not kept off other GPUs;
    ``signals`` is the signalfd, which reports to whichever process reads it.
    """

    __slots__ = (
        *("activate", "attempts", "boot_id", "export_slurm", "fence", "gid", "groups", "host"),
        *("processes", "report", "rules", "scripts", "scripts_path", "signals", "uid"),
    )

    def __init__(
        self,
        *,
        uid: int,
        gid: int,
        rules: Rules,
        attempts: int,
        scripts: int,
        scripts_path: str,
        groups: Groups | None,
        fence: Fence | None,
        signals: int,
        activate: bool = True,
        export_slurm: bool = False,
        report: bool = False,
        processes: int = 0,
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.rules = rules
        self.attempts = attempts
        self.scripts = scripts
        self.scripts_path = scripts_path
        self.groups = groups
        self.fence = fence
        self.activate = activate
        self.export_slurm = export_slurm
        self.report = report
        self.processes = processes
        self.signals = signals
        self.boot_id = boot_id()
        self.host = os.uname().nodename.partition(".")[0]

    def take_over(self, settings: Settings) -> None:
        """Go on with what may change while the daemon runs."""
        self.rules = settings.rules
        self.activate = settings.activate
        self.export_slurm = settings.export_slurm
        self.report = settings.report

    @property
    def fenced_by(self) -> str:
        """What keeps jobs off other GPUs: ``cgroup-v2``, ``cgroup-v1`` or nothing."""
        return self.fence.kind if self.fence is not None else ""

    @property
    def tracking(self) -> str:
        """What tells the processes of a job: ``cgroup-v2``, ``cgroup-v1`` or ``subreaper``."""
        if self.groups is not None:
            return "cgroup-v2"
        return self.fenced_by or "subreaper"

    def fds(self) -> list[int]:
        """The descriptors a supervisor keeps."""
        shared = [self.attempts, self.scripts, self.signals]
        return [*shared, *self.groups.fds()] if self.groups else shared


def boot_id() -> str:
    """The kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
