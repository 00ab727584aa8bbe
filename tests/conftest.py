"""Fixtures and options of all tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mgpu.system.log import log
from tests.lib import box
from tests.lib.golden import Golden

# The same examples in every run; MGPU_TEST_RANDOM=1 draws others, to find what is not known yet.
settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # says more of the machine than of the test
)
if not os.environ.get("MGPU_TEST_RANDOM"):
    settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update-golden``."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the tests see into tests/golden instead of comparing",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    boxed = box.inside()
    gpu = os.path.exists("/dev/nvidiactl")
    for item in items:
        if item.get_closest_marker("root") and not boxed:
            item.add_marker(pytest.mark.skip(reason="needs root in a box: use scripts/test"))
        if item.get_closest_marker("gpu") and not gpu:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))


@pytest.fixture(autouse=True)
def _other_tests_log_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders and configurations that a test sends change what the whole process logs."""
    for name in ("level", "format", "journal", "last_error"):
        monkeypatch.setattr(log, name, getattr(log, name))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="mgpu-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares with the files of tests/golden: ``golden.check("cli/queue.txt", output)``."""
    return Golden(update=bool(request.config.getoption("--update-golden")))
