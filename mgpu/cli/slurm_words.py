"""sbatch's options as they are meant there, for mgpu_sbatch and the #SBATCH lines of scripts.

What holds on a machine with one node, one partition and one task per job is taken and changes
nothing (``HARMLESS``); what mgpu cannot honour is refused by its name (``REFUSED``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from copy import copy

import click

from mgpu.cli.params import FILLED, Parsed
from mgpu.model.units import quoted


def _one(text: str) -> str:
    """The number of nodes or tasks, which is one."""
    if re.fullmatch(r"0*1(-0*1)?", text.strip()) is None:
        raise ValueError(f"{quoted(text)}: a job of mgpu is one task on one machine; write 1")
    return text


def _here(text: str) -> str:
    """A list of nodes, which is this one."""
    node = os.uname().nodename
    if text.strip() not in {node, node.partition(".")[0], "localhost"}:
        raise ValueError(f"{quoted(text)}: the only node is {node}")
    return text


def _nothing(text: str) -> str:
    """A file for standard input, which is none."""
    if text.strip() not in {"none", "/dev/null"}:
        raise ValueError(f"{quoted(text)}: a job reads nothing; redirect it inside of the script")
    return text


def _harmless(*words: str, kind: Parsed | None, help: str) -> click.Option:
    name = "slurm_" + words[-1][2:].replace("-", "_")
    return click.Option([*words, name], type=kind, is_flag=kind is None, expose_value=False,
                        metavar=kind and kind.name.upper(), help=help)  # fmt: skip


_ONE, _HERE, _NOTHING = Parsed("1", _one), Parsed("node", _here), Parsed("file", _nothing)
_SAME = (
    _harmless("-N", "--nodes", kind=_ONE, help="There is one node."),
    _harmless("-n", "--ntasks", kind=_ONE, help="A job is one task."),
    _harmless("--ntasks-per-node", kind=_ONE, help="The same."),
    _harmless("--ntasks-per-gpu", kind=_ONE, help="The same."),
    _harmless("-w", "--nodelist", kind=_HERE, help="This machine."),
    _harmless("-p", "--partition", kind=FILLED, help="Any name: there is one partition."),
    _harmless("-i", "--input", kind=_NOTHING, help="/dev/null: a job reads nothing."),
    _harmless("-k", "--no-kill", kind=None, help="Changes nothing."),
    _harmless("-v", "--verbose", kind=None, help="Changes nothing."),
)
HARMLESS = frozenset(option.name for option in _SAME)

#: Options of sbatch that mgpu knows and cannot honour, and what to do instead.
REFUSED = {
    "--mem-per-cpu": "say --mem for all of the job",
    "--mem-per-gpu": "say --mem for all of the job, --gpu-mem for memory of each GPU",
    "--exclusive": "a job without --gpu-mem has its GPUs to itself; the machine is shared",
    "--oversubscribe": "a job with --gpu-mem shares its GPUs",
    "-s": "a job with --gpu-mem shares its GPUs",
    "--constraint": "say --gpu-type, --min-gpu-memory or --min-capability",
    "-C": "say --gpu-type, --min-gpu-memory or --min-capability",
    "--exclude": "there is one node",
    "-x": "there is one node",
    "--reservation": "those that it is for use it by themselves",
    "--comment": "there are no comments; see --name",
    "--time-min": "say --time",
    "--cpus-per-gpu": "say --cpus-per-task",
    "--propagate": "the limits of this shell are always taken over",
    "--get-user-env": "see --export",
    "--uid": "a job runs as who submits it",
    "--gid": "a job runs as who submits it",
    "--licenses": "there are none",
    "-L": "there are none",
    "--clusters": "there is one machine",
    "-M": "there is one machine",
    "--tmp": "disks are not counted",
    "--mincpus": "say --cpus-per-task",
    "--ntasks-per-core": "a job is one task",
    "--ntasks-per-socket": "a job is one task",
    "--threads-per-core": "say --cpus-per-task",
    "--cores-per-socket": "say --cpus-per-task",
    "--sockets-per-node": "say --cpus-per-task",
    "--extra-node-info": "say --cpus-per-task",
    "-B": "say --cpus-per-task",
    "--core-spec": "say --cpus-per-task",
    "-S": "say --cpus-per-task",
    "--distribution": "a job is one task",
    "-m": "a job is one task",
    "--gpus-per-socket": "say --gpus",
    "--gpu-bind": "a job sees its GPUs alone; see --gpu-ids",
    "--gpu-freq": "clocks are not changed",
    "--cpu-freq": "clocks are not changed",
    "--tres-per-task": "say --gpus and --cpus-per-task",
    "--container": "start it in the script",
    "--nodefile": "there is one node",
    "-F": "there is one node",
    "--contiguous": "there is one node",
    "--switches": "there is one node",
    "--reboot": "there is one node",
    "--overcommit": "CPUs are counted as --cpus-per-task says, and not bound",
    "-O": "CPUs are counted as --cpus-per-task says, and not bound",
    "--wckey": "say --project",
    "--export-file": "see --export",
}
#: What mgpu_srun says in another way, and options of srun that it does not have.
REFUSED_OF_SRUN = {
    "--mem-per-gpu": "say --mem, which is of each GPU here",
    "--mem-per-cpu": "say --host-mem for all of the job",
    "--account": "say --project",
    "-A": "say --project",
    "-q": "say --qos",
    "--gpus-per-node": "say --gpus",
    "--gpus-per-task": "say --gpus",
    "--label": "a job is one task",
    "-l": "a job is one task",
    "--unbuffered": "what a job writes is in its log at once; Python is told to",
    "-u": "what a job writes is in its log at once; Python is told to",
    "--immediate": "--test-only says whether it would start now, --deadline bounds the wait",
    "-I": "--test-only says whether it would start now, --deadline bounds the wait",
    "--jobid": "commands are no steps of a job; see mgpu_job attach",
    "--overlap": "commands are no steps of a job; see mgpu_job attach",
    "--mpi": "a job is one task, which may be mpirun",
    "--cpu-bind": "CPUs are counted as --cpus-per-task says, and not bound",
}
#: What differs from mgpu_srun: the words of some options, by the name of the parameter.
_WORDS = {
    "gpus": ["-G", "--gpus", "--gpus-per-node", "--gpus-per-task"],
    "gpu_mem": ["--gpu-mem"],
    "host_mem": ["--mem", "--host-mem"],
    "project": ["-P", "--project", "-A", "--account"],
    "qos": ["-q", "--qos"],
}
_LEFT_OUT = {"exclusive", "interactive"}


def options_like(params: Iterable[click.Parameter]) -> list[click.Parameter]:
    """These options of mgpu_srun with sbatch's words, and those that change nothing."""
    known: list[click.Parameter] = []
    for option in params:
        if option.name not in _LEFT_OUT:
            option = copy(option)
            option.opts = _WORDS.get(option.name or "", option.opts)
            option.metavar = "SCRIPT [ARGUMENT]..." if option.name == "command" else option.metavar
            known.append(option)
    return [*known, *_SAME]


_LEAVE = "leave it away, a job is one task on this machine"


def refusal(error: click.NoSuchOption, *, srun: bool = False) -> click.UsageError:
    """What to say of an option that is not known: of one of Slurm's, also what to do instead."""
    name = error.option_name
    hint = REFUSED.get(name)
    if srun:
        leave = any(name in option.opts for option in _SAME)
        hint = REFUSED_OF_SRUN.get(name, _LEAVE if leave else hint)
    if hint is None:
        return error
    whose = "srun" if srun else "sbatch"
    return click.UsageError(f"{name} is of {whose}, but mgpu has no such thing: {hint}")
