"""The tour of the README (console blocks tagged ``tour``) runs as it stands, and shows that."""

from __future__ import annotations

from tests.lib.daemon import BIN, Daemon
from tests.lib.docs import ROOT, Example, examples, matches
from tests.lib.users import User, run_as
from tests.lib.waiting import eventually

#: Commands that only look: they may be repeated until they show what the tour shows.
LOOKING = ("mgpu_queue", "mgpu_info", "cat")


def test_the_tour_of_the_readme(daemon: Daemon, alice: User) -> None:
    for example in examples(ROOT / "README.md"):
        if "tour" in example.tags:
            follow(daemon, alice, example)


def follow(daemon: Daemon, user: User, example: Example) -> None:
    """Type one line of the tour and compare what it prints."""
    path = f"{BIN}:/usr/local/bin:/usr/bin:/bin"
    env = {"MGPU_RUNTIME_DIR": str(daemon.runtime), "PATH": path}

    def run() -> str:
        done = run_as(user, ["bash", "-c", example.command], env=env)
        assert done.returncode == 0, f"{example}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    if example.command.startswith(LOOKING):
        eventually(run, until=lambda seen: matches(example.output, seen), what=str(example))
        return
    seen = run()
    assert matches(example.output, seen), f"{example}\nshown: {example.output}\nseen: {seen}"
