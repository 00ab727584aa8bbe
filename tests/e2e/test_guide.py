"""The user's guide (console blocks tagged ``guide``) runs as it stands, and shows that."""

from __future__ import annotations

from tests.e2e.test_tour import follow
from tests.lib.daemon import Daemon
from tests.lib.docs import ROOT, examples
from tests.lib.users import User


def test_the_users_guide(daemon: Daemon, alice: User) -> None:
    shown = [one for one in examples(ROOT / "docs/guide.md") if "guide" in one.tags]
    assert len(shown) > 15
    for example in shown:
        follow(daemon, alice, example)
