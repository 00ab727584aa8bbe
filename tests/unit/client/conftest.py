"""A fake scheduler for the client."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mgpu.client import transport


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account that runs the tests counts as the service user."""
    monkeypatch.setattr(transport, "_uid_of", lambda _user: os.getuid())


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the fake scheduler listens."""
    return str(tmp_path / "mgpu.sock")
