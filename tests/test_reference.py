"""What administrators rely on has a row in a reference and a test.

Whether a test is a good one no program can see; that there is none it can.
"""

from __future__ import annotations

import re

import pytest

from mgpu.cli.ctl import COMMANDS
from mgpu.config.settings import SETTINGS
from mgpu.core.access import TABLE
from mgpu.model.metrics import METRICS
from mgpu.model.notice import EVENTS
from mgpu.protocol import names
from tests.lib.docs import ROOT

HERE = ROOT / "tests"
TESTS = "\n".join(
    path.read_text() for path in sorted(HERE.rglob("*.py")) if path.name != "test_reference.py"
)
KEYS = [setting.key for setting in SETTINGS]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("key", KEYS)
def test_each_setting_is_in_the_reference_and_in_a_test(key: str) -> None:
    section, name = key.split(".")
    table = page("configuration.md").partition(f"## [{section}]")[2].partition("\n## ")[0]
    assert f"| `{name}` |" in table
    written = rf'{section}(\.|__){name}\b|"{name}":|\b{name} ?='
    assert re.search(written, TESTS), f"no test sets {key}"


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_in_the_reference_and_in_a_test(event: str) -> None:
    assert f"| `{event}` |" in page("reference/notices.md")
    assert event in TESTS


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_is_in_the_reference_and_in_a_test(metric: str) -> None:
    assert f"`{metric}`" in page("reference/metrics.md")
    assert metric in TESTS


@pytest.mark.parametrize("command", COMMANDS)
def test_each_order_is_in_the_reference_and_in_a_test(command: str) -> None:
    assert f"mgpu_ctl {command}" in page("reference/mgpu_ctl.md")
    assert re.search(rf"""["' ]{command}["' ]""", TESTS)


def test_each_operation_is_in_the_table_of_roles_and_that_in_the_reference() -> None:
    assert set(TABLE) == set(names.OPERATIONS)
    shown = page("reference/rights.md")
    assert [op for op in names.OPERATIONS if f"`{op}`" not in shown] == []
