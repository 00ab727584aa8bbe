"""The order of precedence in a job's environment, and which names count at all."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mgpu.privileged import environment
from mgpu.privileged.accounts import Account
from mgpu.privileged.order import Order

ACCOUNT = Account(1001, 1001, "alice", "/home/alice", "/bin/zsh", [1001])
NAMES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b"HOME", b"PATH", b"CUDA_VISIBLE_DEVICES", b"MGPU_JOB_ID", b"MGPU_ARRAY_TASK_ID", b"A1"]
    ),
)


def order(**changes: object) -> Order:
    fields = {"job": 42, "attempt": 2, "uid": 1001, "user": "alice", "limit": 0, "grace": 30}
    lists = {"gpus": [2, 0], "uuids": ["GPU-c", "GPU-a"], "minors": [2, 0]}
    return Order({**fields, **lists, "restarts": 1, "warn": None, "gpu_mem": None, **changes})


@given(st.binary(max_size=6))
def test_names_are_those_of_a_shell(name: bytes) -> None:
    assert environment.valid_name(name) == bool(re.fullmatch(rb"[A-Za-z_][A-Za-z0-9_]*", name))


@given(st.lists(st.tuples(NAMES, st.binary(max_size=5))))
def test_what_the_user_sends_never_wins_over_the_account_or_mgpu(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    env = environment.base([name + b"=" + value for name, value in pairs], ACCOUNT)
    env.update(environment.reserved(order(), "name"))
    assert (env[b"HOME"], env[b"USER"], env[b"SHELL"]) == (b"/home/alice", b"alice", b"/bin/zsh")
    assert (env[b"CUDA_VISIBLE_DEVICES"], env[b"MGPU_JOB_ID"]) == (b"2,0", b"42")
    assert b"MGPU_ARRAY_TASK_ID" not in env
    assert all(environment.valid_name(name) for name in env)
    assert not any(b"\0" in value for value in env.values())


@given(st.dictionaries(st.from_regex(rb"\AX[A-Z]{0,5}\Z"), st.binary(max_size=9)))
def test_what_the_user_sends_is_kept_as_it_is(variables: dict[bytes, bytes]) -> None:
    entries = [name + b"=" + value for name, value in variables.items()]
    kept = {name: value for name, value in variables.items() if b"\0" not in value}
    assert environment.captured(entries) == kept


def test_defaults_give_way() -> None:
    env = environment.base([b"PATH=/mine", b"PYTHONUNBUFFERED="], ACCOUNT)
    assert (env[b"PATH"], env[b"LANG"], env[b"PYTHONUNBUFFERED"]) == (b"/mine", b"C.UTF-8", b"")


def test_behind_a_fence_cuda_counts_the_jobs_own_gpus() -> None:
    env = environment.reserved(order(), "n", fenced=True)
    assert env[b"CUDA_VISIBLE_DEVICES"] == b"0,1"
    assert (env[b"MGPU_GPU_IDS"], env[b"NVIDIA_VISIBLE_DEVICES"]) == (b"2,0", b"GPU-c,GPU-a")


@given(st.booleans())
def test_instances_of_a_gpu_are_addressed_by_their_uuids(fenced: bool) -> None:
    env = environment.reserved(order(uuids=["MIG-a", "MIG-b"]), "n", fenced=fenced)
    assert env[b"CUDA_VISIBLE_DEVICES"] == b"MIG-a,MIG-b"


def test_no_gpu_means_none_visible() -> None:
    env = environment.reserved(order(gpus=[], uuids=[]), "n")
    assert env[b"CUDA_VISIBLE_DEVICES"] == b""
    assert env[b"NVIDIA_VISIBLE_DEVICES"] == b"void"
    assert env[b"MGPU_GPU_UUIDS"] == b""
    assert b"MGPU_GPU_MEM" not in env


def test_array_and_memory_only_when_given() -> None:
    env = environment.reserved(order(gpu_mem=8000, array=[40, 3, 5, 1, 9]), "n\0x")
    assert env[b"MGPU_ARRAY_JOB_ID"] == b"40"
    assert env[b"MGPU_ARRAY_TASK_ID"] == b"3"
    assert env[b"MGPU_ARRAY_TASK_COUNT"] == b"5"
    assert (env[b"MGPU_ARRAY_TASK_MIN"], env[b"MGPU_ARRAY_TASK_MAX"]) == (b"1", b"9")
    assert env[b"MGPU_GPU_MEM"] == b"8000"
    assert env[b"MGPU_JOB_NAME"] == b"nx"


def test_parameters_are_variables_too() -> None:
    values = {b"lr": b"0.1", b"Batch_2": b"", b"a b": b"x", b"nul": b"\0"}
    assert environment.parameters(values) == {
        b"MGPU_PARAM_LR": b"0.1",
        b"MGPU_PARAM_BATCH_2": b"",
    }


def test_copies_under_slurms_names() -> None:
    env = environment.base([b"SLURM_ARRAY_TASK_ID=99", b"SLURM_CPUS_PER_TASK=7"], ACCOUNT)
    env.update(environment.reserved(order(), "train"))
    environment.add_slurms(env, b"/data", 0, "box")
    assert {name: value for name, value in env.items() if name.startswith(b"SLURM")} == {
        b"SLURM_JOB_ID": b"42",
        b"SLURM_JOBID": b"42",
        b"SLURM_JOB_NAME": b"train",
        b"SLURM_JOB_USER": b"alice",
        b"SLURM_JOB_GPUS": b"2,0",
        b"SLURM_GPUS_ON_NODE": b"2",
        b"SLURM_RESTART_COUNT": b"1",
        b"SLURM_SUBMIT_DIR": b"/data",
        **dict.fromkeys([b"SLURM_NTASKS", b"SLURM_NPROCS"], b"1"),
        **dict.fromkeys([b"SLURM_NNODES", b"SLURM_JOB_NUM_NODES"], b"1"),
        **dict.fromkeys([b"SLURM_PROCID", b"SLURM_LOCALID", b"SLURM_NODEID"], b"0"),
        **dict.fromkeys([b"SLURM_NODELIST", b"SLURM_JOB_NODELIST"], b"box"),
        **dict.fromkeys([b"SLURMD_NODENAME", b"SLURM_SUBMIT_HOST"], b"box"),
    }


def test_slurms_names_for_tasks_and_cpus() -> None:
    env = environment.reserved(order(gpus=[], uuids=[], array=[40, 3, 5, 1, 9]), "n")
    env[b"USER"] = b"alice"
    environment.add_slurms(env, b"/", 4, "box")
    assert (env[b"SLURM_ARRAY_JOB_ID"], env[b"SLURM_ARRAY_TASK_ID"]) == (b"40", b"3")
    assert (env[b"SLURM_CPUS_PER_TASK"], env[b"SLURM_GPUS_ON_NODE"]) == (b"4", b"0")
