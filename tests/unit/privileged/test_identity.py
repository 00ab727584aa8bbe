"""Which identities nobody takes. How one is taken: tests/e2e/test_launcher_identity.py."""

from __future__ import annotations

from typing import Any

import pytest

from mgpu.privileged import identity

NONE: list[Any] = [0, -1, 2**32 - 1, 2**32, True, "1000", 1000.0, None]


@pytest.fixture(autouse=True)
def nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is tried, the process of the tests stays who it is."""

    def taken(*_ids: object) -> None:
        raise AssertionError("an identity was taken")

    monkeypatch.setattr(identity, "_take", taken)
    monkeypatch.setattr(identity, "_clear_ambient", lambda: None)


@pytest.mark.parametrize("number", NONE, ids=repr)
def test_what_is_no_uid_or_gid_of_a_user_is_not_taken(number: Any) -> None:
    for uid, gid in ((number, 1000), (1000, number)):
        with pytest.raises(identity.IdentityError):
            identity.become_user(uid, gid, [1000])
        with pytest.raises(identity.IdentityError):
            identity.become_service(uid, gid, [1000])
        with pytest.raises(identity.IdentityError):
            identity.become_supervisor(uid, gid)


@pytest.mark.parametrize("number", NONE[1:], ids=repr)
def test_where_root_may_run_jobs_only_root_is_root(number: Any) -> None:
    with pytest.raises(identity.IdentityError):
        identity.become_user(number, 1000, [1000], allow_root=True)
