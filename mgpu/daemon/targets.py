"""Whom a submission may have told of its job: each target is checked before it is taken in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mgpu.core import post
from mgpu.core.world import World
from mgpu.model.address import MAILTO, check_mail, domain_of, split_url
from mgpu.model.errors import MgpuError
from mgpu.model.hosts import problem_of
from mgpu.model.notice import ARRAY_TASKS, MOST_TARGETS, MOST_WAITING, Notify, events_of
from mgpu.model.units import quoted
from mgpu.protocol.extras import Extras


class TargetRules(NamedTuple):
    """What the configuration says about the targets of users."""

    enabled: bool = False
    mail: bool = False
    webhooks: bool = False
    allowed: tuple[str, ...] = ()
    domain: str = ""
    domains: frozenset[str] = frozenset()


#: Nobody is told of anything.
NO_TARGETS: Final = TargetRules()


def target_rules(settings: Mapping[str, Any]) -> TargetRules:
    """The rules, as configured."""
    return TargetRules(
        settings["notices.enabled"],
        bool(settings["notices.smtp_host"]),
        settings["notices.user_webhooks"],
        tuple(settings["notices.allow_hosts"]),
        settings["notices.mail_domain"],
        frozenset(domain.lower() for domain in settings["notices.mail_domains"]),
    )


def accepted(
    world: World, rules: TargetRules, extras: Extras, uid: int, user: str
) -> Notify | None:
    """What a submission asks to be told, or a refusal that says which target is wrong and why."""
    try:
        events, tasks = events_of(extras.mail_type)
    except ValueError as error:
        raise _bad("mail_type", str(error)) from error
    if not events or not (extras.mail_type or extras.mail_user or extras.notify):
        _check_unused(extras)
        return None
    if not rules.enabled:
        hint = "leave --mail-type, --mail-user and --notify away; administrators: see [notices]"
        raise MgpuError("Refused", "this machine sends no notices", path="spec.notify", hint=hint)
    targets = [*_mail(rules, extras, user), *(_url(rules, one) for one in extras.notify)]
    targets = list(dict.fromkeys(targets))
    if len(targets) > MOST_TARGETS:
        raise _bad("notify", f"{len(targets)} targets; at most {MOST_TARGETS} are allowed")
    if post.waiting_of(world, post.lane_of(uid)) >= MOST_WAITING:
        text = f"{MOST_WAITING} notices of yours wait to be sent"
        hint = "wait until they are sent or given up; are their targets reachable?"
        raise MgpuError("LimitReached", text, path="spec.notify", hint=hint)
    return Notify(events, tuple(targets), tasks)


def as_given(notify: Notify | None) -> dict[str, Any]:
    """The fields of a submission that ask for the same again."""
    if notify is None:
        return {}
    mails = [one.removeprefix(MAILTO) for one in notify.targets if one.startswith(MAILTO)]
    urls = [one for one in notify.targets if not one.startswith(MAILTO)]
    words = [*notify.events, *([ARRAY_TASKS] if notify.tasks else [])]
    return {"mail_type": words, "mail_user": "".join(mails[:1]), "notify": urls}


def as_shown(notify: Notify) -> list[list[str]]:
    """Of what whom, for its owner to read: without what signs."""
    words = [*notify.events, *([ARRAY_TASKS] if notify.tasks else [])]
    return [words, [_shown(one) for one in notify.targets]]


def _shown(target: str) -> str:
    mail = target.startswith(MAILTO)
    return target.removeprefix(MAILTO) if mail else target.partition("#")[0]


def _check_unused(extras: Extras) -> None:
    """With NONE nothing is told, but what is wrong is wrong."""
    for one in extras.notify:
        _split(one)


def _mail(rules: TargetRules, extras: Extras, user: str) -> list[str]:
    """The address of ``--mail-user``; without it, and without any URL, that of the submitter."""
    name = extras.mail_user or ("" if extras.notify else user)
    if not name:
        return []
    if not rules.mail:
        hint = "leave --mail-user away; administrators: see notices.smtp_host"
        raise MgpuError("Refused", "this machine sends no mail", path="spec.mail_user", hint=hint)
    if "@" not in name and not rules.domain:
        raise _bad("mail_user", f"{quoted(name)} is no address; write one, as ada@example.org")
    try:
        address = check_mail(name if "@" in name else f"{name}@{rules.domain}")
    except ValueError as error:
        raise _bad("mail_user", str(error)) from error
    if rules.domains and domain_of(address) not in rules.domains:
        known = ", ".join(sorted(rules.domains))
        text = f"mail to {quoted(domain_of(address))} is not sent from here"
        raise MgpuError("Refused", text, path="spec.mail_user", hint=f"known domains: {known}")
    return [MAILTO + address]


def _url(rules: TargetRules, text: str) -> str:
    host = _split(text)
    if not rules.webhooks:
        hint = "leave --notify away; administrators: see notices.user_webhooks"
        raise MgpuError("Refused", "jobs may name no URLs here", path="spec.notify", hint=hint)
    problem = problem_of(host, rules.allowed)
    if problem:
        hint = "an administrator can name the host in notices.allow_hosts"
        raise MgpuError("Refused", f"a URL: {problem}", path="spec.notify", hint=hint)
    return text


def _split(text: str) -> str:
    try:
        return split_url(text).host
    except ValueError as error:
        raise _bad("notify", str(error)) from error


def _bad(field: str, what: str) -> MgpuError:
    return MgpuError("BadRequest", what, path=f"spec.{field}")
