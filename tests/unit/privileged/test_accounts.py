"""Whether an account has expired, as shadow(5) and PAM have it."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from mgpu.privileged import accounts

TODAY = 20000


@pytest.mark.parametrize(
    ("expire", "over"), [(-1, False), (0, True), (1, True), (TODAY, True), (TODAY + 1, False)]
)
def test_the_day_of_expiry(monkeypatch: pytest.MonkeyPatch, expire: int, *, over: bool) -> None:
    entry = accounts._Spwd(lstchg=TODAY, min=0, max=99999, warn=7, inact=-1, expire=expire)
    found = SimpleNamespace(getspnam=lambda _name: ctypes.pointer(entry))
    monkeypatch.setattr(accounts, "libc", found)
    assert bool(accounts.expiry("ada", TODAY)) == over
