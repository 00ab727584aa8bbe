"""A disk that is full or read-only, for real; and power that goes away in mid-commit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mgpu.store.sqlite import open_store
from tests.lib.samples import NOW

NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-Urm"]
ENV = {"PYTHONPATH": ":".join(sys.path), "PATH": os.environ.get("PATH", "")}


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """What runs a command with mounts that nobody else sees."""
    try:
        probe = subprocess.run([*NAMESPACE, "true"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare(1)")
    if probe.returncode:
        pytest.skip(f"no mount namespace: {probe.stderr.decode()}")
    return NAMESPACE


@pytest.mark.parametrize(
    "name", ["full", "full_at_start", "full_for_ever", "too_small", "read_only"]
)
def test_a_disk_that_takes_nothing(namespace: list[str], name: str, tmp_path: Path) -> None:
    command = [
        *namespace,
        sys.executable,
        "-m",
        "tests.unit.store.disk_scenarios",
        name,
        str(tmp_path),
    ]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


WRITER = """
import sys
from mgpu.store.base import Batch
from mgpu.store.sqlite import open_store
from tests.lib.samples import NOW, job, submitted
store = open_store(sys.argv[1], NOW.wall)
first = store.load().next_id
for number in range(first, first + 10_000):
    one = job(number)
    store.commit(Batch(NOW.wall, [submitted(one)], [one], {number: b'x' * 3000}))
    print(number, flush=True)
"""


def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(6):
        last = _write_and_kill(tmp_path, after=chance.randrange(1, 120))
        store = open_store(tmp_path, NOW.wall)
        stored = {one.id for one in store.load().jobs}
        assert set(range(1, last + 1)) <= stored <= set(range(1, last + 2))
        assert len(store.history(limit=10_000)) == len(stored)
        assert all(len(store.payload(number)) == 3000 for number in stored)
        store.close()


def _write_and_kill(home: Path, after: int) -> int:
    command = [sys.executable, "-c", WRITER, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline() for _ in range(after)]
        writer.kill()
        acknowledged += writer.stdout.readlines()
    return int(acknowledged[-1])
