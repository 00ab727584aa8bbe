"""mgpu_job redo: submit again what has ended."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, job_names
from mgpu.cli.params import DURATION, FILLED, IDS, INDICES, MEMORY
from mgpu.model.errors import MgpuError
from mgpu.model.states import ENDED
from mgpu.model.target import on_wire
from mgpu.protocol import names

if TYPE_CHECKING:
    from mgpu.client import Client

_MOST = 100
_PRIORITY = 1000
_PLAIN = ("gpus", "gpu_mem", "time_limit", "name", "priority", "qos", "project", "max_concurrent")


@click.command("redo", context_settings=CONTEXT)
@IDS
@click.option("--cascade", is_flag=True, help="Also those that were given up because of it.")
@click.option("-G", "--gpus", type=click.IntRange(0, 1024), help="Another number of GPUs.")
@click.option(
    "--mem", "--gpu-mem", "gpu_mem", type=MEMORY, metavar="SIZE", help="Another memory of each GPU."
)
@click.option("--gpu-ids", type=INDICES, metavar="INDICES", help="Other GPUs, as 0,2.")
@click.option("--time-limit", type=DURATION, metavar="DURATION", help="Another limit, as 2h30m.")
@click.option("-J", "--name", type=FILLED, help="Another name.")
@click.option("--priority", type=click.IntRange(-_PRIORITY, _PRIORITY), metavar="N",
              help="Another priority.")  # fmt: skip
@click.option("-q", "--qos", type=FILLED, metavar="NAME", help="Another class.")
@click.option("-P", "--project", type=FILLED, metavar="NAME", help="Another project.")
@click.option(
    "-d",
    "--dependency",
    type=FILLED,
    metavar="LIST",
    help="Wait for these, in the form of mgpu_srun --dependency. [default: for nothing]",
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(0, 100_000),
    metavar="N",
    help="Of an array: at most N tasks at once.",
)
@click.option("--venv", type=FILLED, metavar="DIR", help="Another virtual environment.")
@click.option("--conda-env", type=FILLED, metavar="NAME", help="Another conda environment.")
@click.option("--hold", is_flag=True, help="Held, until it is released.")
@click.option("--parsable", is_flag=True, help="Print the bare ids.")
@common_options
def redo(
    ids: tuple[str, ...],
    socket: str | None,
    config: str | None,
    *,
    cascade: bool,
    parsable: bool,
    **overrides: Any,
) -> None:
    """Submit jobs of yours that have ended again: IDS as 42, 42_7, 42_[1-5], 3-9, @.

    Each is submitted with the script, command line, folder and environment that it had, which are
    kept for a while (jobs.keep_for_redo), and with what you give here instead. Tasks of an array
    keep their indices.
    """
    wanted = [str(on_wire(name)) for name in job_names(ids, _MOST)]
    with connect(socket, config) as client:
        again = Again(client, overrides)
        told = [again.read(name) for name in wanted]  # all of them, before one is submitted
        if cascade:
            told += again.followers(told)
        for one in told:
            new = again.submit(one)
            emit(str(new) if parsable else f"Submitted job {new}, as {one['job']} was")


class Again:
    """Submissions that are repeated, and the new numbers of those that were."""

    def __init__(self, client: Client, overrides: dict[str, Any]) -> None:
        self._client = client
        self._overrides = overrides
        self._new: dict[int, int] = {}

    def read(self, job: str) -> dict[str, Any]:
        """What ``job`` was submitted with; raises MgpuError unless all of it has ended."""
        name: int | str = int(job) if job.isdecimal() else job
        told: dict[str, Any] = self._client.request(names.SUBMISSION, {"jobs": [name]}).body
        active = [state for state in told["states"] if state not in ENDED]
        if active:
            raise MgpuError(
                "Refused",
                f"job {job} has not ended: {', '.join(active)}",
                hint="wait for its end, or cancel it",
            )
        return told | {"job": job, "dependency": ""}

    def followers(self, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that were given up because of these, and because of those, the oldest first."""
        known = {str(one["origin"]) for one in told}
        found: dict[str, dict[str, Any]] = {}
        todo = [pair for one in told for pair in one["dependents"]]
        while todo:
            name, needs = todo.pop()
            if name not in known:
                known.add(name)
                found[name] = self.read(name) | {"dependency": needs}
                todo += found[name]["dependents"]
        return [found[name] for name in sorted(found, key=int)]

    def submit(self, told: dict[str, Any]) -> int:
        """Submit it as it was, but for what is to be different; the new number."""
        spec = told["spec"] | self._changes(told)
        request = {"key": os.urandom(16).hex(), "count": 1, "spec": spec}
        number: int = self._client.request(names.SUBMIT, request).body["first"]
        self._new[told["origin"]] = number
        return number

    def _changes(self, told: dict[str, Any]) -> dict[str, Any]:
        given = self._overrides
        changes = {name: given[name] for name in _PLAIN if given[name] is not None}
        changes |= {"hold": True} if given["hold"] else {}
        if given["gpu_ids"]:
            changes |= {"gpu_ids": given["gpu_ids"]}
            changes.setdefault("gpus", len(given["gpu_ids"]))
        elif told["lost_gpus"]:
            raise MgpuError(
                "Refused",
                f"job {told['job']} asked for GPUs of which {told['lost_gpus']} are gone",
                hint="name others with --gpu-ids; mgpu_info shows them",
            )
        needs = self._renamed(told["dependency"]) or given["dependency"]
        changes |= {"dependency": needs} if needs else {}
        if given["venv"] or given["conda_env"]:
            from mgpu.client.capture import activation

            changes["activate"] = activation(given["venv"], given["conda_env"], activate=True)
        return changes

    def _renamed(self, needs: str) -> str:
        """A dependency with the new numbers of what was submitted again."""
        return re.sub(r"(?<=:)\d+", lambda one: str(self._new.get(int(one[0]), one[0])), needs)
