"""Which projects jobs may name, and what a project gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgpu.core.orders import Reserve
from mgpu.core.policy import Policy
from mgpu.core.requests import Submit
from mgpu.core.share import weight
from mgpu.model.errors import MgpuError
from mgpu.testing.builders import Desk, a_spec

POLICY = Policy(
    known_projects=frozenset({"speech"}),
    require_project=True,
    members={"vision": frozenset({"user:ada", "group:lab"})},
    weights={"project:vision": 4.0, "project:speech": 9.0},
)


def submit(policy: Policy, project: str, user: str = "bob", groups: tuple[str, ...] = ()) -> None:
    spec = replace(a_spec(), project=project)
    Desk(1000, policy=policy).ask(Submit(1000, user, spec, groups=groups))


@pytest.mark.parametrize(
    ("project", "user", "groups"),
    [("vision", "ada", ()), ("vision", "bob", ("staff", "lab")), ("speech", "bob", ())],
)
def test_members_name_their_projects_and_all_those_without(
    project: str, user: str, groups: tuple[str, ...]
) -> None:
    submit(POLICY, project, user, groups)


@pytest.mark.parametrize(
    ("project", "user", "groups", "text"),
    [
        ("vision", "bob", ("staff",), 'the project "vision" is for its members'),
        ("vision", "lab", (), "is for its members"),
        ("painting", "ada", (), 'there is no project "painting"'),
        ("", "ada", (), "jobs name a project here"),
    ],
)
def test_other_projects_are_refused(
    project: str, user: str, groups: tuple[str, ...], text: str
) -> None:
    with pytest.raises(MgpuError, match=text):
        submit(POLICY, project, user, groups)


def test_without_a_configuration_any_project_may_be_named() -> None:
    submit(Policy(), "painting")
    submit(Policy(), "")


def test_a_project_that_anybody_can_name_has_no_weight_and_nothing_is_reserved_for_it() -> None:
    assert weight(POLICY, "ada", (), "vision") == 4.0
    assert weight(POLICY, "ada", (), "speech") == 1.0
    desk = Desk(1000, policy=POLICY)
    desk.ask(Reserve(0, "", 60, count=1, projects=("vision",)))
    with pytest.raises(MgpuError, match='anybody may name the project "speech"'):
        desk.ask(Reserve(0, "", 60, start=desk.now.wall + 600, count=1, projects=("speech",)))
