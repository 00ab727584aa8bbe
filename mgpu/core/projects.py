"""Which projects a job may name. One without members is anybody's to name, and gives nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mgpu.core.people import is_among
from mgpu.core.policy import Policy
from mgpu.model.errors import MgpuError
from mgpu.model.units import quoted

_PATH = "spec.project"


def check(policy: Policy, project: str, user: str, groups: Sequence[str]) -> None:
    """Refuse a submission for a project that is not known or not for its owner."""
    known = policy.known_projects | policy.members.keys()
    hint = f"known are: {', '.join(sorted(known)) or 'none'}"
    if not project:
        if policy.require_project:
            raise MgpuError("Refused", "jobs name a project here", path=_PATH, hint=hint)
        return
    if policy.known_projects and project not in known:
        raise MgpuError("Refused", f"there is no project {quoted(project)}", path=_PATH, hint=hint)
    if project in policy.members and not _is_member(policy, project, user, groups):
        raise MgpuError(
            "Denied",
            f"the project {quoted(project)} is for its members",
            path=_PATH,
            hint="name another one, or ask the administrator",
        )


def _is_member(policy: Policy, project: str, user: str, groups: Sequence[str]) -> bool:
    """Whether a user, or a group of theirs, is listed as a member."""
    return is_among(policy.members.get(project, frozenset()), user, groups)


def check_claim(policy: Policy, project: str, path: str) -> None:
    """Refuse to give something to a project that anybody can name."""
    if project not in policy.members:
        raise MgpuError(
            "Refused",
            f"anybody may name the project {quoted(project)}",
            path=path,
            hint="list its members in the section projects.members of the configuration",
        )
