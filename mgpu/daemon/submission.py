"""What a client's submission means to the core: texts parsed, indices turned into UUIDs."""

from __future__ import annotations

from dataclasses import replace

from mgpu.core import people, serving
from mgpu.core.policy import Defaults
from mgpu.core.requests import Repeat, Submit
from mgpu.core.world import World
from mgpu.daemon import dependencies, sweeps
from mgpu.daemon.accounts import Account
from mgpu.daemon.targets import NO_TARGETS, TargetRules, accepted
from mgpu.model.errors import MgpuError
from mgpu.model.job import JobSpec
from mgpu.protocol import messages
from mgpu.protocol.spec import SpecFields
from mgpu.store.base import Store
from mgpu.system import cron


def wish(
    world: World,
    store: Store,
    request: messages.Submit,
    account: Account,
    zone: str = "",
    *,
    admin: bool = False,
    targets: TargetRules = NO_TARGETS,
) -> Submit | Repeat:
    """The wish of ``account``; raises MgpuError where it makes no sense.

    ``zone`` is the configured time zone. ``admin`` says that it came by the admin socket,
    ``targets`` whom jobs may have told.
    """
    extras = request.spec.extras
    submit = _submit(world, store, request, account, admin=admin)
    notify = accepted(world, targets, extras, account.uid, account.user)
    submit = replace(submit, spec=replace(submit.spec, notify=notify)) if notify else submit
    if not extras.cron:
        return submit
    where = extras.zone or zone
    try:
        cron.check(extras.cron, where)
    except ValueError as error:
        raise MgpuError("BadRequest", str(error), path="spec.cron") from error
    return Repeat(submit, extras.cron, where, extras.overlap, extras.missed)


def _submit(
    world: World, store: Store, request: messages.Submit, account: Account, *, admin: bool
) -> Submit:
    fields = request.spec
    extras = fields.extras
    usual = people.defaults_of(world.policy, account.groups)
    needs, known = dependencies.read(world, store, extras.dependency, account.uid)
    tasks, bound = sweeps.tasks_of(extras)
    return Submit(
        account.uid,
        account.user,
        _spec(world, fields, usual),
        fields.priority or usual.priority or 0,
        request.count,
        admin=admin,
        tasks=tasks,
        max_concurrent=bound,
        held="user" if extras.hold else "",
        begin=extras.begin,
        needs=needs,
        known=known,
        groups=account.groups,
    )


def _spec(world: World, fields: SpecFields, usual: Defaults) -> JobSpec:
    extras = fields.extras
    return JobSpec(
        spec_id=0,
        name=fields.name,
        command=fields.command,
        cwd=fields.cwd,
        gpus=fields.gpus,
        gpu_mem=fields.gpu_mem,
        exclusive=fields.exclusive,
        time_limit=(usual.time_limit if fields.time_limit is None else fields.time_limit) or None,
        requeue=fields.requeue,
        signal=fields.signal,
        project=extras.project or usual.project,
        qos=extras.qos or usual.qos,
        gpu_type=extras.gpu_type.strip(),
        gpu_uuids=serving.uuids_of(world, extras.gpu_ids, "spec.gpu_ids"),
        min_gpu_total=extras.min_gpu_total,
        min_capability=extras.min_capability,
        cpus=extras.cpus,
        host_mem=extras.host_mem,
        deadline=extras.deadline,
        retries=extras.retries,
        kill_on_invalid_dep=extras.kill_on_invalid_dep,
        sweep=extras.sweep,
        name_template=extras.name_template,
        output=fields.output,
        error=fields.error,
    )
