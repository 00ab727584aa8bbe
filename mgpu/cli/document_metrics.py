"""``docs/reference/metrics.md``: what can be measured."""

from __future__ import annotations

from mgpu.model.metrics import METRICS

_HEAD = """\
# Metrics

What `/metrics` shows; [metrics](../metrics.md) says how to have it. Counters and histograms count
from the start of the scheduler on.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""


def written() -> str:
    """The page."""
    rows = [
        f"| `{name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} |"
        f" {one.help} |\n"
        for name, one in METRICS.items()
    ]
    foot = "\nThis page is written by `python -m mgpu.cli.document` from `mgpu/model/metrics.py`.\n"
    return "".join([_HEAD, *rows, foot])
