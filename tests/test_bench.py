"""scripts/bench works and measures all that it names; how fast anything is, is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_every_part_gives_figures(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    subprocess.run(
        [sys.executable, "-m", "scripts.lib.bench", "--quick"],
        cwd=ROOT,
        check=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MGPU_BENCH_JSON": str(target)},
    )
    report = json.loads(target.read_text())
    parts = {row["part"] for row in report["rows"]}
    assert parts == {
        *("commands", "full", "start", "gap", "slots", "listing", "bulk", "restart", "cancel"),
        *("helps", "terminal"),
        *("idle", "memory", "flood", "loss", "pass", "large", "gpus", "past"),
    }
    lost = [row for row in report["rows"] if row["part"] == "loss"]
    assert lost
    assert all(row["value"] == 0 for row in lost)
