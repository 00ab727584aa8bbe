"""The tree of a job without a cgroup, against what forks and exits all the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mgpu.privileged import tree
from tests.lib import comet

#: A subreaper with a comet of its own, like a supervisor: how often it thought that nothing lives
#: while the comet did, and whether it got rid of it in twenty seconds.
KEEPER = f"""
import os, sys, time
sys.path[:0] = {sys.path!r}
from mgpu.privileged import syscalls, tree
syscalls.set_subreaper()
os.setpgid(0, 0)
family = tree.ProcessTree()
first = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
while first not in tree.reap():
    pass
mistakes = 0
for _ in range(50):
    mistakes += family.empty()
    tree.reap()
end = time.monotonic() + 20
while not family.empty() and time.monotonic() < end:
    family.kill()
    tree.reap()
print(mistakes, family.empty())
"""


@pytest.mark.parametrize("mode", [(), ("setsid",)], ids=["one session", "many sessions"])
def test_what_forks_and_exits_all_the_time_counts_until_it_is_killed(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    lock = tmp_path / "lock"
    words = [str(comet.build(tmp_path)), "30", *mode]
    keeper = ["flock", "--no-fork", str(lock), sys.executable, "-I", "-c", KEEPER, *words]
    done = subprocess.run(keeper, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0 True\n", "")
    assert not comet.is_locked(lock)


def test_children_count_until_they_have_been_waited_for() -> None:
    known = tree.children()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reading, 1)
        os._exit(3)
    family = tree.ProcessTree(lambda: known)
    assert tree.children() - known == {pid}
    assert family.members() == {pid}
    os.write(writing, b"x")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (family.members(), family.empty()) == (set(), False)
    assert tree.parents(zombies=True)[pid] == os.getpid()
    os.waitpid(pid, 0)
    assert family.empty()
    os.close(reading)
    os.close(writing)


def test_where_proc_hides_everything_the_children_are_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = tree.children()
    family = tree.ProcessTree(lambda: known)
    child = subprocess.Popen(["sleep", "600"])
    monkeypatch.setattr(tree, "_stat", lambda _pid: None)
    assert family.members() == {child.pid}
    tree.terminate(family)
    assert child.wait(10) == -signal.SIGTERM
