from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.core.invariants import check_invariants
from mgpu.core.policy import Policy
from mgpu.simulator.compare import policies
from mgpu.simulator.metrics import summarize
from mgpu.simulator.replay import replay
from mgpu.simulator.trace import TraceJob

GPUS = 3
JOBS = st.builds(
    TraceJob,
    submit=st.integers(0, 200),
    user=st.sampled_from(["ann", "bob", "cleo"]),
    gpus=st.integers(0, GPUS),
    run=st.integers(1, 100),
    limit=st.sampled_from([None, 10, 50, 200]),
    gpu_mem=st.sampled_from([None, None, 30000, 60000]),
    priority=st.sampled_from([0, 0, 0, 5]),
    project=st.just(""),
    qos=st.just(""),
    requeue=st.booleans(),
)
WORKLOADS = st.lists(JOBS, max_size=25).map(lambda jobs: sorted(jobs, key=lambda job: job.submit))


@settings(max_examples=60, deadline=None)
@given(WORKLOADS, st.sampled_from(list(policies().values())))
def test_every_job_ends_and_nothing_is_promised_twice(jobs: list[TraceJob], policy: Policy) -> None:
    outcomes = replay(jobs, GPUS, policy, check_invariants)
    for done in outcomes:
        job = done.job
        allowed = job.run if job.requeue else min(job.run, job.limit or job.run)
        assert done.started is not None
        assert done.ended is not None
        assert done.started >= job.submit
        assert done.served == allowed
        assert done.ended >= done.started + allowed
        assert done.ended == done.started + allowed or done.attempts > 1


@settings(max_examples=40, deadline=None)
@given(WORKLOADS, st.sampled_from(list(policies().values())))
def test_figures_keep_within_their_bounds(jobs: list[TraceJob], policy: Policy) -> None:
    summary = summarize(replay(jobs, GPUS, policy), GPUS)
    assert summary.unfinished == 0
    assert 0 <= summary.median_wait <= summary.max_wait
    assert summary.mean_slowdown >= 1 or not jobs
    assert 0 < summary.jain <= 1 + 1e-9
    assert sum(user.jobs for user in summary.users.values()) == summary.jobs == len(jobs)
