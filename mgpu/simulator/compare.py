"""Several policies on one workload, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed

from mgpu.core.policy import Policy
from mgpu.simulator.metrics import Summary, summarize
from mgpu.simulator.replay import replay
from mgpu.simulator.trace import TraceJob

Results = dict[str, Summary]

#: What others do, as changes to a policy: order of submission, and who may pass.
BASELINES: Mapping[str, Mapping[str, str]] = {
    "fifo": {"order": "fifo", "backfill": "none"},
    "first-fit": {"order": "fifo", "backfill": "greedy"},
    "easy": {"order": "fifo", "backfill": "reserve"},
}
DEFAULT = "default"
NAMES: tuple[str, ...] = (DEFAULT, *BASELINES)


def policies(names: Sequence[str] = NAMES, base: Policy | None = None) -> dict[str, Policy]:
    """Policies by name: ``default`` is ``base``, the others differ from it as BASELINES says.

    ``base`` None is fair share with the core's weights.

    Raises KeyError for an unknown name.
    """
    base = base or Policy(order="fairshare")
    known = {DEFAULT: {}, **BASELINES}
    return {name: changed(base, **known[name]) for name in names}  # type: ignore[arg-type]


def simulate(jobs: Sequence[TraceJob], gpus: int, policies: Mapping[str, Policy]) -> Results:
    """How the jobs fare on ``gpus`` GPUs under each policy, in the order given."""
    return {name: summarize(replay(jobs, gpus, policy), gpus) for name, policy in policies.items()}
