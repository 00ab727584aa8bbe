"""What the settings mean to the parts of the scheduler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mgpu.core.policy import Defaults, Policy, QosClass
from mgpu.daemon.charges import Ledger
from mgpu.daemon.dispatch import Rules
from mgpu.daemon.targets import target_rules
from mgpu.system import host

Settings = dict[str, Any]


def policy(settings: Settings) -> Policy:
    """The core's rules, as configured."""
    return Policy(
        max_job_time=settings["scheduling.max_job_time"],
        grace=settings["scheduling.kill_grace"],
        max_requeues=settings["scheduling.max_requeues"],
        margin=settings["gpus.memory_margin"],
        unmanaged_ignore=settings["gpus.unmanaged_ignore"],
        max_pending_per_user=settings["limits.pending_per_user"],
        max_user_priority=settings["scheduling.max_user_priority"],
        start_retries=settings["scheduling.start_retries"],
        max_node_failures=settings["scheduling.max_node_failures"],
        retry_delay=settings["scheduling.retry_delay"],
        max_gpuless=settings["limits.running_without_gpus"],
        max_running_per_user=settings["limits.running_per_user"],
        order=settings["scheduling.order"],
        backfill=settings["scheduling.backfill"],
        drain_after=settings["scheduling.drain_after"],
        patience=settings["scheduling.patience"],
        on_time_limit=settings["scheduling.on_time_limit"],
        placement=settings["gpus.placement"],
        devices=_devices(settings),
        outsiders=settings["gpus.outsiders"],
        outsider_grace=settings["gpus.outsider_grace"],
        min_uid=settings["access.min_uid"],
        cleaning=True,
        cleaning_limit=settings["gpus.cleaning_limit"],
        cpus=settings["scheduling.cpus"] or host.cpus(),
        host_memory=settings["scheduling.host_memory"] or host.memory(),
        over_memory=settings["gpus.over_memory"],
        over_memory_margin=settings["gpus.over_memory_margin"],
        over_memory_grace=settings["gpus.over_memory_grace"],
        idle_after=settings["gpus.idle_after"],
        idle_policy=settings["gpus.idle_policy"],
        idle_below=settings["gpus.idle_below"],
        half_life=settings["fairshare.half_life"],
        limit_floor=settings["priority.limit_floor"],
        weight_expansion=settings["priority.expansion"],
        weight_age=settings["priority.age"],
        weight_brevity=settings["priority.brevity"],
        weight_size=settings["priority.size"],
        weight_fairshare=settings["priority.fairshare"],
        weights=_weights(settings),
        isolation=settings["gpus.isolation"],
        classes=_classes(settings),
        known_projects=frozenset(settings["projects.known_projects"]),
        require_project=settings["projects.require_project"],
        members=_members(settings),
        submitters=people(settings["access.submit"]),
        denied=people(settings["access.deny"]),
        raisers=people(settings["access.raise_priority"]),
        defaults=tuple(Defaults(**one) for one in settings["access.defaults"]),
    )


def _devices(settings: Settings) -> frozenset[int] | None:
    known = settings["gpus.devices"]
    return None if known == "all" else frozenset(known)


def _weights(settings: Settings) -> dict[str, float]:
    return {
        f"{kind}:{name}": number
        for kind in ("user", "group", "project")
        for name, number in settings[f"fairshare.{kind}s"].items()
    }


def _members(settings: Settings) -> dict[str, frozenset[str]]:
    """Who may name a project, as fair share names people: ``@lab`` in the file is a group."""
    return {project: people(names) for project, names in settings["projects.members"].items()}


def people(names: Iterable[str]) -> frozenset[str]:
    """Users and groups as fair share names them."""
    return frozenset(
        f"group:{name[1:]}" if name.startswith("@") else f"user:{name}" for name in names
    )


def _classes(settings: Settings) -> dict[str, QosClass]:
    """The classes by name; jobs that name none are of the class ``normal``, if there is one."""
    listed = [
        QosClass(**{**one, "groups": tuple(one["groups"])})
        for one in settings["scheduling.classes"]
    ]
    classes = {one.name: one for one in listed}
    return {"": classes.get("normal", QosClass("normal")), **classes}


def ledger(settings: Settings) -> Ledger:
    """The accounting of connections and requests, as configured."""
    return Ledger(*bounds(settings))


def bounds(settings: Settings) -> tuple[int, float, float]:
    """The bounds of that accounting."""
    return (
        settings["limits.connections_per_user"],
        settings["limits.request_burst"],
        settings["limits.requests_per_second"],
    )


def rules(settings: Settings, recovery: str) -> Rules:
    """What the configuration says about requests."""
    return Rules(
        default_scope=settings["queue.default"],
        open_queue=settings["privacy.queue"] == "open",
        allow_root=settings["access.allow_root"],
        min_uid=settings["access.min_uid"],
        recovery=recovery,
        zone=settings["scheduling.time_zone"],
        targets=target_rules(settings),
        own_usage=settings["privacy.usage"] == "own",
    )
